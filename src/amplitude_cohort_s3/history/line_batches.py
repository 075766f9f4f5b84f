"""Canonical CSV as record batches of Arrow, many times faster than row by row.

The native kernel writes the texts of a block of lines straight into the buffers of Arrow.
Without it, pyarrow's CSV reader parses the block. Both give the same columns. A block that is
not canonical is left to our own reader, which also names the line and the fault.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .._optional import load
from ..format.cells import encode_text
from ..format.columns import check_present
from ..format.kernel import HAS_KERNEL, column_texts
from ..format.reader import read_table
from .tables import arrow_schema, row_batches

BATCH_BYTES = 1 << 20
"""The approximate number of CSV bytes in a batch."""

_BOM = b"\xef\xbb\xbf"

_QUOTED = re.compile(rb'"[^"]*+"')


def csv_reader(chunks: Iterable[bytes], columns: Iterable[str]) -> Any:
    """Return canonical CSV as a ``pyarrow.RecordBatchReader`` of text, which reads it once."""
    pa, schema = load("pyarrow", "arrow"), arrow_schema(dict.fromkeys(columns, "text"))
    return pa.RecordBatchReader.from_batches(schema, csv_batches(chunks, schema))


def csv_batches(chunks: Iterable[bytes], schema: Any) -> Iterator[Any]:
    """Yield canonical CSV as record batches.

    Args:
        chunks: The bytes of a file with a header.
        schema: A ``pyarrow.Schema`` of text: the columns to return, in their order.

    Raises:
        MalformedCsvError: The bytes are not such CSV.
        MissingColumnsError: The file lacks a column.
    """
    table = read_table(chunks, canonical=True, block_bytes=BATCH_BYTES)
    columns = table.reader.header.names
    check_present(schema.names, columns)
    for block in table.blocks:
        batch = _text_batch(block.data, columns, schema)
        if batch is None:
            yield from row_batches(table.reader.rows(block), schema)
        else:
            yield batch


def line_batch(lines: bytes, schema: Any) -> Any:
    """Return canonical lines as one record batch.

    Args:
        lines: Whole lines, without a header; about ``BATCH_BYTES`` of them are the best size.
        schema: A ``pyarrow.Schema`` of text: the columns of the lines.

    Raises:
        MalformedCsvError: The bytes are not such lines.
    """
    batch = _text_batch(lines, schema.names, schema)
    if batch is not None:
        return batch
    pa = load("pyarrow", "arrow")
    batches = csv_batches([encode_text(schema.names).encode(), lines], schema)
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    return next(iter(table.to_batches()), pa.RecordBatch.from_pylist([], schema))


def _text_batch(lines: bytes, columns: Sequence[str], schema: Any) -> Any:
    """Return lines as a record batch, or None if our own reader must read them."""
    batch = _kernel_batch(lines, columns, schema) if HAS_KERNEL else None
    return _parsed_batch(lines, columns, schema) if batch is None else batch


def _kernel_batch(lines: bytes, columns: Sequence[str], schema: Any) -> Any:
    """Return lines as a record batch that the kernel has made, or None if it refuses them."""
    pa = load("pyarrow", "arrow")
    as_views = pa.string() not in schema.types
    found = column_texts(lines, pa.allocate_buffer, columns=len(columns), as_views=as_views)
    if found is None:
        return None
    used = [found.buffers[columns.index(name)] for name in schema.names]
    # Each column gets copies, since a part would keep the memory of the other columns in use.
    # The long texts of views are one part for all columns.
    parts = {id(part): part for buffers in used for part in buffers}
    copies = {place: _copied(pa, part) for place, part in parts.items()}
    arrays = [
        pa.Array.from_buffers(kind, found.rows, [None, *(copies[id(part)] for part in buffers)])
        for kind, buffers in zip(schema.types, used, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def _copied(pa: Any, part: memoryview) -> Any:
    buffer = pa.allocate_buffer(part.nbytes)
    memoryview(buffer)[:] = part
    return buffer


def _parsed_batch(lines: bytes, columns: Sequence[str], schema: Any) -> Any:
    """Return lines as a record batch of pyarrow's CSV reader, or None if it refuses them."""
    # pyarrow would remove a byte order mark, which here is a part of the first cell, and it
    # would end a row at a CR outside of quotes.
    has_cr = b"\r" in lines and b"\r" in _QUOTED.sub(b"", lines)
    if has_cr or lines.startswith(_BOM):
        return None
    pa, csv = load("pyarrow", "arrow"), load("pyarrow.csv", "arrow")
    # One block for pyarrow too, because a row must fit into a block.
    read = csv.ReadOptions(column_names=columns, block_size=len(lines) + 1, use_threads=False)
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(schema.names, pa.string()),
        include_columns=schema.names,
        strings_can_be_null=False,
    )
    try:
        table = csv.read_csv(io.BytesIO(lines), read, convert_options=convert).cast(schema)
    except pa.ArrowInvalid:
        return None
    return next(iter(table.to_batches()), None)
