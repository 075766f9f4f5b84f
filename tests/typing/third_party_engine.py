"""A diff engine as someone else would write it from the documentation: two dictionaries.

It inherits from nothing of the library. Type checkers prove here that it fits the
protocol; `tests/testing/test_third_party.py` runs the contract against it.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from amplitude_cohort_s3 import CsvSource, DiffType, ExistingMeaning, RowSchema
from amplitude_cohort_s3.diff import (
    DiffEngine,
    DiffFile,
    DiffReport,
    Duplicates,
    Progress,
    ProgressEvent,
)
from amplitude_cohort_s3.errors import DuplicateKeyError, EmptyKeyError, MalformedCsvError

csv.field_size_limit(1 << 30)

Row = tuple[str, ...]


class DictEngine:
    """Holds both sides in memory."""

    def diff(
        self,
        previous: CsvSource,
        current: CsvSource,
        *,
        schema: RowSchema,
        existing: ExistingMeaning,
        duplicates: Duplicates,
        folder: Path,
        progress: Progress | None,
    ) -> DiffReport:
        key = schema.key_index
        ignored: set[str] = set()
        before = {row[key]: row for _, row in rows_of(previous, schema, fill=True, ignored=set())}
        now: dict[str, Row] = {}
        nameless: list[int] = []
        conflicts: dict[str, int] = {}
        collapsed = count = 0
        for line, row in rows_of(current, schema, fill=False, ignored=ignored):
            count += 1
            if not row[key]:
                nameless.append(line)
                continue
            there = now.setdefault(row[key], row)
            if there is not row:
                collapsed += 1
            if there != row:
                conflicts.setdefault(row[key], line)
                now[row[key]] = min(there, row, key=lambda one: b"".join(schema.encode([one])))
        if progress is not None:
            progress(ProgressEvent("read", count, current.rows))
        if nameless and schema.key == "amplitude_id":
            raise EmptyKeyError(schema.key, len(nameless), tuple(nameless), current.unit)
        if conflicts and duplicates == "refuse":
            lines = tuple(conflicts.values())
            raise DuplicateKeyError(schema.key, len(conflicts), lines, current.unit)

        stayed = [row for name, row in now.items() if name in before]
        exiting = [row for name, row in before.items() if name not in now]
        match existing:
            case ExistingMeaning.MEMBERS:
                kept = list(now.values())
            case ExistingMeaning.STAYED:
                kept = stayed
            case ExistingMeaning.PREVIOUS:
                kept = [*stayed, *exiting]
        parts = {
            DiffType.ENTERING: [row for name, row in now.items() if name not in before],
            DiffType.EXITING: exiting,
            DiffType.EXISTING: kept,
        }
        return DiffReport(
            files={t: write(schema, part, folder / t.value) for t, part in parts.items()},
            members_before=len(before),
            members_now=len(now),
            members_sha256=write(schema, now.values(), folder / "members").sha256,
            skipped=len(nameless),
            collapsed=collapsed,
            ignored_columns=tuple(sorted(ignored)),
            filled={
                name: sum(1 for row in now.values() if row[schema.columns.index(name)])
                for name in schema.properties
            },
        )


def rows_of(
    source: CsvSource, schema: RowSchema, *, fill: bool, ignored: set[str]
) -> Iterator[tuple[int, Row]]:
    """The rows in the columns of the schema, and the lines at which they begin."""
    text = io.StringIO(b"".join(source.chunks()).decode("utf-8-sig"), newline="")
    reader = csv.reader(text, strict=True)
    columns: list[str] = []
    last, line = "", 1
    for cells in reader:
        begins, line = line, reader.line_num + 1
        if not cells:
            continue
        if not columns:
            columns = [known(name) for name in cells]
            schema.check_columns(columns, fill=fill)
            ignored.update(set(columns) - set(schema.columns))
            continue
        if len(cells) != len(columns):
            raise MalformedCsvError(begins, f"the row has {len(cells)} cells")
        named = dict(zip(columns, cells, strict=True))
        row = tuple(named.get(name, "") for name in schema.columns)
        if source.canonical and row[schema.key_index].encode() <= last.encode():
            raise MalformedCsvError(begins, "the row is out of order")
        last = row[schema.key_index]
        yield begins, row


def known(name: str) -> str:
    """The id columns have one name each, whichever style they are written in."""
    ids = {"amplitudeid": "amplitude_id", "userid": "user_id"}
    return ids.get(name.strip().lower().replace("_", ""), name)


def write(schema: RowSchema, rows: Iterable[Row], path: Path) -> DiffFile:
    """The rows in the order of the key, in a file."""
    key = schema.key_index
    ordered = sorted(rows, key=lambda row: row[key].encode())
    data = b"".join(schema.encode(ordered))
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return DiffFile(path=path, rows=len(ordered), size=len(data), sha256=digest)


ENGINE: DiffEngine = DictEngine()
