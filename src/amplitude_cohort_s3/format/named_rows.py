"""Rows of tables, whose cells are read by place or by the name of their column."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, Literal, SupportsIndex, overload

ColumnType = Literal["text", "timestamp", "integer"]
"""Text; a time in UTC to the microsecond; a count. Null if it is unknown; the end of a stay also if
it is open."""

TableRow = tuple[str | datetime | int | None, ...]
"""The cells of one row of a table."""


class NamedRow(Sequence[Any]):
    """A value that is also a row of a table: a sequence of cells, which have names.

    ``row["plan"]`` is the cell of a column; the names are those of the data frame.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def _fields(self) -> tuple[str, ...]:
        """The names of the cells. From here ``pandas.DataFrame`` takes them."""

    @property
    @abstractmethod
    def _cells(self) -> TableRow:
        """The cells."""

    def __len__(self) -> int:
        return len(self._fields)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cells)

    @overload
    def __getitem__(self, place: int | str, /) -> Any: ...
    @overload
    def __getitem__(self, place: slice, /) -> TableRow: ...
    def __getitem__(self, place: int | str | slice, /) -> Any:
        return self._cells[place_of(place, self._fields) if isinstance(place, str) else place]


class MemberRow(tuple[str, ...]):
    """The cells of one member: a tuple of texts, which are also read by name.

    >>> row = row_class(("amplitude_id", "user_id", "plan"))(["1", "ann", "pro"])
    >>> row["plan"], row[1], row == ("1", "ann", "pro")
    ('pro', 'ann', True)
    """

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()

    @overload
    def __getitem__(self, place: SupportsIndex | str, /) -> str: ...
    @overload
    def __getitem__(self, place: slice, /) -> tuple[str, ...]: ...
    def __getitem__(self, place: SupportsIndex | str | slice, /) -> str | tuple[str, ...]:
        if isinstance(place, str):
            place = place_of(place, self._fields)
        return super().__getitem__(place)

    def __reduce__(self) -> tuple[Any, ...]:
        # The class has no name by which pickle could find it.
        return _unpickled, (self._fields, tuple(self))


@lru_cache(maxsize=64)
def row_class(columns: tuple[str, ...]) -> type[MemberRow]:
    """Return the class of the rows with some columns.

    The names are in the class, so that a row is not larger and hardly slower than a tuple.
    """
    return type(MemberRow.__name__, (MemberRow,), {"__slots__": (), "_fields": columns})


def _unpickled(columns: tuple[str, ...], cells: tuple[str, ...]) -> MemberRow:
    return row_class(columns)(cells)


def place_of(name: str, names: Sequence[str]) -> int:
    """Return the position of a cell.

    Raises:
        KeyError: The row has no such cell.
    """
    try:
        return names.index(name)
    except ValueError:
        raise KeyError(f"no column {name!r}; the row has: {', '.join(names)}") from None


@lru_cache(maxsize=64)
def names_beside(values: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a value's own cells, then those of a user's cells.

    A property keeps its name, and a value of the same name gets an underscore.

    >>> names_beside(("entered", "exited"), ("user_id", "entered"))
    ('entered_', 'exited', 'user_id', 'entered')
    """
    free = list[str]()
    for name in values:
        while name in columns:
            name += "_"  # noqa: PLW2901 -- until it is free
        free.append(name)
    return (*free, *columns)
