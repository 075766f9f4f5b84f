"""Members as Arrow and back, against the real pyarrow, pandas, Polars and DuckDB."""

import datetime as dt
import decimal
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_history import TIMES, build, random_cohorts

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    Members,
    MemoryStorage,
    RowSchema,
    UserProperty,
    diff_members,
    errors,
    read_head,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.history import tables
from amplitude_cohort_s3.history.tables import BATCH_BYTES, RowTable
from amplitude_cohort_s3.sources.arrow import arrow_csv
from amplitude_cohort_s3.sources.protocol import CsvSource

pa = pytest.importorskip("pyarrow")
dataset = pytest.importorskip("pyarrow.dataset")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
duckdb = pytest.importorskip("duckdb")

SCHEMA = RowSchema(properties=("plan", "note"))
NASTY = [
    ("18446744073709551617", "007", "1e5", "NA"),
    ("2", "", "null", "NaN"),
    ("3", "nan", "None", "true"),
    ("4", "2026-11-23", "1.0", " x "),
    ("5", 'a "b", c', "line\nend", "cr\rlf\r\n"),
    ("6", "é 😀 \u2028", "=1+1", "\t'"),
    ("7", "", "", ""),
]


def members_of(rows: list[tuple[str, ...]], schema: RowSchema = SCHEMA) -> Members:
    data = b"".join(schema.encode(rows))
    parts = [data[i : i + BATCH_BYTES] for i in range(0, len(data), BATCH_BYTES)]
    source = CsvSource(chunks=lambda: iter(parts), canonical=True)
    return Members(schema=schema, rows=len(rows), sources={DiffType.EXISTING: source})


def from_duckdb(relation: Any) -> list[tuple[Any, ...]]:
    return relation.fetchall()


def by_sql(members: Members) -> list[tuple[Any, ...]]:
    assert members is not None  # DuckDB finds the variable by its name.
    return duckdb.sql("select * from members").fetchall()


READERS: dict[str, Callable[[Members], list[tuple[Any, ...]]]] = {
    "iteration": list,
    "to_list": lambda m: m.to_list(),
    "pyarrow.table": lambda m: rows_of(pa.table(m)),
    "from_stream": lambda m: rows_of(pa.RecordBatchReader.from_stream(m).read_all()),
    "to_arrow": lambda m: rows_of(m.to_arrow()),
    "polars.DataFrame": lambda m: pl.DataFrame(m).rows(),
    "to_polars": lambda m: m.to_polars().rows(),
    "pandas from_arrow": lambda m: rows_of_pandas(pd.DataFrame.from_arrow(m)),
    "to_pandas": lambda m: rows_of_pandas(m.to_pandas()),
    "duckdb.from_arrow": lambda m: duckdb.from_arrow(m).fetchall(),
    "to_duckdb": lambda m: m.to_duckdb().fetchall(),
    "to_duckdb elsewhere": lambda m: m.to_duckdb(duckdb.connect()).fetchall(),
    "SQL": by_sql,
}


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table.to_pylist()]


def rows_of_pandas(frame: Any) -> list[tuple[Any, ...]]:
    return list(frame.itertuples(index=False, name=None))


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_text_comes_back_as_it_was_in_every_frame_and_twice(
    read: Callable[[Members], list[tuple[Any, ...]]],
):
    members = members_of(NASTY)
    assert read(members) == NASTY
    assert read(members) == NASTY
    assert read(members_of([])) == []


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.tuples(CELL, CELL, CELL, CELL)))
def test_any_text_comes_back(rows: list[tuple[str, ...]]):
    members = members_of(rows)
    assert rows_of(members.to_arrow()) == rows == list(members)


def test_every_column_is_text_and_nothing_is_null():
    table = pa.table(members_of(NASTY))
    assert table.schema == pa.schema([(c, pa.string()) for c in SCHEMA.columns])
    assert pa.schema(members_of([])) == table.schema
    assert all(column.null_count == 0 for column in table.columns)
    assert members_of(NASTY).to_pandas().isna().sum().sum() == 0
    assert members_of(NASTY).to_polars().null_count().sum_horizontal().item() == 0
    assert duckdb.from_arrow(members_of(NASTY)).types == ["VARCHAR"] * 4


