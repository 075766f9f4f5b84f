"""Data frames and other Arrow tables as members.

It needs the extra ``arrow``, and imports pyarrow only when a table is read.
"""

import io
from collections.abc import Iterator
from typing import Any

from .._optional import load
from ..errors import ArgumentTypeError, InvalidCellError
from ..format.cells import to_text
from ..format.columns import ID_COLUMNS, id_column
from ..format.schema import RowSchema
from .names import property_columns, property_conflict
from .protocol import CsvSource, SupportsArrow

BATCH_ROWS = 1 << 14
"""The number of rows that are converted at a time."""


def arrow_csv(table: SupportsArrow, schema: RowSchema, *, fill: bool = False) -> CsvSource:
    """Return a table as CSV, which is converted in batches, column by column.

    Text and integers of any width become text, null and NaN become empty. The id columns
    may have either header style. Columns that the schema lacks are not converted.

    Args:
        table: An object with ``__arrow_c_stream__``.
        schema: The columns to read.
        fill: True if a property that the table lacks is empty instead of an error.

    Returns:
        A source that can be read once: a second reading might run a query again and get
        other rows.

    Raises:
        MissingExtraError: pyarrow is not installed.
        MissingColumnsError: The key or, without ``fill``, a property is absent; when read.
        InvalidCellError: A column that is not empty contains floats, booleans, dates or nested
            values; when read.
        ArgumentTypeError: The object is not a table; when read.
    """
    pa, csv = load("pyarrow", "arrow"), load("pyarrow.csv", "arrow")
    ignored = set[str]()
    kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__qualname__}"

    def chunks() -> Iterator[bytes]:
        try:
            reader = pa.RecordBatchReader.from_stream(table)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            # Not chained, because pyarrow's messages quote cells.
            hint = "pass a table whose columns each contain only text or only integers"
            raise ArgumentTypeError("members", kind, hint) from None
        columns = [id_column(name) or name for name in reader.schema.names]
        chosen = property_columns(schema, columns)
        schema.check_columns([*columns, *chosen], fill=fill)
        # A repeated id column is written as it is, since the reader of the CSV checks it.
        picked = [(name, [place]) for place, name in enumerate(columns) if name in ID_COLUMNS]
        picked += [
            (header, [place for place, name in enumerate(columns) if name in both])
            for header, both in chosen.items()
        ]
        names = [name for name, _ in picked]
        used = {place for _, places in picked for place in places}
        ignored.update(n for place, n in enumerate(reader.schema.names) if place not in used)
        absent = [name for name in ID_COLUMNS if name not in columns]
        written = pa.schema([(name, pa.large_string()) for name in (*names, *absent)])
        yield _csv_bytes(csv, pa.Table.from_batches([], written), include_header=True)
        number = 1
        for batch in reader:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                part = batch.slice(start, BATCH_ROWS)
                arrays = [_column(pa, part, name, places, number) for name, places in picked]
                number += part.num_rows
                arrays += [_empty(pa, part.num_rows)] * len(absent)
                rows = pa.record_batch(arrays, schema=written)
                try:
                    # The engine splits lines without quotes faster.
                    yield _csv_bytes(csv, rows, quoting_style="none")
                except pa.ArrowInvalid:
                    yield _csv_bytes(csv, rows)

    return CsvSource(
        chunks=chunks, repeatable=False, unit="row", origin={"table": kind}, ignored=ignored
    )


def _column(pa: Any, part: Any, column: str, places: list[int], number: int) -> Any:
    """Return a column as text. If it occurs more than once, its cells must be equal.

    Args:
        pa: pyarrow.
        part: The rows.
        column: The column in the schema.
        places: The positions of the column in the rows.
        number: The number of the first row.

    Raises:
        MalformedCsvError: A row has different cells.
    """
    first, *others = [_text_array(pa, part.column(place), column) for place in places]
    for place, other in zip(places[1:], others, strict=True):
        pairs = zip(first.to_pylist(), other.to_pylist(), strict=True)
        for row, (one, another) in enumerate(pairs, number):
            if (one or "") != (another or ""):
                names = [part.schema.names[n] for n in (places[0], place)]
                raise property_conflict(names, row, "row")
    return first


def _text_array(pa: Any, array: Any, column: str) -> Any:
    """Return the cells of a column as text, by the rules of ``to_text``."""
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
        return array.cast(text)  # null is written as an empty cell
    if array.null_count == len(array):
        return _empty(pa, len(array))
    try:
        values = array.to_pylist()
    except (ValueError, OverflowError):  # a time outside the range of datetime
        raise InvalidCellError(column, f"is of type {kind}", "format it as text") from None
    return pa.array([to_text(value, column) for value in values], text)


def _empty(pa: Any, rows: int) -> Any:
    return pa.repeat(pa.scalar("", pa.large_string()), rows)


def _csv_bytes(csv: Any, table: Any, *, include_header: bool = False, **options: Any) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(table, sink, csv.WriteOptions(include_header=include_header, **options))
    return sink.getvalue()
