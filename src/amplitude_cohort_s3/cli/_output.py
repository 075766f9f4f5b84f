"""Functions that print: results to standard output, messages to standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from .._display import text_table
from ..errors import (
    DiskFullError,
    DuplicateKeyError,
    MassExitError,
    MassGrowthError,
    SkippedRowsError,
    TooFewMembersError,
    UnfinishedSyncError,
)

COMMAND = "amplitude-cohort-s3"


def print_result(text: str) -> None:
    print(text)  # noqa: T201 -- the output of the command


def print_json(value: object) -> None:
    print_result(json.dumps(value, indent=2, default=datetime.isoformat))


def print_message(text: str) -> None:
    print(f"{COMMAND}: {text}", file=sys.stderr)  # noqa: T201 -- a message of the command


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns."""
    print_result(text_table(head, rows))


def command_hint(error: BaseException | None) -> str:
    """Return the remedy on the command line, if the error's message has one in Python."""
    match error:
        case MassExitError():
            return f" (here: {COMMAND} sync NAME --max-exits {error.exits})"
        case MassGrowthError():
            growth = error.members - error.members_before
            return f" (here: {COMMAND} sync NAME --max-growth {growth})"
        case SkippedRowsError():
            return f" (here: {COMMAND} sync NAME --max-skipped {error.skipped})"
        case TooFewMembersError():
            return f" (here: {COMMAND} sync NAME --min-members {error.members})"
        case UnfinishedSyncError():
            return " (here: run it without --dry-run)"
        case DuplicateKeyError():
            return " (here: --duplicates keep_smallest)"
        case DiskFullError():
            return " (here: set the environment variable TMPDIR to the folder)"
        case _:
            return ""
