"""Rows are encoded in the same way from record batches and one by one."""

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amplitude_cohort_s3 import RowSchema
from amplitude_cohort_s3.distributed._encoded_rows import encode_batch, encode_rows
from amplitude_cohort_s3.errors import InvalidCellError

SCHEMA = RowSchema(properties=("plan",))
CELLS = st.text(st.sampled_from('ab1,"\n\r é😀\t'), max_size=4)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6)


def batch(rows):
    columns = [pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=["a", "b", "c"])


@given(ROWS)
@example([("1", "", "")])
@example([("1", "a", "x"), ("2", "", "")])
@example([("2", "a", "x"), ("1", "", "")])
@example([("1", "a", "x"), ("1", "a", "x")])
@example([("1", "a,b", "x"), ("2", '"', "\r")])
@example([("é", "", ""), ("😀", "", "")])
def test_a_batch_is_encoded_like_its_rows(rows):
    assert encode_batch(batch(rows), schema=SCHEMA) == encode_rows(rows, schema=SCHEMA)


def test_a_part_of_a_batch_is_encoded_alone():
    rows = [("1", "a", "x"), ("2", "b", "y"), ("3", "c,", "z"), ("4", "d", "w")]
    for begin, end in ((0, 2), (1, 3), (3, 4)):
        part = batch(rows).slice(begin, end - begin)
        assert encode_batch(part, schema=SCHEMA) == encode_rows(rows[begin:end], schema=SCHEMA)


def test_a_batch_with_a_nul_is_refused():
    with pytest.raises(InvalidCellError):
        encode_batch(batch([("1", "a\0", "x")]), schema=SCHEMA)
