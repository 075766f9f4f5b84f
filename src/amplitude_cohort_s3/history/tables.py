"""Answers as Arrow tables, for every data frame library."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from attrs import field, frozen

from .._html import html_columns
from .._optional import load
from ..errors import MalformedCsvError
from ..format.columns import ID_COLUMNS, id_column
from ..format.csv_blocks import Block, read_blocks
from ..sources.arrow import BATCH_ROWS

CellType = Literal["text", "timestamp", "integer"]
"""Text, never null; an instant in UTC to the microsecond, null where there is none; a count."""


Cells = tuple[str | datetime | int | None, ...]


V = TypeVar("V")


BATCH_BYTES = 1 << 20
"""How many bytes go through memory at a time, where they are."""


_BOM = b"\xef\xbb\xbf"


class ArrowTable(ABC):
    """Answers that are also a data frame: read anew each time, in batches of bounded size.

    ``pyarrow.table(t)``, ``polars.DataFrame(t)``, ``pandas.DataFrame.from_arrow(t)`` and
    DuckDB's SQL over a variable ``t`` take it as it is; ``pandas.DataFrame(t)`` does not
    look for Arrow, so it takes it for a list. Needs the extra ``arrow``.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def _table(self) -> "RowTable":
        """The columns and the rows."""

    def __arrow_c_schema__(self) -> object:
        return self._table.arrow_schema().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.arrow_reader().__arrow_c_stream__(requested_schema)

    def to_arrow(self) -> Any:
        """All rows as a ``pyarrow.Table``.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        return self._table.arrow_reader().read_all()

    def to_pandas(self) -> Any:
        """All rows as a ``pandas.DataFrame``.

        Raises:
            MissingExtraError: pyarrow or pandas is not installed.
        """
        load("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """All rows as a ``polars.DataFrame``.

        Raises:
            MissingExtraError: pyarrow or Polars is not installed.
        """
        return load("polars").from_arrow(self.to_arrow())

    def to_duckdb(self, connection: Any = None) -> Any:
        """The rows as a relation of DuckDB, which reads them anew for each query.

        Args:
            connection: A connection of DuckDB; by default the one of its module.

        Raises:
            MissingExtraError: pyarrow or duckdb is not installed.
        """
        return (connection or load("duckdb")).from_arrow(self)


@frozen(kw_only=True)
class RowTable(ArrowTable):
    """Rows that can be read again and again, as tuples or as any data frame.

    The repr does not show rows.

    Attributes:
        columns: The type of the cells, by the name of the column, in order.
        rows: Gives the rows from their start.
        csv: Gives the same rows as canonical CSV with a header, all of them text: many
            times faster, where they are CSV anyway.

    >>> stays = RowTable(columns={"user_id": "text", "exited": "timestamp"},
    ...                  rows=lambda: [("ann", None)])
    >>> stays.to_arrow().schema.names, stays.to_list()
    (['user_id', 'exited'], [('ann', None)])
    """

    columns: Mapping[str, CellType]
    rows: Callable[[], Iterable[Cells]] = field(repr=False)
    csv: Callable[[], Iterable[bytes]] | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Cells]:
        return iter(self.rows())

    def to_list(self) -> list[Cells]:
        """All rows as tuples."""
        return list(self)

    @property
    def _table(self) -> "RowTable":
        return self

    def arrow_schema(self) -> Any:
        """The columns as a ``pyarrow.Schema``."""
        pa = load("pyarrow", "arrow")
        types = {
            "text": pa.string(),
            "timestamp": pa.timestamp("us", tz="UTC"),
            "integer": pa.int64(),
        }
        return pa.schema([(name, types[kind]) for name, kind in self.columns.items()])

    def arrow_reader(self) -> Any:
        """The rows as a ``pyarrow.RecordBatchReader``."""
        pa, schema = load("pyarrow", "arrow"), self.arrow_schema()
        batches: Iterator[Any] = (
            (_of_rows(rows, schema) for rows in _batched(self.rows()))
            if self.csv is None
            else csv_batches(self.csv(), schema)
        )
        return pa.RecordBatchReader.from_batches(schema, batches)


@frozen(kw_only=True)
class ValueTable(ArrowTable, Generic[V]):
    """Values that can be iterated again and again, and the same as a data frame.

    Each iteration and each data frame reads the bucket anew. The repr and a notebook show
    what they are and the columns, those of the properties as ``...``: that takes no reading.
    """

    _kind: type[V] = field(alias="kind")
    _own: Sequence[str] = field(alias="own")
    _values: Callable[[], Iterator[V]] = field(repr=False, alias="values")
    _rows: Callable[[], RowTable] = field(repr=False, alias="table")

    def __iter__(self) -> Iterator[V]:
        return self._values()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._kind.__name__}: {', '.join(self._known)})"

    def _repr_html_(self) -> str:
        return html_columns(self._kind.__name__, self._known)

    @property
    def _known(self) -> tuple[str, ...]:
        return (*self._own, *ID_COLUMNS, "...")

    def to_list(self) -> list[V]:
        """All values."""
        return list(self)

    @property
    def _table(self) -> RowTable:
        return self._rows()


def value_table(
    kind: type[V],
    values: Callable[[], Iterator[V]],
    own: Mapping[str, CellType],
    columns: Callable[[], Sequence[str]],
    row: Callable[[V], Cells],
) -> ValueTable[V]:
    """Values about users, and the same as a data frame.

    Args:
        kind: What they are.
        values: Gives them from their start.
        own: The type of the columns that go before those of the user's cells.
        columns: Gives the names of the user's cells.
        row: The cells of a value: of its own columns, then the user's.
    """

    def table() -> RowTable:
        named = columns()
        return RowTable(
            columns={**own_columns(own, named), **dict.fromkeys(named, "text")},
            rows=lambda: map(row, values()),
        )

    return ValueTable(kind=kind, own=tuple(own), values=values, table=table)


def own_columns(columns: Mapping[str, CellType], taken: Collection[str]) -> dict[str, CellType]:
    """The columns, each with ``_`` behind its name as long as a property has that name.

    >>> own_columns({"entered": "timestamp"}, ["user_id", "entered"])
    {'entered_': 'timestamp'}
    """
    named = dict[str, CellType]()
    for name, kind in columns.items():
        free = name
        while free in taken:
            free += "_"
        named[free] = kind
    return named


def _batched(rows: Iterable[Cells]) -> Iterator[list[Cells]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH_ROWS)):
        yield batch


def _of_rows(rows: Iterable[Cells], schema: Any) -> Any:
    pa = load("pyarrow", "arrow")
    columns = zip(*rows, strict=True)
    arrays = [pa.array(cells, kind) for cells, kind in zip(columns, schema.types, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def csv_batches(chunks: Iterable[bytes], schema: Any) -> Iterator[Any]:
    """Canonical CSV as record batches, each of about a MiB.

    Args:
        chunks: The bytes, with a header.
        schema: A ``pyarrow.Schema`` of text: which columns, and in which order.

    Raises:
        MissingExtraError: pyarrow is not installed.
        MalformedCsvError: It is no such CSV.
    """
    pa, csv = load("pyarrow", "arrow"), load("pyarrow.csv", "arrow")
    blocks = read_blocks(chunks, BATCH_BYTES)
    _, header, first = next(blocks).split_header()
    names = [id_column(name) or name for name in header]

    def batches_of(block: Block) -> Any:
        # It would take a byte order mark off; here that is a part of the first cell.
        if not block.data.startswith(_BOM):
            try:
                return csv.read_csv(
                    io.BytesIO(block.data),
                    # One block of its own for each of ours, or a long row would not fit.
                    csv.ReadOptions(
                        column_names=names, block_size=len(block.data) + 1, use_threads=False
                    ),
                    # A line end inside of quotes matters only where blocks are cut.
                    convert_options=csv.ConvertOptions(
                        column_types=schema,
                        include_columns=schema.names,
                        strings_can_be_null=False,
                    ),
                ).to_batches()
            except pa.ArrowInvalid:
                pass  # Ours says what is wrong, and at which line.
        rows = [_checked(cells, len(names), line) for line, cells in block.records()]
        return [_of_rows(rows, schema)] if rows else []

    for block in _chain(first, blocks):
        if block.data:
            yield from batches_of(block)


def _checked(cells: list[str], width: int, line: int) -> Cells:
    if len(cells) != width:
        rule = f"the row has {len(cells)} cells and the header {width}"
        raise MalformedCsvError(line, rule)
    return tuple(cells)


def _chain(first: Block, rest: Iterable[Block]) -> Iterator[Block]:
    yield first
    yield from rest
