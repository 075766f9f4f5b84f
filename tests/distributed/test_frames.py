"""The diff of data frames: the same cohort with every engine, as frames of its kind."""

import random
from itertools import islice

import duckdb
import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    LocalStorage,
    RowSchema,
    UserProperty,
    diff_members,
    read_head,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.distributed import ComposedDiff, diff_frames, write_part
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    DuplicateKeyError,
    EmptyKeyError,
    InvalidCellError,
    MalformedCsvError,
    MissingColumnsError,
)
from amplitude_cohort_s3.sync import commit, plan_sync
from amplitude_cohort_s3.testing.small_cohort import clock_at, moment

COLUMNS = ("amplitude_id", "user_id")
CONNECTION = duckdb.connect()
ENGINES = {
    "pandas": lambda table: pd.DataFrame(table.to_pandas()),
    "polars": pl.from_arrow,
    "polars lazy": lambda table: pl.from_arrow(table).lazy(),
    "pyarrow": lambda table: table,
    "duckdb": CONNECTION.from_arrow,
}
each_engine = pytest.mark.parametrize("engine", ENGINES)


def table(rows, columns=COLUMNS):
    cells = list(zip(*rows, strict=True)) or [[] for _ in columns]
    return pa.table({c: pa.array(v, pa.string()) for c, v in zip(columns, cells, strict=True)})


def rows_of(frame):
    found = nw.from_native(frame)
    if isinstance(found, nw.LazyFrame):
        found = found.collect()
    return sorted(tuple(None if pd.isna(cell) else cell for cell in row) for row in found.rows())


KEYS = st.sampled_from(["1", "10", "a,", 'q"', "é", "日\n", "😀"])
ROWS = st.lists(st.tuples(KEYS, st.sampled_from(["", "x"])), unique_by=lambda row: row[0])


@each_engine
@pytest.mark.parametrize("existing", list(ExistingMeaning))
@settings(max_examples=min(20, settings().max_examples))
@given(previous=ROWS, current=ROWS)
def test_the_diff_is_that_of_the_default_engine(engine, existing, previous, current):
    make = ENGINES[engine]
    repeated = [*current, *current[:2]]
    random.Random(1).shuffle(repeated)
    diff = diff_frames(
        make(table(previous)), make(table(repeated)), on="amplitude_id", existing=existing
    )
    with diff_members(previous, repeated, schema=RowSchema(), existing=existing) as expected:
        for diff_type in DiffType:
            assert rows_of(getattr(diff, diff_type.value)) == sorted(expected.rows(diff_type))
        report = expected.report
    assert rows_of(diff.current) == sorted(current)
    assert (diff.members_before, diff.members_now) == (report.members_before, report.members_now)
    assert (diff.skipped, diff.collapsed) == (report.skipped, report.collapsed)


@each_engine
def test_the_values_of_each_property_are_counted_and_shown(engine):
    rows = [
        ("1", "ann", "pro", None, 1.5, 1),
        ("2", "", "", "", None, None),
        ("3", "", None, None, float("nan"), 2),
    ]
    names = ("amplitude_id", "user_id", "plan", "city", "score", "visits")
    types = (*[pa.string()] * 4, pa.float64(), pa.int64())
    cells = zip(names, zip(*rows, strict=True), types, strict=True)
    now = pa.table({name: pa.array(values, kind) for name, values, kind in cells})
    make = ENGINES[engine]
    diff = diff_frames(make(now.slice(0, 0)), make(now), on="amplitude_id")
    assert diff.filled == {"plan": 1, "city": 0, "score": 1, "visits": 2}
    assert "plan 1 of 3" in repr(diff)
    assert "warning: the property 'city' is empty for all members" in repr(diff)


@each_engine
def test_the_frames_are_of_the_kind_of_the_input(engine):
    frame = ENGINES[engine](table([("1", "a")]))
    diff = diff_frames(frame, frame, on="amplitude_id")
    for found in (diff.entering, diff.exiting, diff.existing, diff.current):
        assert type(found) is type(frame)
    assert repr(diff) == "FrameDiff(<1 to 1 members>)"


