"""Results of a history as Arrow tables, for every data frame library."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Generic, TypeVar

from attrs import field, frozen

from .._display import html_columns
from .._optional import load
from ..format.columns import ID_COLUMNS
from ..format.kernel import HAS_KERNEL
from ..format.named_rows import ColumnType, names_beside
from ..sources.arrow import BATCH_ROWS

_PYARROW_OF_VIEWS = 19
"""The first version of pyarrow that can make views from buffers."""

V = TypeVar("V")


class ArrowTable(ABC):
    """A result that is also a data frame. It is read again each time, in bounded batches.

    ``pyarrow.table(t)``, ``polars.DataFrame(t)``, ``pandas.DataFrame.from_arrow(t)`` and
    DuckDB's SQL over a variable ``t`` accept it.

    The extra ``arrow`` and the library of the data frame must be installed; otherwise the
    methods raise ``MissingExtraError``.
    """

    __slots__ = ()

    @abstractmethod
    def _columns(self) -> Mapping[str, ColumnType]:
        """Return the type of each column, by its name."""

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
        pl = load("polars")
        pa, columns = load("pyarrow", "arrow"), self._columns()
        # Polars keeps texts as views, and takes these without a copy.
        has_views = HAS_KERNEL and _major_version(pa) >= _PYARROW_OF_VIEWS
        schema = arrow_schema(columns, views=has_views)
        frames = (pl.from_arrow(batch, rechunk=False) for batch in self._batches(schema))
        # Schema.empty_table() would import pandas, if it is installed, which takes long.
        empty = pl.from_arrow(pa.Table.from_batches([], arrow_schema(columns)))
        return pl.concat([empty, *frames], rechunk=False)

    def to_duckdb(self, connection: Any = None) -> Any:
        """Return the rows as a relation of DuckDB, which reads them again for each query.

        Args:
            connection: A connection of DuckDB. Default: its module's.
        """
        return (connection or load("duckdb")).from_arrow(self)


class RowTable(ArrowTable, Generic[V]):
    """A table with a row for each user or each change; its rows can be iterated repeatedly.

    ``pandas.DataFrame(t)`` accepts it too, but takes the rows one by one; ``t.to_pandas()`` is
    faster, and has the columns even if there is no row.
    """

    __slots__ = ()

    @abstractmethod
    def __iter__(self) -> Iterator[V]:
        """Iterate over the rows. Each iteration reads the bucket again."""

    @abstractmethod
    def _known_length(self) -> int | None:
        """Return the number of rows, or None if it is not known without reading them."""

    def __len__(self) -> int:
        """Return the number of rows if the records of the syncs state it.

        Raises:
            TypeError: They do not, because another program wrote the bucket, a file is lost, or
                the rows are changed properties. ``sum(1 for _ in table)`` reads and counts them.
        """
        # list() and tuple() also ask for the length. With this error they do without it; a
        # count would make them read the bucket twice.
        if (length := self._known_length()) is None:
            raise TypeError(
                "the number of rows is not recorded; count them with sum(1 for _ in table), or "
                "take the len() of a data frame"
            )
        return length

    def __bool__(self) -> bool:
        """Return True if there is a row."""
        length = self._known_length()
        return bool(self.head(1) if length is None else length)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._columns())

    def head(self, n: int = 5) -> list[V]:
        """Return the first rows; the rest is not read, and digests are not compared.

        Args:
            n: The largest number of rows.
        """
        # A generator that is closed removes its temporary files.
        with closing(_generator(self)) as rows:
            return list(islice(rows, n))

    def to_list(self) -> list[V]:
        """Return all rows."""
        return list(iter(self))


def _generator(rows: Iterable[V]) -> Generator[V]:
    yield from rows


@frozen(kw_only=True)
class ValueTable(RowTable[V]):
    """Values about users that can be iterated repeatedly; also a data frame.

    Each iteration and each data frame reads the bucket again. The repr and a notebook show
    the class of the values and the columns, the properties as ``...``; that reads nothing.
    """

    _kind: type[V] = field(alias="kind")
    _values: Callable[[], Iterator[V]] = field(alias="values")
    _value_columns: Mapping[str, ColumnType] = field(alias="value_columns")
    _row_columns: Callable[[], Sequence[str]] = field(alias="row_columns")
    _length: Callable[[], int | None] = field(alias="length")
    _table_batches: Callable[[Any], Iterator[Any]] = field(alias="batches")

    def __iter__(self) -> Iterator[V]:
        return self._values()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._kind.__name__}: {', '.join(self._shown)})"

    def _repr_html_(self) -> str:
        return html_columns(self._kind.__name__, self._shown)

    @property
    def _shown(self) -> tuple[str, ...]:
        return (*self._value_columns, *ID_COLUMNS, "...")

    def _known_length(self) -> int | None:
        return self._length()

    def _columns(self) -> Mapping[str, ColumnType]:
        of_row = tuple(self._row_columns())
        names = names_beside(tuple(self._value_columns), of_row)
        columns: dict[str, ColumnType] = dict.fromkeys(names, "text")
        columns.update(zip(names, self._value_columns.values(), strict=False))
        return columns

    def _batches(self, schema: Any) -> Iterator[Any]:
        return self._table_batches(schema)


def arrow_schema(columns: Mapping[str, ColumnType], *, views: bool = False) -> Any:
    """Return the columns as a ``pyarrow.Schema``.

    Args:
        columns: The type of each column, by its name.
        views: True for texts in the layout ``string_view``, False for ``string``.
    """
    pa = load("pyarrow", "arrow")
    types = {
        "text": pa.string_view() if views else pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "integer": pa.int64(),
    }
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


def _major_version(module: Any) -> int:
    return int(module.__version__.split(".")[0])


def row_batches(rows: Iterable[Iterable[object]], schema: Any) -> Iterator[Any]:
    """Yield rows as record batches of a ``pyarrow.Schema``."""
    pa, iterator = load("pyarrow", "arrow"), iter(rows)
    while batch := list(islice(iterator, BATCH_ROWS)):
        columns = zip(*batch, strict=True)
        arrays = [pa.array(one, kind) for one, kind in zip(columns, schema.types, strict=True)]
        yield pa.record_batch(arrays, schema=schema)