def test_a_requested_schema_is_obeyed():
    wanted = pa.schema([(c, pa.large_string()) for c in SCHEMA.columns])
    assert pa.RecordBatchReader.from_stream(members_of(NASTY), schema=wanted).schema == wanted


def test_streams_are_independent():
    members = members_of(NASTY)
    first = pa.RecordBatchReader.from_stream(members)
    second = pa.RecordBatchReader.from_stream(members)
    assert first.read_next_batch().num_rows == second.read_next_batch().num_rows == len(NASTY)


def test_asking_for_a_stream_reads_nothing_yet():
    opened = list[int]()

    def chunks() -> Iterator[bytes]:
        opened.append(1)
        yield b"".join(SCHEMA.encode(NASTY))

    source = CsvSource(chunks=chunks, canonical=True)
    members = Members(schema=SCHEMA, sources={DiffType.EXISTING: source})
    members.__arrow_c_stream__()
    members.__arrow_c_schema__()
    assert not opened
    assert pa.table(members).num_rows == len(NASTY)
    assert opened == [1]


def test_a_byte_order_mark_that_begins_a_batch_is_a_part_of_its_cell():
    wide = "x" * (BATCH_BYTES // 2)
    rows = [(f"\ufeff{i}", wide, wide, "") for i in range(3)]
    table = members_of(rows).to_arrow()
    assert table.column(0).num_chunks > 1
    assert rows_of(table) == rows


def test_a_long_cell_fits():
    rows = [("1", "x" * (3 * BATCH_BYTES), 'y"' * BATCH_BYTES, "z")]
    assert rows_of(members_of(rows).to_arrow()) == rows


def test_quotes_line_ends_and_long_cells_take_the_fast_way(monkeypatch: pytest.MonkeyPatch):
    def slow(*_: object) -> None:
        pytest.fail("a canonical file was read cell by cell")

    monkeypatch.setattr(tables, "_checked", slow)
    rows = [*NASTY, ("1", "x" * (3 * BATCH_BYTES), 'y"\n' * 1000, "z")]
    assert rows_of(members_of(rows).to_arrow()) == rows


def test_batches_are_of_bounded_size_and_memory():
    count, line = 400_000, b"300000000000,user@example.com,pro,\n"

    def chunks() -> Iterator[bytes]:
        yield b"amplitudeID,userID,plan,note\n"
        for _ in range(count // 1000):
            yield line * 1000

    source = CsvSource(chunks=chunks, canonical=True)
    members = Members(schema=SCHEMA, sources={DiffType.EXISTING: source})
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    rows = most = 0
    for batch in pa.RecordBatchReader.from_stream(members):
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
        assert batch.nbytes < 3 * BATCH_BYTES
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == count
    assert most < 16 << 20
    assert peak < 16 << 20


def test_a_damaged_file_is_our_error_with_its_line():
    good = b"amplitudeID,userID,plan,note\n1,a,b,c\n"
    for bad in (b"2,x\n", b'2,"x\ny",z\n', b"2,\xff,y,z\n", b'2,"x,y,z\n'):
        source = CsvSource(chunks=lambda bad=bad: iter([good + bad]), canonical=True)
        members = Members(schema=SCHEMA, sources={DiffType.EXISTING: source})
        with pytest.raises(errors.MalformedCsvError) as caught:
            members.to_arrow()
        assert caught.value.line == 3
        with pytest.raises(pa.ArrowException, match="line 3"):
            pa.table(members)


def test_the_members_of_a_bucket_are_a_table():
    storage = MemoryStorage()
    sync = CohortSync(
        destination=Destination(name="d"),
        project_id=1,
        cohort_id="a",
        user_properties=(UserProperty("plan"),),
    )
    day = datetime(2026, 11, 1, tzinfo=UTC)
    frame = pl.DataFrame({"amplitudeID": [1, 2], "userID": ["ann", None], "plan": ["pro", ""]})
    sync_cohort(sync, frame, storage, synced_at=day)
    result = sync_cohort(sync, frame[:1], storage, synced_at=day + timedelta(1))
    assert result.record.source == {"table": "polars.DataFrame"}
    history = read_history(storage, sync.stream)
    assert pl.DataFrame(history.members_at(day)).rows() == [("1", "ann", "pro"), ("2", "", "")]
    head = read_head(storage, sync.stream)
    assert head is not None
    assert head.members().to_pandas()["amplitude_id"].tolist() == ["1"]
    # What was read is what a sync takes.
    assert sync_cohort(sync, head.members(), storage, synced_at=day + timedelta(2))


# --- Rows that are no CSV ------------------------------------------------------------


def test_rows_with_times_are_a_table_too():
    start = datetime(2026, 11, 23, 14, 5, 6, 789, tzinfo=UTC)
    rows = [("ann", start, None), ("", start, start + timedelta(days=1))] * 20_000
    table = RowTable(
        columns={"user_id": "text", "entered": "timestamp", "exited": "timestamp"},
        rows=lambda: iter(rows),
    )
    assert table.to_list() == rows
    arrow = pa.table(table)
    assert arrow.schema.types == [pa.string(), *[pa.timestamp("us", tz="UTC")] * 2]
    assert rows_of(arrow.slice(0, 2)) == rows[:2]
    assert arrow.column(0).num_chunks > 1
    assert table.to_polars().rows() == rows
    assert str(table.to_pandas()["entered"].dtype) == "datetime64[us, UTC]"
    found = table.to_duckdb().aggregate("count(*), count(exited)").fetchall()
    assert found == [(40_000, 20_000)]
    assert "ann" not in repr(table)


# --- Data frames as members ----------------------------------------------------------


def read_back(table: Any, schema: RowSchema = SCHEMA, **kwargs: Any) -> list[tuple[str, ...]]:
    return list(schema.decode(arrow_csv(table, schema, **kwargs).chunks(), **kwargs))


COLUMNS = dict(zip(SCHEMA.columns, map(list, zip(*NASTY, strict=True)), strict=True))
FRAMES: dict[str, Callable[[], Any]] = {
    "pyarrow": lambda: pa.table(COLUMNS),
    "pyarrow batches": lambda: pa.table(COLUMNS).to_reader(2),
    "pyarrow batch": lambda: pa.table(COLUMNS).to_batches()[0],
    "pyarrow dataset": lambda: dataset.dataset(pa.table(COLUMNS)).scanner().to_reader(),
    "pyarrow large_string": lambda: pa.table(COLUMNS).cast(
        pa.schema([(name, pa.large_string()) for name in COLUMNS])
    ),
    "pyarrow string_view": lambda: pa.table(
        {name: pa.array(cells, pa.string_view()) for name, cells in COLUMNS.items()}
    ),
    "pyarrow dictionary": lambda: pa.table(
        {name: pa.array(cells).dictionary_encode() for name, cells in COLUMNS.items()}
    ),
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas object": lambda: pd.DataFrame(COLUMNS, dtype=object),
    "pandas categories": lambda: pd.DataFrame(COLUMNS).astype("category"),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars lazy": lambda: pl.LazyFrame(COLUMNS).collect(),
    "polars categories": lambda: pl.DataFrame(
        COLUMNS, schema=dict.fromkeys(COLUMNS, pl.Categorical)
    ),
    "duckdb": lambda: duckdb.from_arrow(pa.table(COLUMNS)),
    "duckdb reader": lambda: duckdb.from_arrow(pa.table(COLUMNS)).to_arrow_reader(),
    "members": lambda: members_of(NASTY),
}


@pytest.mark.parametrize("name", FRAMES)
def test_text_goes_in_as_it_is(name: str):
    assert read_back(FRAMES[name]()) == NASTY


@given(st.lists(st.tuples(CELL, CELL, CELL, CELL)), st.integers(1, 5))
def test_any_text_goes_in(rows: list[tuple[str, ...]], size: int):
    table = pa.table(
        dict(zip(SCHEMA.columns, map(list, zip(*rows, strict=True)), strict=True))
        if rows
        else {c: pa.array([], pa.string()) for c in SCHEMA.columns}
    )
    assert read_back(table.to_reader(size)) == rows


@pytest.mark.parametrize(
    "kind",
    ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"],
)
def test_integers_become_decimal_text(kind: str):
    most = 2 ** (int(kind.lstrip("uint")) - kind.startswith("int")) - 1
    table = pa.table({"user_id": pa.array([most, None, 0], kind), "amplitude_id": [1, 2, 3]})
    assert read_back(table, RowSchema()) == [("1", str(most)), ("2", ""), ("3", "0")]


def test_whole_decimals_of_warehouses_become_text():
    table = pa.table(
        {"amplitude_id": pa.array([decimal.Decimal(12345678901234567890)], pa.decimal128(38, 0))}
    )
    assert read_back(table, RowSchema()) == [("12345678901234567890", "")]


@pytest.mark.parametrize(
    ("values", "type_name"),
    [
        ([1.0, None], "float"),
        ([True, None], "bool"),
        ([dt.date(2026, 1, 1)], "date"),
        ([datetime(2026, 1, 1, tzinfo=UTC)], "datetime"),
        ([dt.time(1)], "time"),
        ([timedelta(1)], "timedelta"),
        ([b"x"], "bytes"),
        ([["x"]], "list"),
        ([{"x": 1}], "dict"),
        ([decimal.Decimal("1.5")], "Decimal"),
        (pa.array([2**62], pa.timestamp("s")), "timestamp[s]"),
    ],
)
def test_what_has_no_one_text_is_refused_with_a_cure(values: Any, type_name: str):
    table = pa.table({"amplitude_id": ["1"] * len(values), "user_id": values})
    with pytest.raises(errors.UnsupportedValueError) as caught:
        read_back(table, RowSchema())
    assert (caught.value.column, caught.value.type_name) == ("user_id", type_name)
    assert caught.value.hint


@pytest.mark.parametrize(
    "values",
    [
        pa.array([None, float("nan")], pa.float64()),
        pa.array([None, None], pa.bool_()),
        pa.array([None, None], pa.date32()),
        pa.nulls(2),
        pa.array([None, None], pa.binary()),
        pa.array([None, None]).dictionary_encode(),
    ],
    ids=lambda values: str(values.type),
)
def test_a_column_without_values_is_empty_whatever_its_type(values: Any):
    table = pa.table({"amplitude_id": ["1", "2"], "user_id": values})
    assert read_back(table, RowSchema()) == [("1", ""), ("2", "")]


def test_columns_are_found_by_name_and_the_rest_is_not_looked_at():
    table = pa.table({"score": [1.5], "userID": ["ann"], "AmplitudeID": [7], "plan": ["pro"]})
    schema = RowSchema(properties=("plan",))
    source = arrow_csv(table, schema)
    assert list(schema.decode(source.chunks())) == [("7", "ann", "pro")]
    assert source.ignored == {"score"}


def test_a_repeated_id_column_counts_once_and_must_agree():
    table = pa.table({"amplitude_id": ["1"], "amplitudeID": ["1"]})
    assert read_back(table, RowSchema()) == [("1", "")]
    with pytest.raises(errors.MalformedCsvError, match="differs"):
        read_back(pa.table({"amplitude_id": ["1"], "amplitudeID": ["2"]}), RowSchema())


def test_missing_columns_are_named():
    table = pa.table({"email": ["x"]})
    with pytest.raises(errors.MissingColumnsError) as caught:
        read_back(table)
    assert caught.value.columns == ("amplitude_id", "plan", "note")
    assert read_back(table, RowSchema(properties=("email",), key="email")) == [("", "", "x")]
    table = pa.table({"amplitude_id": ["1"]})
    assert read_back(table, fill=True) == [("1", "", "", "")]


def test_an_index_of_pandas_is_ignored():
    frame = pd.DataFrame({"amplitude_id": ["1"]}, index=["row"])
    assert read_back(frame, RowSchema()) == [("1", "")]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"amplitude_id": ["secret", 1]}, dtype=object),
        pd.DataFrame({"amplitude_id": [2**70]}),
        pl.Series(["secret"]),
        pa.chunked_array([["secret"]]),
    ],
)
def test_what_is_no_table_is_our_error_and_names_nobody(frame: Any):
    with pytest.raises(errors.UnsupportedValueError) as caught:
        read_back(frame)
    assert caught.value.__suppress_context__
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "query", [pl.LazyFrame({"amplitude_id": ["secret"]}), dataset.dataset(pa.table(COLUMNS)), 7]
)
def test_what_is_no_rows_yet_is_refused_with_a_cure(query: Any):
    with pytest.raises(errors.WrongArgumentError, match=r"run it first, as with \.collect\(\)"):
        diff_members((), query, schema=SCHEMA)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"amplitude_id": [1, 2], "user_id": ["ann", None]}),
        pd.DataFrame({"amplitude_id": ["1", "2"], "user_id": ["ann", float("nan")]}, dtype=object),
        pd.DataFrame({"amplitude_id": [1, 2], "user_id": ["ann", pd.NA]}).convert_dtypes(),
        pd.DataFrame({"amplitude_id": ["1", "2"], "user_id": ["ann", None]}, dtype="string"),
        pl.DataFrame({"amplitude_id": [1, 2], "user_id": ["ann", None]}),
        duckdb.sql("select * from (values (1, 'ann'), (2, null)) as t(amplitude_id, user_id)"),
        duckdb.sql(
            "select * from (values (1::hugeint, 'ann'), (2, null)) as t(amplitude_id, user_id)"
        ),
    ],
)
def test_frames_as_people_have_them_lose_nothing(frame: Any):
    assert read_back(frame, RowSchema()) == [("1", "ann"), ("2", "")]