@each_engine
def test_rows_without_an_amplitude_id_are_refused_and_those_without_another_key_counted(engine):
    make = ENGINES[engine]
    current = make(table([("1", "a"), ("", "b"), (None, None), ("4", None), ("5", "")]))
    with pytest.raises(EmptyKeyError) as caught:
        diff_frames(make(table([("1", "a")])), current, on="amplitude_id")
    assert caught.value.count == 2
    diff = diff_frames(make(table([("1", "a"), ("9", "")])), current, on="user_id")
    assert (diff.members_before, diff.members_now, diff.skipped) == (1, 2, 3)
    assert rows_of(diff.entering) == [("", "b")]


@each_engine
def test_different_rows_with_the_same_key_are_refused(engine):
    make = ENGINES[engine]
    twice = make(table([("1", "a"), ("1", "b"), ("2", ""), ("2", "")]))
    once = make(table([("1", "a")]))
    for previous, current in ((once, twice), (twice, once)):
        with pytest.raises(DuplicateKeyError) as caught:
            diff_frames(previous, current, on="amplitude_id")
        assert (caught.value.column, caught.value.count) == ("amplitude_id", 1)


@each_engine
def test_exiting_rows_have_the_current_columns(engine):
    make = ENGINES[engine]
    before = make(table([("1", "x", "p")], ("amplitude_id", "gone", "plan")))
    now = make(table([("2", "q", "n")], ("amplitude_id", "plan", "new")))
    diff = diff_frames(before, now, on="amplitude_id")
    assert nw.from_native(diff.exiting).collect_schema().names() == ["amplitude_id", "plan", "new"]
    assert rows_of(diff.exiting) == [("1", "p", None)]


@each_engine
@pytest.mark.parametrize("value", ["x", 7, True, 1.5])
@pytest.mark.parametrize("existing", list(ExistingMeaning))
def test_members_of_before_a_column_have_no_value_in_it(engine, value, existing):
    before = ENGINES[engine](pa.table({"amplitude_id": ["1", "3"]}))
    now = ENGINES[engine](pa.table({"amplitude_id": ["2", "3"], "new": [value, value]}))
    diff = diff_frames(before, now, on="amplitude_id", existing=existing)
    assert rows_of(diff.entering) == [("2", value)]
    assert rows_of(diff.exiting) == [("1", None)]


def test_a_lazy_query_is_evaluated_once():
    calls = []

    def add_call(frame):
        calls.append(len(calls))
        return frame.with_columns(user_id=pl.lit(str(len(calls))))

    lazy = pl.from_arrow(table([("1", ""), ("2", "")])).lazy().map_batches(add_call)
    diff = diff_frames(pl.from_arrow(table([("2", "")])).lazy(), lazy, on="amplitude_id")
    assert rows_of(diff.existing) == rows_of(diff.existing) == [("1", "1"), ("2", "1")]
    assert rows_of(diff.entering) == [("1", "1")]
    assert calls == [0]

    relation = CONNECTION.sql("select uuid()::varchar amplitude_id, '' user_id from range(9)")
    diff = diff_frames(CONNECTION.from_arrow(table([])), relation, on="amplitude_id")
    assert rows_of(diff.existing) == rows_of(diff.existing) == rows_of(diff.entering)


@pytest.mark.parametrize(
    ("previous", "current", "error"),
    [
        (table([]), pl.DataFrame({"amplitude_id": ["1"]}), ArgumentTypeError),
        ([("1", "a")], table([]), ArgumentTypeError),
        (table([]), pa.table({"amplitude_id": [1.5]}), InvalidCellError),
        (table([]), pa.table({"amplitude_id": [1]}), InvalidCellError),
        (table([]), pa.table({"user_id": ["1"]}), MissingColumnsError),
        (pa.table({"user_id": ["1"]}), table([]), MissingColumnsError),
    ],
    ids=["two engines", "a list", "floats", "two types", "no current key", "no previous key"],
)
def test_frames_that_can_not_be_compared_are_refused(previous, current, error):
    with pytest.raises(error):
        diff_frames(previous, current, on="amplitude_id")


def repeated(*names):
    return pd.DataFrame([["1"] * len(names)], columns=names)


