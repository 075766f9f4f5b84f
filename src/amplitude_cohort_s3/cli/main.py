"""The command ``amplitude-cohort-s3`` for operators and schedulers.

Each subcommand is one or two calls of the library. Only results go to standard output; messages
and progress go to standard error.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from ..errors import CohortS3Error, ConfigurationError
from ..format import kernel_state
from ._compare_commands import add_changes, add_diff, add_overlap
from ._init_command import add_init
from ._maintain_commands import (
    add_adopt,
    add_clean_up,
    add_forget,
    add_prune,
    add_recover,
    forget_people,
)
from ._monitor_commands import add_overdue, add_runs
from ._output import COMMAND, in_command, print_message
from ._read_commands import (
    add_history,
    add_members,
    add_parse_name,
    add_policy,
    add_streams,
    add_verify,
)
from ._report_command import add_report
from ._setup import CONFIG_FILE
from ._sync_commands import add_run, add_sync
from .exit_codes import ExitCode, exit_code

# For each subcommand its help, the function that adds its arguments to its parser, and an example.
_SUBCOMMANDS = {
    "init": ("write a first configuration file", add_init, "init"),
    "sync": ("sync one cohort now", add_sync, "sync actives --dry-run"),
    "run": ("sync all cohorts that are due", add_run, "run"),
    "streams": (
        "list the cohorts of a folder or bucket",
        add_streams,
        "streams s3://my-bucket/cohorts",
    ),
    "history": ("print size and changes over time", add_history, "history actives"),
    "runs": ("print the run log, with void and unfinished syncs", add_runs, "runs actives"),
    "overdue": ("print the syncs that are overdue", add_overdue, "overdue"),
    "members": (
        "print the members as CSV",
        add_members,
        "members actives --at 2026-11-23T00:00Z > members.csv",
    ),
    "diff": (
        "compare the members at two times",
        add_diff,
        "diff actives --between 2026-11-01T00:00Z 2026-11-23T00:00Z --rows > changes.csv",
    ),
    "changes": (
        "print the properties that changed, as CSV",
        add_changes,
        "changes actives > changes.csv",
    ),
    "overlap": (
        "count the members that two cohorts share",
        add_overlap,
        "overlap actives buyers --rows both > both.csv",
    ),
    "report": (
        "write an HTML page about a cohort",
        add_report,
        "report actives --output actives.html",
    ),
    "verify": ("check that all files agree", add_verify, "verify actives"),
    "adopt": (
        "begin the log of a stream that another program wrote",
        add_adopt,
        "adopt 26umsb5 --from s3://my-bucket/cohorts",
    ),
    "recover": ("finish a sync whose process died", add_recover, "recover actives"),
    "forget": (
        "remove people from all files of a stream",
        add_forget,
        "forget actives - --by user_id < ids.txt",
    ),
    "prune": (
        "delete the files of old syncs",
        add_prune,
        "prune actives --before 2026-01-01T00:00Z",
    ),
    "clean-up": (
        "remove what dead processes left behind",
        add_clean_up,
        "clean-up actives --older-than 2h",
    ),
    "policy": (
        "print a bucket policy as JSON",
        add_policy,
        "policy warehouse --principal arn:aws:iam::111122223333:role/etl",
    ),
    "parse-name": (
        "print what file names contain",
        add_parse_name,
        "parse-name 123_26umsb5_2026-11-23T14:05_entering.csv",
    ),
}

_WITHOUT_CONFIG = {"streams", "parse-name"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The arguments without the name of the command; by default those of the process.

    Returns:
        The exit code, one of ``ExitCode``.
    """
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:
        # An id of a person that begins with - is one of them.
        shown = "" if options.run is forget_people else f": {' '.join(unknown)}"
        options.parser.error(f"unknown arguments{shown}")
    try:
        code: ExitCode = options.run(options)
        sys.stdout.flush()
    except ConfigurationError as error:
        print_message(in_command("\n  - ".join([f"{error.subject}:", *error.faults])))
        return exit_code(error)
    except CohortS3Error as error:
        print_message(in_command(str(error)))
        return exit_code(error)
    except KeyboardInterrupt:
        print_message("interrupted; no sync is partly visible, and the next run continues")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Otherwise Python flushes standard output when it ends, and reports the error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    return code


def script() -> NoReturn:
    """Run the command as a process, which cleans up after SIGTERM too."""

    def terminate(*_: object) -> NoReturn:
        sys.exit(ExitCode.TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
    sys.exit(main())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Sync cohorts to S3 as Amplitude does, and read such buckets back.",
        epilog="exit codes: "
        + ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode),
    )
    about = f"{version('amplitude_cohort_s3')} (native kernel {kernel_state()})"
    parser.add_argument("--version", action="version", version=about)
    config: dict[str, Any] = {
        "type": Path,
        "metavar": "FILE",
        "help": f"the TOML file with destinations and syncs (default: {CONFIG_FILE})",
    }
    parser.add_argument("--config", default=Path(CONFIG_FILE), **config)
    parser.add_argument("--json", action="store_true", help="print JSON")
    subparsers = parser.add_subparsers(title="subcommands", required=True, metavar="SUBCOMMAND")
    for name, (text, add_arguments, example) in _SUBCOMMANDS.items():
        description = f"{text[0].upper()}{text[1:]}."
        subparser = subparsers.add_parser(
            name, help=text, description=description, epilog=f"example: {COMMAND} {example}"
        )
        # Without defaults, which would replace what is named before the subcommand.
        subparser.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON"
        )
        if name not in _WITHOUT_CONFIG:
            subparser.add_argument("--config", default=argparse.SUPPRESS, **config)
        # Its error shows the options that there are.
        subparser.set_defaults(parser=subparser)
        add_arguments(subparser)
    return parser
