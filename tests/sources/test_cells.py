"""The text of a cell, which is the same through every kind of members, and odd columns."""

import datetime as dt
import decimal
import enum
import uuid
from numbers import Integral

import duckdb
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import DiffType, Member, RowSchema, diff_members
from amplitude_cohort_s3.errors import InvalidCellError, MalformedCsvError
from amplitude_cohort_s3.format.cells import to_text, to_texts

SCHEMA = RowSchema(properties=("plan",))


class Plan(str, enum.Enum):  # noqa: UP042 -- what people have
    PRO = "pro"


class Level(int, enum.Enum):
    ONE = 1


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Tier(enum.StrEnum):
    GOLD = enum.auto()


class Plain(enum.Enum):
    X = "x"


def texts_of(members):
    with diff_members((), members, schema=SCHEMA) as diff:
        return [row[2] for row in diff.rows(DiffType.ENTERING)]


def objects(cells):
    return pd.Series(cells, dtype=object)


def ids_of(cells):
    return [f"{number:05}" for number in range(len(cells))]


# Each makes members of the cells of one column.
ENTRIES = {
    "tuples": lambda cells: list(zip(ids_of(cells), ids_of(cells), cells, strict=True)),
    "mappings": lambda cells: [
        {"plan": cell, "amplitude_id": n} for n, cell in zip(ids_of(cells), cells, strict=True)
    ],
    "members": lambda cells: [
        Member(n, "", {"plan": cell}) for n, cell in zip(ids_of(cells), cells, strict=True)
    ],
    "named tuples": lambda cells: pd.DataFrame(
        {"plan": objects(cells), "amplitude_id": ids_of(cells)}
    ).itertuples(),
    "pandas": lambda cells: pd.DataFrame({"plan": cells, "amplitude_id": ids_of(cells)}),
    "pandas objects": lambda cells: pd.DataFrame(
        {"plan": objects(cells), "amplitude_id": ids_of(cells)}
    ),
    "pandas categories": lambda cells: pd.DataFrame(
        {"plan": objects(cells).astype("category"), "amplitude_id": ids_of(cells)}
    ),
    "polars": lambda cells: pl.DataFrame({"plan": cells, "amplitude_id": ids_of(cells)}),
    "polars objects": lambda cells: pl.DataFrame(
        {"plan": pl.Series(cells, dtype=pl.Object), "amplitude_id": ids_of(cells)}
    ),
    "arrow": lambda cells: pa.table({"plan": cells, "amplitude_id": ids_of(cells)}),
    "arrow dictionary": lambda cells: pa.table(
        {"plan": pa.array(cells).dictionary_encode(), "amplitude_id": ids_of(cells)}
    ),
    "arrow runs": lambda cells: pa.table(
        {
            "plan": pa.RunEndEncodedArray.from_arrays(range(1, len(cells) + 1), pa.array(cells)),
            "amplitude_id": ids_of(cells),
        }
    ),
}
CELLS = {
    "text": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    "integers": st.integers(-(2**63), 2**63 - 1),
    "integers of any size": st.integers(),
    "whole decimals": st.integers(-(10**30), 10**30).map(decimal.Decimal),
    "uuids": st.uuids(),
    "enums": st.sampled_from([Plan.PRO, Tier.GOLD]),
    "flags": st.sampled_from([Level.ONE, Flags.A, Flags.A | Flags.B, Flags(0)]),
    "numpy integers": st.integers(-100, 100).map(np.int8),
    "numpy texts": st.sampled_from(["", "a", "1,2"]).map(np.str_),
}
# A library that has no column for these values, which the test can't make then.
IMPOSSIBLE = {
    ("integers of any size", "arrow"),
    ("uuids", "arrow dictionary"),
    ("uuids", "arrow runs"),
}


# Long lists and fewer of them: a diff of 30 cells takes as long as one of 5.
@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", CELLS)
@settings(max_examples=settings().max_examples // 3)
@given(data=st.data(), is_gap=st.booleans())
def test_a_cell_has_the_same_text_through_every_kind_of_members(kind, entry, data, is_gap):
    if any(kind == k and entry.startswith(e) for k, e in IMPOSSIBLE):
        pytest.skip("the library has no such column")
    cells = data.draw(st.lists(CELLS[kind], min_size=1, max_size=30))
    given_cells = [*cells, None] if is_gap and "object" not in entry else cells
    if is_gap and entry == "pandas" and all(isinstance(cell, Integral) for cell in cells):
        return  # pandas makes floats of them
    try:
        members = ENTRIES[entry](given_cells)
    except (OverflowError, TypeError, pa.ArrowException, pl.exceptions.PolarsError):
        return  # the library refuses to make such a column
    assert texts_of(members) == [to_text(cell, "plan") for cell in given_cells]


@given(st.lists(st.one_of(*CELLS.values(), st.none(), st.just(float("nan")))))
def test_many_cells_have_the_text_of_each(cells):
    assert list(to_texts(cells, "plan")) == [to_text(cell, "plan") for cell in cells]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Plan.PRO, "pro"),
        (Tier.GOLD, "gold"),
        (Level.ONE, "1"),
        (Flags.A | Flags.B, "3"),
        (np.uint64(2**64 - 1), str(2**64 - 1)),
        (decimal.Decimal(7), "7"),
        (decimal.Decimal("1E+2"), "100"),
        (decimal.Decimal("-0"), "0"),
        (uuid.UUID(int=10), "00000000-0000-0000-0000-00000000000a"),
    ],
)
def test_the_text_of_a_value(value, text):
    found = to_text(value, "plan")
    assert found == text
    assert type(found) is str


