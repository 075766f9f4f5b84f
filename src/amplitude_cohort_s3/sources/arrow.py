"""Data frames and other Arrow tables as members.

This needs the extra ``arrow``. pyarrow is imported only when it is needed.
"""

import io
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from attrs import evolve

from .._optional import load
from ..errors import ArgumentTypeError, MissingColumnsError
from ..format.columns import ID_COLUMNS, column_name, id_column, id_conflict
from ..format.schema import RowSchema
from ._frames import PandasTable, is_a, known_rows, narrowed, unwrapped
from ._text_arrays import Column, empty_texts, text_array
from .names import places_by_header, property_conflict
from .protocol import CsvSource, SupportsArrow

BATCH_ROWS = 1 << 14
"""The number of rows that are converted at a time."""


def arrow_csv(table: SupportsArrow, schema: RowSchema, *, fill: bool = False) -> CsvSource:
    """Return a table as CSV, which is converted in batches, column by column.

    Cells become text by the rules for rows: see ``RowSchema.row``. The id columns may have
    either header style. Columns that the schema lacks are not converted, whatever they contain.

    Args:
        table: An object with ``__arrow_c_stream__``.
        schema: The columns to read.
        fill: True if a property that the table lacks is empty instead of an error.

    Returns:
        A source that can be read once: a second reading might run a query again and return
        other rows.

    Raises:
        MissingExtraError: pyarrow is not installed.
        MissingColumnsError: The key or, without ``fill``, a property is absent; when read.
        InvalidCellError: A column that is not empty contains floats, booleans, dates or nested
            values; when read.
        MalformedCsvError: A property occurs more than once, or under its name and its header
            with different values; when read.
        ArgumentTypeError: The object is not a table; when read.
    """
    pa, csv = load("pyarrow", "arrow"), load("pyarrow.csv", "arrow")
    ignored = set[str]()
    kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__qualname__}"

    def chunks() -> Iterator[bytes]:
        opened = _open_table(pa, table, schema, kind)
        texts = list(map(column_name, opened.names))
        found = places_by_header(schema, texts)
        try:
            present = [*(id_column(name) or name for name in texts), *found]
            schema.check_columns(present, fill=fill)
        except MissingColumnsError as error:
            raise evolve(error, hint=_index_hint(table, error.columns)) from None
        columns = [Column(place, name) for name, places in found.items() for place in places]
        used = {column.place for column in columns}
        ignored.update(name for place, name in enumerate(texts) if place not in used)
        doubled = [n for n, (one, two) in enumerate(pairwise(columns), 1) if one.name == two.name]
        kept = [n for n in range(len(columns)) if n not in doubled]
        absent = [name for name in ID_COLUMNS if name not in found]
        names = [*(columns[n].name for n in kept), *absent]
        written = pa.schema([(name, pa.large_string()) for name in names])
        yield _csv_bytes(csv, pa.Table.from_batches([], written), include_header=True)
        number = 1
        for arrays in opened.text_columns(columns):
            for n in doubled:
                if (row := _first_different(arrays[n - 1], arrays[n])) is not None:
                    if columns[n].name in ID_COLUMNS:
                        raise id_conflict(columns[n].name, number + row, "row")
                    both = [texts[column.place] for column in columns[n - 1 : n + 1]]
                    raise property_conflict(both, number + row, "row")
            number += len(arrays[0])
            empty = [empty_texts(pa, len(arrays[0]))] * len(absent)
            rows = pa.record_batch([*(arrays[n] for n in kept), *empty], schema=written)
            try:
                # The engine splits lines without quotes faster.
                yield _csv_bytes(csv, rows, quoting_style="none")
            except pa.ArrowInvalid:
                yield _csv_bytes(csv, rows)

    return CsvSource(
        chunks=chunks,
        repeatable=False,
        rows=known_rows(table),
        unit="row",
        origin={"table": kind},
        ignored=ignored,
    )


def _index_hint(table: object, missing: Sequence[str]) -> str | None:
    """Return what to do if a data frame of pandas has a missing column as its index."""
    levels = getattr(getattr(table, "index", None), "names", ())
    for level in map(column_name, levels):
        if (id_column(level) or level) in missing:
            return f"{level!r} is the index of the data frame: pass df.reset_index()"
    return None


def _first_different(one: Any, other: Any) -> int | None:
    """Return the place of the first row in which two columns have different texts, or None."""
    if one.equals(other):
        return None
    pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
    return next(
        (n for n, (text, another) in enumerate(pairs) if (text or "") != (another or "")), None
    )


class _ArrowStream:
    """A table as a stream of record batches."""

    def __init__(self, pa: Any, reader: Any, ignored: list[str]) -> None:
        self._pa = pa
        self._reader = reader
        self.names = [*reader.schema.names, *ignored]

    def text_columns(self, columns: list[Column]) -> Iterator[list[Any]]:
        """Yield batches of rows, each as one array of text per column."""
        fields = [self._reader.schema.field(column.place) for column in columns]
        for batch in self._reader:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                part = batch.slice(start, BATCH_ROWS)
                yield [
                    text_array(self._pa, part.column(column.place), column.name, field.metadata)
                    for column, field in zip(columns, fields, strict=True)
                ]


def _open_table(
    pa: Any, table: SupportsArrow, schema: RowSchema, kind: str
) -> PandasTable | _ArrowStream:
    native = unwrapped(table)
    if is_a(native, "pandas", "DataFrame"):
        return PandasTable(pa, native, BATCH_ROWS)
    native, ignored = narrowed(native, schema)
    try:
        return _ArrowStream(pa, pa.RecordBatchReader.from_stream(native), ignored)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError, OverflowError):
        # The error is not chained, because pyarrow's messages quote cells.
        hint = "pass a table whose columns each contain only text or only integers"
        if hasattr(native, "to_frame"):  # a Series
            hint = f"pass a table with a name for each column: series.to_frame({schema.key!r})"
        raise ArgumentTypeError("members", kind, hint) from None


def _csv_bytes(csv: Any, table: Any, *, include_header: bool = False, **options: Any) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(table, sink, csv.WriteOptions(include_header=include_header, **options))
    return sink.getvalue()
