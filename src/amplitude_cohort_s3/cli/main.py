"""The command ``amplitude-cohort-s3``: syncs, and what is in a bucket, for operations.

It is thin: each verb is one call or two of the library. Results go to standard output
and nothing else does; messages and progress go to standard error.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from enum import IntEnum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from attrs import frozen

from ..diff.cohort_diff import diff_members
from ..diff.progress import TqdmProgress
from ..diff.protocol import Duplicates, Progress
from ..errors import (
    AmplitudeBusyError,
    AmplitudeUnavailableError,
    CohortS3Error,
    ConcurrentSyncError,
    ConfigurationError,
    ExportChangedError,
    ExportExpiredError,
    ExportFailedError,
    ExportIncompleteError,
    ExportTimeoutError,
    MassExitError,
    MissingExtraError,
    StoreUnavailableError,
    SyncVoidError,
    UnfinishedSyncError,
    UnknownOutcomeError,
)
from ..format.compression import unpack_chunks
from ..format.filename import CohortFileName
from ..history.history import CohortHistory
from ..log.records import SyncRecord
from ..policy.bucket_policy import OBJECT_ACTIONS, bucket_policy
from ..settings.destination import CohortSync
from ..sources import MemberFile
from ..sources.protocol import CHUNK_BYTES, CsvSource, MemberSource
from ..storage import Storage
from ..sync.plan import SyncPlan, next_free_moment, plan_sync
from ..sync.schedule import JobOutcome, JobResult, run_due
from ..sync.sync_cohort import SyncResult, read_head, read_history, sync_cohort
from .config import AmplitudeMembersConfig, Config, DestinationConfig, SyncConfig

COMMAND = "amplitude-cohort-s3"

CONFIG_FILE = f"{COMMAND}.toml"


class ExitCode(IntEnum):
    """What a scheduler learns from the command's end."""

    DONE = 0
    """Done, or nothing was to do."""
    FAILED = 1
    """It went wrong, and would again; or several syncs failed for different reasons."""
    USAGE = 2
    """The command line, the configuration or the environment is wrong; nothing was begun."""
    MASS_EXIT = 3
    """The exit guard refused: so many members would leave that the source looks broken."""
    FINDINGS = 4
    """``verify`` found something."""
    RETRY = 75
    """Another writer, the store or Amplitude was in the way: run the same again.
    (``EX_TEMPFAIL`` of ``sysexits.h``.)"""
    INTERRUPTED = 130
    """Ctrl-C. Nothing is half visible; the next run goes on."""
    BROKEN_PIPE = 141
    """Whoever read the output stopped to."""
    TERMINATED = 143
    """A SIGTERM, as Ctrl-C."""


_RETRY = (
    AmplitudeBusyError,
    AmplitudeUnavailableError,
    ConcurrentSyncError,
    ExportChangedError,
    ExportExpiredError,
    ExportFailedError,
    ExportIncompleteError,
    ExportTimeoutError,
    StoreUnavailableError,
    SyncVoidError,
    UnfinishedSyncError,
    UnknownOutcomeError,
)


