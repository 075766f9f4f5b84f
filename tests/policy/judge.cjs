// Reads JSON lists of simulations from standard input, one a line, and writes for each a line with
// the list of verdicts.
// Run in the folder where package.json is installed.
const { createRequire } = require('node:module')
const { createInterface } = require('node:readline')
const { anonymousPrincipal, runSimulation } = createRequire(process.cwd() + '/')(
  '@cloud-copilot/iam-simulate'
)

async function verdict(simulation) {
  if (simulation.request.principal === null) simulation.request.principal = anonymousPrincipal
  const result = await runSimulation(simulation, {})
  if (result.resultType === 'error') return `Error: ${JSON.stringify(result.errors)}`
  const ignored = result.result?.ignoredContextKeys ?? []
  return ignored.length ? `${result.overallResult} ignoring ${ignored}` : result.overallResult
}

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    const verdicts = []
    for (const simulation of JSON.parse(line)) verdicts.push(await verdict(simulation))
    process.stdout.write(JSON.stringify(verdicts) + '\n')
  }
}

main()
