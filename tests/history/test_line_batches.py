"""Canonical lines as one record batch, in both layouts of Arrow, against the rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from implementations import use_kernel
from odd_texts import CELL, ODD_ROWS, SCHEMA

from amplitude_cohort_s3.errors import MalformedCsvError, MissingColumnsError
from amplitude_cohort_s3.history.line_batches import csv_batches, line_batch

pa = pytest.importorskip("pyarrow")

LAYOUTS = {
    "string": pa.schema([(name, pa.string()) for name in SCHEMA.columns]),
    "string_view": pa.schema([(name, pa.string_view()) for name in SCHEMA.columns]),
}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def lines_of(rows: list[tuple[str, ...]]) -> bytes:
    return b"".join(SCHEMA.encode(rows)).removeprefix(SCHEMA.header_line)


@layouts
@given(rows=st.lists(st.tuples(CELL, CELL, CELL, CELL)), is_ended=st.booleans())
def test_any_lines_are_one_batch(layout, rows, is_ended):
    data = lines_of(rows)
    batch = line_batch(data if is_ended else data.removesuffix(b"\n"), layout)
    batch.validate(full=True)
    assert batch.schema == layout
    assert [tuple(row.values()) for row in batch.to_pylist()] == rows


@layouts
def test_lines_that_only_our_own_reader_reads_are_one_batch_too(layout):
    rows = [*ODD_ROWS, ("\ufeff1", "a", "b", "c")] * 9000
    data = "".join('"' + '","'.join(c.replace('"', '""') for c in r) + '"\n' for r in rows)
    quoted = b"\xef\xbb\xbf" + data.encode()
    rows[0] = ("\ufeff" + rows[0][0], *rows[0][1:])
    batch = line_batch(quoted.replace(b'\xef\xbb\xbf"', b'"\xef\xbb\xbf', 1), layout)
    assert [tuple(row.values()) for row in batch.to_pylist()] == rows


@pytest.fixture(params=["kernel", "Python"])
def _kernel(request, monkeypatch):
    if request.param == "Python":
        use_kernel(monkeypatch, is_used=False)


@layouts
@pytest.mark.usefixtures("_kernel")
@pytest.mark.parametrize("lines", [b"1,a,b\n", b"1,a,b,c,d\n", b"1,a,b,\xff\n", b"1,a,b,\0\n"])
def test_other_bytes_are_an_error(layout, lines):
    with pytest.raises(MalformedCsvError):
        line_batch(lines, layout)


def test_columns_are_found_by_their_names():
    layout = pa.schema([("note", pa.string()), ("amplitude_id", pa.string())])
    batches = list(csv_batches(SCHEMA.encode(ODD_ROWS), layout))
    found = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    assert found == [(row[3], row[0]) for row in ODD_ROWS]
    with pytest.raises(MissingColumnsError):
        list(csv_batches([b"amplitudeID,userID\n1,a\n"], layout))


@layouts
@pytest.mark.usefixtures("_kernel")
def test_a_column_that_is_not_required_and_is_missing_is_empty(layout):
    data = b'note,amplitudeID\nx,1\n"y\n",2\n'
    batches = list(csv_batches([data], layout, ["amplitude_id"]))
    assert [batch.schema for batch in batches] == [layout]
    found = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    assert found == [("1", "", "", "x"), ("2", "", "", "y\n")]


@layouts
@pytest.mark.usefixtures("_kernel")
def test_a_block_that_only_our_own_reader_reads_has_the_columns_that_are_asked_for(layout):
    data = b'note,city,amplitudeID,plan,userID\n"n",c,1,p,u\n'
    (batch,) = csv_batches([data], layout)
    assert batch.to_pylist() == [{"amplitude_id": "1", "user_id": "u", "plan": "p", "note": "n"}]
