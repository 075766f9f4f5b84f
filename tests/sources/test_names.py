"""A property has a name, which sources use, and a header in the files of the sync."""

import contextlib
import dataclasses
import io
import sqlite3
from collections import namedtuple
from datetime import UTC, datetime

import attrs
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amplitude_cohort_s3 import (
    CohortSync,
    CsvSource,
    Destination,
    Member,
    MemberFile,
    MemoryStorage,
    RowSchema,
    UserProperty,
    diff_members,
    read_head,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    DuplicateKeyError,
    InvalidCellError,
    MalformedCsvError,
    MissingColumnsError,
)
from amplitude_cohort_s3.format.filename import DiffType

SCHEMA = RowSchema(properties=("Plan name",), names=("plan",))
APPS = RowSchema(properties=("plan_ios", "plan_web", "city"), names=("plan", "plan", "city"))


def csv_text(rows):
    text = io.StringIO()
    pd.DataFrame(rows).to_csv(text, index=False)
    return text.getvalue().encode()


def csv_file(rows, folder):
    path = folder / "members.csv"
    path.write_bytes(csv_text(rows))
    return MemberFile(path)


def parquet_file(rows, folder):
    path = folder / "members.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return MemberFile(path)


def as_members(rows, _):
    ids = ("amplitude_id", "user_id")
    return [
        Member(row["amplitude_id"], row["user_id"], {k: v for k, v in row.items() if k not in ids})
        for row in rows
    ]


def database_rows(rows, _):
    found = []
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        for row in rows:
            columns = ", ".join(f'? as "{name}"' for name in row)
            found += connection.execute(f"select {columns}", list(row.values())).fetchall()
    return found


class NamedRow(tuple):  # noqa: SLOT001 -- each row has its own fields
    """A named tuple whose fields can have any name, like the rows of SQLAlchemy."""

    _fields = ()


def named_rows(rows, _):
    found = []
    for row in rows:
        found.append(NamedRow(row.values()))
        found[-1]._fields = tuple(row)
    return found


SOURCES = {
    "mappings": lambda rows, _: rows,
    "sqlite3.Row": database_rows,
    "named tuples": named_rows,
    "records of NumPy": lambda rows, _: list(pd.DataFrame(rows).to_records(index=False)),
    "Series of pandas": lambda rows, _: [row for _, row in pd.DataFrame(rows).iterrows()],
    "DuckDB": lambda rows, _: duckdb.connect().from_arrow(pa.Table.from_pylist(rows)),
    "members": as_members,
    "pandas": lambda rows, _: pd.DataFrame(rows),
    "polars": lambda rows, _: pl.DataFrame(rows),
    "pyarrow": lambda rows, _: pa.Table.from_pylist(rows),
    "CSV": csv_file,
    "Parquet": parquet_file,
    "CSV bytes": lambda rows, _: CsvSource(chunks=lambda: iter([csv_text(rows)])),
}
each_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


def synced(source, schema=SCHEMA):
    with diff_members((), source, schema=schema) as diff:
        return list(diff.rows(DiffType.ENTERING)), diff.report.ignored_columns


def row(**properties):
    return {"amplitude_id": "1", "user_id": "ann"} | properties


@each_source
@pytest.mark.parametrize("column", ["plan", "Plan name"])
def test_a_source_may_use_the_name_or_the_header(source, column, tmp_path):
    rows = [row(**{column: "a,b"}), row(**{column: "a,b"}) | {"amplitude_id": "2"}]
    expected = [("1", "ann", "a,b"), ("2", "ann", "a,b")]
    assert synced(source(rows, tmp_path)) == (expected, ())


@each_source
def test_the_name_and_the_header_with_equal_values_count_once(source, tmp_path):
    rows = [row(**{"plan": "pro", "Plan name": "pro", "age": "4"})]
    assert synced(source(rows, tmp_path)) == ([("1", "ann", "pro")], ("age",))


