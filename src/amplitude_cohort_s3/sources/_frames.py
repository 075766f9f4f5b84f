"""Data frames that Arrow can't read as they are.

pandas exports no frame with a repeated or a sparse column, and some of its types, like the object
columns of Polars, come out of the export as their internal storage. So of these frames only the
columns that are asked for are converted, one by one.
"""

import sys
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from ..format.cells import to_texts
from ..format.columns import places_of
from ..format.schema import RowSchema
from ._text_arrays import Column, is_plain, text_array


def unwrapped(table: Any) -> Any:
    """Return the data frame in a ``DataFrame`` of Narwhals, and any other table as it is."""
    return table.to_native() if is_a(table, "narwhals", "DataFrame") else table


def is_a(table: object, package: str, name: str) -> bool:
    """Return whether a table has a class of a package, without importing the package."""
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
        """Yield the text of some rows, column by column."""
        for start in range(0, len(self.frame), self.part_rows):
            part = self.frame.iloc[start : start + self.part_rows]
            yield [self._texts(part.iloc[:, column.place], column.name) for column in columns]

    def _texts(self, series: Any, column: str) -> Any:
        pa = self.pa
        try:
            array = pa.Array.from_pandas(series)
            if isinstance(array, pa.ChunkedArray):  # columns that Arrow stores are in chunks
                array = array.combine_chunks()
            kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
            if is_plain(pa, kind) and (series.dtype != object or not pa.types.is_decimal(kind)):
                return text_array(pa, array, column)
        except (pa.ArrowException, TypeError, ValueError, NotImplementedError, OverflowError):
            pass  # It is sparse, or has values of several types.
        return pa.array(to_texts(list(series), column), pa.large_string())


def narrowed(table: Any, schema: RowSchema) -> tuple[Any, list[str]]:
    """Return a table of Polars or DuckDB with the schema's columns only, and the other names.

    Args:
        table: Any table. One of another package is returned as it is.
        schema: The columns that are asked for.

    Raises:
        MalformedCsvError: A property occurs more than once.
    """
    is_polars = is_a(table, "polars", "DataFrame")
    if not is_polars and not is_a(table, "duckdb", "DuckDBPyRelation"):
        return table, []
    names: list[str] = table.columns
    found = places_of(names, schema.columns)
    columns = [Column(place, name) for name, places in found.items() for place in places]
    if not columns:
        return table, []
    used = {column.place for column in columns}
    others = [name for place, name in enumerate(names) if place not in used]
    narrow = _narrow_polars if is_polars else _narrow_duckdb
    return narrow(table, columns), others


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


def _narrow_duckdb(relation: Any, columns: list[Column]) -> Any:
    cells = list[str]()
    for column in columns:
        name = relation.columns[column.place].replace('"', '""')
        # By position, because DuckDB ignores the letter case of names.
        cell = f"#{column.place + 1}"
        if str(relation.types[column.place]) in {"HUGEINT", "UHUGEINT", "BIGNUM"}:
            cell = f"cast({cell} as varchar)"  # its export of 128 bits may overflow silently
        cells.append(f'{cell} as "{name}"')
    return relation.project(", ".join(cells))