@pytest.mark.parametrize(
    "missing",
    [
        None,
        float("nan"),
        np.float32("nan"),
        decimal.Decimal("nan"),
        pd.NA,
        pd.NaT,
        np.datetime64("NaT", "s"),
        np.timedelta64("NaT", "s"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("entry", ["tuples", "mappings", "pandas objects"])
def test_a_missing_value_of_any_library_is_empty(missing, entry):
    assert texts_of(ENTRIES[entry](["x", missing])) == ["x", ""]


REFUSED = [
    True,
    False,
    np.bool_(True),  # noqa: FBT003
    np.bool_(False),  # noqa: FBT003
    1.0,
    float("inf"),
    np.float32(1),
    decimal.Decimal("7.0"),
    decimal.Decimal("Infinity"),
    decimal.Decimal("sNaN"),
    decimal.Decimal("1E+999999999"),
    10**5000,
    1j,
    b"x",
    bytearray(b"x"),
    np.bytes_(b"x"),
    dt.date(2026, 1, 1),
    dt.datetime(2026, 1, 1),  # noqa: DTZ001
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    dt.time(1),
    dt.timedelta(1),
    np.datetime64("2026-01-01"),
    np.timedelta64(5, "s"),
    pd.Timestamp("2026-01-01"),
    pd.Timedelta(1),
    pd.Period("2026-01"),
    pd.Interval(0, 1),
    Plain.X,
    ["x"],
    {"x": 1},
    ("x",),
    np.array([1]),
    object(),
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("entry", ["tuples", "mappings", "members", "pandas objects"])
def test_a_value_without_one_text_is_refused_with_the_name_of_its_column(value, entry):
    with pytest.raises(InvalidCellError) as caught:
        texts_of(ENTRIES[entry]([value]))
    assert caught.value.column == "plan"
    assert caught.value.hint


# --- Columns of odd types --------------------------------------------------------------------


class Money(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.int64(), "test.money")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()


PERIOD = pd.Series(pd.period_range("2026-01", periods=1, freq="M"))
INTERVAL = pd.Series(pd.interval_range(0, 1))
BIG = 2**100


def pandas(column):
    return pd.DataFrame({"amplitude_id": ["1"], "plan": column})


def polars(column):
    return pl.DataFrame({"amplitude_id": ["1"], "plan": column})


def arrow(column, metadata=None):
    fields = [
        pa.field("amplitude_id", pa.string()),
        pa.field("plan", column.type, metadata=metadata),
    ]
    return pa.table([["1"], column], schema=pa.schema(fields))


def duck(cell):
    return duckdb.connect().sql(f"select '1' as amplitude_id, {cell} as plan")


# The column, and the text of its cell; None if it is refused.
ODD = {
    "pandas Period": (lambda: pandas(PERIOD), None),
    "pandas Interval": (lambda: pandas(INTERVAL), None),
    "pandas categories of Period": (lambda: pandas(PERIOD.astype("category")), None),
    "pandas categories of integers": (lambda: pandas(pd.Series([5]).astype("category")), "5"),
    "pandas Sparse": (lambda: pandas(pd.arrays.SparseArray([5])), "5"),
    "pandas Sparse floats": (lambda: pandas(pd.arrays.SparseArray([5.0])), None),
    "pandas timedelta": (lambda: pandas([pd.Timedelta(1)]), None),
    "pandas datetime": (lambda: pandas([pd.Timestamp("2026-01-01", tz="UTC")]), None),
    "pandas string": (lambda: pandas(pd.array(["x"], "string")), "x"),
    "pandas Int64": (lambda: pandas(pd.array([5], "Int64")), "5"),
    "pandas boolean": (lambda: pandas(pd.array([True], "boolean")), None),
    "pandas complex": (lambda: pandas([1j]), None),
    "pandas Arrow dictionary": (
        lambda: pandas(pd.array(["x"], pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string())))),
        "x",
    ),
    "pandas Arrow list": (
        lambda: pandas(pd.array([[1]], pd.ArrowDtype(pa.list_(pa.int8())))),
        None,
    ),
    "pandas mixed": (lambda: pandas(objects([BIG])), str(BIG)),
    "polars Enum": (lambda: polars(pl.Series(["x"], dtype=pl.Enum(["y", "x"]))), "x"),
    "polars Categorical": (lambda: polars(pl.Series(["x"], dtype=pl.Categorical)), "x"),
    "polars Object": (lambda: polars(pl.Series([object()], dtype=pl.Object)), None),
    "polars Object text": (lambda: polars(pl.Series(["x"], dtype=pl.Object)), "x"),
    "polars Int128": (lambda: polars(pl.Series([BIG], dtype=pl.Int128)), str(BIG)),
    "polars List": (lambda: polars([[1]]), None),
    "polars List of Int128": (lambda: polars(pl.Series([[BIG]], dtype=pl.List(pl.Int128))), None),
    "polars Struct": (lambda: polars([{"a": 1}]), None),
    "polars Duration": (lambda: polars(pl.Series([5], dtype=pl.Duration)), None),
    "polars Decimal": (lambda: polars([decimal.Decimal("1.50")]), None),
    "polars whole Decimal": (
        lambda: polars(pl.Series([decimal.Decimal(5)], dtype=pl.Decimal(9, 0))),
        "5",
    ),
    "polars Binary": (lambda: polars([b"x"]), None),
    "arrow large_binary": (lambda: arrow(pa.array([b"x"], pa.large_binary())), None),
    "arrow string_view": (lambda: arrow(pa.array(["x"], pa.string_view())), "x"),
    "arrow dictionary of times": (
        lambda: arrow(pa.array([5], pa.timestamp("s")).dictionary_encode()),
        None,
    ),
    "arrow runs of views": (
        lambda: arrow(pa.RunEndEncodedArray.from_arrays([1], pa.array(["x"], pa.string_view()))),
        "x",
    ),
    "arrow union": (
        lambda: arrow(
            pa.UnionArray.from_dense(
                pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([5])]
            )
        ),
        "5",
    ),
    "arrow map": (lambda: arrow(pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8()))), None),
    "arrow unknown zone": (lambda: arrow(pa.array([5], pa.timestamp("s", "No/Where"))), None),
    "arrow uuid": (
        lambda: arrow(
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\0" * 16], pa.binary(16)))
        ),
        "00000000-0000-0000-0000-000000000000",
    ),
    "an extension type": (
        lambda: arrow(pa.ExtensionArray.from_storage(Money(), pa.array([5]))),
        None,
    ),
    "an extension type that nobody registered": (
        lambda: arrow(pa.array([672]), {"ARROW:extension:name": "other.period"}),
        None,
    ),
    "an extension type of text": (
        lambda: arrow(pa.array(["x"]), {"ARROW:extension:name": "other.text"}),
        "x",
    ),
    "duckdb uhugeint": (lambda: duck(f"{2**128 - 1}::uhugeint"), str(2**128 - 1)),
    "duckdb hugeint": (lambda: duck(f"{2**127 - 1}::hugeint"), str(2**127 - 1)),
    "duckdb enum": (lambda: duck("'x'::enum('y', 'x')"), "x"),
    "duckdb interval": (lambda: duck("interval 1 day"), None),
    "duckdb bit": (lambda: duck("'101'::bit"), None),
    "duckdb struct": (lambda: duck("{'a': 1}"), None),
}
each_odd_column = pytest.mark.parametrize(("table", "text"), ODD.values(), ids=ODD)


