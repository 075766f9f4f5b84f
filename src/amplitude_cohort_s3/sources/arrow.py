"""Rows as Arrow, for every data frame there is; and every data frame as members.

Text stays text in both directions: nothing is inferred, and no text is null. Needs the
extra ``arrow``; nothing of it is imported before a table is asked for.
"""

import io
from collections.abc import Iterator
from typing import Any

from .._optional import load
from ..errors import UnsupportedValueError
from ..format.cells import to_text
from ..format.columns import ID_COLUMNS, id_column
from ..format.schema import RowSchema
from .protocol import CsvSource, SupportsArrow

BATCH_ROWS = 1 << 14
"""How many rows go through memory at a time, where their bytes are not what is counted."""


# --- The other way -------------------------------------------------------------------


def arrow_csv(table: SupportsArrow, schema: RowSchema, *, fill: bool = False) -> CsvSource:
    """A data frame of members as CSV, in batches, column by column.

    Text and integers of any width become text, null and NaN become empty. The id columns
    are found in either header style. Columns that the schema lacks are not looked at.

    Args:
        table: Anything with ``__arrow_c_stream__``.
        schema: The columns to read.
        fill: Whether a property that the table lacks is empty, not an error.

    Returns:
        A source that can be read once: a query would be run again for a second reading,
        and might answer differently.

    Raises:
        MissingExtraError: pyarrow is not installed.
        MissingColumnsError: The key or, without ``fill``, a property is absent; when read.
        UnsupportedValueError: A column holds floats, booleans, dates or no scalars, and
            not null or NaN only; or this is no table; when read.
    """
    pa, csv = load("pyarrow", "arrow"), load("pyarrow.csv", "arrow")
    ignored = set[str]()
    kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__qualname__}"

    def chunks() -> Iterator[bytes]:
        try:
            reader = pa.RecordBatchReader.from_stream(table)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            # Not chained: their texts quote cells.
            cure = "give a table whose columns hold text or integers, each one kind"
            raise UnsupportedValueError("members", kind, cure) from None
        columns = [id_column(name) or name for name in reader.schema.names]
        schema.check_columns(columns, fill=fill)
        places = [place for place, name in enumerate(columns) if name in schema.columns]
        ignored.update(
            name for place, name in enumerate(reader.schema.names) if place not in places
        )
        absent = [name for name in ID_COLUMNS if name not in columns]
        names = [*(columns[place] for place in places), *absent]
        written = pa.schema([(name, pa.large_string()) for name in names])
        yield _write(csv, pa.Table.from_batches([], written), include_header=True)
        for batch in reader:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                part = batch.slice(start, BATCH_ROWS)
                arrays = [_text_array(pa, part.column(p), columns[p]) for p in places]
                arrays += [_empty(pa, part.num_rows)] * len(absent)
                rows = pa.record_batch(arrays, schema=written)
                try:
                    # Without quotes the engine can split lines at commas.
                    yield _write(csv, rows, quoting_style="none")
                except pa.ArrowInvalid:
                    yield _write(csv, rows)

    return CsvSource(
        chunks=chunks, repeatable=False, unit="row", origin={"table": kind}, ignored=ignored
    )


def _text_array(pa: Any, array: Any, column: str) -> Any:
    """The cells of a column as text, by the rules of ``to_text``."""
    types, text = pa.types, pa.large_string()
    kind = array.type
    if types.is_dictionary(kind):
        return _text_array(pa, array.dictionary, column).take(array.indices)
    if (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_integer(kind)
        or (types.is_decimal(kind) and kind.scale == 0)
    ):
        return array.cast(text)  # null is written as nothing
    if array.null_count == len(array):
        return _empty(pa, len(array))
    try:
        values = array.to_pylist()
    except (ValueError, OverflowError):  # a time that Python has not
        raise UnsupportedValueError(column, str(kind), "format it as text") from None
    return pa.array([to_text(value, column) for value in values], text)


def _empty(pa: Any, rows: int) -> Any:
    return pa.repeat(pa.scalar("", pa.large_string()), rows)


def _write(
    csv: Any, table: Any, *, include_header: bool = False, quoting_style: str = "needed"
) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(
        table,
        sink,
        csv.WriteOptions(include_header=include_header, quoting_style=quoting_style),
    )
    return sink.getvalue()
