"""Functions that print: results to standard output, messages to standard error."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from .._display import text_table
from ..format.cells import encode_text
from ..history.members import Members

COMMAND = "amplitude-cohort-s3"


def print_result(text: str) -> None:
    print(text)  # noqa: T201 -- the output of the command


def print_json(value: object) -> None:
    print_result(json.dumps(value, indent=2, default=datetime.isoformat))


def print_json_row(columns: Sequence[str], cells: Iterable[str]) -> None:
    """Print one row as a JSON object on one line."""
    print_result(json.dumps(dict(zip(columns, cells, strict=True)), ensure_ascii=False))


def print_csv_row(cells: Iterable[str]) -> None:
    """Print one row as CSV."""
    sys.stdout.buffer.write(encode_text(cells).encode())


def print_members(members: Members, *, as_json: bool) -> None:
    """Print members as CSV, or as one JSON object per line."""
    if as_json:
        for row in members:
            print_json_row(members.schema.columns, row)
    else:
        for chunk in members.csv_source(members.schema).chunks():
            sys.stdout.buffer.write(chunk)


def print_message(text: str) -> None:
    print(f"{COMMAND}: {text}", file=sys.stderr)  # noqa: T201 -- a message of the command


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns."""
    print_result(text_table(head, rows))


# What the library's messages advise in Python, and the same with options and keys of the file.
_IN_COMMAND = [
    (re.compile(python), command)
    for python, command in (
        # The limit to change comes first. The others come from the file or from other options.
        (r"sync once with guard=Guard\((m\w\w)_(\w+)=(\d+)[^)]*\)", r"pass --\1-\2 \3"),
        (r'pass duplicates="keep_smallest"', "pass --duplicates keep_smallest"),
        (r"(pass|leave out) synced_at", r"\1 --at"),
        (r"Call recover\(\) first", f"Run {COMMAND} recover NAME first"),
        (r"Call recover\(\), then sync again", "Sync again"),
        (r"pass work_dir='\.\.\.', a folder", "set TMPDIR to a folder"),
        (r", or pass work_dir$", ""),
        (
            r"as in MemberFile\(\.\.\., columns=\{'\.\.\.': '(.*?)'\}\)",
            r'as in members = { file = "...", columns = { "..." = "\1" } }',
        ),
        (
            r"map other names with columns= of MemberFile",
            'map other names, as in members = { file = "...", columns = { "..." = "user_id" } }',
        ),
        (r"Pass MemberFiles for the files of a folder", "End its location with a slash"),
        (r"\b(match_by|bucket)='(.*?)'", r'\1 = "\2"'),
        (r"(?i:pass) region='(.*?)'", r'Set region = "\1"'),
        (r"Pass region= with its name", "Set region to its name"),
        (r'pass region="eu"', 'set region = "eu"'),
        (r'else region="us"', 'else region = "us"'),
        (r"which bucket_policy\(\) writes", "which the subcommand policy prints"),
        (r"list_streams\(storage\) yields the streams", f"{COMMAND} streams LOCATION lists those"),
        (r"; list_cohorts\(\) lists all discoverable ones", ""),
        (r"pass max_missing=(\d+)", r"set max_missing = \1 in members"),
        (r", pass a longer deadline, or", " or"),
        (r"Pass checksums=False to S3Storage, set", "Set"),
        (r"Pass checksums=True to S3Storage", "Set checksums = true"),
        (r", or use open_storage|, or call open_storage.*", ""),
        (r"\b(in|of) the Destination\b", r"\1 the destination"),
        (r"call adopt\(storage, stream\)", f"run {COMMAND} adopt NAME"),
        (r"(S|s)ync( a new stream)? without adopt\(\)", r"\1ync\2 with the subcommand sync"),
        (r"\b(amplitude_cohort_s3\.\S+)", r"\1 of the Python library"),
    )
]


def in_command(message: str) -> str:
    """Return a message of the library with advice for the command line.

    >>> in_command("sync once with guard=Guard(max_exits=900, max_growth=None)")
    'pass --max-exits 900'
    """
    for python, command in _IN_COMMAND:
        message = python.sub(command, message)
    return message
