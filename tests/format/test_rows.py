"""Rows: their canonical form, and reading CSV files however they are written."""

import csv
import datetime as dt
import io
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import Member, RowSchema
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    ConfigurationError,
    InvalidCellError,
    MalformedCsvError,
    MissingColumnsError,
)
from amplitude_cohort_s3.format import csv_blocks
from amplitude_cohort_s3.format.reader import read_table
from amplitude_cohort_s3.testing import strategies

PLAN = RowSchema(properties=("plan",))


def encoded(schema, rows):
    return b"".join(schema.encode(rows))


def table(data, *, canonical=False):
    """Return the columns and rows of a file."""
    read = read_table([data] if isinstance(data, bytes) else data, canonical=canonical)
    return read.columns, [row for batch in read.batches for row in batch]


# --- Canonical bytes ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("plain", "plain"),
        ("", ""),
        (" blanks ", " blanks "),
        ("\ttab", "\ttab"),
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ('"', '""""'),
        ("a\nb", '"a\nb"'),
        ("a\rb", '"a\rb"'),
        ("a\r", '"a\r"'),
        ("a\r\nb", '"a\r\nb"'),
        ("größe 日本 😀", "größe 日本 😀"),
        ("\u2028\x1c\x85", "\u2028\x1c\x85"),
    ],
)
def test_a_cell_is_quoted_only_if_necessary(cell, written):
    expected = f"amplitudeID,userID,plan\n1,,{written}\n".encode()
    assert encoded(PLAN, [("1", "", cell)]) == expected
    assert list(PLAN.decode([expected])) == [("1", "", cell)]


@pytest.mark.parametrize(
    ("style", "header"),
    [("documented", b"amplitudeID,userID,plan\n"), ("api", b"amplitude_id,user_id,plan\n")],
)
def test_there_is_always_a_header_in_the_style_of_the_schema(style, header):
    schema = RowSchema(properties=("plan",), header_style=style)
    assert encoded(schema, []) == header == schema.header_line
    assert list(schema.decode([header])) == []


@given(st.data())
def test_law_decode_undoes_encode(data):
    schema = data.draw(strategies.schemas())
    rows = data.draw(strategies.rows(schema))
    written = encoded(schema, rows)
    assert list(schema.decode([written])) == rows
    assert list(schema.decode([written], canonical=True)) == rows
    assert encoded(schema, iter(rows)) == written


@given(st.data())
def test_the_csv_module_reads_the_canonical_bytes(data):
    schema = data.draw(strategies.schemas())
    rows = data.draw(strategies.rows(schema))
    text = io.StringIO(encoded(schema, rows).decode(), newline="")
    assert [tuple(row) for row in csv.reader(text, strict=True)] == [schema.header, *rows]


def test_a_lone_cr_is_quoted_because_other_readers_end_a_row_at_it():
    unquoted = "amplitudeID,userID,plan\n1,a\rb,\n"
    assert list(csv.reader(io.StringIO(unquoted, newline="")))[1:] == [["1", "a"], ["b", ""]]
    # The csv module does not quote it before Python 3.13; we quote it for all readers.
    written = encoded(PLAN, [("1", "a\rb", "")]).decode()
    assert list(csv.reader(io.StringIO(written, newline="")))[1:] == [["1", "a\rb", ""]]


def test_many_rows_are_encoded_in_chunks_of_limited_size():
    rows = [(str(n), "x" * 100, "a,b" if n % 5000 == 0 else "") for n in range(30_000)]
    chunks = list(PLAN.encode(rows))
    assert len(chunks) > 1
    assert max(map(len, chunks)) < 3 << 20
    one_by_one = b"".join(encoded(PLAN, [row]).removeprefix(PLAN.header_line) for row in rows)
    assert b"".join(chunks) == PLAN.header_line + one_by_one


@pytest.mark.parametrize(
    ("row", "column"), [(("1", "a\0b", ""), "user_id"), (("1", "", "\ud83d"), "plan")]
)
def test_text_that_csv_in_utf8_can_not_contain_is_refused_and_not_shown(row, column):
    with pytest.raises(InvalidCellError) as caught:
        encoded(PLAN, [("0", "", ""), row])
    assert caught.value.column == column
    assert "a\0b" not in str(caught.value)


def test_a_row_with_another_number_of_cells_is_refused():
    for row in [("1",), ("1", "", "", "")]:
        with pytest.raises(ValueError, match="3 columns"):
            encoded(PLAN, [row])


