"""The promises of a DiffEngine as tests: subclass, give a fixture, run pytest.

class TestMyEngine(DiffEngineContract):
    @pytest.fixture
    def engine(self):
        return MyEngine()
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..diff.protocol import DiffEngine, DiffReport, Duplicates
from ..errors import (
    DuplicateKeyError,
    EmptyKeyError,
    MalformedCsvError,
    MissingColumnsError,
)
from ..format.columns import Row
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource

MEANINGS = tuple(ExistingMeaning)

_SCHEMA = RowSchema(properties=("plan", "city"))

# Few characters, so that keys are equal or begin alike, and each of those that CSV or an
# order could stumble over: below and above the comma, quotes, line ends, several bytes.
_TEXT = st.text(alphabet='01a+-, "\n\r\té日😀', max_size=4)
_KEY = st.text(alphabet='01a+-, "\n\ré日😀', min_size=1, max_size=3)


def csv_source(data: bytes, *, canonical: bool = False, chunk: int = 1 << 20) -> CsvSource:
    """Bytes as a source, in chunks of a given size."""

    def chunks() -> Iterator[bytes]:
        for begin in range(0, len(data), chunk):
            yield data[begin : begin + chunk]

    return CsvSource(chunks=chunks, canonical=canonical, size=len(data))


def canonical_bytes(
    rows: Sequence[Row], schema: RowSchema = _SCHEMA, *, ordered: bool = True
) -> bytes:
    """Rows as canonical bytes, by default in the order of the key."""
    key = schema.key_index
    in_order = sorted(rows, key=lambda row: row[key].encode()) if ordered else rows
    return b"".join(schema.encode(in_order))


def dialects(rows: Sequence[Row], schema: RowSchema = _SCHEMA) -> dict[str, bytes]:
    """The same rows in the forms in which people have them, in no order."""

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


def oracle(
    previous: Sequence[Row],
    current: Sequence[Row],
    existing: ExistingMeaning,
    schema: RowSchema = _SCHEMA,
) -> tuple[bytes, bytes, bytes, str]:
    """What an engine must write, in a few lines, and the digest of the members now."""
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
    """Rows with text of all sorts and no key twice."""
    cells = [_TEXT] * 4
    cells[key] = _KEY
    return st.lists(st.tuples(*cells), max_size=30, unique_by=lambda row: row[key])


class DiffEngineContract:
    """Every promise of :class:`~amplitude_cohort_s3.DiffEngine`, as a test each.

    The subclass gives the fixture ``engine``.
    """

    @pytest.fixture
    def engine(self) -> DiffEngine:
        """The engine to be proven."""
        raise NotImplementedError("override the fixture `engine` in your subclass")

    @pytest.fixture
    def run(self, engine: DiffEngine) -> Iterator["Run"]:
        """Runs the engine in a folder of its own."""
        with Run(engine) as run:
            yield run

    # --- The three files ---

    @pytest.mark.parametrize("existing", MEANINGS)
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(previous=unique_rows(), current=unique_rows(), canonical=st.booleans(), data=st.data())
    def test_gives_the_bytes_of_the_oracle(
        self,
        run: "Run",
        existing: ExistingMeaning,
        previous: list[Row],
        current: list[Row],
        canonical: bool,  # noqa: FBT001 -- hypothesis passes by name
        data: st.DataObject,
    ) -> None:
        # Otherwise hardly any member would stay as it is.
        current = [
            row for row in current if row[0] not in {p[0] for p in previous[::2]}
        ] + previous[::2]
        given_previous = canonical_bytes(previous, ordered=canonical)
        name = data.draw(st.sampled_from(sorted(dialects(current))))
        result = run(
            csv_source(given_previous, canonical=canonical),
            csv_source(dialects(current)[name], chunk=data.draw(st.integers(1, 99))),
            existing=existing,
        )
        assert result == oracle(previous, current, existing)

    @pytest.mark.parametrize("key", ["user_id", "city"])
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(data=st.data(), canonical=st.booleans())
    def test_matches_by_another_column(
        self,
        run: "Run",
        key: str,
        data: st.DataObject,
        canonical: bool,  # noqa: FBT001 -- hypothesis passes by name
    ) -> None:
        schema = evolve(_SCHEMA, key=key)
        rows = unique_rows(schema.key_index)
        previous, current = data.draw(rows), data.draw(rows)
        result = run(
            csv_source(canonical_bytes(previous, schema, ordered=canonical), canonical=canonical),
            csv_source(canonical_bytes(current, schema, ordered=False)),
            schema=schema,
        )
        assert result == oracle(previous, current, ExistingMeaning.MEMBERS, schema)

    def test_all_dialects_on_both_sides_give_equal_bytes(self, run: "Run") -> None:
        previous = sample_rows(300)
        current = [*sample_rows(330)[30:], ("9", "x,y", 'a "b"', "c\r\nd"), ("8", "\r", "", "é")]
        expected = oracle(previous, current, ExistingMeaning.MEMBERS)
        for before in dialects(previous).values():
            for now in dialects(current).values():
                assert run(csv_source(before), csv_source(now)) == expected

    @pytest.mark.parametrize("existing", MEANINGS)
    @pytest.mark.parametrize(
        ("before", "now"),
        [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2000), (2000, 0), (2000, 2000), (1, 2000), (2000, 1)],
    )
    def test_sizes(self, run: "Run", existing: ExistingMeaning, before: int, now: int) -> None:
        previous, current = sample_rows(before), sample_rows(now)
        result = run(
            csv_source(canonical_bytes(previous), canonical=True),
            csv_source(canonical_bytes(current, ordered=False)),
            existing=existing,
        )
        assert result == oracle(previous, current, existing)

    @pytest.mark.parametrize("existing", MEANINGS)
    @pytest.mark.parametrize("canonical", [True, False])
    def test_a_changed_property_is_neither_entering_nor_exiting(
        self,
        run: "Run",
        existing: ExistingMeaning,
        canonical: bool,  # noqa: FBT001 -- pytest passes by name
    ) -> None:
        previous = sample_rows(3000)
        current = [(*row[:3], "moved") if i % 3 else row for i, row in enumerate(previous)]
        current = [*current[100:], *((f"new{i}", "", "", "") for i in range(100))]
        result = run(
            csv_source(canonical_bytes(previous), canonical=canonical),
            csv_source(canonical_bytes(current, ordered=False)),
            existing=existing,
        )
        assert result == oracle(previous, current, existing)

    # --- Input that is not evenly spread ---

    @pytest.mark.parametrize("canonical", [True, False])
    def test_current_rows_in_order(
        self,
        run: "Run",
        canonical: bool,  # noqa: FBT001 -- pytest passes by name
    ) -> None:
        previous, current = sample_rows(4000), sample_rows(4400)[400:]
        result = run(
            csv_source(canonical_bytes(previous), canonical=canonical),
            csv_source(canonical_bytes(current)),
        )
        assert result == oracle(previous, current, ExistingMeaning.MEMBERS)

    def test_keys_that_begin_alike(self, run: "Run") -> None:
        previous = [("x" * 300 + row[0], *row[1:]) for row in sample_rows(2000)]
        current = [*previous[100:], *sample_rows(50)]
        result = run(
            csv_source(canonical_bytes(previous), canonical=True),
            csv_source(canonical_bytes(current, ordered=False)),
        )
        assert result == oracle(previous, current, ExistingMeaning.MEMBERS)

    def test_large_and_many_cells(self, run: "Run") -> None:
        schema = RowSchema(properties=tuple(f"p{i}" for i in range(60)))
        rows = [
            (str(i), "", *("x,y" if i % 7 == j % 7 else "z" for j in range(60))) for i in range(50)
        ]
        rows.append(("big", "é" * (1 << 19), *[""] * 60))
        result = run(
            csv_source(canonical_bytes(rows[:-1], schema), canonical=True),
            csv_source(canonical_bytes(rows[5:], schema, ordered=False)),
            schema=schema,
        )
        assert result == oracle(rows[:-1], rows[5:], ExistingMeaning.MEMBERS, schema)

    # --- Other columns before ---

    @pytest.mark.parametrize("canonical", [True, False])
    def test_exiting_rows_take_the_columns_of_today(
        self,
        run: "Run",
        canonical: bool,  # noqa: FBT001 -- pytest passes by name
    ) -> None:
        old = RowSchema(properties=("gone", "plan"), header_style="api")
        previous = [("1", "a", "x", "pro"), ("2", "b", "y", "free")]
        result = run(
            csv_source(canonical_bytes(previous, old), canonical=canonical),
            csv_source(canonical_bytes([("2", "b", "free", "Rome")])),
        )
        assert result[1] == canonical_bytes([("1", "a", "pro", "")])
        assert result[0] == canonical_bytes([])

    # --- The rules for keys ---

    def test_equal_rows_collapse_and_are_counted(self, run: "Run") -> None:
        rows = sample_rows(500)
        result = run(
            csv_source(canonical_bytes([])),
            csv_source(canonical_bytes([*rows, *rows[::2], *rows[::4]])),
        )
        assert result == oracle([], rows, ExistingMeaning.MEMBERS)
        assert run.report.collapsed == 250 + 125
        assert run.report.members_now == 500

    @pytest.mark.parametrize("before", [0, 1, 2, 500])
    def test_different_rows_of_one_key_are_refused(self, run: "Run", before: int) -> None:
        rows = sample_rows(500)
        with pytest.raises(DuplicateKeyError) as caught:
            run(
                csv_source(canonical_bytes(rows[:before]), canonical=True),
                csv_source(
                    canonical_bytes(
                        [
                            *rows,
                            ("1", "other", "", ""),
                            rows[1],
                            ("3", "line\nend", "", ""),
                            ("3", "", "", ""),
                        ],
                        ordered=False,
                    )
                ),
            )
        error = caught.value
        line = canonical_bytes(rows, ordered=False).count(b"\n") + 1
        assert (error.column, error.count, error.lines) == ("amplitude_id", 2, (line, line + 2))

    @pytest.mark.parametrize("before", [0, 1, 500])
    def test_by_choice_the_smaller_row_is_kept(self, run: "Run", before: int) -> None:
        rows = sample_rows(500)
        extra = [("1", "", "", ""), ("1", "zz", "", ""), ("2", "zz", "", "")]
        expected = [("1", "", "", ""), *(row for row in rows if row[0] != "1")]
        result = run(
            csv_source(canonical_bytes(rows[:before]), canonical=True),
            csv_source(canonical_bytes([*rows, *extra], ordered=False)),
            duplicates="keep_smallest",
        )
        assert result == oracle(rows[:before], expected, ExistingMeaning.MEMBERS)
        assert run.report.collapsed == 3

    def test_an_empty_amplitude_id_is_an_error(self, run: "Run") -> None:
        rows = [("1", "a", "", ""), ("", "b", "x\ny", ""), ("", "c", "", ""), ("2", "", "", "")]
        with pytest.raises(EmptyKeyError) as caught:
            run(csv_source(canonical_bytes([])), csv_source(canonical_bytes(rows, ordered=False)))
        assert (caught.value.count, caught.value.lines) == (2, (3, 5))

    def test_rows_without_another_key_are_skipped_and_counted(self, run: "Run") -> None:
        schema = evolve(_SCHEMA, key="user_id")
        rows = [("1", "a", "", ""), ("2", "", "", ""), ("3", "", "", ""), ("4", "", "", "")]
        result = run(
            csv_source(canonical_bytes([], schema)),
            csv_source(canonical_bytes(rows, schema)),
            schema=schema,
        )
        assert result == oracle([], rows[:1], ExistingMeaning.MEMBERS, schema)
        assert (run.report.skipped, run.report.collapsed) == (3, 0)

    # --- What is refused ---

    def test_says_at_which_line_a_file_is_malformed(self, run: "Run") -> None:
        good = canonical_bytes(sample_rows(2000), ordered=False)
        with pytest.raises(MalformedCsvError) as caught:
            run(csv_source(canonical_bytes([])), csv_source(good + b"1,2\n3,4,5,6,7,8\n"))
        assert caught.value.line == good.count(b"\n") + 1

    def test_a_canonical_file_out_of_order_is_malformed(self, run: "Run") -> None:
        rows = [(*row[:2], "", "") for row in sorted(sample_rows(2000))]
        rows[1500], rows[1501] = rows[1501], rows[1500]
        with pytest.raises(MalformedCsvError) as caught:
            run(
                csv_source(canonical_bytes(rows, ordered=False), canonical=True),
                csv_source(canonical_bytes(rows[:100])),
            )
        assert caught.value.line == 1503

    def test_current_columns_must_be_there_and_others_are_named(self, run: "Run") -> None:
        with pytest.raises(MissingColumnsError):
            run(csv_source(canonical_bytes([])), csv_source(b"amplitudeID,plan\n1,x\n"))
        run(csv_source(canonical_bytes([])), csv_source(b"amplitudeID,city,age,plan\n1,x,4,y\n"))
        assert run.report.ignored_columns == ("age",)

    def test_reports_progress(self, run: "Run") -> None:
        told = list[tuple[int, int | None]]()
        rows = sample_rows(1000)
        source = evolve(csv_source(canonical_bytes(rows)), rows=len(rows))
        run.engine.diff(
            csv_source(canonical_bytes([])),
            source,
            schema=_SCHEMA,
            existing=ExistingMeaning.MEMBERS,
            duplicates="refuse",
            folder=run.folder,
            progress=lambda done, expected: told.append((done, expected)),
        )
        assert told[-1] == (1000, 1000)
        assert told == sorted(told)


def sample_rows(count: int) -> list[Row]:
    """Distinct rows in no order; some with cells that need quotes."""
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
    """Runs an engine; the last report is kept."""

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
        schema: RowSchema = _SCHEMA,
        existing: ExistingMeaning = ExistingMeaning.MEMBERS,
        duplicates: Duplicates = "refuse",
    ) -> tuple[bytes, bytes, bytes, str]:
        """The bytes of the three files, and the digest of the members now."""
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
        files = self.report.files
        contents = {t: file.path.read_bytes() for t, file in files.items()}
        for diff_type, file in files.items():
            data = contents[diff_type]
            rows = list(schema.decode([data]))
            assert (file.rows, file.size) == (len(rows), len(data))
            assert file.sha256 == hashlib.sha256(data).hexdigest()
        shutil.rmtree(folder)
        return (
            contents[DiffType.ENTERING],
            contents[DiffType.EXITING],
            contents[DiffType.EXISTING],
            self.report.members_sha256,
        )