def test_an_id_that_became_a_float_for_the_sake_of_a_missing_one_is_refused():
    # As pandas reads a column of integers with a gap.
    frame = pd.DataFrame({"amplitude_id": ["1", "2"], "user_id": [300000000001, None]})
    with pytest.raises(errors.UnsupportedValueError, match="lost digits"):
        read_back(frame, RowSchema())


def test_a_data_frame_is_a_side_of_a_diff_and_writes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    before = pd.DataFrame({"amplitude_id": [1, 2], "user_id": ["ann", None]})
    now = duckdb.sql(
        "select 2 as amplitude_id, '' as user_id, 1.5 as score union all select 3, 'x,y', 2.5"
    )
    with diff_members(before, now, schema=RowSchema()) as diff:
        assert list(diff.rows(DiffType.ENTERING)) == [("3", "x,y")]
        assert list(diff.rows(DiffType.EXITING)) == [("1", "ann")]
        assert diff.report.ignored_columns == ("score",)
        assert diff.origin["table"].endswith(".DuckDBPyRelation")
    assert not list(tmp_path.iterdir())


def test_a_table_that_can_be_read_once_is_enough():
    reader = pa.table({"amplitude_id": ["1"]}).to_reader()
    with diff_members([], reader, schema=RowSchema()) as diff:
        assert diff.entering.rows == 1