# --- Schemas --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "faults"),
    [
        ({"properties": ("",)}, ["no name"]),
        ({"properties": ("userID",)}, ["user_id"]),
        ({"properties": (" AMPLITUDE_ID ",)}, ["amplitude_id"]),
        ({"properties": ("plan", "plan")}, ["two properties"]),
        ({"properties": ("a\0",)}, ["NUL"]),
        ({"properties": ("\ud800",)}, ["surrogate"]),
        ({"key": "plan"}, ["key"]),
        ({"properties": "plan"}, ["sequence of names"]),
        ({"header_style": "spark"}, ["header_style"]),
        (
            {"properties": ("user_id", "", "p", "p"), "key": "q", "header_style": "x"},
            ["user_id", "no name", "two properties", "key", "header_style"],
        ),
    ],
)
def test_a_schema_reports_all_its_faults_at_once(arguments, faults):
    with pytest.raises(ConfigurationError) as caught:
        RowSchema(**arguments)
    assert len(caught.value.faults) == len(faults)
    for fault, word in zip(caught.value.faults, faults, strict=True):
        assert word in fault


# --- Reading CSV files of other programs ------------------------------------------------

TWO = ("amplitude_id", "user_id")

# The kind of file, its bytes, and the columns and rows in it.
TOLERATED = {
    "a byte order mark": (b"\xef\xbb\xbfamplitude_id,user_id\n1,a\n", TWO, [("1", "a")]),
    "CRLF": (b"amplitude_id,user_id\r\n1,a\r\n2,\r\n", TWO, [("1", "a"), ("2", "")]),
    "no line end at the end": (b"amplitude_id,user_id\n1,a", TWO, [("1", "a")]),
    "CRLF, and none at the end": (
        b"amplitude_id,user_id\r\n1,a\r\n2,b",
        TWO,
        [("1", "a"), ("2", "b")],
    ),
    "quotes around every cell": (
        b'"amplitude_id","user_id"\n"1","a"\n"2",""\n',
        TWO,
        [("1", "a"), ("2", "")],
    ),
    "the API's own form": (
        b'"amplitude_id","user_id","plan"\r\n"123456789012","","a ""b"", c\nd"\r\n',
        (*TWO, "plan"),
        [("123456789012", "", 'a "b", c\nd')],
    ),
    "a byte order mark before a quote": (
        b'\xef\xbb\xbf"amplitude_id"\n"1"\n',
        ("amplitude_id",),
        [("1",)],
    ),
    "line ends inside quotes": (
        b'amplitude_id,user_id\n1,"a\nb"\n2,"c\r\nd"\n3,"\n"\n',
        TWO,
        [("1", "a\nb"), ("2", "c\r\nd"), ("3", "\n")],
    ),
    "a lone CR in quotes": (b'amplitude_id,user_id\n2,"a\rb"\r\n', TWO, [("2", "a\rb")]),
    "columns in any order": (
        b"plan,userID,amplitudeID\np,u,1\n",
        ("plan", "user_id", "amplitude_id"),
        [("p", "u", "1")],
    ),
    "the documented header, blanks as on the page": (
        b" amplitudeID, userID\n1,a\n",
        TWO,
        [("1", "a")],
    ),
    "any letter case": (b"AMPLITUDEID,User_Id\n1,a\n", TWO, [("1", "a")]),
    "only the user id": (b"user_id\na\n", ("user_id",), [("a",)]),
    "a property keeps its blanks and its case": (
        b"amplitude_id, Plan \n1, p \n",
        ("amplitude_id", " Plan "),
        [("1", " p ")],
    ),
    "an id column twice": (
        b"amplitude_id,userID,amplitudeID\n1,a,1\n2,,2\n",
        TWO,
        [("1", "a"), ("2", "")],
    ),
    "blank lines": (
        b"\n\r\namplitude_id,user_id\n\n1,a\n\r\n\n2,b\n\n",
        TWO,
        [("1", "a"), ("2", "b")],
    ),
    "blank lines in a single column": (
        b"amplitude_id\n\n1\n\n2\n\n",
        ("amplitude_id",),
        [("1",), ("2",)],
    ),
    "only a header": (b"amplitude_id\n", ("amplitude_id",), []),
    "only a header, and no line end": (b"amplitude_id,user_id", TWO, []),
    "TABs before every header cell": (
        b"\tamplitude_id,\tuser_id,\tplan\n\t1,\ta,\t=1+1\n2,\t\tb,c\t\n",
        (*TWO, "plan"),
        [("1", "a", "=1+1"), ("2", "\tb", "c\t")],
    ),
    "TABs inside of quotes": (
        b'"\tamplitude_id","\tuser_id"\n"\t1","\ta"\n',
        TWO,
        [("1", "a")],
    ),
    "TABs before some header cells only": (
        b"\tamplitude_id,user_id\n\t1,\ta\n",
        TWO,
        [("\t1", "\ta")],
    ),
}


