"""Inputs of a diff engine, a function that runs it, and the expected results."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from hypothesis import strategies as st

from ..diff.protocol import DiffEngine, DiffReport, Duplicates
from ..format.cells import encode_text
from ..format.columns import Row
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource

SCHEMA = RowSchema(properties=("plan", "city"))

# There are few characters, so that many keys are equal or have a common prefix. Each is difficult
# for CSV or for sorting: quotes, line ends, and characters that sort before or after the comma or
# have several bytes in UTF-8.
_TEXT = st.text(alphabet='01a+-, "\n\r\té日😀', max_size=4)
_KEY = st.text(alphabet='01a+-, "\n\ré日😀', min_size=1, max_size=3)


def csv_source(data: bytes, *, canonical: bool = False, chunk: int = 1 << 20) -> CsvSource:
    """Return a source of some bytes, in chunks of a given size."""

    def chunks() -> Iterator[bytes]:
        for begin in range(0, len(data), chunk):
            yield data[begin : begin + chunk]

    return CsvSource(chunks=chunks, canonical=canonical, size=len(data))


def canonical_bytes(
    rows: Sequence[Row], schema: RowSchema = SCHEMA, *, ordered: bool = True
) -> bytes:
    """Return the rows in canonical form, by default in the order of the key."""
    key = schema.key_index
    in_order = sorted(rows, key=lambda row: row[key].encode()) if ordered else rows
    return b"".join(schema.encode(in_order))


def dialects(rows: Sequence[Row], schema: RowSchema = SCHEMA) -> dict[str, bytes]:
    """Return the rows, unsorted, in several dialects of CSV, by the name of the dialect."""

    def quoted(row: Sequence[str]) -> str:
        return ",".join('"' + cell.replace('"', '""') + '"' for cell in row)

    header = schema.header
    turned = RowSchema(properties=schema.properties[::-1], header_style="api")
    rest = slice(len(header) - len(schema.properties), None)
    shuffled = sorted(rows, key=lambda row: hashlib.sha256(repr(row).encode()).digest())
    lines = [quoted(row) for row in (header, *shuffled)]
    return {
        "canonical": canonical_bytes(shuffled, schema, ordered=False),
        "quoted": "\n".join([*lines, ""]).encode(),
        "CRLF": "\r\n".join([*lines, ""]).encode(),
        "BOM, no line end at the end": b"\xef\xbb\xbf" + "\n".join(lines).encode(),
        "blank lines": "\n\n".join(["", *lines, ""]).encode(),
        "other columns": b"".join(
            turned.encode([(*row[: rest.start], *row[rest][::-1]) for row in shuffled])
        ),
        "ids at the end": "\n".join(
            quoted((*row[2:], row[1], row[0])) for row in (header, *shuffled)
        ).encode(),
    }


def expected_result(
    previous: Sequence[Row],
    current: Sequence[Row],
    existing: ExistingMeaning,
    schema: RowSchema = SCHEMA,
) -> tuple[bytes, bytes, bytes, str]:
    """Return the bytes of the three files and the digest of the current members."""
    key = schema.key_index
    before = {row[key]: row for row in previous}
    now = {row[key]: row for row in current}
    left = [row for row in previous if row[key] not in now]
    stayed = [row for row in current if row[key] in before]
    entered = [row for row in current if row[key] not in before]
    kept = [
        *(entered if existing.contains_entering else ()),
        *stayed,
        *(left if existing.contains_exiting else ()),
    ]
    members = canonical_bytes(current, schema)
    return (
        canonical_bytes(entered, schema),
        canonical_bytes(left, schema),
        canonical_bytes(kept, schema),
        hashlib.sha256(members).hexdigest(),
    )


def unique_rows(key: int = 0) -> st.SearchStrategy[list[Row]]:
    """Return a strategy for rows with difficult text and distinct keys."""
    cells = [_TEXT] * 4
    cells[key] = _KEY
    return st.lists(st.tuples(*cells), max_size=30, unique_by=lambda row: row[key])


def sample_rows(count: int) -> list[Row]:
    """Return unsorted rows with distinct keys; some cells need quotes."""
    rows: list[Row] = [
        (
            str(i * 7919 % 1_000_003),
            f"user{i}@example.com",
            ("free", "pro", "a,b", "", "007", 'say "x"', "l\nf")[i % 7 if i % 10 == 0 else i % 2],
            ("Rome", "Köln", "東京")[i % 3],
        )
        for i in range(1, count + 1)
    ]
    if count > 2:
        rows[0], rows[1], rows[2] = (
            ("1", *rows[0][1:]),
            ("2", *rows[1][1:]),
            ("3", *rows[2][1:]),
        )
    return rows


class Run:
    """A function that runs an engine, and checks the counts and digests of its files.

    Attributes:
        report: The report of the last run.
    """

    report: DiffReport

    def __init__(self, engine: DiffEngine) -> None:
        self.engine = engine
        self.folder = Path()

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="engine-contract-"))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)

    def __call__(
        self,
        previous: CsvSource,
        current: CsvSource,
        *,
        schema: RowSchema = SCHEMA,
        existing: ExistingMeaning = ExistingMeaning.MEMBERS,
        duplicates: Duplicates = "refuse",
    ) -> tuple[bytes, bytes, bytes, str]:
        """Return the bytes of the three files, and the digest of the current members."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        self.report = self.engine.diff(
            previous,
            current,
            schema=schema,
            existing=existing,
            duplicates=duplicates,
            folder=folder,
            progress=None,
        )
        if self.report.changed is not None and previous.repeatable and current.repeatable:
            assert self.report.changed == _count_changed(previous, current, schema)
        files = self.report.files
        contents = {t: file.path.read_bytes() for t, file in files.items()}
        for diff_type, file in files.items():
            data = contents[diff_type]
            rows = list(schema.decode([data]))
            assert (file.rows, file.size) == (len(rows), len(data))
            assert file.sha256 == hashlib.sha256(data).hexdigest()
            if diff_type is DiffType.EXISTING and existing is ExistingMeaning.MEMBERS:
                cells = list(zip(*rows, strict=True)) or [()] * len(schema.columns)
                filled = [sum(map(bool, column)) for column in cells]
                found = [self.report.filled[name] for name in schema.properties]
                assert found == filled[len(schema.columns) - len(found) :]
        shutil.rmtree(folder)
        return (
            contents[DiffType.ENTERING],
            contents[DiffType.EXITING],
            contents[DiffType.EXISTING],
            self.report.members_sha256,
        )


def _count_changed(previous: CsvSource, current: CsvSource, schema: RowSchema) -> int:
    """Return the number of members on both sides whose cells differ in a common column."""
    has = previous.read_table().columns
    common = [place for place, name in enumerate(schema.columns) if name in has]
    before, now = _smallest_rows(previous, schema), _smallest_rows(current, schema)
    stayed = before.keys() & now.keys()
    return sum(any(before[key][n] != now[key][n] for n in common) for key in stayed)


def _smallest_rows(source: CsvSource, schema: RowSchema) -> dict[str, Row]:
    """Return the rows of a source by their keys; of several rows, the smallest one."""
    rows = dict[str, Row]()
    for row in sorted(source.rows_of(schema, fill=True), key=_line):
        rows.setdefault(row[schema.key_index], row)
    return rows


def _line(row: Row) -> str:
    return encode_text(row).removesuffix("\n")
