"""Arguments that several subcommands share."""

import argparse
import re
from contextlib import suppress
from datetime import datetime


def add_sync_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name of the sync in the configuration file")


def add_sync_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="name", help="only these syncs (default: all)")


def add_time(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at", type=aware_time, metavar="TIME", help="as of this time (default: the newest sync)"
    )


def natural_number(text: str) -> int:
    """Return the number that an argument names, 0 or more."""
    if not re.fullmatch("[0-9]+", text):
        fault = f"must be a whole number, 0 or more, not {text!r}"
        raise argparse.ArgumentTypeError(fault)
    return int(text)


def aware_time(text: str) -> datetime:
    """Return the time that an argument names."""
    example = "2026-11-23T06:30Z"
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}Z", text):
            fault = f"{text!r} has no hour; write {text[:-1]}T00:00Z"
        elif "isoformat" not in str(error):  # such as "month must be in 1..12"
            fault = f"there is no time {text!r}: {error}"
        else:
            fault = f"invalid time {text!r}; use ISO 8601 with a time zone, e.g. {example}"
        raise argparse.ArgumentTypeError(fault) from None
    if when.tzinfo is None:
        in_utc = when.isoformat(timespec="seconds" if when.second else "minutes")
        fault = f"{text!r} has no time zone; for UTC, write {in_utc}Z"
        raise argparse.ArgumentTypeError(fault)
    return when


def limit(text: str) -> int | float:
    """Return the number or the share that an argument names."""
    with suppress(ValueError):
        return int(text)
    try:
        return float(text)
    except ValueError:
        fault = f"invalid limit {text!r}; use a number such as 500, or a share such as 0.5"
        raise argparse.ArgumentTypeError(fault) from None