@pytest.mark.parametrize(("data", "columns", "rows"), TOLERATED.values(), ids=TOLERATED)
def test_a_file_is_read_in_any_dialect(data, columns, rows):
    assert table(data) == (columns, rows)


def test_no_tab_is_removed_from_a_canonical_file():
    data = b"\tamplitude_id,\tuser_id\n\t1,\ta\n"
    assert table(data, canonical=True) == (TWO, [("\t1", "\ta")])


# The kind of file, its bytes, the line of the fault, and a word of the error.
MALFORMED = {
    "a row with a cell too few": (b"amplitude_id,user_id\n1,a\n2\n", 3, "1 cell,"),
    "a row with a cell too many": (b"amplitude_id,user_id\n1,a,x\n2,b\n", 2, "3 cells"),
    "too few and too many": (b"amplitude_id,user_id\n1,a,x\n2\n", 2, "3 cells"),
    "after a row of two lines": (b'amplitude_id,user_id\n1,"a\nb"\n2\n', 4, "1 cell,"),
    "after blank lines": (b"\n\namplitude_id,user_id\n\n1,a\n\n2\n", 7, "1 cell,"),
    "a NUL": (b"amplitude_id,user_id\n1,a\n2,\0\n", 3, "NUL"),
    "a NUL inside of quotes": (b'amplitude_id,user_id\n1,"a"\n2,"\n\0"\n', 4, "NUL"),
    "a NUL in the header": (b"amplitude_id,user_id\0\n1,a\n", 1, "NUL"),
    "bad UTF-8": (b"amplitude_id,user_id\n1,a\n2,b\n3,\xff\n", 4, "UTF-8"),
    "bad UTF-8 in the header": (b"amplitude_id,\xe9\n1,a\n", 1, "UTF-8"),
    "no id column": (b"name,plan\nann,p\n", 1, "amplitude_id or user_id"),
    "no id column, after blank lines": (b"\n\r\nname,plan\nann,p\n", 3, "amplitude_id or user_id"),
    "rows without a header": (b"1,a\n2,b\n", 1, "amplitude_id or user_id"),
    "nothing": (b"", 1, "empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", 1, "empty"),
    "an id column twice that differs": (
        b"amplitude_id,amplitudeID\n1,1\n2,3\n",
        3,
        "twice",
    ),
    "a quote inside of a plain cell": (b'amplitude_id,user_id\n1,a"b"c\n', 2, "quote"),
    "text after a quoted cell": (b'amplitude_id,user_id\n1,a\n2,"b"c\n', 3, "quote"),
    "a quote that is never closed": (b'amplitude_id,user_id\n1,a\n2,"b\n3,c\n', 3, "never closed"),
}


