"""Answers as data frames, against the real pyarrow, pandas, Polars and DuckDB."""

import pickle
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from implementations import use_kernel
from odd_texts import CELL, ODD_ROWS, SCHEMA, members_of, rows_of
from random_history import TIMES, build, random_cohorts

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    Members,
    MemoryStorage,
    UserProperty,
    diff_members,
    errors,
    read_head,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.format.csv_blocks import BLOCK_BYTES
from amplitude_cohort_s3.format.reader import RowReader
from amplitude_cohort_s3.history import members as members_module
from amplitude_cohort_s3.history.line_batches import BATCH_BYTES
from amplitude_cohort_s3.history.tables import ValueTable, row_batches
from amplitude_cohort_s3.sources.protocol import CsvSource

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
duckdb = pytest.importorskip("duckdb")


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
    "pandas.DataFrame": lambda m: rows_of_pandas(pd.DataFrame(m)),
    "to_pandas": lambda m: rows_of_pandas(m.to_pandas()),
    "duckdb.from_arrow": lambda m: duckdb.from_arrow(m).fetchall(),
    "to_duckdb": lambda m: m.to_duckdb().fetchall(),
    "to_duckdb elsewhere": lambda m: m.to_duckdb(duckdb.connect()).fetchall(),
    "SQL": by_sql,
}
if hasattr(pd.DataFrame, "from_arrow"):  # since pandas 3
    READERS["pandas from_arrow"] = lambda m: rows_of_pandas(pd.DataFrame.from_arrow(m))


def rows_of_pandas(frame: Any) -> list[tuple[Any, ...]]:
    return list(frame.itertuples(index=False, name=None))


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_every_library_reads_text_unchanged_again_and_again(
    read: Callable[[Members], list[tuple[Any, ...]]],
):
    members = members_of(ODD_ROWS)
    assert read(members) == ODD_ROWS
    assert read(members) == ODD_ROWS
    assert read(members_of([])) == []


@given(st.lists(st.tuples(CELL, CELL, CELL, CELL)))
def test_any_text_is_read_unchanged(rows: list[tuple[str, ...]]):
    members = members_of(rows)
    assert rows_of(members.to_arrow()) == rows == list(members)


@given(st.lists(st.tuples(CELL, CELL, CELL, CELL)))
def test_polars_reads_any_text_unchanged_too(rows: list[tuple[str, ...]]):
    assert members_of(rows).to_polars().rows() == rows


