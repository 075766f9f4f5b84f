"""The subcommands of the command line."""

import argparse
import json
import sys
from datetime import UTC, datetime

from ..diff.protocol import Duplicates
from ..errors import CohortS3Error
from ..format.filename import CohortFileName
from ..policy.bucket_policy import bucket_policy
from ..settings.cohort_sync import CohortSync
from ..sources import MemberFile
from ..sources.protocol import MemberSource
from ..storage import Storage
from ..sync.commit import SyncResult
from ..sync.schedule import JobOutcome, JobResult, run_due
from ..sync.sync_cohort import sync_cohort
from ._output import cure, job_json, name_json, put, put_json, put_table, say, sync_json
from ._setup import Setup, progress_bar, standard_input
from .config import DestinationConfig
from .exit_codes import ExitCode, exit_code

# --- The verbs -------------------------------------------------------------------------


def _sync(options: argparse.Namespace) -> ExitCode:
    setup = Setup.read(options.config)
    config = setup.sync(options.name)
    members: MemberSource
    if options.members == "-":
        members = standard_input()
    elif options.members is not None:
        members = MemberFile(options.members)
    else:
        members = setup.members(options.name)
    storage, log = setup.storages(config.destination)
    if options.dry_run:
        return _plan(options, config.sync, members, storage, log)
    result: SyncResult | None = None
    error: CohortS3Error | None = None
    with progress_bar() as progress:
        try:
            result = sync_cohort(
                config.sync,
                members,
                storage,
                synced_at=options.at,
                max_exits=options.max_exits,
                duplicates=options.duplicates,
                log=log,
                progress=progress,
            )
        except CohortS3Error as caught:
            error = caught
    if result is None:
        outcome = JobOutcome.FAILED
    else:
        outcome = JobOutcome.ALREADY_DONE if result.already_done else JobOutcome.DONE
    job = JobResult(sync=config.sync, outcome=outcome, result=result, error=error)
    if options.json:
        put_json(job_json(options.name, job))
    elif result is not None:
        put(str(result))
        if result.ignored_columns:
            say(f"columns that the sync does not have: {', '.join(result.ignored_columns)}")
    if error is not None:
        raise error
    return ExitCode.DONE


def _plan(
    options: argparse.Namespace,
    sync: CohortSync,
    members: MemberSource,
    storage: Storage,
    log: Storage | None,
) -> ExitCode:
    duplicates: Duplicates = options.duplicates
    with progress_bar() as progress:
        plan = sync_cohort(
            sync,
            members,
            storage,
            synced_at=options.at,
            max_exits=options.max_exits,
            duplicates=duplicates,
            log=log,
            progress=progress,
            dry_run=True,
        )
    if options.json:
        due = {"sync": options.name, "outcome": JobOutcome.DUE.value}
        put_json(due | sync_json(plan, plan.ignored_columns))
    else:
        put(str(plan))
    return ExitCode.DONE


def _run(options: argparse.Namespace) -> ExitCode:
    setup = Setup.read(options.config)
    syncs = setup.syncs(options.names)
    members = {name: setup.members(name) for name in syncs}
    results = dict[str, JobResult]()
    with progress_bar() as progress:
        for destination in dict.fromkeys(config.destination for config in syncs.values()):
            names = [name for name in syncs if syncs[name].destination == destination]
            try:
                storage, log = setup.storages(destination)
            except CohortS3Error as error:
                for name in names:
                    results[name] = JobResult(
                        sync=syncs[name].sync, outcome=JobOutcome.FAILED, error=error
                    )
                continue
            report = run_due(
                [(syncs[name].sync, members[name]) for name in names],
                storage,
                dry_run=options.dry_run,
                log=log,
                progress=progress,
            )
            results.update(zip(names, report, strict=True))
    if options.json:
        put_json([job_json(name, results[name]) for name in syncs])
    else:
        rows = [
            (name, one.outcome.value, one.detail + cure(one.error))
            for name in syncs
            for one in [results[name]]
        ]
        put_table(("sync", "outcome", ""), rows)
    failed = sum(one.outcome is JobOutcome.FAILED for one in results.values())
    if failed:
        say(f"{failed} of {len(results)} failed")
    codes = {exit_code(one.error) for one in results.values() if one.error is not None}
    if len(codes) > 1:
        return ExitCode.FAILED
    return codes.pop() if codes else ExitCode.DONE


def _history(options: argparse.Namespace) -> ExitCode:
    churn = Setup.read(options.config).history(options.name).churn()
    if options.json:
        put_json(
            [
                {
                    "synced_at": one.synced_at.isoformat(),
                    "members": one.members,
                    "entered": one.entered,
                    "exited": one.exited,
                    "returned": one.returned,
                }
                for one in churn
            ]
        )
    else:
        put_table(
            ("synced at", "members", "entered", "exited", "returned"),
            [
                (
                    f"{one.synced_at:%Y-%m-%d %H:%M:%S}",
                    *(f"{n:,}" for n in (one.members, one.entered, one.exited, one.returned)),
                )
                for one in churn
            ],
            right=range(1, 5),
        )
    return ExitCode.DONE


def _members(options: argparse.Namespace) -> ExitCode:
    history = Setup.read(options.config).history(options.name)
    members = history.members_at(options.at or datetime.max.replace(tzinfo=UTC))
    if options.json:
        for row in members:
            put(json.dumps(dict(zip(members.schema.columns, row, strict=True)), ensure_ascii=False))
        return ExitCode.DONE
    for chunk in members.csv_source(members.schema).chunks():
        sys.stdout.buffer.write(chunk)
    return ExitCode.DONE


def _verify(options: argparse.Namespace) -> ExitCode:
    setup = Setup.read(options.config)
    found = [
        (name, finding)
        for name in setup.syncs(options.names)
        for finding in setup.history(name).verify()
    ]
    if options.json:
        put_json(
            [
                {
                    "sync": name,
                    "kind": finding.kind.name.lower(),
                    "synced_at": finding.synced_at.isoformat(),
                    "key": finding.key,
                    "count": finding.count,
                    "detail": finding.detail,
                }
                for name, finding in found
            ]
        )
    else:
        put("\n".join(f"{name}: {finding}" for name, finding in found) or "all adds up")
    return ExitCode.FINDINGS if found else ExitCode.DONE


def _policy(options: argparse.Namespace) -> ExitCode:
    config: DestinationConfig = Setup.read(options.config).choose("destinations", options.name)
    policy = bucket_policy(
        config.destination,
        principal=options.principal,
        purpose=options.purpose,
        create_only=options.create_only,
        kms_key=options.kms_key,
    )
    put(policy.to_json())
    return ExitCode.DONE


def _parse_name(options: argparse.Namespace) -> ExitCode:
    names = [name_json(*CohortFileName.from_key(key)) for key in options.keys]
    if options.json:
        put_json(names)
    else:
        put_table([*names[0]], [[str(v or "") for v in name.values()] for name in names])
    return ExitCode.DONE