def exit_code(error: BaseException) -> ExitCode:
    """The code for an error.

    >>> exit_code(MassExitError(10, 10, 0))
    <ExitCode.MASS_EXIT: 3>
    """
    if isinstance(error, ConfigurationError):
        return ExitCode.USAGE
    if isinstance(error, MassExitError):
        return ExitCode.MASS_EXIT
    return ExitCode.RETRY if isinstance(error, _RETRY) else ExitCode.FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: Those of the command line, without the command's own name.

    Returns:
        The exit code, one of ``ExitCode``.
    """
    options = _parser().parse_args(arguments)
    try:
        code: ExitCode = options.verb(options)
        sys.stdout.flush()
    except ConfigurationError as error:
        _say("\n  - ".join([f"{error.subject}:", *error.faults]))
        return exit_code(error)
    except CohortS3Error as error:
        _say(f"{error}{_cure(error)}")
        return exit_code(error)
    except KeyboardInterrupt:
        _say("interrupted; no sync is half visible, and the next run goes on from here")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Or Python complains at its end, when it flushes what nobody reads.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    return code


def _cure(error: BaseException | None) -> str:
    """What to add to an error whose cure is said in Python."""
    match error:
        case MassExitError():
            return f" (here: {COMMAND} sync NAME --max-exits {error.exits})"
        case UnfinishedSyncError():
            return " (here: run it without --dry-run)"
        case _:
            return ""


def script() -> NoReturn:
    """The command as a process: it also cleans up when it is told to end."""

    def terminate(*_: object) -> NoReturn:
        sys.exit(ExitCode.TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
    sys.exit(main())


def _say(text: str) -> None:
    print(f"{COMMAND}: {text}", file=sys.stderr)  # noqa: T201 -- a command talks


def _put(text: str) -> None:
    print(text)  # noqa: T201 -- a command's output


def _put_json(value: object) -> None:
    _put(json.dumps(value, indent=2))


# --- The command line ------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Syncs cohorts to S3 as Amplitude does, and reads such buckets back.",
        epilog="exit codes: "
        + ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode),
    )
    parser.add_argument("--version", action="version", version=version("amplitude_cohort_s3"))
    config: dict[str, Any] = {
        "type": Path,
        "metavar": "FILE",
        "help": f"the TOML file with destinations and syncs (default: {CONFIG_FILE})",
    }
    parser.add_argument("--config", default=Path(CONFIG_FILE), **config)
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON, for programs")
    configured = argparse.ArgumentParser(add_help=False, parents=[as_json])
    # Behind the verb too, where it has no default, or that would win over the one before.
    configured.add_argument("--config", default=argparse.SUPPRESS, **config)

    sync = verbs.add_parser("sync", parents=[configured], help="sync one cohort now")
    sync.add_argument("name", help="the sync, as the file names it")
    sync.add_argument(
        "--members",
        metavar="LOCATION",
        help="a CSV or Parquet file, or a URI of one, instead of the file's; - is standard input",
    )
    sync.add_argument(
        "--at",
        type=_instant,
        metavar="TIME",
        help="the time of the sync, as 2026-11-23T06:30Z (default: now); a repeat does no harm",
    )
    sync.add_argument(
        "--max-exits", type=int, metavar="N", help="so many may leave, whatever the exit guard says"
    )
    sync.add_argument(
        "--duplicates",
        choices=("refuse", "keep_smallest"),
        default="refuse",
        help="different rows of one key: an error, or keep that with the smaller bytes",
    )
    sync.add_argument("--dry-run", action="store_true", help="only print what would be stored")
    sync.set_defaults(verb=_sync)

    run = verbs.add_parser("run", parents=[configured], help="do all syncs that are due")
    run.add_argument("names", nargs="*", metavar="name", help="only these syncs")
    run.add_argument("--dry-run", action="store_true", help="only print what is due")
    run.set_defaults(verb=_run)

    history = verbs.add_parser("history", parents=[configured], help="size and changes over time")
    history.add_argument("name", help="the sync, as the file names it")
    history.set_defaults(verb=_history)

    members = verbs.add_parser("members", parents=[configured], help="who was a member, as CSV")
    members.add_argument("name", help="the sync, as the file names it")
    members.add_argument(
        "--at", type=_instant, metavar="TIME", help="as of this time (default: the newest sync)"
    )
    members.set_defaults(verb=_members)

    verify = verbs.add_parser("verify", parents=[configured], help="whether all files add up")
    verify.add_argument("names", nargs="*", metavar="name", help="only these syncs")
    verify.set_defaults(verb=_verify)

    policy = verbs.add_parser("policy", parents=[configured], help="the bucket policy, as JSON")
    policy.add_argument("name", help="the destination, as the file names it")
    policy.add_argument(
        "--principal", action="append", required=True, metavar="ARN", help="who; may be repeated"
    )
    policy.add_argument("--purpose", choices=[*OBJECT_ACTIONS], default="write", help="what for")
    policy.add_argument("--create-only", action="store_true", help="deny to overwrite")
    policy.add_argument("--kms-key", metavar="ARN", help="deny to write with another key")
    policy.set_defaults(verb=_policy)

    parse = verbs.add_parser("parse-name", parents=[as_json], help="what file names say")
    parse.add_argument("keys", nargs="+", metavar="name", help="a file's name or whole key")
    parse.set_defaults(verb=_parse_name)
    return parser


def _instant(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"no time: {text!r}; 2026-11-23T06:30Z is one") from None
    if when.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone: {text}Z is UTC")
    return when


# --- What the file and the environment give --------------------------------------------


@frozen
class _Setup:
    """A configuration with what it leads to, each opened once and when it is needed."""

    config: Config
    file: Path
    _opened: dict[object, Any]

    @classmethod
    def read(cls, file: Path) -> "_Setup":
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8"
            fault = f"it can't be read ({reason}); --config names another file"
            raise ConfigurationError(str(file), (fault,)) from None
        return cls(Config.from_toml(text, name=str(file), folder=file.parent), file, {})

    def choose(self, kind: str, name: str) -> Any:
        """A sync or destination by its name."""
        found: Mapping[str, Any] = getattr(self.config, kind)
        if name not in found:
            fault = f"it has no {kind}.{name}; {kind} are {', '.join(found) or 'none'}"
            raise ConfigurationError(str(self.file), (fault,))
        return found[name]

    def sync(self, name: str) -> SyncConfig:
        found: SyncConfig = self.choose("syncs", name)
        return found

    def syncs(self, names: Sequence[str]) -> dict[str, SyncConfig]:
        """Those syncs, or all."""
        return {name: self.sync(name) for name in dict.fromkeys(names or self.config.syncs)}

    def storages(self, destination: str) -> tuple[Storage, Storage | None]:
        """Where the data of a destination is, and its log if that is elsewhere."""
        if destination not in self._opened:
            found: DestinationConfig = self.choose("destinations", destination)
            self._opened[destination] = found.open_storage(), found.open_log()
        storages: tuple[Storage, Storage | None] = self._opened[destination]
        return storages

    def members(self, name: str) -> MemberSource:
        """Where a sync's members come from."""
        match self.sync(name).members:
            case None:
                fault = f"syncs.{name} has no members, and neither has the command line"
                raise ConfigurationError(str(self.file), (fault,))
            case MemberFile() as file:
                return file
            case AmplitudeMembersConfig() as wanted:
                cohorts = self._amplitude(wanted.amplitude)
                source: MemberSource = cohorts.members(
                    wanted.cohort_id, columns=wanted.columns, max_missing=wanted.max_missing
                )
                return source

    def _amplitude(self, name: str) -> Any:
        # One object for a project, since it keeps to the limits of all its downloads.
        from ..sources.amplitude.api import AmplitudeCohorts  # noqa: PLC0415 -- urllib3 costs 0.1 s

        if ("amplitude", name) not in self._opened:
            project = self.config.amplitude[name]
            wanted = (project.api_key_env, project.secret_key_env)
            missing = [variable for variable in wanted if not os.environ.get(variable)]
            if missing:
                faults = [f"the environment variable {variable} is not set" for variable in missing]
                raise ConfigurationError(f"amplitude.{name}", tuple(faults))
            self._opened["amplitude", name] = AmplitudeCohorts(
                *(os.environ[variable] for variable in wanted),
                region=project.region,
                base_url=project.base_url,
            )
        return self._opened["amplitude", name]

    def history(self, name: str) -> CohortHistory:
        config = self.sync(name)
        storage, log = self.storages(config.destination)
        key = config.sync.schema.key
        return read_history(storage, config.sync.stream, log=log, match_by=key)


