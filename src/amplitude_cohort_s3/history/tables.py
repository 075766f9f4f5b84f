"""Answers of a history as Arrow tables, for every data frame library."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any, Generic, Literal, TypeVar

from attrs import field, frozen

from .._html import html_columns
from .._optional import load
from ..format.columns import ID_COLUMNS, id_column
from ..format.csv_blocks import read_blocks
from ..format.reader import RowReader
from ..sources.arrow import BATCH_ROWS

CellType = Literal["text", "timestamp", "integer"]
"""Text, never null; a time in UTC to the microsecond, or null; a count."""

Cells = tuple[str | datetime | int | None, ...]
"""One row of a table."""

BATCH_BYTES = 1 << 20
"""The approximate number of CSV bytes in a batch."""

_BOM = b"\xef\xbb\xbf"

V = TypeVar("V")


class ArrowTable(ABC):
    """An answer that is also a data frame. It is read again each time, in bounded batches.

    ``pyarrow.table(t)``, ``polars.DataFrame(t)``, ``pandas.DataFrame.from_arrow(t)`` and
    DuckDB's SQL over a variable ``t`` accept it. ``pandas.DataFrame(t)`` does not look for
    Arrow and treats it as a list.

    The extra ``arrow`` and the library of the data frame must be installed; otherwise the
    methods raise ``MissingExtraError``.
    """

    __slots__ = ()

    @abstractmethod
    def _columns(self) -> Mapping[str, CellType]:
        """Return the type of the cells for the name of each column."""

    @abstractmethod
    def _batches(self, schema: Any) -> Iterator[Any]:
        """Yield the rows as record batches of a ``pyarrow.Schema``."""

    def __arrow_c_schema__(self) -> object:
        return arrow_schema(self._columns()).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._reader().__arrow_c_stream__(requested_schema)

    def _reader(self) -> Any:
        pa, schema = load("pyarrow", "arrow"), arrow_schema(self._columns())
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def to_arrow(self) -> Any:
        """Return all rows as a ``pyarrow.Table``."""
        return self._reader().read_all()

    def to_pandas(self) -> Any:
        """Return all rows as a ``pandas.DataFrame``."""
        load("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """Return all rows as a ``polars.DataFrame``."""
        return load("polars").from_arrow(self.to_arrow())

    def to_duckdb(self, connection: Any = None) -> Any:
        """Return the rows as a relation of DuckDB, which reads them again for each query.

        Args:
            connection: A connection of DuckDB; by default its module's.
        """
        return (connection or load("duckdb")).from_arrow(self)


@frozen(kw_only=True)
class ValueTable(ArrowTable, Generic[V]):
    """Values about users that can be iterated again and again; also a data frame.

    Each iteration and each data frame reads the bucket again. The repr and a notebook show
    the class of the values and the columns, the properties as ``...``; that reads nothing.
    """

    _kind: type[V] = field(alias="kind")
    _values: Callable[[], Iterator[V]] = field(alias="values")
    _value_columns: Mapping[str, CellType] = field(alias="value_columns")
    _row_columns: Callable[[], Sequence[str]] = field(alias="row_columns")
    _cells: Callable[[V], Cells] = field(alias="cells")

    def __iter__(self) -> Iterator[V]:
        return self._values()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._kind.__name__}: {', '.join(self._shown)})"

    def _repr_html_(self) -> str:
        return html_columns(self._kind.__name__, self._shown)

    @property
    def _shown(self) -> tuple[str, ...]:
        return (*self._value_columns, *ID_COLUMNS, "...")

    def to_list(self) -> list[V]:
        """Return all values."""
        return list(self)

    def _columns(self) -> Mapping[str, CellType]:
        of_row = self._row_columns()
        columns: dict[str, CellType] = {}
        for name, kind in self._value_columns.items():
            free = name
            while free in of_row:  # a property of the same name keeps it
                free += "_"
            columns[free] = kind
        columns.update(dict.fromkeys(of_row, "text"))
        return columns

    def _batches(self, schema: Any) -> Iterator[Any]:
        return row_batches(map(self._cells, self._values()), schema)


def arrow_schema(columns: Mapping[str, CellType]) -> Any:
    """Return the columns as a ``pyarrow.Schema``."""
    pa = load("pyarrow", "arrow")
    types = {
        "text": pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "integer": pa.int64(),
    }
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


def row_batches(rows: Iterable[Cells], schema: Any) -> Iterator[Any]:
    """Yield rows as record batches of a ``pyarrow.Schema``."""
    pa, iterator = load("pyarrow", "arrow"), iter(rows)
    while batch := list(islice(iterator, BATCH_ROWS)):
        cells = zip(*batch, strict=True)
        arrays = [pa.array(column, kind) for column, kind in zip(cells, schema.types, strict=True)]
        yield pa.record_batch(arrays, schema=schema)


def csv_reader(chunks: Iterable[bytes], columns: Iterable[str]) -> Any:
    """Return canonical CSV as a ``pyarrow.RecordBatchReader`` of text, which reads it once."""
    pa, schema = load("pyarrow", "arrow"), arrow_schema(dict.fromkeys(columns, "text"))
    return pa.RecordBatchReader.from_batches(schema, csv_batches(chunks, schema))


def csv_batches(chunks: Iterable[bytes], schema: Any) -> Iterator[Any]:
    """Yield canonical CSV as record batches, many times faster than row by row.

    Args:
        chunks: The bytes of a file with a header.
        schema: A ``pyarrow.Schema`` of text: the columns to return, in their order.

    Raises:
        MalformedCsvError: The bytes are not such CSV.
    """
    pa, csv = load("pyarrow", "arrow"), load("pyarrow.csv", "arrow")
    blocks = read_blocks(chunks, BATCH_BYTES)
    _, header, first = next(blocks).split_header()
    columns = tuple(id_column(name) or name for name in header)
    reader = RowReader(columns, columns, tabs=False)
    convert = csv.ConvertOptions(
        column_types=schema, include_columns=schema.names, strings_can_be_null=False
    )

    def parse(data: bytes) -> Any:
        # One block for pyarrow too, because a row must fit into a block.
        read = csv.ReadOptions(column_names=columns, block_size=len(data) + 1, use_threads=False)
        try:
            return csv.read_csv(io.BytesIO(data), read, convert_options=convert).to_batches()
        except pa.ArrowInvalid:
            return None

    for block in chain([first], blocks):
        if block.data:
            # pyarrow would remove a byte order mark; here it is a part of the first cell.
            batches = None if block.data.startswith(_BOM) else parse(block.data)
            # Our own reader also names the line and the fault of what pyarrow refuses.
            yield from row_batches(reader.rows(block), schema) if batches is None else batches