# --- What a history answers -----------------------------------------------------------


def test_events_stays_and_churn_can_be_iterated_again_and_are_data_frames_too():
    storage, sync = build(random_cohorts(0), ExistingMeaning.STAYED, keep_log=True)
    history = read_history(storage, sync.stream)
    events, stays, churn = history.events(), history.intervals(), history.churn()
    assert list(events) == list(events) == events.to_list()
    assert list(stays) == list(stays) == stays.to_list()
    cells = ["amplitude_id", "user_id", "plan"]
    table = pa.table(events)
    assert table.column_names == ["synced_at", "diff_type", *cells]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (e.synced_at, e.diff_type.value, *e.row) for e in events
    ]
    table = stays.to_arrow()
    assert table.column_names == ["entered", "exited", *cells]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (s.entered, s.exited, *s.row) for s in stays
    ]
    assert [tuple(row.values()) for row in churn.to_arrow().to_pylist()] == [
        (c.synced_at, c.members, c.entered, c.exited, c.returned) for c in churn
    ]
    assert (len(churn), churn.to_list()[-1]) == (len(TIMES), churn[-1])
    for text in (repr(events), repr(stays), repr(history)):
        assert "u1" not in text


# --- Without the extra ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "call", "extra"),
    [
        ("pyarrow", lambda m: m.to_arrow(), "amplitude_cohort_s3[arrow]"),
        ("pyarrow", lambda m: m.__arrow_c_stream__(), "amplitude_cohort_s3[arrow]"),
        ("pyarrow", lambda m: m.__arrow_c_schema__(), "amplitude_cohort_s3[arrow]"),
        ("pyarrow", lambda m: diff_members([], m.to_polars(), schema=SCHEMA), "[arrow]"),
        ("pandas", lambda m: m.to_pandas(), '"pandas"'),
        ("polars", lambda m: m.to_polars(), '"polars"'),
        ("duckdb", lambda m: m.to_duckdb(), '"duckdb"'),
    ],
)
def test_a_missing_package_is_named_with_what_brings_it(
    package: str,
    call: Callable[[Members], object],
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
):
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(errors.MissingExtraError) as caught:
        call(members_of(NASTY))
    assert caught.value.package == package
    assert extra in str(caught.value)
    assert isinstance(caught.value, ImportError)
