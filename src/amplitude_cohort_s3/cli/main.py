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
from ._output import COMMAND, command_hint, print_message
from ._read_commands import HISTORY, MEMBERS, PARSE_NAME, POLICY, VERIFY
from ._setup import CONFIG_FILE
from ._sync_commands import RUN, SYNC
from .exit_codes import ExitCode, exit_code

_SUBCOMMANDS = (SYNC, RUN, HISTORY, MEMBERS, VERIFY, POLICY, PARSE_NAME)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The arguments without the name of the command; by default those of the process.

    Returns:
        The exit code, one of ``ExitCode``.
    """
    options = _parser().parse_args(arguments)
    try:
        code: ExitCode = options.run(options)
        sys.stdout.flush()
    except ConfigurationError as error:
        print_message("\n  - ".join([f"{error.subject}:", *error.faults]))
        return exit_code(error)
    except CohortS3Error as error:
        print_message(f"{error}{command_hint(error)}")
        return exit_code(error)
    except KeyboardInterrupt:
        print_message("interrupted; no sync is partly visible, and the next run continues")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Otherwise Python flushes standard output at its end and reports the error again.
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
    parser.add_argument("--version", action="version", version=version("amplitude_cohort_s3"))
    config: dict[str, Any] = {
        "type": Path,
        "metavar": "FILE",
        "help": f"the TOML file with destinations and syncs (default: {CONFIG_FILE})",
    }
    parser.add_argument("--config", default=Path(CONFIG_FILE), **config)
    parsers = parser.add_subparsers(title="subcommands", required=True, metavar="SUBCOMMAND")
    for subcommand in _SUBCOMMANDS:
        inner = parsers.add_parser(subcommand.name, help=subcommand.help)
        inner.add_argument("--json", action="store_true", help="print JSON")
        if subcommand.has_config:
            # Without a default, which would replace a file that is named before the subcommand.
            inner.add_argument("--config", default=argparse.SUPPRESS, **config)
        subcommand.add_arguments(inner)
        inner.set_defaults(run=subcommand.run)
    return parser