@each_source
def test_the_name_and_the_header_with_different_values_are_an_error_with_the_row(source, tmp_path):
    rows = [
        row(**{"plan": "pro", "Plan name": "pro"}),
        row(**{"plan": "secret 1", "Plan name": "secret 2"}),
    ]
    with pytest.raises(MalformedCsvError, match="'plan'") as caught:
        synced(source(rows, tmp_path))
    is_file = caught.value.unit == "line"
    assert caught.value.line == (3 if is_file else 2)
    assert "secret" not in str(caught.value)


@each_source
def test_one_column_of_a_source_can_be_the_property_of_several_apps(source, tmp_path):
    rows = [row(plan="pro", city="Rome")]
    assert synced(source(rows, tmp_path), APPS)[0] == [("1", "ann", "pro", "pro", "Rome")]


@each_source
def test_each_app_can_have_a_column_of_its_own(source, tmp_path):
    rows = [row(plan_web="free", plan_ios="pro", city="Rome")]
    assert synced(source(rows, tmp_path), APPS)[0] == [("1", "ann", "pro", "free", "Rome")]


@each_source
def test_a_name_may_be_the_header_of_another_property(source, tmp_path):
    schema = RowSchema(properties=("plan_old", "plan"), names=("plan", "tier"))
    by_name, by_header = row(plan="x", tier="y"), row(plan_old="x", plan="y")
    for rows in ([by_name], [by_header]):
        assert synced(source(rows, tmp_path), schema)[0] == [("1", "ann", "x", "y")]


@each_source
def test_a_column_that_could_be_two_properties_is_only_one_of_them(source, tmp_path):
    schema = RowSchema(properties=("plan_old", "plan"), names=("plan", "tier"))
    with pytest.raises(MissingColumnsError) as caught:
        synced(source([row(plan="x")], tmp_path), schema)
    assert caught.value.columns == ("plan_old",)


@pytest.mark.parametrize(
    "kind",
    [
        namedtuple("Named", ["plan", "userID", "amplitude_id"]),  # noqa: PYI024
        dataclasses.make_dataclass("Data", ["plan", "userID", "amplitude_id"]),
        attrs.make_class("Attrs", ["plan", "userID", "amplitude_id"]),
    ],
)
def test_the_fields_of_objects_are_found_by_name(kind):
    assert synced([kind("pro", "ann", 1), kind("x", None, 2)])[0] == [
        ("1", "ann", "pro"),
        ("2", "", "x"),
    ]


def test_members_of_several_kinds_are_each_read_by_their_own_names():
    rows = [row(plan="a"), ("2", "bob", "b"), Member("3", "cy", {"Plan name": "c"})]
    rows += named_rows([{"Plan name": "d", "age": 4, "userID": "dee", "amplitudeID": 4}], None)
    expected = [("1", "ann", "a"), ("2", "bob", "b"), ("3", "cy", "c"), ("4", "dee", "d")]
    assert synced(rows) == (expected, ("age",))


def test_faults_of_rows_that_are_read_by_name_have_their_number():
    good = row(plan="a")
    both = {"plan": 1.5, "Plan name": "x"}
    faults = {
        MalformedCsvError: named_rows([row(plan="a")], None)[0],
        MissingColumnsError: {"amplitude_id": "2"},
        InvalidCellError: row(**both),
    }
    faults[MalformedCsvError]._fields = ("amplitude_id", "plan", "plan")
    for kind, fault in faults.items():
        with pytest.raises(kind) as caught:
            synced([good, fault])
        field = {InvalidCellError: "lines", MissingColumnsError: "number"}.get(kind, "line")
        assert getattr(caught.value, field) in (2, (2,)), kind


def test_a_repeated_property_is_read_from_its_first_column_and_the_other_is_ignored():
    data = b"amplitude_id,plan,plan\n1,a,b\n"
    for schema, second in ((SCHEMA, "Plan name_2"), (RowSchema(properties=("plan",)), "plan_2")):
        found = synced(CsvSource(chunks=lambda: iter([data])), schema)
        assert found == ([("1", "", "a")], (second,))
    apps = RowSchema(properties=("plan_ios", "plan_web"), names=("plan", "plan"))
    found = synced(CsvSource(chunks=lambda: iter([data])), apps)
    assert found == ([("1", "", "a", "a")], ("plan_2",))


