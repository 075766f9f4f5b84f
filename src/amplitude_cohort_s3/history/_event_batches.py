"""Files of changes as record batches of events, without a Python object for each row."""

from array import array
from collections.abc import Iterable, Iterator
from datetime import datetime
from struct import pack
from typing import Any

from .._optional import load
from .._time import epoch_microseconds
from ..format.filename import DiffType
from ..sources.protocol import CsvSource
from .line_batches import csv_batches

_VALUE_COLUMNS = 2
"""The time and the type of an event come before the cells of its row."""


def cells_schema(schema: Any) -> Any:
    """Return the columns of a ``pyarrow.Schema`` of events that are those of the files."""
    return load("pyarrow", "arrow").schema(list(schema)[_VALUE_COLUMNS:])


def event_batches(
    synced_at: datetime, diff_type: DiffType, cells: Iterable[Any], schema: Any
) -> Iterator[Any]:
    """Yield the events of a file as record batches of a ``pyarrow.Schema``.

    Args:
        synced_at: The time of the sync.
        diff_type: The type of the file.
        cells: Its rows as record batches of ``cells_schema(schema)``.
        schema: The columns of the events.
    """
    pa = load("pyarrow", "arrow")
    time_kind, type_kind = schema.types[:_VALUE_COLUMNS]
    microseconds = array("q", [epoch_microseconds(synced_at)])
    for batch in cells:
        rows = batch.num_rows
        times = pa.Array.from_buffers(time_kind, rows, [None, pa.py_buffer(microseconds * rows)])
        types = _repeated(pa, diff_type.value, rows, type_kind)
        yield pa.record_batch([times, types, *batch.columns], schema=schema)


def _repeated(pa: Any, text: str, rows: int, kind: Any) -> Any:
    """Return an array that repeats a text of at most 12 bytes.

    ``pyarrow.repeat`` would import pandas, if it is installed, which takes longer than a table.
    """
    data = text.encode()
    if kind == pa.string():
        offsets = array("i", [len(data) * row for row in range(rows + 1)])
        buffers = [pa.py_buffer(offsets), pa.py_buffer(data * rows)]
    else:
        buffers = [pa.py_buffer(pack("=i12s", len(data), data) * rows)]
    return pa.Array.from_buffers(kind, rows, [None, *buffers])


def file_batches(source: CsvSource, columns: Iterable[str], schema: Any) -> Iterator[Any]:
    """Yield the rows of a canonical file as record batches of a ``pyarrow.Schema``.

    Args:
        source: The file.
        columns: Its columns.
        schema: The columns to return; one that the file lacks is empty.
    """
    pa, present = load("pyarrow", "arrow"), set(columns)
    found = pa.schema([field for field in schema if field.name in present])
    with source.reading():
        for batch in csv_batches(source.chunks(), found):
            arrays = [
                batch.column(one.name)
                if one.name in present
                else _repeated(pa, "", batch.num_rows, one.type)
                for one in schema
            ]
            yield pa.record_batch(arrays, schema=schema)
