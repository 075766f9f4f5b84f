"""Data frames that must be converted before Arrow can read them.

pandas can't export a frame with a repeated or a sparse column. Some types of pandas, and the
object columns of Polars, are exported as their internal storage. So only the columns of the sync
are converted, one by one.
"""

import sys
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from ..format.cells import to_texts
from ..format.schema import RowSchema
from ._text_arrays import Column, is_plain, text_array
from .names import places_by_header


def unwrapped(table: Any) -> Any:
    """Return the data frame in a ``DataFrame`` of Narwhals; return any other table unchanged."""
    return table.to_native() if is_a(table, "narwhals", "DataFrame") else table


def is_query(table: object) -> bool:
    """Return whether a table is read in batches, although it has no Arrow stream of its own.

    That of an expression of Ibis would load the whole result.
    """
    return is_a(table, "ibis", "Table") or is_a(table, "pyarrow.dataset", "Dataset")


def is_a(table: object, package: str, name: str) -> bool:
    """Return whether a table is an instance of a package's class, without importing the package."""
    module = sys.modules.get(package)
    return module is not None and isinstance(table, getattr(module, name, ()))


@frozen
class PandasTable:
    """A data frame of pandas.

    Attributes:
        pa: The module ``pyarrow``.
        frame: The frame.
        part_rows: The number of rows that are converted at a time.
    """

    pa: Any
    frame: Any
    part_rows: int

    @property
    def names(self) -> list[Any]:
        """The names of the columns."""
        return list(self.frame.columns)

    def text_columns(self, columns: list[Column]) -> Iterator[list[Any]]:
        """Yield batches of rows, each as one array of text per column."""
        series = [self.frame.iloc[:, column.place] for column in columns]
        arrays = [self._plain_array(one) for one in series]
        for start in range(0, len(self.frame), self.part_rows):
            end = start + self.part_rows
            yield [
                self._converted(one.iloc[start:end], column.name)
                if array is None
                else text_array(self.pa, array[start:end], column.name)
                for one, array, column in zip(series, arrays, columns, strict=True)
            ]

    def _plain_array(self, series: Any) -> Any | None:
        """Return a column as an array that Arrow converts to the text of ``to_text``, or None."""
        pa = self.pa
        try:
            array = pa.Array.from_pandas(series)
            if isinstance(array, pa.ChunkedArray):
                array = array.combine_chunks()
        except (pa.ArrowException, TypeError, ValueError, NotImplementedError, OverflowError):
            return None  # It is sparse, or has values of several types.
        kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        # Arrow gives all decimals of an object column the same number of decimal places.
        is_inferred = series.dtype == object and pa.types.is_decimal(kind)
        return array if is_plain(pa, kind) and not is_inferred else None

    def _converted(self, series: Any, column: str) -> Any:
        return self.pa.array(to_texts(list(series), column), self.pa.large_string())


def known_rows(table: Any) -> int | None:
    """Return the number of rows of a table in memory; None if a query would have to be run."""
    native = unwrapped(table)
    return len(native) if any(is_a(native, *kind) for kind in _IN_MEMORY) else None


def narrowed(table: Any, schema: RowSchema) -> tuple[Any, list[str]]:
    """Return a table with only the schema's columns, and the names of the other columns.

    Arrow's import would refuse a column of an unsupported type, even if the sync does not need it.

    Args:
        table: Any table. A table that is not of Polars, DuckDB or pyarrow is returned unchanged.
        schema: The columns that the sync needs.

    Raises:
        MalformedCsvError: A property occurs more than once.
    """
    narrow = next((f for (package, cls), f in _NARROW.items() if is_a(table, package, cls)), None)
    if narrow is None:
        return table, []
    has_schema = narrow in (_narrow_arrow, _narrow_dataset)
    names: list[str] = [*(table.schema.names if has_schema else table.columns)]
    found = places_by_header(schema, names)
    # Several properties may have the values of one column.
    columns = {place: Column(place, name) for name, places in found.items() for place in places}
    if not columns and names and is_query(table):
        columns = {0: Column(0, names[0])}  # It is opened, so that the error lists all names.
    if not columns:
        return table, []
    others = [name for place, name in enumerate(names) if place not in columns]
    return narrow(table, [*columns.values()]), others


def _narrow_polars(frame: Any, columns: list[Column]) -> Any:
    polars = sys.modules["polars"]
    odd = {"Object", "Int128", "UInt128"}  # Arrow has no such types
    narrow: list[Any] = []
    for column in columns:
        series = frame.to_series(column.place)
        if str(series.dtype) in odd or series.dtype.is_nested():
            texts = to_texts(series.to_list(), column.name)
            series = polars.Series(series.name, texts, dtype=polars.String)
        narrow.append(series)
    return polars.DataFrame(narrow)


def _narrow_arrow(table: Any, columns: list[Column]) -> Any:
    return table.select([column.place for column in columns])


def _narrow_duckdb(relation: Any, columns: list[Column]) -> Any:
    cells = list[str]()
    for column in columns:
        name = relation.columns[column.place].replace('"', '""')
        # Columns are selected by position, because DuckDB ignores the letter case of names.
        cell = f"#{column.place + 1}"
        if str(relation.types[column.place]) in {"HUGEINT", "UHUGEINT", "BIGNUM"}:
            cell = f"cast({cell} as varchar)"  # its export of 128 bits may overflow silently
        cells.append(f'{cell} as "{name}"')
    return relation.project(", ".join(cells))


def _narrow_dataset(dataset: Any, columns: list[Column]) -> Any:
    names: list[str] = dataset.schema.names
    # The defaults keep up to 16 batches of 4 files in memory.
    return dataset.scanner(
        columns=[names[column.place] for column in columns], batch_readahead=2, fragment_readahead=1
    ).to_reader()


def _narrow_ibis(table: Any, columns: list[Column]) -> Any:
    names: list[str] = [*table.columns]
    return table.select([names[column.place] for column in columns]).to_pyarrow_batches(
        chunk_size=_QUERY_ROWS
    )


_QUERY_ROWS = 1 << 16
"""The rows of a batch of Ibis, whose default, a million, takes five times the memory."""

_IN_MEMORY = (
    ("pandas", "DataFrame"),
    ("polars", "DataFrame"),
    ("pyarrow", "Table"),
    ("pyarrow", "RecordBatch"),
)

_NARROW = {
    ("ibis", "Table"): _narrow_ibis,
    ("pyarrow.dataset", "Dataset"): _narrow_dataset,
    ("polars", "DataFrame"): _narrow_polars,
    ("duckdb", "DuckDBPyRelation"): _narrow_duckdb,
    ("pyarrow", "Table"): _narrow_arrow,
    ("pyarrow", "RecordBatch"): _narrow_arrow,
}
