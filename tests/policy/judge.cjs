// Reads a JSON list of simulations from standard input, writes the list of verdicts.
// Run in the folder where package.json is installed.
const { createRequire } = require('node:module')
const { readFileSync } = require('node:fs')
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
  const verdicts = []
  for (const simulation of JSON.parse(readFileSync(0, 'utf8'))) {
    verdicts.push(await verdict(simulation))
  }
  process.stdout.write(JSON.stringify(verdicts))
}

main()