def _standard_input() -> CsvSource:
    read = partial(sys.stdin.buffer.read, CHUNK_BYTES)
    return CsvSource(
        chunks=lambda: unpack_chunks(iter(read, b"")),
        repeatable=False,
        file="standard input",
        origin={"file": "standard input"},
    )


def _progress() -> AbstractContextManager[Progress | None]:
    """A bar on standard error, if that is a terminal and tqdm is installed."""
    if sys.stderr.isatty():
        try:
            return TqdmProgress()
        except MissingExtraError:
            pass
    return nullcontext()


# --- The verbs -------------------------------------------------------------------------


def _sync(options: argparse.Namespace) -> ExitCode:
    setup = _Setup.read(options.config)
    config = setup.sync(options.name)
    members: MemberSource
    if options.members == "-":
        members = _standard_input()
    elif options.members is not None:
        members = MemberFile(options.members)
    else:
        members = setup.members(options.name)
    storage, log = setup.storages(config.destination)
    if options.dry_run:
        return _plan(options, config.sync, members, storage, log)
    result: SyncResult | None = None
    error: CohortS3Error | None = None
    with _progress() as progress:
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
        _put_json(_job_json(options.name, job))
    elif result is not None:
        _put(str(result))
        if result.ignored_columns:
            _say(f"columns that the sync does not have: {', '.join(result.ignored_columns)}")
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
    head = read_head(storage, sync.stream, log=log)
    when = options.at or next_free_moment(sync, head, datetime.now(UTC))
    duplicates: Duplicates = options.duplicates
    with (
        _progress() as progress,
        diff_members(
            () if head is None else head.members(),
            members,
            schema=sync.schema,
            existing=sync.destination.existing,
            duplicates=duplicates,
            progress=progress,
        ) as diff,
    ):
        plan = plan_sync(sync, diff, synced_at=when, previous=head, max_exits=options.max_exits)
    if options.json:
        due = {"sync": options.name, "outcome": JobOutcome.DUE.value}
        _put_json(due | _sync_json(plan, plan.ignored_columns))
    else:
        _put(str(plan))
    return ExitCode.DONE


