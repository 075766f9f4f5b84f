"""Arguments that several subcommands share."""

import argparse
from contextlib import suppress
from datetime import datetime


def add_sync_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name of the sync in the configuration file")


def add_sync_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="name", help="only these syncs (default: all)")


def aware_time(text: str) -> datetime:
    """Return the time that an argument names."""
    example = "2026-11-23T06:30Z"
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
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