@pytest.mark.parametrize(
    "frame",
    [
        repeated("amplitude_id", "plan", "plan"),
        pa.table([["1"]] * 3, ["amplitude_id", "plan", "plan"]),
        CONNECTION.sql("select '1' amplitude_id, 'a' plan, 'b' plan"),
    ],
    ids=["pandas", "pyarrow", "duckdb"],
)
def test_a_repeated_column_is_refused_by_its_name(frame):
    for sides in ((frame, frame), (frame, table([])), (table([]), frame)):
        if type(sides[0]) is type(sides[1]) or sides[0] is frame:
            with pytest.raises(MalformedCsvError, match="the column 'plan' occurs more than once"):
                diff_frames(*sides, on="amplitude_id")


def test_a_column_without_a_text_as_its_name_is_refused():
    frame = repeated("amplitude_id", 7)
    with pytest.raises(ArgumentTypeError, match="one has the name 7"):
        diff_frames(frame, frame, on="amplitude_id")


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"amplitude_id": ["1"], "plan": ["a"], "odd": [["x"]]}),
        pd.DataFrame({"amplitude_id": ["1"], "plan": ["a"], "odd": [{"x": 1}]}),
        pa.table({"amplitude_id": ["1"], "plan": ["a"], "odd": [["x"]]}),
        pa.table({"amplitude_id": ["1"], "odd": pa.array(["x"], pa.string_view())}),
    ],
    ids=["pandas list", "pandas dict", "pyarrow list", "pyarrow view"],
)
def test_a_column_that_an_engine_can_not_compare_is_refused_by_its_name(frame):
    with pytest.raises(InvalidCellError) as caught:
        diff_frames(frame, frame, on="amplitude_id")
    assert caught.value.column == "odd"


def test_duckdb_syncs_a_cohort_of_which_python_never_has_all_rows(tmp_path):
    """DuckDB joins and sorts, and the storage composes: Python never has all rows at once."""
    sync = CohortSync(
        destination=Destination(name="duck", path="cohorts"),
        project_id=1,
        cohort_id="a",
        user_properties=(UserProperty("plan"),),
    )
    schema = sync.schema
    plans = ["pro", 'a "b", c', "two\nlines", "é日😀", ""]
    cohorts = [
        [(str(n), f"user {n}", plans[n % 5]) for n in range(first, first + 3000)]
        for first in (0, 500)
    ]
    random.Random(7).shuffle(cohorts[1])
    ordinary, storage = LocalStorage(tmp_path / "ordinary"), LocalStorage(tmp_path / "composed")
    for one in (ordinary, storage):
        sync_cohort(sync, cohorts[0], one, synced_at=moment(0), clock=clock_at(moment(0)))
    sync_cohort(
        sync, cohorts[1], ordinary, synced_at=moment(1), guard=False, clock=clock_at(moment(1))
    )

    duck = duckdb.connect()
    for name, rows in zip(("before", "now"), cohorts, strict=True):
        duck.from_arrow(table(rows, schema.columns)).write_parquet(
            str(tmp_path / f"{name}.parquet")
        )
    head = read_head(storage, sync.stream)
    diff = diff_frames(
        duck.read_parquet(str(tmp_path / "before.parquet")),
        duck.read_parquet(str(tmp_path / "now.parquet")),
        on=schema.key,
    )
    parts = {diff_type: [] for diff_type in DiffType}
    for diff_type in DiffType:
        relation = getattr(diff, diff_type.value).order(schema.key)
        batches = pa.RecordBatchReader.from_stream(relation)
        ordered = (
            row for batch in batches for row in zip(*batch.to_pydict().values(), strict=True)
        )
        while rows := list(islice(ordered, 1000)):
            key = f"_staging/run/{diff_type}-{len(parts[diff_type])}"
            parts[diff_type].append(write_part(storage, key, rows, schema=schema))
    composed = ComposedDiff.of_parts(
        parts, schema=schema, skipped=diff.skipped, collapsed=diff.collapsed
    )
    plan = plan_sync(sync, composed, synced_at=moment(1), previous=head)
    record = commit(plan, composed, storage).record
    assert [len(record.files[t].parts) for t in DiffType] == [2, 2, 4]
    for file in record.files.values():
        assert (storage.root / file.key).read_bytes() == (ordinary.root / file.key).read_bytes()
    assert read_history(storage, sync.stream).verify() == ()