def test_a_block_that_is_not_canonical_is_read_among_others():
    """Another writer may have quoted cells, here in the middle of the file."""
    wide = "x" * (BATCH_BYTES // 2)
    rows = [(str(n), wide, "short", "") for n in range(9)]
    data = b"".join(SCHEMA.encode(rows)).replace(b"short", b'"short"', 5)
    source = CsvSource(chunks=lambda: iter([data]), canonical=True)
    members = Members(schema=SCHEMA, sources={DiffType.EXISTING: source})
    assert members.to_polars().rows() == rows_of(members.to_arrow()) == rows


def test_a_column_that_is_kept_does_not_keep_the_others():
    rows = [(str(n), "x" * 1000, "", "") for n in range(5000)]
    before = pa.total_allocated_bytes()
    column = members_of(rows).to_arrow().column("amplitude_id")
    assert column.nbytes <= pa.total_allocated_bytes() - before < 200_000


def test_a_table_is_made_without_pandas():
    code = """
import sys
from datetime import UTC, datetime
from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, read_history, sync_cohort
storage = MemoryStorage()
sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
sync_cohort(sync, [("1", "ann")], storage)
history = read_history(storage, sync.stream)
for table in (history.members_at(datetime.now(UTC)), history.events(), history.intervals()):
    assert len(table.to_arrow()) == len(table.to_polars()) == 1
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_column_is_text_and_nothing_is_null():
    table = pa.table(members_of(ODD_ROWS))
    assert table.schema == pa.schema([(c, pa.string()) for c in SCHEMA.columns])
    assert pa.schema(members_of([])) == table.schema
    assert all(column.null_count == 0 for column in table.columns)
    assert members_of(ODD_ROWS).to_pandas().isna().sum().sum() == 0
    assert members_of(ODD_ROWS).to_polars().null_count().sum_horizontal().item() == 0
    assert duckdb.from_arrow(members_of(ODD_ROWS)).types == ["VARCHAR"] * 4


def test_a_requested_arrow_schema_is_used():
    wanted = pa.schema([(c, pa.large_string()) for c in SCHEMA.columns])
    assert pa.RecordBatchReader.from_stream(members_of(ODD_ROWS), schema=wanted).schema == wanted


def test_two_streams_of_one_table_are_independent():
    members = members_of(ODD_ROWS)
    first = pa.RecordBatchReader.from_stream(members)
    second = pa.RecordBatchReader.from_stream(members)
    assert first.read_next_batch().num_rows == second.read_next_batch().num_rows == len(ODD_ROWS)


def test_creating_a_stream_reads_nothing():
    opened = list[int]()

    def chunks() -> Iterator[bytes]:
        opened.append(1)
        yield b"".join(SCHEMA.encode(ODD_ROWS))

    source = CsvSource(chunks=chunks, canonical=True)
    members = Members(schema=SCHEMA, sources={DiffType.EXISTING: source})
    members.__arrow_c_stream__()
    members.__arrow_c_schema__()
    assert not opened
    assert pa.table(members).num_rows == len(ODD_ROWS)
    assert opened == [1]


def test_a_byte_order_mark_at_the_start_of_a_batch_stays_in_its_cell():
    wide = "x" * (BATCH_BYTES // 2)
    rows = [(f"\ufeff{i}", wide, wide, "") for i in range(3)]
    table = members_of(rows).to_arrow()
    assert table.column(0).num_chunks > 1
    assert rows_of(table) == rows


def test_a_cell_may_be_longer_than_a_batch():
    rows = [("1", "x" * (3 * BATCH_BYTES), 'y"' * BATCH_BYTES, "z")]
    assert rows_of(members_of(rows).to_arrow()) == rows


def test_quotes_line_ends_and_long_cells_are_read_by_pyarrow(monkeypatch: pytest.MonkeyPatch):
    def slow(*_: object) -> None:
        pytest.fail("a canonical file was read cell by cell")

    monkeypatch.setattr(RowReader, "rows", slow)
    rows = [*ODD_ROWS, ("1", "x" * (3 * BATCH_BYTES), 'y"\n' * 1000, "z")]
    assert rows_of(members_of(rows).to_arrow()) == rows


def test_batches_have_a_bounded_size_and_need_bounded_memory():
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


def test_a_damaged_file_raises_our_error_with_its_line():
    good = b"amplitudeID,userID,plan,note\n1,a,b,c\n"
    for bad in (b"2,x\n", b'2,"x\ny",z\n', b"2,\xff,y,z\n", b'2,"x,y,z\n'):
        source = CsvSource(chunks=lambda bad=bad: iter([good + bad]), canonical=True)
        members = Members(schema=SCHEMA, sources={DiffType.EXISTING: source})
        with pytest.raises(errors.MalformedCsvError) as caught:
            members.to_arrow()
        assert caught.value.line == 3
        with pytest.raises(pa.ArrowException, match="line 3"):
            pa.table(members)


def test_members_read_from_a_bucket_are_a_data_frame_and_can_be_synced():
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
    # A sync accepts the data frame that was read.
    assert sync_cohort(sync, head.members(), storage, synced_at=day + timedelta(2))


# --- Values with times -----------------------------------------------------------------


def test_values_with_times_are_a_data_frame_too():
    start = datetime(2026, 11, 23, 14, 5, 6, 789, tzinfo=UTC)
    rows = [(start, None, "ann"), (start, start + timedelta(days=1), "")] * 20_000
    table = ValueTable(
        kind=tuple,
        values=lambda: iter(rows),
        value_columns={"entered": "timestamp", "exited": "timestamp"},
        row_columns=lambda: ["user_id"],
        length=lambda: None,
        batches=lambda schema: row_batches(rows, schema),
    )
    assert table.to_list() == rows
    arrow = pa.table(table)
    assert arrow.schema.types == [*[pa.timestamp("us", tz="UTC")] * 2, pa.string()]
    assert rows_of(arrow.slice(0, 2)) == rows[:2]
    assert arrow.column(0).num_chunks > 1
    assert table.to_polars().rows() == rows
    assert str(table.to_pandas()["entered"].dtype) == "datetime64[us, UTC]"
    found = table.to_duckdb().aggregate("count(*), count(exited)").fetchall()
    assert found == [(40_000, 20_000)]
    assert "ann" not in repr(table)


def test_a_property_keeps_its_name_beside_a_column_of_the_same_name():
    storage, day = MemoryStorage(), datetime(2026, 11, 1, tzinfo=UTC)
    sync = CohortSync(
        destination=Destination(name="d"),
        project_id=1,
        cohort_id="a",
        user_properties=["entered", "entered_", "diff_type"],
    )
    sync_cohort(sync, [("1", "ann", "yesterday", "never", "gp")], storage, synced_at=day)
    history = read_history(storage, sync)
    (stay,), (event,) = history.intervals(), history.events()
    assert history.intervals().to_arrow().column_names[:2] == ["entered__", "exited"]
    assert (stay["entered"], stay["entered_"], stay["entered__"]) == ("yesterday", "never", day)
    assert (event["diff_type"], event["diff_type_"]) == ("gp", "entering")


# --- Events, stays and churn -----------------------------------------------------------


def test_events_stays_and_churn_can_be_iterated_again_and_are_data_frames():
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
        (c.synced_at, c.members, c.entered, c.exited, c.returned, c.changed) for c in churn
    ]
    assert (len(churn), churn.to_list()[-1]) == (len(TIMES), churn[-1])
    for text in (repr(events), repr(stays), repr(history)):
        assert "u1" not in text


FRAMES: dict[str, Callable[[Any], list[tuple[Any, ...]]]] = {
    "pandas": lambda table: rows_of_pandas(pd.DataFrame(table).astype(object)),
    "polars": lambda table: pl.DataFrame(table).rows(),
}


@pytest.mark.parametrize("rows_of_frame", FRAMES.values(), ids=FRAMES)
def test_the_constructor_of_a_data_frame_takes_every_table(rows_of_frame, keep_log):
    storage, sync = build(random_cohorts(0), ExistingMeaning.STAYED, keep_log=keep_log)
    history = read_history(storage, sync.stream)
    tables = [history.members_at(), history.events(), history.intervals(), history.churn()]
    for table in [*tables, history.churn()[2:]]:
        expected = rows_of(table.to_arrow())
        assert expected
        assert [tuple(None if v is pd.NaT else v for v in row) for row in rows_of_frame(table)] == (
            expected
        )
        assert (
            tuple(pd.DataFrame(table).columns)
            == table.columns
            == tuple(pl.DataFrame(table).columns)
        )


def test_the_constructor_of_a_data_frame_takes_a_history_or_names_the_method(keep_log):
    storage, sync = build(random_cohorts(0), ExistingMeaning.STAYED, keep_log=keep_log)
    history = read_history(storage, sync)
    assert pl.DataFrame(history).equals(history.to_polars())
    assert history.to_polars().height == len(history)
    # For pandas, it is an iterable of objects.
    with pytest.raises(TypeError, match=r"call history\.to_pandas\(\)"):
        pd.DataFrame(history)


def test_a_history_is_iterated_forwards_and_backwards():
    storage, sync = build(random_cohorts(0), ExistingMeaning.STAYED, keep_log=True)
    history = read_history(storage, sync)
    assert [*history] == [history[number] for number in range(len(TIMES))] == [*history.syncs]
    assert [*reversed(history)] == [*history][::-1]
    assert history[3] in history
    assert history[3] not in history[4:]


def test_the_first_rows_of_a_table_are_read_by_themselves():
    storage, sync = build(random_cohorts(0), ExistingMeaning.STAYED, keep_log=True)
    history = read_history(storage, sync.stream)
    for table in (history.members_at(), history.events(), history.intervals(), history.churn()):
        assert table.head(2) == table.to_list()[:2]
        assert table.head() == table.to_list()[:5]
        assert table.head(0) == []


def test_a_table_has_a_length_if_the_records_state_it(keep_log, meaning):
    storage, sync = build(random_cohorts(0), meaning, keep_log=keep_log)
    history = read_history(storage, sync.stream)
    assert len(history.churn()) == len(history)
    for table in (history.members_at(), history.events(), history.intervals()):
        assert table
        if keep_log:
            assert len(table) == len(table.to_list())
        else:
            with pytest.raises(TypeError, match=r"count them with sum\(1 for _ in table\)"):
                len(table)
        assert list(table) == table.to_list()
    empty = read_history(MemoryStorage(), sync)
    assert [len(empty.events()), len(empty.intervals()), len(empty.churn())] == [0, 0, 0]
    assert not empty.events()


@pytest.mark.parametrize("seed", range(3))
def test_the_lengths_of_a_part_of_a_history_are_known_too(seed):
    storage, sync = build(random_cohorts(seed), ExistingMeaning.MEMBERS, keep_log=True)
    part = read_history(storage, sync, since=TIMES[3], until=TIMES[-2])
    assert len(part.events()) == len(part.events().to_list())
    assert len(part.intervals()) == len(part.intervals().to_list())
    storage.delete(part[2].files[DiffType.ENTERING].key)
    with pytest.raises(TypeError, match="not recorded"):
        len(read_history(storage, sync).events())


def test_iterating_a_table_into_a_list_reads_each_file_once():
    storage, sync = build(random_cohorts(0), ExistingMeaning.STAYED, keep_log=False)
    opened = list[str]()
    history = evolve(
        read_history(storage, sync), open=lambda key: opened.append(key) or storage.open(key)
    )
    members = history.members_at()
    opened.clear()
    assert list(members)
    assert sorted(opened) == sorted(info.key for info in history[-1].files.values())


def test_cells_are_read_by_name():
    storage, sync = build(random_cohorts(0), ExistingMeaning.STAYED, keep_log=True)
    history = read_history(storage, sync)
    for table in (history.members_at(), history.events(), history.intervals()):
        row = table.head(1)[0]
        assert (
            [row[name] for name in table.columns] == list(row) == [row[n] for n in range(len(row))]
        )
        assert row[-1:] == (row["plan"],)
        with pytest.raises(KeyError, match=r"no column 'nope'; the row has: .*user_id, plan"):
            row["nope"]
    (event,), (stay,) = history.events().head(1), history.intervals().head(1)
    assert (event["synced_at"], event["diff_type"]) == (event.synced_at, "entering")
    assert event["plan"] == event.row[2]
    assert stay["exited"] == stay.exited
    assert history.churn()[0]["members"] == history.churn()[0].members


def test_a_row_of_a_member_is_a_tuple_and_a_member():
    storage, sync = build(random_cohorts(0), ExistingMeaning.STAYED, keep_log=True)
    members = read_history(storage, sync).members_at()
    row = members.head(1)[0]
    assert row == tuple(row)
    copied = pickle.loads(pickle.dumps(row))
    assert (copied, copied["plan"], type(copied)) == (row, row["plan"], type(row))
    # The names count, not the places: this sync has other columns.
    other = CohortSync(
        destination=Destination("d"), project_id=1, cohort_id="b", user_properties=["x", "plan"]
    )
    with pytest.raises(errors.MissingColumnsError, match="x"):
        sync_cohort(other, list(members), storage)
    plain = evolve(other, user_properties=())
    assert sync_cohort(plain, list(members), storage).record.members == len(members)


def test_a_history_is_a_data_frame_with_a_row_for_each_sync(keep_log):
    storage, sync = build(random_cohorts(0), ExistingMeaning.STAYED, keep_log=keep_log)
    history = read_history(storage, sync)
    expected = [tuple(one) for one in history.churn()]
    columns = ["synced_at", "members", "entered", "exited", "returned", "changed"]
    assert list(history.to_pandas().columns) == history.to_polars().columns == columns
    assert rows_of(history.to_arrow()) == history.to_polars().rows() == expected
    assert history.to_duckdb().fetchall() == expected


@pytest.mark.parametrize("seed", range(3))
def test_the_table_of_events_has_the_rows_of_the_events(seed, keep_log, meaning):
    storage, sync = build(random_cohorts(seed), meaning, keep_log=keep_log)
    lost = read_history(storage, sync.stream)[4]
    for read in (False, True):
        if read:
            storage.delete(lost.files[DiffType.ENTERING].key)
        events = read_history(storage, sync.stream).events()
        expected = [(e.synced_at, e.diff_type.value, *e.row) for e in events]
        assert any(e.derived for e in events) == read
        assert rows_of(events.to_arrow()) == events.to_polars().rows() == expected


def test_a_property_that_a_sync_lacks_is_empty_in_its_events():
    storage, day = MemoryStorage(), datetime(2026, 11, 1, tzinfo=UTC)
    for number, names in enumerate([("plan",), ("city", "plan"), (), ("city",)]):
        sync = CohortSync(
            destination=Destination(name="d"),
            project_id=1,
            cohort_id="a",
            user_properties=tuple(map(UserProperty, names)),
        )
        rows = [(str(n), f"u{n}", *names) for n in range(number, number + 3)]
        sync_cohort(sync, rows, storage, synced_at=day + timedelta(number), guard=False)
    events = read_history(storage, sync.stream).events()
    expected = [(e.synced_at, e.diff_type.value, *e.row) for e in events]
    assert expected[0] == (day, "entering", "0", "u0", "plan", "")
    assert rows_of(events.to_arrow()) == events.to_polars().rows() == expected


def test_tables_of_a_recorded_history_are_read_by_the_block(
    meaning: ExistingMeaning, monkeypatch: pytest.MonkeyPatch
):
    storage, sync = build(random_cohorts(1), meaning, keep_log=True)
    history = read_history(storage, sync.stream)
    members = history.members_at(TIMES[-1])
    expected = list(members), len(list(history.events()))

    def slow(*_: object) -> None:
        pytest.fail("a canonical file was read row by row")

    monkeypatch.setattr(RowReader, "rows", slow)
    monkeypatch.setattr(RowReader, "numbered", slow)
    assert (members.to_polars().rows(), len(history.events().to_polars())) == expected


def test_a_damaged_file_of_changes_is_noticed_and_named():
    storage, sync = build(random_cohorts(2), ExistingMeaning.MEMBERS, keep_log=True)
    key = read_history(storage, sync.stream)[3].files[DiffType.EXITING].key
    data = storage.open(key).read()
    storage.delete(key)
    storage.create(key, data + b"9,x,\n")
    events = read_history(storage, sync.stream).events()
    for read in (events.to_arrow, events.to_polars, events.to_list):
        with pytest.raises(errors.ObjectChangedError, match=re.escape(key)):
            read()


FIRST, LAST = b"amplitudeID,userID,plan", b"9,x,y\n"


@pytest.mark.parametrize("native", [True, False], ids=["kernel", "Python"])
@pytest.mark.parametrize("diff_type", list(DiffType))
@pytest.mark.parametrize(
    ("part", "other"),
    [
        (FIRST, b"amplitudeID,userXD,plan"),
        (FIRST, b"amplitudeID,userID,city"),
        (FIRST, b"amplitudeID,userID,"),
        (FIRST, b"amplitudeID,amplitude_id,plan"),
        (FIRST, b"amplitudeID,userID,user_id"),
        (FIRST, b"plan,amplitudeID,userID"),
        (FIRST, b"plan,userID,other"),
        (FIRST, b"a,b,c"),
        (LAST, b"9,\0,y\n"),
        (LAST, b"9,\xff,y\n"),
        (LAST, b"9,x\n"),
        (LAST, b'9,"x\n'),
        (LAST, b"9,x\ry,z\n"),
    ],
)
def test_a_table_reads_a_file_that_should_be_canonical_as_an_iteration_does(
    part: bytes,
    other: bytes,
    diff_type: DiffType,
    native: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
):
    if not native:
        use_kernel(monkeypatch, is_used=False)
    storage, sync = build(random_cohorts(2), ExistingMeaning.MEMBERS, keep_log=True)
    history = read_history(storage, sync.stream)
    newest = history[-1]
    key = newest.files[diff_type].key
    data = storage.open(key).read() + LAST
    storage.delete(key)
    storage.create(key, data.replace(part, other))
    # The bytes are read as if they were those of the record: a large file is also read long
    # before its digest can be compared.
    monkeypatch.setattr(members_module, "verified", lambda chunks, *_: chunks)

    def answer(read: Callable[[], list[tuple[Any, ...]]]) -> object:
        try:
            return read()
        except errors.CohortS3Error as error:
            return type(error), str(error)

    members, events = history.members_at(newest), history.events()
    for found in (members.to_arrow, members.to_polars):
        rows = partial(rows_of_table, found)
        assert answer(rows) == answer(lambda: list(members))
    for found in (events.to_arrow, events.to_polars):
        rows = partial(rows_of_table, found)
        expected = answer(lambda: [(e.synced_at, e.diff_type.value, *e.row) for e in events])
        assert answer(rows) == expected


@pytest.mark.parametrize("diff_type", list(DiffType))
def test_a_table_of_a_file_with_a_changed_byte_raises_the_error_of_an_iteration(
    diff_type: DiffType,
):
    storage, sync = build(random_cohorts(2), ExistingMeaning.MEMBERS, keep_log=True)
    rows = [(str(n), "u" * 40, "") for n in range(10_000)]
    for number in range(2):
        when = TIMES[-1] + timedelta(hours=number + 1)
        members = rows[number * 5000 :]
        sync_cohort(sync, members, storage, synced_at=when, guard=False)
    newest = read_history(storage, sync.stream)[-2 if diff_type is DiffType.ENTERING else -1]
    key = newest.files[diff_type].key
    data = storage.open(key).read()
    assert len(data) > 2 * BLOCK_BYTES
    storage.delete(key)
    storage.create(key, data[:1000] + b"\xff" + data[1001:])
    history = read_history(storage, sync.stream)
    is_existing = diff_type is DiffType.EXISTING
    asked = history.members_at(newest.synced_at) if is_existing else history.events()
    for read in (asked.to_list, asked.to_arrow, asked.to_polars):
        with pytest.raises(errors.MalformedCsvError, match="it is not UTF-8") as caught:
            read()
        assert caught.value.file == key


def rows_of_table(read: Callable[[], Any]) -> list[tuple[Any, ...]]:
    table = read()
    return table.rows() if isinstance(table, pl.DataFrame) else rows_of(table)


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
def test_a_missing_package_is_named_with_the_extra_that_installs_it(
    package: str,
    call: Callable[[Members], object],
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
):
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(errors.MissingExtraError) as caught:
        call(members_of(ODD_ROWS))
    assert caught.value.package == package
    assert extra in str(caught.value)
    assert isinstance(caught.value, ImportError)
