"""Rows in canonical bytes, with the facts that the part of a file with these rows needs."""

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from attrs import frozen

from .._optional import load
from ..format.columns import Row
from ..format.digests import plain_lines_digest, row_digest
from ..format.schema import RowSchema


@frozen(kw_only=True)
class EncodedRows:
    """Consecutive rows of a file.

    Attributes:
        lines: The canonical bytes, without a header.
        rows: The number of rows, at least one.
        digest: The sum of the rows' :func:`row_digest`.
        first_key: The key of the first row.
        last_key: The key of the last row.
        is_ascending: True if each key is greater than the one before it.
    """

    lines: bytes
    rows: int
    digest: int
    first_key: str
    last_key: str
    is_ascending: bool


def encode_rows(rows: Sequence[Row], *, schema: RowSchema) -> EncodedRows:
    """Encode one or more rows.

    Raises:
        InvalidCellError: A cell contains a NUL or a lone surrogate.
    """
    keys = [row[schema.key_index] for row in rows]
    return EncodedRows(
        lines=b"".join(schema.encode(rows))[len(schema.header_line) :],
        rows=len(rows),
        digest=sum(map(row_digest, rows)),
        first_key=keys[0],
        last_key=keys[-1],
        is_ascending=all(a < b for a, b in pairwise(keys)),
    )


def encode_batch(batch: Any, *, schema: RowSchema) -> EncodedRows:
    """Encode a record batch of text without nulls, which has at least one row.

    The columns must be in the order of the schema. pyarrow encodes the rows if no cell needs
    quotes, which is several times faster than encoding them row by row.

    Raises:
        InvalidCellError: A cell contains a NUL.
    """
    pa, csv = load("pyarrow", "spark"), load("pyarrow.csv", "spark")
    compute = load("pyarrow.compute", "spark")
    target = io.BytesIO()
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    try:
        csv.write_csv(batch, target, options)
    except pa.ArrowInvalid:  # A cell contains a comma, a quote or a line end.
        return _encode_row_by_row(batch, schema)
    lines = target.getvalue()
    if b"\0" in lines:
        return _encode_row_by_row(batch, schema)
    keys = batch.column(schema.key_index)
    ascending = compute.all(compute.less(keys.slice(0, len(keys) - 1), keys.slice(1)))
    return EncodedRows(
        lines=lines,
        rows=batch.num_rows,
        digest=plain_lines_digest(lines),
        first_key=keys[0].as_py(),
        last_key=keys[-1].as_py(),
        is_ascending=ascending.as_py() is not False,  # null for a single row
    )


def _encode_row_by_row(batch: Any, schema: RowSchema) -> EncodedRows:
    columns = (column.to_pylist() for column in batch.columns)
    return encode_rows(list(zip(*columns, strict=True)), schema=schema)
