"""One member, in each form that a caller may pass."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from operator import itemgetter
from typing import Any, ClassVar, Protocol, cast

import attrs
from attrs import field, frozen

from .._arguments import wrong_kind
from .._display import counted
from ..errors import (
    ArgumentTypeError,
    InvalidCellError,
    MalformedCsvError,
    MissingColumnsError,
)
from .cells import to_text
from .columns import (
    ID_COLUMNS,
    check_present,
    column_name,
    id_column,
    id_conflict,
    places_of,
)


@frozen
class Member:
    """One user in a cohort.

    The repr shows no user ids, so that they do not get into logs.

    Attributes:
        amplitude_id: Amplitude's own identifier: up to 20 digits, kept as text.
        user_id: Your identifier; empty for anonymous users.
        properties: The values of user properties by column.

    >>> Member("300000000001", "ann", {"plan": "pro"})
    Member(<1 property>)
    """

    amplitude_id: str
    user_id: str = ""
    properties: Mapping[str, str] = field(factory=dict[str, str])

    def __repr__(self) -> str:
        return f"Member(<{counted(len(self.properties), 'property', 'properties')}>)"


class _KeyedRow(Protocol):
    """A row that is read by name, such as one of sqlite3 and a ``Series`` of pandas."""

    def keys(self) -> Iterable[Any]: ...
    def __getitem__(self, name: Any, /) -> Any: ...


class _FieldsRow(Protocol):
    """A row that names its fields, such as one of SQLAlchemy."""

    @property
    def _fields(self) -> tuple[str, ...]: ...


class _Dataclass(Protocol):
    """An instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class _AttrsClass(Protocol):
    """An instance of a class of attrs."""

    __attrs_attrs__: ClassVar[Any]


MemberLike = (
    Member
    | Mapping[str, Any]
    | tuple[Any, ...]
    | list[Any]
    | _KeyedRow
    | _FieldsRow
    | _Dataclass
    | _AttrsClass
)
"""One member in any form that ``RowSchema.row`` can turn into a row."""

Named = tuple[tuple[Any, ...], Sequence[Any]]
"""The names of a member's fields, and its cells in the same order."""


@frozen
class Shape:
    """The places of a schema's columns in the cells of members with the same field names.

    Attributes:
        places: The place of each column; the place after the last for one that is missing.
        pick: A function that returns the cells in these places.
        is_complete: True if no column is missing.
        repeated: The places of each id column that occurs more than once.
        ignored: The names of the fields that the schema lacks.
    """

    places: tuple[int, ...]
    pick: Callable[[Sequence[Any]], tuple[Any, ...]] = field(eq=False)
    is_complete: bool
    repeated: Mapping[str, tuple[int, ...]]
    ignored: frozenset[str]

    def cells(self, given: Sequence[Any]) -> tuple[Any, ...]:
        """Return the cells of a member in the order of the columns.

        Raises:
            MalformedCsvError: An id column occurs twice with different values.
        """
        if self.repeated:
            for column, places in self.repeated.items():
                if len({to_text(given[place], column) for place in places}) > 1:
                    raise id_conflict(column, 1, "row")
        if self.is_complete:
            return self.pick(given)
        return self.pick((*given, None))


_PLAIN = {tuple, list}


@lru_cache(maxsize=1 << 10)
def shape_of(names: tuple[Any, ...], columns: tuple[str, ...], required: tuple[str, ...]) -> Shape:
    """Return the shape of members whose fields have these names.

    Raises:
        MissingColumnsError: A required column is missing.
        MalformedCsvError: A property occurs more than once.
    """
    found = places_of(names, columns)
    texts = list(map(column_name, names))
    check_present(required, [id_column(name) or name for name in texts])
    places = tuple(found[column][0] if column in found else len(names) for column in columns)
    used = {place for all_places in found.values() for place in all_places}
    return Shape(
        places=places,
        pick=cast("Callable[[Sequence[Any]], tuple[Any, ...]]", itemgetter(*places)),
        is_complete=len(found) == len(columns),
        repeated={column: found[column] for column in found if len(found[column]) > 1},
        ignored=frozenset(name for place, name in enumerate(texts) if place not in used),
    )


def check_length(cells: Sequence[Any], columns: Sequence[str]) -> None:
    """Raise unless a sequence without names has a cell for each column.

    Raises:
        MalformedCsvError: It has another length.
    """
    if len(cells) != len(columns):
        values = counted(len(cells), "value")
        rule = f"it has {values}, but the sync has {len(columns)} columns"
        raise MalformedCsvError(None, rule, f"Pass {', '.join(columns)}", unit="row")


