"""Data frames as members, against the real pyarrow, pandas, Polars and DuckDB."""

import datetime as dt
import decimal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_texts import CELL, ODD_ROWS, SCHEMA, members_of

from amplitude_cohort_s3 import (
    DiffType,
    RowSchema,
    diff_members,
    errors,
)
from amplitude_cohort_s3.sources.arrow import arrow_csv

pa = pytest.importorskip("pyarrow")
dataset = pytest.importorskip("pyarrow.dataset")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
duckdb = pytest.importorskip("duckdb")

# --- Data frames as members ----------------------------------------------------------


def read_back(table: Any, schema: RowSchema = SCHEMA, **kwargs: Any) -> list[tuple[str, ...]]:
    return list(schema.decode(arrow_csv(table, schema, **kwargs).chunks(), **kwargs))


COLUMNS = dict(zip(SCHEMA.columns, map(list, zip(*ODD_ROWS, strict=True)), strict=True))
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
    "members": lambda: members_of(ODD_ROWS),
}


@pytest.mark.parametrize("name", FRAMES)
def test_text_goes_in_as_it_is(name: str):
    assert read_back(FRAMES[name]()) == ODD_ROWS


@given(st.lists(st.tuples(CELL, CELL, CELL, CELL)), st.integers(1, 5))
def test_any_text_is_read_unchanged(rows: list[tuple[str, ...]], size: int):
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
def test_a_value_without_one_text_form_is_refused_with_a_hint(values: Any, type_name: str):
    table = pa.table({"amplitude_id": ["1"] * len(values), "user_id": values})
    with pytest.raises(errors.InvalidCellError) as caught:
        read_back(table, RowSchema())
    assert caught.value.column == "user_id"
    assert type_name in caught.value.rule
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
def test_a_column_without_values_is_empty_for_every_type(values: Any):
    table = pa.table({"amplitude_id": ["1", "2"], "user_id": values})
    assert read_back(table, RowSchema()) == [("1", ""), ("2", "")]


def test_columns_are_found_by_name_and_others_are_not_converted():
    table = pa.table({"score": [1.5], "userID": ["ann"], "AmplitudeID": [7], "plan": ["pro"]})
    schema = RowSchema(properties=("plan",))
    source = arrow_csv(table, schema)
    assert list(schema.decode(source.chunks())) == [("7", "ann", "pro")]
    assert source.ignored == {"score"}


def test_a_repeated_id_column_counts_once_and_must_agree():
    table = pa.table({"amplitude_id": ["1"], "amplitudeID": ["1"]})
    assert read_back(table, RowSchema()) == [("1", "")]
    with pytest.raises(errors.MalformedCsvError, match="different values"):
        read_back(pa.table({"amplitude_id": ["1"], "amplitudeID": ["2"]}), RowSchema())


def test_missing_columns_are_named():
    with pytest.raises(errors.MissingColumnsError) as caught:
        read_back(pa.table({"user_id": ["ann"], "plan": ["pro"]}))
    assert caught.value.columns == ("amplitude_id", "note")
    assert caught.value.found == ("user_id", "plan")
    table = pa.table({"email": ["x"]})
    assert read_back(table, RowSchema(properties=("email",), key="email")) == [("", "", "x")]
    table = pa.table({"amplitude_id": ["1"]})
    assert read_back(table, fill=True) == [("1", "", "", "")]


def test_an_index_of_pandas_is_ignored():
    frame = pd.DataFrame({"amplitude_id": ["1"]}, index=["row"])
    assert read_back(frame, RowSchema()) == [("1", "")]


@pytest.mark.parametrize(
    "frame",
    [
        pl.Series(["secret"]),
        pa.chunked_array([["secret"]]),
    ],
)
def test_an_object_that_is_not_a_table_is_our_error_without_any_cell(frame: Any):
    with pytest.raises(errors.ArgumentTypeError) as caught:
        read_back(frame)
    assert caught.value.__suppress_context__
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("query", [pl.LazyFrame({"amplitude_id": ["secret"]}), 7])
def test_a_query_that_was_not_run_is_refused_with_a_hint(query: Any):
    with pytest.raises(errors.ArgumentTypeError, match=r"first, for example with \.collect\(\)"):
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
def test_common_data_frames_are_read_without_loss(frame: Any):
    assert read_back(frame, RowSchema()) == [("1", "ann"), ("2", "")]


def test_an_id_that_became_a_float_because_of_a_missing_one_is_refused():
    # As pandas reads a column of integers with a gap.
    frame = pd.DataFrame({"amplitude_id": ["1", "2"], "user_id": [300000000001, None]})
    with pytest.raises(errors.InvalidCellError, match="lost digits"):
        read_back(frame, RowSchema())


def test_a_data_frame_can_be_a_side_of_a_diff_and_writes_no_file(
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


def test_a_table_that_can_be_read_only_once_is_enough():
    reader = pa.table({"amplitude_id": ["1"]}).to_reader()
    with diff_members([], reader, schema=RowSchema()) as diff:
        assert diff.entering.rows == 1
