"""Canonical CSV as record batches of Arrow, many times faster than row by row.

The native kernel writes the texts of a block of lines straight into the buffers of Arrow.
Without it, pyarrow's CSV reader parses the block. Both produce the same columns. A block that is
not canonical is read by our own reader, which also names the line and the fault.
"""

import io
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import pack
from typing import Any

from .._optional import load
from ..format.cells import encode_text
from ..format.columns import check_present
from ..format.content import first_fault_of
from ..format.kernel import HAS_KERNEL, column_texts
from ..format.reader import read_table
from ..sources.protocol import CsvSource
from .tables import arrow_schema, row_batches

BATCH_BYTES = 1 << 20
"""The approximate number of CSV bytes in a batch."""

_BOM = b"\xef\xbb\xbf"

_QUOTED = re.compile(rb'"[^"]*+"')


def csv_reader(chunks: Iterable[bytes], columns: Iterable[str]) -> Any:
    """Return canonical CSV as a ``pyarrow.RecordBatchReader`` of text, which reads it once."""
    pa, schema = load("pyarrow", "arrow"), arrow_schema(dict.fromkeys(columns, "text"))
    return pa.RecordBatchReader.from_batches(schema, csv_batches(chunks, schema))


def file_batches(
    source: CsvSource,
    schema: Any,
    required: Iterable[str],
    check: Callable[[], Iterable[object]],
) -> Iterator[Any]:
    """Yield the rows of a canonical file as record batches.

    Args:
        source: The file.
        schema: A ``pyarrow.Schema`` of text: see :func:`csv_batches`.
        required: The columns that the file must have.
        check: A function that reads the file row by row, to find the first fault in it.

    Raises:
        MalformedCsvError, MissingColumnsError: The file can't be read. The error names it.
        ObjectChangedError: The bytes of the file differ from the record.
    """
    with first_fault_of(check), source.reading():
        yield from csv_batches(source.chunks(), schema, required)


def csv_batches(
    chunks: Iterable[bytes], schema: Any, required: Iterable[str] | None = None
) -> Iterator[Any]:
    """Yield canonical CSV as record batches.

    Args:
        chunks: The bytes of a file with a header.
        schema: A ``pyarrow.Schema`` of text: the columns to return, in their order.
        required: The columns that the file must have; others that it lacks are empty.
            Default: all.

    Raises:
        MalformedCsvError: The bytes are not such CSV.
        MissingColumnsError: The file lacks a column.
    """
    pa = load("pyarrow", "arrow")
    table = read_table(chunks, canonical=True, block_bytes=BATCH_BYTES)
    header = table.reader.header
    check_present(schema.names if required is None else required, table.columns)
    present = pa.schema([one for one in schema if one.name in table.columns])
    places = tuple(header.names.index(name) for name in present.names)
    for block in table.blocks:
        # Only our own reader compares the cells of an id column that is repeated.
        batch = None if header.repeated_ids else _text_batch(block.data, header.names, present)
        if batch is None:
            batches = row_batches(table.reader.select_rows(block, places), present)
        else:
            batches = iter([batch])
        yield from (_filled(one, schema) for one in batches)


def _filled(batch: Any, schema: Any) -> Any:
    """Return a record batch in the columns of a schema; those that it lacks are empty."""
    if batch.num_columns == len(schema):
        return batch
    pa, present = load("pyarrow", "arrow"), batch.schema.names
    arrays = [
        batch.column(one.name)
        if one.name in present
        else repeated_text("", batch.num_rows, one.type)
        for one in schema
    ]
    return pa.record_batch(arrays, schema=schema)


def repeated_text(text: str, rows: int, kind: Any) -> Any:
    """Return an Arrow array that repeats a text of at most 12 bytes.

    ``pyarrow.repeat`` would import pandas, if it is installed: that takes longer than the rest.
    """
    pa, data = load("pyarrow", "arrow"), text.encode()
    if kind == pa.string():
        offsets = array("i", [len(data) * row for row in range(rows + 1)])
        buffers = [pa.py_buffer(offsets), pa.py_buffer(data * rows)]
    else:
        buffers = [pa.py_buffer(pack("=i12s", len(data), data) * rows)]
    return pa.Array.from_buffers(kind, rows, [None, *buffers])


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
    # The parts are copied, because each part keeps the memory of the other columns in use. The
    # long texts of views are one part for all columns.
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
    # pyarrow would remove a byte order mark, which here is a part of the first cell, end a row
    # at a CR outside of quotes, and accept a NUL.
    has_cr = b"\r" in lines and b"\r" in _QUOTED.sub(b"", lines)
    if has_cr or b"\0" in lines or lines.startswith(_BOM):
        return None
    pa, csv = load("pyarrow", "arrow"), load("pyarrow.csv", "arrow")
    # The lines are one block for pyarrow too, because a row must fit into a block.
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