def cells_of(
    members: Sequence[Any],
    number: int,
    columns: tuple[str, ...],
    required: tuple[str, ...],
    ignored: set[str],
) -> Sequence[Sequence[Any]]:
    """Return the cells of members in the order of the columns.

    Args:
        members: The members.
        number: The number of the first one, for errors.
        columns: The columns.
        required: The columns that each member must have, unless it is a plain sequence.
        ignored: A set to which the names of other fields are added.

    Raises:
        ArgumentTypeError: An object is not a member.
        MissingColumnsError: A member lacks a required column.
        MalformedCsvError: A sequence has another length, a property occurs twice, or an id
            column occurs twice with different values.
        InvalidCellError: A value of an id column that occurs twice has no text.
    """
    kinds = set(map(type, members))
    if kinds <= _PLAIN and set(map(len, members)) == {len(columns)}:
        return members
    cells = list[Sequence[Any]]()
    # Nearly all members have the class and the fields of the one before.
    kind: Any = object
    read: Callable[[Any], Named | None] = _refuse
    names: tuple[Any, ...] | None = None
    shape = shape_of((), columns, ())
    try:
        if kinds == {dict}:
            mappings = cast("Sequence[dict[Any, Any]]", members)
            fields: set[tuple[Any, ...]] = set(map(tuple, mappings))
            if len(fields) == 1:
                shape = shape_of(*fields, columns, required)
                if shape.is_complete and not shape.repeated:
                    ignored |= shape.ignored
                    return [shape.pick(tuple(one.values())) for one in mappings]
        for member in members:
            if type(member) is not kind:
                kind = cast("Any", type(member))
                read = _reader_of(kind)
            named = read(member)
            if named is None:
                check_length(member, columns)
                cells.append(member)
                continue
            if named[0] != names:
                names = named[0]
                shape = shape_of(names, columns, required)
                ignored |= shape.ignored
            cells.append(shape.cells(named[1]))
    except MalformedCsvError as error:
        place = number + len(cells)
        raise MalformedCsvError(place, error.rule, error.hint, unit="row") from None
    except MissingColumnsError as error:
        raise MissingColumnsError(error.columns, number + len(cells), error.found) from None
    except InvalidCellError as error:
        raise attrs.evolve(error, lines=(number + len(cells),)) from None
    except ArgumentTypeError as error:
        raise _of_row(error, number + len(cells)) from None
    return cells


def _of_row(error: ArgumentTypeError, number: int) -> ArgumentTypeError:
    """Return the error of a member with the number of its row."""
    row = f"row {number}"
    argument = row if error.argument == _ROW else f"{error.argument} of {row}"
    return ArgumentTypeError(argument, error.type_name, error.hint)


def named_cells(member: Any) -> Named | None:
    """Return the field names and cells of a member; None for a sequence without names.

    Raises:
        ArgumentTypeError: It is not a member.
    """
    return _reader_of(cast("Any", type(member)))(member)


@lru_cache(maxsize=64)
def _reader_of(kind: Any) -> Callable[[Any], Named | None]:
    """Return the function that reads the fields of members of a class.

    The rows of databases have no common class, so they are recognized by their attributes.
    Those are looked up in the class, because in many of them each column is an attribute.
    """
    if issubclass(kind, Member):
        return _of_member
    if hasattr(kind, "csv_source"):  # a source of the library is an attrs class
        return _refuse
    if issubclass(kind, Mapping):
        return _of_mapping
    if hasattr(kind, "_fields") and issubclass(kind, Sequence):
        return lambda row: (tuple(row._fields), row)  # named tuples; Row of SQLAlchemy
    if hasattr(kind, "cursor_description"):  # Row of pyodbc
        return lambda row: (tuple(c[0] for c in row.cursor_description), tuple(row))
    if hasattr(kind, "keys") and hasattr(kind, "__getitem__") and not hasattr(kind, "columns"):
        return _of_keyed_row  # Row of sqlite3, Record of asyncpg, Series of pandas
    if hasattr(kind, "dtype") and hasattr(kind, "tolist"):
        return _of_record
    if issubclass(kind, tuple):  # Row of PySpark has its names in the instance
        return lambda row: (tuple(row.__fields__), row) if hasattr(row, "__fields__") else None
    if issubclass(kind, list):
        return lambda _: None
    if dataclasses.is_dataclass(kind):
        return _of_object([declared.name for declared in dataclasses.fields(kind)])
    if attrs.has(kind):
        return _of_object([declared.name for declared in attrs.fields(kind)])
    return _refuse


def _of_member(member: Member) -> Named:
    try:
        cells = (member.amplitude_id, member.user_id, *member.properties.values())
    except AttributeError:  # A check before the access would slow down every row.
        found = type(member.properties).__name__
        raise ArgumentTypeError("properties", found, "pass a mapping by column") from None
    return (*ID_COLUMNS, *member.properties), cells


def _of_mapping(member: Mapping[Any, Any]) -> Named:
    return tuple(member), tuple(member.values())


def _of_keyed_row(row: Any) -> Named:
    names = tuple(row.keys())
    if len(set(names)) < len(names):  # It is not a mapping, so it iterates over its values.
        return names, tuple(row)
    return names, [row[name] for name in names]


def _of_record(record: Any) -> Named:
    """Read a row of a structured array of NumPy."""
    names = record.dtype.names
    return _refuse(record) if names is None or record.shape else (names, record.tolist())


def _of_object(names: Sequence[str]) -> Callable[[Any], Named]:
    fixed = tuple(names)
    return lambda member: (fixed, [getattr(member, name, None) for name in fixed])


def _refuse(member: object) -> Named:
    raise wrong_kind(_ROW, member, _row_hint(member))


_ROW = "a row"


def _row_hint(member: object) -> str:
    if isinstance(member, AbstractSet):
        return "pass a tuple, a list or a dict: a set has no order"
    if any(hasattr(member, name) for name in ("columns", "csv_source", "__arrow_c_stream__")):
        return "tables and files are not members: pass one itself, or a list of nothing else"
    if hasattr(member, "ndim"):  # an array of NumPy
        return "pass .tolist() of the array, or the data frame itself"
    return 'pass a dict such as {"amplitude_id": "42"}, a Member, or a tuple with all columns'