@pytest.mark.parametrize(("data", "line", "rule"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_refused_at_its_line(data, line, rule):
    with pytest.raises(MalformedCsvError) as caught:
        table(data)
    assert caught.value.line == line
    assert rule in caught.value.rule


@pytest.mark.parametrize(
    "text", ["007", "1e5", "NA", "null", "NaN", "true", "12345678901234567890"]
)
def test_text_that_looks_like_a_number_or_null_is_not_changed(text):
    assert table(f"amplitude_id,user_id\n{text},{text}\n".encode())[1] == [(text, text)]
    assert encoded(RowSchema(), [(text, text)]).decode().endswith(f"\n{text},{text}\n")


def test_a_row_without_an_end_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 16)
    monkeypatch.setattr(csv_blocks, "MAX_ROW_BYTES", 64)
    with pytest.raises(MalformedCsvError) as caught:
        table(iter([b'amplitude_id,user_id\n1,a\n2,"b'] + [b"bbbbbbbb"] * 1000))
    assert caught.value.line == 3


@given(st.data(), st.integers(3, 40))
def test_rows_do_not_depend_on_the_chunks_of_the_bytes(data, block):
    schema = data.draw(strategies.schemas())
    written = encoded(schema, data.draw(strategies.rows(schema)))
    style = data.draw(st.sampled_from(["canonical", "CRLF", "quoted", "BOM", "no end"]))
    match style:
        case "CRLF" if b'"' not in written:
            written = written.replace(b"\n", b"\r\n")
        case "BOM":
            written = b"\xef\xbb\xbf" + written
        case "no end":
            written = written.removesuffix(b"\n")
        case "quoted":
            stream = io.StringIO(newline="")
            writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
            writer.writerows([schema.header, *schema.decode([written])])
            written = stream.getvalue().encode()
    whole = table(written)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", block)
        assert table(data.draw(strategies.chunked(written))) == whole
        assert table(io.BytesIO(written)) == whole


@pytest.mark.parametrize("block", [3, 20, 35, 1 << 20])
@pytest.mark.parametrize(("data", "line", "rule"), MALFORMED.values(), ids=MALFORMED)
def test_errors_do_not_depend_on_the_chunks_of_the_bytes(monkeypatch, data, line, rule, block):
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", block)
    with pytest.raises(MalformedCsvError) as caught:
        table(data[n : n + 1] for n in range(len(data)))
    assert (caught.value.line, rule in caught.value.rule) == (line, True)


# --- The columns of a file and of a schema ------------------------------------------------


def test_columns_are_matched_by_name_and_unknown_ones_left_out():
    data = b"plan,shoe,userID,amplitudeID\np,44,u,1\n"
    assert list(PLAN.decode([data])) == [("1", "u", "p")]


def test_an_id_column_that_is_not_the_key_may_be_missing():
    assert list(RowSchema().decode([b"amplitude_id\n1\n"])) == [("1", "")]
    assert list(RowSchema(key="user_id").decode([b"user_id\na\n"])) == [("", "a")]


@pytest.mark.parametrize(
    ("schema", "fill", "missing"),
    [
        (PLAN, False, ("plan",)),
        (RowSchema(key="user_id"), True, ("user_id",)),
        (RowSchema(properties=("plan", "shoe"), key="plan"), False, ("plan", "shoe")),
        (RowSchema(properties=("plan", "shoe"), key="plan"), True, ("plan",)),
    ],
)
def test_an_error_names_the_missing_columns(schema, fill, missing):
    with pytest.raises(MissingColumnsError) as caught:
        list(schema.decode([b"amplitude_id\n1\n"], fill=fill))
    assert caught.value.columns == missing
    with pytest.raises(MissingColumnsError) as caught:
        schema.row({"amplitude_id": "1"}, fill=fill)
    assert caught.value.columns == missing


def test_with_fill_a_missing_property_is_empty():
    assert list(PLAN.decode([b"amplitude_id\n1\n"], fill=True)) == [("1", "", "")]
    assert PLAN.row({"amplitude_id": "1"}, fill=True) == ("1", "", "")


# --- Members in all forms -------------------------------------------------------------------


@pytest.mark.parametrize(
    "member",
    [
        Member("1", "ann", {"plan": "p"}),
        Member("1", "ann", {"plan": "p", "undeclared": "x"}),
        {"amplitude_id": "1", "user_id": "ann", "plan": "p"},
        {"plan": "p", "amplitudeID": 1, "userID": "ann", "undeclared": ["x"]},
        ("1", "ann", "p"),
        [1, "ann", "p"],
    ],
    ids=repr,
)
def test_a_member_in_any_form_is_a_row(member):
    assert PLAN.row(member) == ("1", "ann", "p")


@pytest.mark.parametrize(
    ("value", "text"),
    [("007", "007"), ("", ""), (None, ""), (float("nan"), ""), (0, "0"), (10**19, "1" + "0" * 19)],
)
def test_a_value_that_can_be_written_in_one_way_only_is_accepted(value, text):
    assert PLAN.row(("1", "", value)) == ("1", "", text)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("inf"),
        True,
        False,
        dt.date(2026, 1, 1),
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        b"x",
        ["x"],
    ],
    ids=repr,
)
def test_a_value_that_can_be_written_in_several_ways_is_refused_with_a_hint(value):
    with pytest.raises(InvalidCellError) as caught:
        PLAN.row(("1", "", value))
    assert caught.value.column == "plan"
    assert type(value).__name__ in caught.value.rule
    assert caught.value.hint


@pytest.mark.parametrize("member", ["1", b"1", 1, None], ids=repr)
def test_an_object_that_is_not_a_member_is_refused(member):
    with pytest.raises(ArgumentTypeError):
        PLAN.row(member)


@pytest.mark.parametrize(
    ("member", "rule"), [(("1",), "1 value, but"), (("1", "a", "p", "x"), "4 values, but")]
)
def test_a_sequence_with_another_number_of_values_is_refused(member, rule):
    with pytest.raises(MalformedCsvError) as caught:
        PLAN.row(member)
    assert rule in caught.value.rule
    assert "amplitude_id, user_id, plan" in caught.value.hint


def test_the_repr_of_a_member_has_no_user_ids():
    member = Member("4711", "ann@example.com", {"plan": "secret"})
    assert "4711" not in repr(member)
    assert "ann" not in repr(member)
    assert "secret" not in repr(member)
    assert pickle.loads(pickle.dumps(member)) == member


def test_many_line_ends_in_one_cell_are_read_in_linear_time():
    # A reader that joins the parts of a cell one by one would take minutes.
    cell = "\n" * 500_000
    schema = RowSchema(properties=("plan",))
    assert list(schema.decode(schema.encode([("1", "", cell)]))) == [("1", "", cell)]
