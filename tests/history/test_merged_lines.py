"""The members of a sync with several canonical files, against sets of keys in Python."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_texts import CELL

from amplitude_cohort_s3 import DiffType, Members, RowSchema, errors
from amplitude_cohort_s3.format import csv_blocks
from amplitude_cohort_s3.sources.protocol import CsvSource

ENTERING, EXITING, EXISTING = DiffType
SCHEMA = RowSchema(properties=("plan",))

keys = st.one_of(st.integers(0, 30).map(str), CELL)
members = st.dictionaries(keys, st.tuples(CELL, CELL))
key_columns = st.sampled_from(SCHEMA.columns)


def canonical(rows: dict, schema: RowSchema) -> CsvSource:
    """Return a file with a row for each key, in the order of the keys."""
    place = schema.key_index
    full = [(*cells[:place], key, *cells[place:]) for key, cells in rows.items()]
    full.sort(key=lambda row: row[place].encode())
    data = b"".join(schema.encode(full))
    return CsvSource(chunks=lambda: iter([data]), canonical=True, file="the file")


def lines(rows: dict, schema: RowSchema) -> dict:
    """Return the canonical line of each key."""
    return {key: b"".join(canonical({key: rows[key]}, schema).chunks()) for key in rows}


@given(existing=members, entering=members, exiting=members, key=key_columns)
def test_members_follow_from_the_lines_of_three_files(existing, entering, exiting, key):
    schema = RowSchema(properties=("plan",), key=key)
    files = {ENTERING: entering, EXITING: exiting, EXISTING: existing}
    sources = {diff_type: canonical(rows, schema) for diff_type, rows in files.items()}
    expected = lines(existing, schema)
    for one, line in lines(entering, schema).items():
        expected[one] = min(line, expected.get(one, line))
    header = schema.header_line
    wanted = [
        expected[one].removeprefix(header)
        for one in sorted(expected, key=str.encode)
        if one and one not in exiting
    ]
    for size in (1, 50, csv_blocks.BLOCK_BYTES):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(csv_blocks, "BLOCK_BYTES", size)
            found = b"".join(Members(schema=schema, sources=sources).csv_source(schema).chunks())
        assert found == header + b"".join(wanted)


def test_two_rows_of_one_user_count_as_the_one_with_the_smaller_bytes():
    one, other = {"1": ("ann", "b")}, {"1": ("ann", "a"), "2": ("bob", "")}
    for existing, entering in ((one, other), (other, one)):
        sources = {EXISTING: canonical(existing, SCHEMA), ENTERING: canonical(entering, SCHEMA)}
        found = Members(schema=SCHEMA, sources=sources).to_list()
        assert found == [("1", "ann", "a"), ("2", "bob", "")]


@pytest.mark.parametrize("damaged", list(DiffType))
def test_a_file_that_is_not_in_order_is_read_to_its_end(damaged, monkeypatch):
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 20)

    def chunks():
        yield b"".join(SCHEMA.encode([(key, "x", "y") for key in ("5", "9", "2") * 100]))
        raise errors.ObjectChangedError("the file")

    sources = {t: canonical({"7": ("x", "y")}, SCHEMA) for t in DiffType}
    sources[damaged] = CsvSource(chunks=chunks, canonical=True, file="the file")
    with pytest.raises(errors.ObjectChangedError):
        Members(schema=SCHEMA, sources=sources).to_list()


@pytest.mark.parametrize("damaged", list(DiffType))
def test_each_file_is_read_to_its_end_and_named_in_an_error(damaged):
    rows = {str(n): ("x", "y") for n in range(10, 30)}
    sources = {t: canonical(rows, SCHEMA) for t in DiffType}
    data = b"".join(sources[damaged].chunks()) + b"9,x\n"
    sources[damaged] = CsvSource(chunks=lambda: iter([data]), canonical=True, file="damaged")
    with pytest.raises(errors.MalformedCsvError) as caught:
        Members(schema=SCHEMA, sources=sources).to_list()
    assert (caught.value.file, caught.value.line) == ("damaged", 22)
