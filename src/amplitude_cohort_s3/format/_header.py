"""The header of a CSV file with members."""

from collections.abc import Collection, Mapping, Sequence

from attrs import field, frozen

from ..errors import MalformedCsvError
from .columns import ID_COLUMNS, id_column

_GROUP_COLUMNS = ("group_type", "group_value")

# Parts of the common spellings of the Amplitude id; its first letter may be a capital.
_ID_PARTS = (b"mplitude_id", b"mplitudeID")
_ID_PART = b"mplitude"


@frozen(kw_only=True)
class Header:
    """The columns of one file.

    Attributes:
        cells: The cells of the header, without the TABs of an export for spreadsheets.
        names: The name of each column by its position: an id column as ``amplitude_id`` or
            ``user_id``, a repeated property as ``plan_2``, and ``""`` if there is no name.
        columns: The names of the columns that are read, each once. Columns without a name and
            repeated properties that equal the first one are left out.
        repeated_ids: The position of each repeated id column, with the position of the first
            column of this name.
        repeated_properties: The same for repeated properties.
        tabs: True if one TAB is removed from every cell.
        canonical: True if the file is known to be in canonical form.
    """

    cells: tuple[str, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...]
    repeated_ids: Mapping[int, int]
    repeated_properties: Mapping[int, int]
    tabs: bool = False
    canonical: bool = False
    places: tuple[int, ...] | None = field(init=False)
    """The position of each of ``columns``; None if these are all columns of the file."""
    _marks: tuple[bytes, ...] = field(init=False, repr=False)
    """A row that repeats the header contains at least one of these texts."""

    def __attrs_post_init__(self) -> None:
        # A search for each column would take long in a file with thousands of columns.
        place_of = {name: place for place, name in reversed([*enumerate(self.names)])}
        places = tuple(place_of[name] for name in self.columns)
        is_whole = len(places) == len(self.names)
        object.__setattr__(self, "places", None if is_whole else places)
        ids = [name for name in ID_COLUMNS if name in self.names]
        mark = self.cells[self.names.index(ids[0])].strip().encode() if ids else b""
        others = _ID_PARTS if _ID_PART in mark else ()
        marks = others if any(other in mark for other in others) else (mark, *others)
        object.__setattr__(self, "_marks", marks)

    def may_repeat_in(self, data: bytes) -> bool:
        """Return False only if certainly no row in these bytes repeats the header.

        This is called for every block. A search for a text is ten times as slow as one for a
        single byte. A text is therefore searched only if each of its bytes occurs, and the bytes
        at its end, which are rarer, are tried first.
        """
        if self.canonical:
            return False
        marks = [mark for mark in self._marks if all(map(data.__contains__, reversed(mark)))]
        if len(marks) > 1 and _ID_PART not in data:  # one search instead of two
            return False
        return any(mark in data for mark in marks)

    def is_repeated_by(self, cells: Sequence[str]) -> bool:
        """Return True if a row repeats the header, perhaps in other spellings or another order.

        No user has an Amplitude id that is the name of a column. But a user id may be any text,
        so in a file without Amplitude ids all cells must equal those of the header.
        """
        found = (cells[0].removeprefix("\ufeff"), *cells[1:])
        if "amplitude_id" not in self.names:
            return sorted(found) == sorted(self.cells)
        named = {id_column(cell) for cell in found}
        if not named.issuperset(name for name in self.names if name in ID_COLUMNS):
            return False
        cell = found[self.names.index("amplitude_id")]
        return id_column(cell) is not None or cell in self.cells


def read_header(
    record: Sequence[str],
    line: int,
    *,
    canonical: bool = False,
    unequal: Collection[str] | None = None,
) -> Header:
    """Return the columns of a file from its first record: see ``read_table``.

    Args:
        record: The cells of the first record.
        line: The number of its line, for errors.
        canonical: True if the file is known to be in canonical form.
        unequal: The repeated properties to keep, by names such as ``plan_2``. Default: all.

    Raises:
        MalformedCsvError: No column is an id column.
    """
    tabs = not canonical and bool(record) and all(cell.startswith("\t") for cell in record)
    cells = tuple(cell[1:] if tabs else cell for cell in record)
    spelled = tuple(id_column(cell) or cell for cell in cells)
    if not set(ID_COLUMNS) & set(spelled):
        raise _no_id_column(line, cells)
    names, first = list[str](), dict[str, int]()
    repeated_ids, repeated_properties = dict[int, int](), dict[int, int]()
    for place, name in enumerate(spelled):
        is_again = first.setdefault(name, place) != place
        if is_again and name in ID_COLUMNS:
            repeated_ids[place] = first[name]
        elif is_again and name:
            repeated_properties[place] = first[name]
            name = _numbered(name, spelled[: place + 1].count(name), {*spelled, *names})  # noqa: PLW2901
        names.append(name)
    equal = {names[p] for p in repeated_properties} - set(names if unequal is None else unequal)
    columns = tuple(name for name in dict.fromkeys(names) if name and name not in equal)
    return Header(
        cells=cells,
        names=tuple(names),
        columns=columns,
        repeated_ids=repeated_ids,
        repeated_properties=repeated_properties,
        tabs=tabs,
        canonical=canonical,
    )


def _numbered(name: str, number: int, taken: Collection[str]) -> str:
    """Return a name such as ``plan_2`` that no other column of the file has."""
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _no_id_column(line: int, names: Sequence[str]) -> MalformedCsvError:
    # The error does not show the header, because the first row of a file without one is a member.
    if any(name.strip().lower() in _GROUP_COLUMNS for name in names):
        hint = "Sync a cohort of users, such as the users of these groups"
        rule = "it is a cohort of groups (group_type, group_value), and not of users"
        return MalformedCsvError(line, rule, hint)
    hint = "Add a header, or map other names with columns= of MemberFile"
    if len(names) == 1:
        for mark, name in {";": "semicolons", "\t": "TABs", "|": "vertical bars"}.items():
            if mark in names[0]:
                hint = f"Save the file with commas between the cells, not {name}"
    return MalformedCsvError(line, "no column is named amplitude_id or user_id", hint)
