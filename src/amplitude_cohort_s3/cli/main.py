"""The command ``amplitude-cohort-s3``: syncs, and what is in a bucket, for operations.

It is thin: each verb is one call or two of the library. Results go to standard output
and nothing else does; messages and progress go to standard error.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from ..errors import CohortS3Error, ConfigurationError
from ..policy import PURPOSES
from ._output import COMMAND, cure, say
from ._setup import CONFIG_FILE
from ._subcommands import _history, _members, _parse_name, _policy, _run, _sync, _verify
from .exit_codes import ExitCode, exit_code


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
        say("\n  - ".join([f"{error.subject}:", *error.faults]))
        return exit_code(error)
    except CohortS3Error as error:
        say(f"{error}{cure(error)}")
        return exit_code(error)
    except KeyboardInterrupt:
        say("interrupted; no sync is half visible, and the next run goes on from here")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Or Python complains at its end, when it flushes what nobody reads.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    return code


def script() -> NoReturn:
    """The command as a process: it also cleans up when it is told to end."""

    def terminate(*_: object) -> NoReturn:
        sys.exit(ExitCode.TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
    sys.exit(main())


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
    policy.add_argument("--purpose", choices=PURPOSES, default="write", help="what for")
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
