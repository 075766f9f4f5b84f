"""The subcommands that sync cohorts: ``sync`` and ``run``."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import evolve, fields

from .._display import counted
from ..errors import CohortS3Error
from ..settings.cohort_sync import CohortSync
from ..settings.guard import Guard
from ..sources.file_set import member_files
from ..sources.protocol import MemberSource
from ..sync.commit import SyncResult
from ..sync.plan import SyncPlan
from ..sync.schedule import JobOutcome, JobResult, run_due
from ..sync.sync_cohort import sync_cohort
from ._arguments import add_sync_name, add_sync_names, aware_time, limit, natural_number
from ._output import COMMAND, in_command, print_json, print_message, print_result, print_table
from ._run_jobs import GONE, RunJobs
from ._setup import Setup, progress_bar, standard_input
from .exit_codes import ExitCode, exit_code


def add_sync(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_sync)
    add_sync_name(parser)
    parser.add_argument(
        "--members",
        metavar="LOCATION",
        help="read the members from this CSV or Parquet file, folder or pattern (in quotes), or "
        "with - from standard input, instead of the source in the configuration file",
    )
    parser.add_argument(
        "--at",
        type=aware_time,
        metavar="TIME",
        help="time of the sync, e.g. 2026-11-23T06:30Z (default: now); repeating a sync with the "
        "same time and members is safe",
    )
    guard = parser.add_argument_group(
        "guard", "limits for this sync instead of those in the configuration file"
    )
    for name, kind, what in (
        ("max-exits", limit, "allow up to N members, or a share such as 0.5, to leave"),
        ("max-growth", limit, "allow the cohort to grow by up to N members, or a share"),
        ("max-skipped", limit, "allow up to N rows, or a share, to lack a key"),
        ("min-members", natural_number, "require at least N members"),
    ):
        guard.add_argument(f"--{name}", type=kind, metavar="N", help=what)
    parser.add_argument(
        "--duplicates",
        choices=("refuse", "keep_smallest"),
        default="refuse",
        help="if a member appears more than once with different data: fail (default), or keep "
        "the row that sorts first",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan, write nothing")


def _sync(options: argparse.Namespace) -> ExitCode:
    setup = Setup.read(options.config)
    config = setup.sync(options.name)
    members: MemberSource
    if options.members == "-":
        members = standard_input()
    elif options.members is not None:
        members = member_files(options.members)
    else:
        members = setup.members(options.name)
    storage, log = setup.storages(config.destination)
    found: SyncResult | SyncPlan
    try:
        with progress_bar() as progress:
            sync_now = partial(
                sync_cohort,
                config.sync,
                members,
                storage,
                synced_at=options.at,
                guard=_guard(config.sync, options),
                duplicates=options.duplicates,
                log=log,
                progress=progress,
            )
            found = sync_now(dry_run=True) if options.dry_run else sync_now()
    except CohortS3Error as error:
        if options.json:
            failed = {"sync": options.name, "outcome": JobOutcome.FAILED.value}
            print_json(failed | {"error": _error_json(error)})
        raise
    if options.json:
        print_json({"sync": options.name, "outcome": _outcome(found).value} | found.to_json())
        return ExitCode.DONE
    print_result(str(found))
    return ExitCode.DONE


def _guard(sync: CohortSync, options: argparse.Namespace) -> Guard | None:
    """Return the sync's limits with those of the command line, or None if that has none."""
    names = [one.name for one in fields(Guard)]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if not given:
        return None
    return evolve(sync.guard, **given) if sync.guard else Guard(**_UNLIMITED | given)


_UNLIMITED: dict[str, Any] = {"max_exits": None, "max_growth": None, "max_skipped": None}


def _outcome(found: SyncResult | SyncPlan) -> JobOutcome:
    if found.already_done:
        return JobOutcome.ALREADY_DONE
    return JobOutcome.DUE if isinstance(found, SyncPlan) else JobOutcome.DONE


def add_run(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_run)
    add_sync_names(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what is due, write nothing")


def _run(options: argparse.Namespace) -> ExitCode:
    setup = Setup.read(options.config)
    jobs = RunJobs.of(setup, options.names)
    results = _run_jobs(setup, jobs, options)
    if options.json:
        gone = [{"sync": name, "outcome": "gone", "message": GONE} for name in jobs.gone]
        print_json([*(_job_json(name, job) for name, job in results.items()), *gone])
    else:
        rows = [
            (name, job.outcome.value, _in_run(name, job.detail)) for name, job in results.items()
        ]
        rows += [(name, "gone", GONE) for name in jobs.gone]
        print_table(("sync", "outcome", ""), rows)
    if jobs.gone:
        print_message(f"no longer synced: {', '.join(jobs.gone)}")
    errors = [job.error for job in results.values() if job.error is not None]
    if errors:
        print_message(f"{len(errors)} of {counted(len(results), 'sync')} failed")
    codes = {exit_code(error) for error in errors}
    if len(codes) > 1:
        return ExitCode.FAILED
    return codes.pop() if codes else ExitCode.DONE


def _run_jobs(setup: Setup, jobs: RunJobs, options: argparse.Namespace) -> dict[str, JobResult]:
    """Run the syncs that are due, and return all results by name."""
    results = {
        name: JobResult(sync=setup.config.syncs[name].sync, outcome=JobOutcome.FAILED, error=error)
        for name, error in jobs.failed.items()
    }
    with progress_bar() as progress:
        for name, (config, members) in jobs.jobs.items():
            try:
                storage, log = setup.storages(config.destination)
            except CohortS3Error as error:
                failed = JobOutcome.FAILED
                results[name] = JobResult(sync=config.sync, outcome=failed, error=error)
                continue
            job = (config.sync, members)
            (results[name],) = run_due(
                [job], storage, dry_run=options.dry_run, log=log, progress=progress
            )
    return results


def _job_json(name: str, job: JobResult) -> dict[str, Any]:
    found: dict[str, Any] = {"sync": name, "outcome": job.outcome.value}
    if job.result is not None:
        found |= job.result.to_json()
    if job.error is not None:
        found["error"] = _error_json(job.error, partial(_in_run, name))
    return found


def _in_run(name: str, message: str) -> str:
    """Return a message of the library for ``run``, which lacks the options of ``sync``."""
    return in_command(message).replace("pass --", f"run {COMMAND} sync {name} --")


def _error_json(error: Exception, translate: Callable[[str], str] = in_command) -> dict[str, Any]:
    kind = type(error).__name__
    return {
        "type": kind,
        # The messages of other packages may contain user ids.
        "message": translate(str(error)) if isinstance(error, CohortS3Error) else kind,
        "exit_code": int(exit_code(error)),
    }
