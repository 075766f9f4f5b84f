"""Showing the plan of a change that can't be undone, and asking before it is made."""

import argparse
import sys

from ..errors import ConfigurationError
from ._output import COMMAND, print_message


def add_confirmation(parser: argparse.ArgumentParser) -> None:
    """Add the options of a subcommand that deletes or replaces files."""
    parser.add_argument("--dry-run", action="store_true", help="print the plan, change nothing")
    parser.add_argument(
        "--yes", action="store_true", help="do not ask; needed if standard input is not a terminal"
    )


def is_confirmed(options: argparse.Namespace, plan: str, question: str) -> bool:
    """Print a plan and ask, on standard error; with ``--yes``, return True at once.

    Args:
        options: The options of the subcommand.
        plan: The plan. It names no user.
        question: The question about it.

    Raises:
        ConfigurationError: Nobody can answer, because standard input is not a terminal.
    """
    if options.yes:
        return True
    print_message(plan)
    if not sys.stdin.isatty():
        fault = "standard input is not a terminal, so nobody can confirm this; pass --yes"
        raise ConfigurationError("nothing was changed", (fault,))
    sys.stderr.write(f"{COMMAND}: {question} This can't be undone. [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print_message("nothing was changed")
    return False
