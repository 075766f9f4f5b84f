"""The columns of a source that contain the properties of a sync, by name or by header.

A property has a name, which Amplitude and the source of the members use, and a header, which
is its column in the files of the sync. Sources may use either. This module renames the properties
to their headers, so that no other module needs the names.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain, count
from typing import Any, Self

from attrs import evolve

from ..errors import ConfigurationError, InvalidCellError, MalformedCsvError, MissingColumnsError
from ..format.cells import encode_text, to_text
from ..format.columns import ID_COLUMNS, column_name, id_column, places_of
from ..format.csv_blocks import Block, read_blocks, repeated_header
from ..format.member import MemberLike, named_cells
from ..format.reader import Table, read_table
from ..format.schema import RowSchema

Columns = Mapping[str, tuple[str, ...]]
"""The columns of a source, by the header of the property that they contain. If a property has
two columns, both must have the same values."""


def property_columns(schema: RowSchema, found: Collection[str]) -> Columns:
    """Return the columns of a source, by the header of the property that they contain.

    A column that is the header of one property and the name of another counts as a name if the
    source has the names of all properties, but not all headers; otherwise as a header. An id
    column is never a property.

    Args:
        schema: The columns of the sync.
        found: The columns of the source.

    >>> schema = RowSchema(properties=("plan_ios", "plan_web", "City"),
    ...                    names=("plan", "plan", "city"))
    >>> property_columns(schema, ["amplitude_id", "plan", "City"])
    {'plan_ios': ('plan',), 'plan_web': ('plan',), 'City': ('City',)}
    """
    headers, names = {*schema.properties}, {*schema.names}
    wanted = {name for name in found if id_column(name) is None}
    by_name = names <= wanted and not headers <= wanted
    columns = dict[str, tuple[str, ...]]()
    for header, name in zip(schema.properties, schema.names, strict=True):
        both = [header] if header in wanted and not (by_name and header in names - {name}) else []
        if name != header and name in wanted and (by_name or name not in headers):
            both.append(name)
        if both:
            columns[header] = tuple(both)
    return columns


def places_by_header(schema: RowSchema, found: Iterable[object]) -> Mapping[str, tuple[int, ...]]:
    """Return the positions of each column of a sync among the columns of a table or a row.

    An id column may occur more than once, and a property may occur under its name and its
    header; the reader of the cells checks that the values agree.

    Args:
        schema: The columns of the sync.
        found: The names of the columns, where ids may have any spelling.

    Raises:
        MalformedCsvError: A name or a header of a property occurs more than once.

    >>> schema = RowSchema(properties=("Plan name",), names=("plan",))
    >>> places_by_header(schema, ["userID", "plan", "Plan name"])
    {'user_id': (0,), 'Plan name': (2, 1)}
    """
    texts = list(map(column_name, found))
    properties = property_columns(schema, texts)
    used = dict.fromkeys(column for both in properties.values() for column in both)
    places = places_of(texts, (*ID_COLUMNS, *used))
    ids = {name: places[name] for name in ID_COLUMNS if name in places}
    return ids | {
        header: tuple(places[column][0] for column in both) for header, both in properties.items()
    }


def check_mapping(
    allowed: Collection[str],
    columns: Mapping[str, str],
    subject: str,
    *,
    hidden: Collection[str] = (),
) -> None:
    """Raise unless each new name of a column is allowed.

    Args:
        allowed: The names of the sync's columns.
        columns: The new names by the names in the source.
        subject: The class of the source, for the error.
        hidden: The names in the source that may be changed to any other name, so that these
            columns no longer count as columns of the sync.

    Raises:
        ConfigurationError: A new name is not allowed, or two columns have the same new name.
    """
    listed = ", ".join(map(repr, allowed)) or "none"
    faults = [
        f"columns: {new!r} is not a column of the sync; it can be one of: {listed}"
        for own, new in columns.items()
        if (id_column(new) or new) not in allowed and (id_column(own) or own) not in hidden
    ]
    faults += shared_name_faults("columns", columns.values())
    if faults:
        raise ConfigurationError(subject, tuple(faults))


def shared_name_faults(argument: str, new_names: Iterable[str]) -> list[str]:
    """Return a fault for each new name that several columns share.

    Args:
        argument: The argument with the names, for the faults.
        new_names: The new name of each column; those of ids may have any spelling.

    >>> shared_name_faults("rename", ["plan", "userID", "user_id"])
    ["rename: 2 columns are renamed to 'user_id'"]
    """
    times = Counter(id_column(new) or new for new in new_names)
    return [
        f"{argument}: {count} columns are renamed to {new!r}"
        for new, count in times.items()
        if count > 1
    ]


def property_conflict(columns: Sequence[str], number: int | None, unit: str) -> MalformedCsvError:
    """Return the error about a row with two values for one property."""
    one, other = columns
    rule = f"the columns {one!r} and {other!r} are the same property, but their values differ"
    return MalformedCsvError(number, rule, "Remove one of the two columns", unit=unit)


def members_by_header(members: Iterable[MemberLike], schema: RowSchema) -> Iterable[MemberLike]:
    """Return members whose properties are named by their headers.

    Raises:
        MalformedCsvError: A member has two different values for a property, or the same
            column more than once; when iterated.
        InvalidCellError: One of two values has no text; when iterated.
    """
    if schema.names == schema.properties:
        return members
    return map(partial(_by_header, schema), members, count(1))


class NamedRow(tuple[Any, ...]):  # noqa: SLOT001 -- a tuple with slots has no attributes
    """The cells of a member under new field names. It is read like a named tuple."""

    _fields: tuple[Any, ...] = ()

    @classmethod
    def of(cls, fields: tuple[Any, ...], cells: Iterable[Any]) -> Self:
        """Return the cells with these names."""
        row = cls(cells)
        row._fields = fields
        return row


def _by_header(schema: RowSchema, member: MemberLike, number: int) -> MemberLike:
    named = named_cells(member)
    if named is None:
        return member
    fields, cells = named
    try:
        new_fields, places, doubled = _fields_by_header(fields, schema.properties, schema.names)
        for header, one, other in doubled:
            if to_text(cells[one], header) != to_text(cells[other], header):
                raise property_conflict([fields[one], fields[other]], None, "row")
    except MalformedCsvError as error:
        raise evolve(error, line=number) from None
    except InvalidCellError as error:
        raise evolve(error, lines=(number,)) from None
    return NamedRow.of(new_fields, (cells[place] for place in places))


@lru_cache(maxsize=1 << 10)
def _fields_by_header(
    fields: tuple[Any, ...], properties: tuple[str, ...], names: tuple[str, ...]
) -> tuple[tuple[Any, ...], tuple[int, ...], tuple[tuple[str, int, int], ...]]:
    """Return the fields of a member under their new names.

    Returns:
        The new names; the places of their cells in the member; and each property that has two
        fields, with the places of both.

    Raises:
        MalformedCsvError: A name or a header of a property occurs more than once.
    """
    found = places_by_header(RowSchema(properties=properties, names=names), fields)
    columns = {header: found[header] for header in properties if header in found}
    used = {place for places in columns.values() for place in places}
    others = [place for place in range(len(fields)) if place not in used]
    return (
        (*(fields[place] for place in others), *columns),
        (*others, *(places[0] for places in columns.values())),
        tuple((header, p[0], p[-1]) for header, p in columns.items() if len(p) > 1),
    )


def csv_by_header(chunks: Iterable[bytes], schema: RowSchema) -> Iterator[bytes]:
    """Yield a CSV file with the headers of the properties; each row keeps its line number.

    Raises:
        MalformedCsvError: A row has two different values for a property.
    """
    if schema.names == schema.properties:
        return iter(chunks)
    return _with_columns(chunks, lambda names: property_columns(schema, names))


def csv_of_names(chunks: Iterable[bytes], own_names: Mapping[str, str]) -> Iterator[bytes]:
    """Yield a CSV file with renamed columns. Several new columns may have the values of one.

    Each row keeps its line number.

    Args:
        chunks: The file.
        own_names: The names in the file by the new names.

    Raises:
        MissingColumnsError: The file lacks a column.
        MalformedCsvError: A row repeats the header.
    """

    def choose(names: Sequence[str]) -> Columns:
        check_renamed(own_names.values(), names)
        return {new: (own,) for new, own in own_names.items()}

    return _with_columns(chunks, choose)


def _with_columns(
    chunks: Iterable[bytes], choose: Callable[[Sequence[str]], Columns]
) -> Iterator[bytes]:
    """Yield a CSV file with the chosen columns under new names, and its other columns.

    Args:
        chunks: The file.
        choose: A function from the names in the header to the columns that get new names.
    """
    blocks = read_blocks(chunks)
    first = next((block for block in blocks if block.data.strip(b"\r\n")), None)
    if first is None:
        return
    _, header, rest = first.split_header()
    # Amplitude may begin every cell with a TAB, to prevent formulas in spreadsheets.
    tab = "\t" if all(cell.startswith("\t") for cell in header) else ""
    names = [cell.removeprefix(tab) for cell in header]
    columns = choose(names)
    used = [column for both in columns.values() for column in both]
    if len({*used}) < len(used) or len(used) > len(columns):
        blank_lines = b"\n" * (first.first_line - 1)
        whole = chain([blank_lines, first.data], (block.data for block in blocks))
        yield from _row_by_row(read_table(whole), columns)
        return
    new_names = {both[0]: new for new, both in columns.items()}
    cells = [(tab + new_names.get(name, name)).replace('"', '""') for name in names]
    line = ",".join(f'"{cell}"' for cell in cells) + "\n"
    yield ("\n" * (rest.first_line - 1 - line.count("\n")) + line).encode()
    written = first.first_record().data.strip(b"\r\n")
    for block in chain([rest], blocks):
        if written in block.data:
            _check_rows(block, header)
        yield block.data


def _check_rows(block: Block, header: list[str]) -> None:
    """Raise if a row repeats the old header: readers will know only the renamed one."""
    for number, cells in block.records():
        if [cells[0].removeprefix("\ufeff"), *cells[1:]] == header:
            raise repeated_header(number)


def _row_by_row(table: Table, columns: Columns) -> Iterator[bytes]:
    """Yield a file whose columns are repeated or merged; each row keeps its line number."""
    used = {column for both in columns.values() for column in both}
    others = [place for place, name in enumerate(table.columns) if name not in used]
    merged = [[table.columns.index(column) for column in both] for both in columns.values()]
    header = encode_text([*(table.columns[place] for place in others), *columns])
    yield header.encode()
    line = 1 + header.count("\n")
    for block in table.blocks:
        lines = list[str]()
        for number, row in table.reader.numbered(block):
            for places in merged:
                if row[places[0]] != row[places[-1]]:
                    raise property_conflict([table.columns[p] for p in places], number, "line")
            cells = [row[place] for place in others] + [row[places[0]] for places in merged]
            text = encode_text(cells)
            # Blank lines are skipped by every reader.
            lines += ["\n" * (number - line), text]
            line = max(line, number) + text.count("\n")
        yield "".join(lines).encode()


def check_renamed(renamed: Iterable[str], names: Sequence[str]) -> None:
    """Raise unless a file has all columns that are to be renamed.

    Raises:
        MissingColumnsError: It lacks some.
    """
    wanted = {*renamed}
    missing = wanted - {*names}
    if missing:
        # In a file without a header, the first line is a user: keep it out of the message.
        is_header = any(name in wanted or id_column(name) for name in names)
        raise MissingColumnsError(tuple(sorted(missing)), found=tuple(names) if is_header else ())
