"""Files of changes as record batches of events, without a Python object for each row."""

from array import array
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from .._optional import load
from .._time import epoch_microseconds
from ..format.filename import DiffType
from .line_batches import repeated_text

_VALUE_COLUMNS = 2
"""The number of columns before the cells of a row: the time and the type of the event."""


def cells_schema(schema: Any) -> Any:
    """Return the columns of the files, from a ``pyarrow.Schema`` of events."""
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
        types = repeated_text(diff_type.value, rows, type_kind)
        yield pa.record_batch([times, types, *batch.columns], schema=schema)
