"""Histories with difficult rows, as the library writes them and as other programs do."""

import gzip
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from attrs import evolve, frozen

from amplitude_cohort_s3 import (
    CohortHistory,
    CohortSync,
    Destination,
    DiffType,
    LocalStorage,
    NameStyle,
    UserProperty,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.testing.small_cohort import moment

Rows = Sequence[tuple[str, ...]]

HEADER = ("amplitudeID", "userID", "plan", "note")
COLUMNS = ("amplitude_id", "user_id", "plan", "note")

WITHOUT_LINE_ENDS: Rows = (
    ("1", "CORP\\ann\\", "a,b", 'q"q'),
    ("2", "\\N", "NULL", "null"),
    ("3", "", "", ""),
    ("4", "  lead", "trail  ", "   "),
    ("5", "\tTAB", "#comment", "# x"),
    ("6", "é😀 \u2028\u0085", "'", '"'),
    ("7", "x" * 70_000, "", "007"),
    ("#8", "\\", "\\\\", "\\."),
    ("9", '""', '","', '\\"'),
    ("010", "1e5", "NA", "nan"),
    ("11", "%s", "{a}", "$1 ? :x"),
    ("12", ",", ",,", " , "),
    ("13", '\\",\\"', '"\\', "'\\'"),
    ("14", "true", "2026-11-23", "\ufeff"),
    ("15", "\x01\x02", "\x1f", "\x7f"),
    ("16", "\\r\\n", "\\t", "\\0"),
)
WITH_LINE_ENDS: Rows = (
    *WITHOUT_LINE_ENDS,
    ("20", "a\nb", "a\r\nb", "\n"),
    ("21", "\n\n\n", "\r", "x\r"),
    ("22", "a\n\\.\nb", '\n"\n', "\r\n\r\n"),
    ("23", "x\n20,1,2,3\ny", "", "end"),
)


@frozen
class Spelling:
    """The way in which another program writes CSV."""

    name: str
    line_end: str = "\n"
    all_quoted: bool = False
    bom: bool = False
    compressed: bool = False
    ends: bool = True
    order: tuple[int, ...] = (0, 1, 2, 3)

    def write(self, rows: Iterable[tuple[str, ...]]) -> bytes:
        lines = [",".join(map(self.cell, (row[i] for i in self.order))) for row in (HEADER, *rows)]
        text = self.line_end.join(lines) + self.line_end * self.ends
        data = b"\xef\xbb\xbf" * self.bom + text.encode()
        return gzip.compress(data) if self.compressed else data

    def cell(self, text: str) -> str:
        if self.all_quoted or re.search('[",\r\n]', text):
            return '"' + text.replace('"', '""') + '"'
        return text


SPELLINGS = (
    Spelling("lf"),
    Spelling("crlf", "\r\n"),
    Spelling("crlf_quoted", "\r\n", all_quoted=True),
    Spelling("lf_quoted_bom", all_quoted=True, bom=True),
    Spelling("crlf_gzip", "\r\n", compressed=True),
    Spelling("crlf_without_end", "\r\n", all_quoted=True, ends=False),
    Spelling("crlf_reordered", "\r\n", all_quoted=True, order=(2, 1, 3, 0)),
)


def own_history(
    folder: Path, *cohorts: Rows, compressed: bool = False, path: str = "it's", key: str = "it's"
) -> CohortHistory:
    """Return the history that the library writes."""
    sync = CohortSync(
        destination=Destination(
            name="d",
            path=path,
            compression="gzip" if compressed else None,
            name_style=NameStyle(separator="-"),
        ),
        project_id=1,
        cohort_id="a",
        routing_key=key,
        user_properties=(UserProperty("plan"), UserProperty("note")),
    )
    storage = LocalStorage(folder)
    for number, members in enumerate(cohorts):
        sync_cohort(sync, members, storage, synced_at=moment(number), guard=False)
    return read_history(storage, sync.stream)


def foreign_history(folder: Path, spelling: Spelling, *cohorts: Rows) -> CohortHistory:
    """Return the history of a folder that another program wrote, without a log."""
    before: dict[str, tuple[str, ...]] = {}
    for number, members in enumerate(cohorts):
        now = {row[0]: row for row in members}
        put(
            folder,
            number,
            spelling.write(now[key] for key in now.keys() - before.keys()),
            spelling.write(before[key] for key in before.keys() - now.keys()),
            spelling.write(now.values()),
            compressed=spelling.compressed,
        )
        before = now
    return history_in(folder)


def put(folder: Path, number: int, *files: bytes, compressed: bool = False) -> None:
    """Write the files entering, exiting and existing of one sync."""
    for diff_type, data in zip(("entering", "exiting", "existing"), files, strict=True):
        name = f"in/1_a_2026-11-23T14-{number:02}_{diff_type}.csv{'.gz' * compressed}"
        LocalStorage(folder).create(name, data)


def history_in(folder: Path, **options: object) -> CohortHistory:
    sync = CohortSync(destination=Destination(name="d", path="in"), project_id=1, cohort_id="a")
    return read_history(LocalStorage(folder), sync.stream, **options)


def with_plain_urls(history: CohortHistory) -> CohortHistory:
    """Return the history with URLs that have the plain key, as those of S3 do."""
    syncs = [
        evolve(
            sync, files={t: evolve(info, url=unquote(info.url)) for t, info in sync.files.items()}
        )
        for sync in history
    ]
    return evolve(history, syncs=tuple(syncs))


def library_rows(history: CohortHistory, columns: Sequence[str] = COLUMNS) -> list[tuple]:
    """Return the minute and type of each file with its rows, as the library reads them."""
    found = []
    for sync in history:
        for diff_type in sync.files:
            source = history.source(sync, diff_type)
            schema = history.schema
            order = [schema.columns.index(column) for column in columns]
            found += [
                (sync.synced_at.minute, diff_type.value, *(row[i] for i in order))
                for row in source.rows_of(schema, fill=True)
            ]
    return sorted(found)


def library_members(history: CohortHistory, number: int = -1) -> list[tuple[str, ...]]:
    members = history.members_at(history[number])
    order = [members.schema.columns.index(column) for column in COLUMNS]
    return sorted(tuple(row[i] for i in order) for row in members)


def needed(text: str) -> DiffType | None:
    """Return the file that a COPY statement loads."""
    return next((t for t in DiffType if f'_{t.value}"' in text.partition("(")[0]), None)