@pytest.mark.parametrize("schema", [SCHEMA, APPS])
def test_a_repeated_header_is_found_in_a_file_that_is_read_by_name(schema):
    data = b"amplitude_id,plan,city\n1,a,x\n\namplitude_id,plan,city\n2,b,y\n"
    with pytest.raises(MalformedCsvError, match="a header again") as caught:
        synced(CsvSource(chunks=lambda: iter([data])), schema)
    assert caught.value.line == 4


def test_an_id_column_stays_an_id_if_a_property_is_called_like_it():
    schema = RowSchema(properties=("crm",), names=("user_id",))
    rows = [row(crm="7")]
    assert synced(rows, schema)[0] == synced(pd.DataFrame(rows), schema)[0] == [("1", "ann", "7")]
    with pytest.raises(MissingColumnsError):
        synced([row()], schema)


@each_source
def test_a_property_under_neither_name_is_missing(source, tmp_path):
    with pytest.raises(MissingColumnsError) as caught:
        synced(source([row(Plan="pro")], tmp_path))
    assert caught.value.columns == ("Plan name",)


def test_errors_about_merged_columns_keep_the_line_numbers():
    data = b'\n\namplitude_id,plan,city\n1,"a\nb",x\n\n2,c,y\n2,d,z\n'
    with pytest.raises(DuplicateKeyError) as caught:
        synced(CsvSource(chunks=lambda: iter([data])), APPS)
    assert caught.value.lines == (8,)


def test_the_previous_members_are_read_by_header():
    storage, at = MemoryStorage(), datetime(2026, 1, 1, tzinfo=UTC)
    place = {"destination": Destination(name="d"), "project_id": 1, "cohort_id": "a"}
    first = CohortSync(**place, user_properties=[UserProperty("plan")])
    sync_cohort(first, [row(plan="old")], storage, synced_at=at)
    second = CohortSync(**place, user_properties=[UserProperty("plan", header="Plan name")])
    head = read_head(storage, second.stream)
    with diff_members(head.members(), (), schema=second.schema) as diff:
        assert list(diff.rows(DiffType.EXITING)) == [("1", "ann", "")]


# --- Mappings of columns ---


def test_columns_of_a_file_can_be_renamed_to_the_name_or_the_header(tmp_path):
    for new in ("plan", "Plan name"):
        rows = [row(Tarif="pro")]
        for write in (csv_file, parquet_file):
            file = MemberFile(write(rows, tmp_path).location, columns={"Tarif": new})
            assert synced(file) == ([("1", "ann", "pro")], ())


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"Tarif": "Plan"}, "'Plan' is not a column of the sync; it can be one of: 'amplitude_id'"),
        ({"id": "amplitude-id"}, "'amplitude-id' is not a column"),
        ({"plan": "plan", "tarif": "plan"}, "2 columns are renamed to 'plan'"),
        ({"id": "userID", "x": "user_id"}, "2 columns are renamed to 'user_id'"),
    ],
)
def test_a_mapping_to_no_column_of_the_sync_is_an_error(columns, fault, tmp_path):
    for write in (csv_file, parquet_file):
        file = MemberFile(write([row(plan="pro")], tmp_path).location, columns=columns)
        with pytest.raises(ConfigurationError, match=fault):
            synced(file)


def test_a_column_that_is_called_like_another_one_can_be_renamed(tmp_path):
    columns = {"user_id": "nobody", "email": "user_id"}
    for write in (csv_file, parquet_file):
        written = write([row(plan="pro", email="a@b")], tmp_path)
        file = MemberFile(written.location, columns=columns)
        assert synced(file) == ([("1", "a@b", "pro")], ("nobody",))


def test_a_mapping_of_a_column_that_a_file_lacks_is_an_error(tmp_path):
    for write in (csv_file, parquet_file):
        file = MemberFile(write([row(plan="pro")], tmp_path).location, columns={"tarif": "plan"})
        with pytest.raises(MissingColumnsError) as caught:
            synced(file)
        assert caught.value.columns == ("tarif",)
