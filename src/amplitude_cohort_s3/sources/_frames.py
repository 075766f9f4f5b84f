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
from ..format.columns import id_column
from ..format.schema import RowSchema
from ._text_arrays import Column, is_plain, text_array


def unwrapped(table: Any) -> Any:
    """Return the data frame in a ``DataFrame`` of Narwhals, and any other table as it is."""
    return table.to_native() if is_frame(table, "narwhals") else table


def is_frame(table: object, package: str) -> bool:
    """Return whether a table is a ``DataFrame`` of a package, without importing the package."""
    module = sys.modules.get(package)
    return module is not None and isinstance(table, getattr(module, "DataFrame", ()))


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


def narrow_polars(table: Any, schema: RowSchema) -> tuple[Any, list[str]]:
    """Return a data frame of Polars with the schema's columns only, and the other names.

    Args:
        table: Any table. One that is not of Polars is returned as it is.
        schema: The columns that are asked for.
    """
    if not is_frame(table, "polars"):
        return table, []
    polars = sys.modules["polars"]
    names = {name: id_column(name) or name for name in table.columns}
    asked = {name: column for name, column in names.items() if column in schema.columns}
    odd = ("Object", "Int128", "UInt128")  # Arrow has no such types
    series = [
        polars.Series(name, to_texts(one.to_list(), column), dtype=polars.String)
        if str(one.dtype) in odd
        else one
        for name, column in asked.items()
        for one in [table.get_column(name)]
    ]
    return polars.DataFrame(series), [name for name in names if name not in asked]
