"""The columns of a source that hold the properties of a sync, by name or by header.

A property has a name, which Amplitude and the source of the members use, and a header, which
is its column in the files of the sync. Sources may use either. They are read in the columns of
the files from here on, so that nothing else needs to know the names.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, cast

from ..errors import ConfigurationError, MalformedCsvError, MissingColumnsError
from ..format.cells import encode_text, to_text
from ..format.columns import id_column
from ..format.csv_blocks import read_blocks
from ..format.member import Member, MemberLike
from ..format.reader import Table, read_table
from ..format.schema import RowSchema

Columns = Mapping[str, tuple[str, ...]]
"""The columns of a source by the header of the property that they hold. If a property has two
columns, both must have the same values."""


def property_columns(schema: RowSchema, found: Collection[str]) -> Columns:
    """Return the columns of a source by the header of the property that they hold.

    A column that is the header of one property and the name of another counts as a header, if
    the source has the headers of all properties; otherwise as a name, if it has all names.

    Args:
        schema: The columns of the sync.
        found: The columns of the source.

    >>> schema = RowSchema(properties=("plan_ios", "plan_web", "City"),
    ...                    names=("plan", "plan", "city"))
    >>> property_columns(schema, ["amplitude_id", "plan", "City"])
    {'plan_ios': ('plan',), 'plan_web': ('plan',), 'City': ('City',)}
    """
    headers, names = {*schema.properties}, {*schema.names}
    by_header = headers <= {*found}
    by_name = not by_header and names <= {*found}
    columns = dict[str, tuple[str, ...]]()
    for header, name in zip(schema.properties, schema.names, strict=True):
        both = [header] if header in found and not (by_name and header in names - {name}) else []
        if name != header and name in found and not (by_header and name in headers):
            both.append(name)
        if both:
            columns[header] = tuple(both)
    return columns


def check_mapping(
    allowed: Collection[str],
    columns: Mapping[str, str],
    subject: str,
    *,
    hidden: Collection[str] = (),
) -> None:
    """Raise unless each new name of a column is one that a sync asks for.

    Args:
        allowed: The names that the sync asks for.
        columns: The new names by the names in the source.
        subject: The class of the source, for the error.
        hidden: The names in the source that may get any other name, so that they do not count
            as the column that they are called.

    Raises:
        ConfigurationError: A new name matches nothing, or two columns have the same one.
    """
    listed = ", ".join(map(repr, allowed)) or "none"
    faults = [
        f"columns: {new!r} is not a column of the sync; it can be one of: {listed}"
        for own, new in columns.items()
        if (id_column(new) or new) not in allowed and (id_column(own) or own) not in hidden
    ]
    new_names = list(columns.values())
    faults += [
        f"columns: {new_names.count(new)} columns are renamed to {new!r}"
        for new in dict.fromkeys(new_names)
        if new_names.count(new) > 1
    ]
    if faults:
        raise ConfigurationError(subject, tuple(faults))


def property_conflict(columns: Sequence[str], number: int | None, unit: str) -> MalformedCsvError:
    """Return the error of a row with two values for one property."""
    one, other = columns
    rule = f"the columns {one!r} and {other!r} are the same property, but their values differ"
    return MalformedCsvError(number, rule, "Remove one of the two columns", unit=unit)


def members_by_header(members: Iterable[MemberLike], schema: RowSchema) -> Iterable[MemberLike]:
    """Return members whose properties are named by their headers.

    Raises:
        MalformedCsvError: A member has two different values for a property; when iterated.
    """
    if schema.names == schema.properties:
        return members
    return (_by_header(member, schema, number) for number, member in enumerate(members, 1))


def _by_header(member: MemberLike, schema: RowSchema, number: int) -> MemberLike:
    named = member.properties if isinstance(member, Member) else member
    if not isinstance(named, Mapping):
        return member
    given = cast("Mapping[Any, Any]", named)
    columns = property_columns(schema, given)
    used = {column for both in columns.values() for column in both}
    cells = {name: cell for name, cell in given.items() if name not in used}
    for header, both in columns.items():
        cells[header] = given[both[0]]
        if len({to_text(given[column], header) for column in both}) > 1:
            raise property_conflict(both, number, "row")
    if isinstance(member, Member):
        return Member(member.amplitude_id, member.user_id, cells)
    return cells


def csv_by_header(chunks: Iterable[bytes], schema: RowSchema) -> Iterator[bytes]:
    """Yield a CSV file with the headers of the properties; each row keeps its line number.

    Raises:
        MalformedCsvError: A row has two different values for a property.
    """
    if schema.names == schema.properties:
        return iter(chunks)
    return _with_columns(chunks, lambda names: property_columns(schema, names))


def renamed(chunks: Iterable[bytes], columns: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the same CSV with new names in its header; each row keeps its line number.

    Args:
        chunks: The file.
        columns: The new names by the names in the file.

    Raises:
        MissingColumnsError: A column to rename is absent.
    """

    def choose(names: Sequence[str]) -> Columns:
        check_renamed(columns, names)
        return {new: (own,) for own, new in columns.items()}

    return _with_columns(chunks, choose)


def csv_of_names(chunks: Iterable[bytes], own_names: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the same CSV with other columns; several may have the values of one.

    Args:
        chunks: The file.
        own_names: The name in the file by the header of the property.

    Raises:
        MissingColumnsError: The file lacks a column.
    """

    def choose(names: Sequence[str]) -> Columns:
        check_renamed(own_names.values(), names)
        return {header: (own,) for header, own in own_names.items()}

    return _with_columns(chunks, choose)


def _with_columns(
    chunks: Iterable[bytes], choose: Callable[[Sequence[str]], Columns]
) -> Iterator[bytes]:
    """Yield a CSV file with the chosen columns under new names, and its other columns.

    Args:
        chunks: The file.
        choose: A function that gets the names of the columns and chooses some of them.
    """
    blocks = read_blocks(chunks)
    first = next((block for block in blocks if block.data.strip(b"\r\n")), None)
    if first is None:
        return
    _, header, rest = first.split_header()
    # Amplitude may begin every cell with a TAB, against formulas in spreadsheets.
    tab = "\t" if all(cell.startswith("\t") for cell in header) else ""
    names = [cell.removeprefix(tab) for cell in header]
    columns = choose(names)
    used = [column for both in columns.values() for column in both]
    if len({*used}) < len(used) or len(used) > len(columns):
        yield b"\n" * (first.first_line - 1)
        whole = chain([first.data], (block.data for block in blocks))
        yield from _row_by_row(read_table(whole), columns, first.first_line - 1)
        return
    new_names = {both[0]: new for new, both in columns.items()}
    cells = [(tab + new_names.get(name, name)).replace('"', '""') for name in names]
    line = ",".join(f'"{cell}"' for cell in cells) + "\n"
    yield ("\n" * (rest.first_line - 1 - line.count("\n")) + line).encode()
    yield rest.data
    for block in blocks:
        yield block.data


def _row_by_row(table: Table, columns: Columns, lines_before: int) -> Iterator[bytes]:
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
                    both = [table.columns[place] for place in places]
                    raise property_conflict(both, lines_before + number, "line")
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