def _run(options: argparse.Namespace) -> ExitCode:
    setup = _Setup.read(options.config)
    syncs = setup.syncs(options.names)
    members = {name: setup.members(name) for name in syncs}
    results = dict[str, JobResult]()
    with _progress() as progress:
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
        _put_json([_job_json(name, results[name]) for name in syncs])
    else:
        rows = [
            (name, one.outcome.value, one.detail + _cure(one.error))
            for name in syncs
            for one in [results[name]]
        ]
        _put_table(("sync", "outcome", ""), rows)
    failed = sum(one.outcome is JobOutcome.FAILED for one in results.values())
    if failed:
        _say(f"{failed} of {len(results)} failed")
    codes = {exit_code(one.error) for one in results.values() if one.error is not None}
    if len(codes) > 1:
        return ExitCode.FAILED
    return codes.pop() if codes else ExitCode.DONE


def _history(options: argparse.Namespace) -> ExitCode:
    churn = _Setup.read(options.config).history(options.name).churn()
    if options.json:
        _put_json(
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
        _put_table(
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
    history = _Setup.read(options.config).history(options.name)
    members = history.members_at(options.at or datetime.max.replace(tzinfo=UTC))
    if options.json:
        for row in members:
            _put(
                json.dumps(dict(zip(members.schema.columns, row, strict=True)), ensure_ascii=False)
            )
        return ExitCode.DONE
    for chunk in members.csv_source(members.schema).chunks():
        sys.stdout.buffer.write(chunk)
    return ExitCode.DONE


def _verify(options: argparse.Namespace) -> ExitCode:
    setup = _Setup.read(options.config)
    found = [
        (name, finding)
        for name in setup.syncs(options.names)
        for finding in setup.history(name).verify()
    ]
    if options.json:
        _put_json(
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
        _put("\n".join(f"{name}: {finding}" for name, finding in found) or "all adds up")
    return ExitCode.FINDINGS if found else ExitCode.DONE


def _policy(options: argparse.Namespace) -> ExitCode:
    config: DestinationConfig = _Setup.read(options.config).choose("destinations", options.name)
    policy = bucket_policy(
        config.destination,
        principal=options.principal,
        purpose=options.purpose,
        create_only=options.create_only,
        kms_key=options.kms_key,
    )
    _put(policy.to_json())
    return ExitCode.DONE


def _parse_name(options: argparse.Namespace) -> ExitCode:
    names = [_name_json(*CohortFileName.from_key(key)) for key in options.keys]
    if options.json:
        _put_json(names)
    else:
        _put_table([*names[0]], [[str(v or "") for v in name.values()] for name in names])
    return ExitCode.DONE


# --- How things are printed --------------------------------------------------------------


def _put_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()
) -> None:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = {*right}

    def cells(line: Sequence[str]) -> Iterator[str]:
        for number, (cell, width) in enumerate(zip(line, widths, strict=True)):
            yield cell.rjust(width) if number in aligned else cell.ljust(width)

    _put("\n".join("  ".join(cells(line)).rstrip() for line in lines))


def _job_json(name: str, job: JobResult) -> dict[str, Any]:
    found: dict[str, Any] = {"sync": name, "outcome": job.outcome.value}
    if job.result is not None:
        found |= _sync_json(job.result.record, job.result.ignored_columns)
    if job.error is not None:
        kind = type(job.error).__name__
        found["error"] = {
            "type": kind,
            "message": str(job.error) if isinstance(job.error, CohortS3Error) else kind,
            "exit_code": int(exit_code(job.error)),
        }
    return found


def _sync_json(sync: SyncRecord | SyncPlan, ignored_columns: Sequence[str]) -> dict[str, Any]:
    """A sync that is done, or what one would do: the same fields."""
    return {
        "synced_at": sync.synced_at.isoformat(),
        "members": sync.members,
        "members_before": sync.members_before,
        "skipped": sync.skipped,
        "collapsed": sync.collapsed,
        "ignored_columns": list(ignored_columns),
        "source": dict(sync.source),
        "files": {
            str(t.value): {"key": file.key, "rows": file.rows, "sha256": file.sha256}
            for t, file in sync.files.items()
        },
    }


def _name_json(path: str, name: CohortFileName) -> dict[str, Any]:
    return {
        "path": path,
        "project_id": name.project_id,
        "cohort_id": name.cohort_id,
        "synced_at": name.synced_at.isoformat(),
        "diff_type": name.diff_type.value,
        "routing_key": name.routing_key,
    }