@each_odd_column
def test_a_column_of_an_odd_type_is_text_as_people_read_it_or_is_refused(table, text):
    if text is not None:
        assert texts_of(table()) == [text]
        return
    with pytest.raises(InvalidCellError) as caught:
        texts_of(table())
    assert caught.value.column == "plan"


@each_odd_column
def test_a_column_of_an_odd_type_that_is_not_asked_for_does_not_matter(table, text):
    tables = [table()]
    if not isinstance(tables[0], (pa.Table, duckdb.DuckDBPyRelation)):
        tables.append(nw.from_native(tables[0]))
    for one in tables:
        with diff_members((), one, schema=RowSchema()) as diff:
            assert list(diff.rows(DiffType.ENTERING)) == [("1", "")]
            assert diff.report.ignored_columns == ("plan",)


ONE = pd.DataFrame({"amplitude_id": ["1"]})
REPEATED = {
    "pandas": lambda: pd.concat([ONE, ONE.assign(plan="a"), ONE.assign(plan="b")], axis=1),
    "pyarrow": lambda: pa.table([["1"], ["a"], ["b"]], ["amplitude_id", "plan", "plan"]),
    "duckdb": lambda: duckdb.connect().sql("select '1' amplitude_id, 'a' plan, 'b' plan"),
}


@pytest.mark.parametrize("table", REPEATED.values(), ids=REPEATED)
def test_a_repeated_column_matters_only_if_it_is_asked_for(table):
    with diff_members((), table(), schema=RowSchema()) as diff:
        assert list(diff.rows(DiffType.ENTERING)) == [("1", "")]
        assert diff.report.ignored_columns == ("plan",)
    with pytest.raises(MalformedCsvError, match="the column 'plan' occurs more than once"):
        texts_of(table())


def test_columns_of_duckdb_that_differ_in_letter_case_are_two():
    table = duckdb.connect().sql("""select '1' amplitude_id, 'a' plan, 'b' "PLAN" """)
    assert texts_of(table) == ["a"]
