"""Rows with named fields, of Python, databases and data frames: read by name, never by place."""

import collections
import contextlib
import dataclasses
import sqlite3
import types
import typing

import attrs
import numpy as np
import pandas as pd
import polars as pl
import psycopg2.extras
import pytest
import sqlalchemy

from amplitude_cohort_s3 import DiffType, Member, MemberFile, RowSchema, diff_members
from amplitude_cohort_s3.errors import ArgumentTypeError, MalformedCsvError, MissingColumnsError

SCHEMA = RowSchema(properties=("plan",))
EXPECTED = ("42", "ann", "pro")
QUERY = "select 'pro' as \"plan\", 7 as age, 'ann' as \"userID\", '42' as amplitude_id"
FRAME = pd.DataFrame({"plan": ["pro"], "age": [7], "userID": ["ann"], "amplitude_id": [42]})


class TypedRow(typing.NamedTuple):
    plan: str
    age: int
    userID: str  # noqa: N815
    amplitude_id: int


@dataclasses.dataclass
class DataRow:
    plan: str
    age: int
    userID: str  # noqa: N815
    amplitude_id: str


@attrs.define
class AttrsRow:
    plan: str
    userID: str  # noqa: N815
    amplitude_id: str
    age: int = attrs.field(init=False)


class KeyedRow:
    """As Record of asyncpg: it has keys, iterates over its values, and is not a Mapping."""

    def __init__(self, **cells):
        self._cells = cells

    def keys(self):
        return self._cells.keys()

    def __getitem__(self, name):
        return self._cells[name]

    def __iter__(self):
        return iter(self._cells.values())

    def __len__(self):
        return len(self._cells)


class DescribedRow(list):
    """As Row of pyodbc, which knows the description of its cursor."""

    cursor_description = (("plan", str), ("age", int), ("userID", str), ("amplitude_id", int))


def rows_of_sqlite(query=QUERY):
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(query).fetchall()


def rows_of_sqlalchemy(query=QUERY):
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.text(query)).all()
    engine.dispose()
    return rows


def rows_of_psycopg2():
    names = collections.OrderedDict(plan=0, age=1, userID=2, amplitude_id=3)
    cursor = types.SimpleNamespace(index=names, description=range(4))
    row = psycopg2.extras.DictRow(cursor)
    row[:] = ["pro", 7, "ann", "42"]
    return [row]


NAMED = {
    "namedtuple": lambda: [
        collections.namedtuple("Row", FRAME.columns)("pro", 7, "ann", 42)  # noqa: PYI024
    ],
    "NamedTuple": lambda: [TypedRow("pro", 7, "ann", 42)],
    "dataclass": lambda: [DataRow("pro", 7, "ann", "42")],
    "attrs, with a field that is not set": lambda: [AttrsRow("pro", "ann", "42")],
    "sqlite3.Row": rows_of_sqlite,
    "SQLAlchemy Row": rows_of_sqlalchemy,
    "SQLAlchemy mapping": lambda: [row._mapping for row in rows_of_sqlalchemy()],  # noqa: SLF001
    "psycopg2 DictRow": rows_of_psycopg2,
    "as asyncpg": lambda: [KeyedRow(plan="pro", age=7, userID="ann", amplitude_id=42)],
    "as pyodbc": lambda: [DescribedRow(["pro", 7, "ann", 42])],
    "itertuples": FRAME.itertuples,
    "itertuples without index": lambda: FRAME.itertuples(index=False),
    "Series": lambda: [row for _, row in FRAME.iterrows()],
    "records": FRAME.to_records,
    "dicts": lambda: FRAME.to_dict("records"),
    "Polars dicts": lambda: pl.from_pandas(FRAME).iter_rows(named=True),
    "ChainMap": lambda: [collections.ChainMap(FRAME.to_dict("records")[0])],
}


def entering(members, schema=SCHEMA):
    with diff_members((), members, schema=schema) as diff:
        return list(diff.rows(DiffType.ENTERING)), diff.report.ignored_columns


@pytest.mark.parametrize("rows", NAMED.values(), ids=NAMED)
def test_a_row_with_named_fields_is_read_by_name(rows):
    found, ignored = entering(rows())
    assert found == [EXPECTED]
    assert set(ignored) - {"Index", "index"} == {"age"}
    (row,) = rows()
    assert SCHEMA.row(row) == EXPECTED


