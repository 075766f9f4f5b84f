"""The three files of a cohort with the standard library: the module csv and a dict."""

import csv
from collections.abc import Iterable
from pathlib import Path


def write_diff(previous: Path, current: Path, out: Path) -> None:
    """Write the members who entered, exited and exist."""
    header, before = read_members(previous)
    _, now = read_members(current)
    for name, rows in {
        "entering": (row for key, row in now.items() if key not in before),
        "exiting": (row for key, row in before.items() if key not in now),
        "existing": now.values(),
    }.items():
        write_rows(out / f"{name}.csv", [header], rows)


def read_members(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the header, and the rows by their first cell."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        return next(rows), {row[0]: row for row in rows}


def write_rows(path: Path, *parts: Iterable[Iterable[str]]) -> None:
    """Write rows with ``csv.writer``."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for rows in parts:
            writer.writerows(rows)