def test_a_row_of_pyspark_is_read_by_name():
    row = pytest.importorskip("pyspark.sql").Row
    assert SCHEMA.row(row(plan="pro", age=7, userID="ann", amplitude_id=42)) == EXPECTED
    assert SCHEMA.row(row("plan", "userID", "amplitude_id")("pro", "ann", 42)) == EXPECTED
    assert SCHEMA.row(row(42, "ann", "pro")) == EXPECTED  # it has no names


@pytest.mark.parametrize("rows", NAMED.values(), ids=NAMED)
def test_a_row_with_named_fields_is_never_read_by_place(rows):
    """The row has the same number of fields as the schema, but other names."""
    schema = RowSchema(properties=("plan", "country"))
    with pytest.raises(MissingColumnsError, match="country"):
        entering(rows(), schema)


def test_rows_of_many_shapes_may_follow_each_other():
    rows = [row for rows in NAMED.values() for row in rows()] + [(42, "ann", "pro")]
    rows += [Member("42", "ann", {"plan": "pro"}), {"amplitudeID": 42, "plan": "pro"}]
    assert list(SCHEMA.rows(rows)) == [EXPECTED] * (len(rows) - 1) + [("42", "", "pro")]


def test_rows_are_those_of_row_in_batches_of_any_number():
    rows = [(n, None, "a") if n % 3 else {"plan": "b", "amplitudeID": n} for n in range(10_000)]
    assert list(SCHEMA.rows(rows)) == list(map(SCHEMA.row, rows))


REPEATED = {
    "sqlite3": lambda: rows_of_sqlite("select 1 amplitude_id, 2 x, 3 x, 'p' plan, 'q' plan"),
    "SQLAlchemy": lambda: rows_of_sqlalchemy("select 1 amplitude_id, 2 x, 3 x, 'p' plan, 'q' plan"),
    "Series": lambda: [pd.Series([1, 2, 3, "p", "q"], ["amplitude_id", "x", "x", "plan", "plan"])],
}


@pytest.mark.parametrize("rows", REPEATED.values(), ids=REPEATED)
def test_a_repeated_name_is_an_error_only_for_a_column_of_the_schema(rows):
    assert entering(rows(), RowSchema()) == ([("1", "")], ("plan", "x"))
    with pytest.raises(MalformedCsvError, match="row 1: the column 'plan' occurs more than once"):
        entering(rows())


@pytest.mark.parametrize("rows_of", [rows_of_sqlite, rows_of_sqlalchemy])
def test_an_id_that_repeats_must_have_one_value(rows_of):
    same = rows_of("select 1 amplitude_id, 1 amplitude_id, '1' \"amplitudeID\"")
    assert entering(same, RowSchema())[0] == [("1", "")]
    with pytest.raises(MalformedCsvError, match="row 1: the column amplitude_id occurs twice"):
        entering(rows_of("select 1 amplitude_id, 2 amplitude_id"), RowSchema())


def test_an_error_has_the_number_of_the_row():
    rows = [{"amplitude_id": n, "plan": ""} for n in range(5000)]
    with pytest.raises(MissingColumnsError) as missing:
        list(SCHEMA.rows([*rows, {"amplitude_id": 1}]))
    assert missing.value.number == 5001
    with pytest.raises(MalformedCsvError) as malformed:
        list(SCHEMA.rows([*rows, (1, 2)]))
    assert (malformed.value.line, malformed.value.unit) == (5001, "row")


def test_names_that_are_not_text_are_read_as_text():
    schema = RowSchema(properties=("2026",))
    member = {"amplitude_id": 1, 2026: "x", None: ["y"]}
    for row in (member, pd.Series(member)):
        assert entering([row], schema) == ([("1", "", "x")], ("None",))


@pytest.mark.parametrize(
    "member",
    [FRAME, pl.DataFrame({"plan": [1]}), MemberFile("m.csv"), DataRow, {"a"}, b"1", np.array([1])],
    ids=lambda member: type(member).__name__,
)
def test_a_table_or_a_source_is_not_a_member(member):
    # A list of nothing else is several tables.
    with pytest.raises(ArgumentTypeError, match=r"row 2 has the wrong type \S+: "):
        entering([("1", "ann", *SCHEMA.properties), member])
