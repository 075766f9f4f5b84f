"""Rows and their one canonical form as CSV; and the tolerant reading of other people's."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Literal, cast

from attrs import field, frozen

from .._arguments import kind_faults
from ..errors import (
    ConfigurationError,
    InvalidTextError,
    MalformedCsvError,
    MissingColumnsError,
    UnsupportedValueError,
)
from .csv_blocks import Block, canonical_line, read_blocks, split_record

Row = tuple[str, ...]
"""The cells of one member in the order of a schema's columns. A missing value is ``""``."""

ID_COLUMNS = ("amplitude_id", "user_id")
"""The id columns as Python and Arrow have them, whatever the file's header says."""

_WRITTEN_IDS = {
    "documented": ("amplitudeID", "userID"),
    "api": ("amplitude_id", "user_id"),
}

_READ_IDS = {
    "amplitudeid": "amplitude_id",
    "amplitude_id": "amplitude_id",
    "userid": "user_id",
    "user_id": "user_id",
}

_BATCH_ROWS = 4096
_CHUNK_BYTES = 1 << 20


def id_column(header: str) -> str | None:
    """Which id column a header names, in either style and any letter case, or None.

    >>> id_column(" amplitudeID"), id_column("plan")
    ('amplitude_id', None)
    """
    return _READ_IDS.get(header.strip().lower())


@frozen
class Member:
    """One user in a cohort.

    The repr counts and does not name: logs hold no user ids.

    Attributes:
        amplitude_id: Amplitude's own identifier; digits, up to 20 of them, kept as text.
        user_id: Your identifier; empty for anonymous users.
        properties: The values of user properties by their column.
    """

    amplitude_id: str
    user_id: str = ""
    properties: Mapping[str, str] = field(factory=dict[str, str])

    def __repr__(self) -> str:
        return f"Member(<{len(self.properties)} properties>)"


MemberLike = Member | Mapping[str, Any] | tuple[Any, ...] | list[Any]
"""One member in any of the shapes that people have; ``RowSchema.row`` makes it a row."""


def _as_names(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        fault = f"properties must be several names, ({names!r},) for one"
        raise ConfigurationError("RowSchema", (fault,))
    return tuple(names)


@frozen(kw_only=True)
class RowSchema:
    r"""The columns of a sync's files, and the codec of their rows.

    Laws: ``list(schema.decode(schema.encode(rows))) == rows``, and equal rows in equal
    order give equal bytes. The canonical bytes are UTF-8 without a byte order mark,
    cells separated by ``,`` and rows ended by LF, a cell quoted only where it holds
    ``,`` ``"`` CR or LF, a quote doubled, and always a header.

    Attributes:
        properties: The names of the property columns, in order.
        key: The column by which members are told apart.
        header_style: How the id columns are written: see ``Destination``.

    Raises:
        ConfigurationError: A property is named as an id column, empty or twice, or the
            key is no column.

    >>> schema = RowSchema(properties=("plan",))
    >>> b"".join(schema.encode([("42", "ann", "a,b")]))
    b'amplitudeID,userID,plan\n42,ann,"a,b"\n'
    """

    properties: tuple[str, ...] = field(default=(), converter=_as_names)
    key: str = "amplitude_id"
    header_style: Literal["documented", "api"] = "documented"

    def __attrs_post_init__(self) -> None:
        faults = [
            fault
            for name in self.properties
            for fault in kind_faults("a property's column", name, str)
        ]
        if faults:
            raise ConfigurationError("RowSchema", tuple(faults))
        for position, name in enumerate(self.properties):
            if not name:
                faults.append("a property's column has no name")
            elif id_column(name):
                faults.append(f"the property column {name!r} reads as the column {id_column(name)}")
            elif name in self.properties[:position]:
                faults.append(f"two properties share the column {name!r}")
            elif (rule := _broken_rule(name)) is not None:
                faults.append(f"the property column {name!r} {rule}")
        if self.key not in self.columns:
            faults.append(f"the key {self.key!r} is none of the columns")
        if self.header_style not in _WRITTEN_IDS:
            faults.append(f"header_style must be 'documented' or 'api', not {self.header_style!r}")
        if faults:
            raise ConfigurationError("RowSchema", tuple(faults))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns as Python has them: ``amplitude_id``, ``user_id``, then the properties."""
        return (*ID_COLUMNS, *self.properties)

    @property
    def key_index(self) -> int:
        """The position of the key in a row."""
        return self.columns.index(self.key)

    @property
    def header(self) -> tuple[str, ...]:
        """The columns as the file's first row has them."""
        return (*_WRITTEN_IDS[self.header_style], *self.properties)

    @property
    def header_line(self) -> bytes:
        """The first line of every file of this schema."""
        return _encode_text(self.header).encode()

    def encode(self, rows: Iterable[Row]) -> Iterator[bytes]:
        """The canonical bytes of a file: the header, then the rows in the order given.

        Args:
            rows: Cells in the order of ``columns``.

        Returns:
            Chunks of about a MiB; a small file is one.

        Raises:
            InvalidTextError: A cell holds a NUL or a lone surrogate.
            ValueError: A row has another number of cells.
        """
        chunk = [self.header_line]
        size = 0
        iterator = iter(rows)
        while batch := list(islice(iterator, _BATCH_ROWS)):
            encoded = self._encode_batch(batch)
            chunk.append(encoded)
            size += len(encoded)
            if size >= _CHUNK_BYTES:
                yield b"".join(chunk)
                chunk, size = [], 0
        if chunk:
            yield b"".join(chunk)

    def _encode_batch(self, rows: Sequence[Row]) -> bytes:
        width = len(self.columns)
        if any(len(row) != width for row in rows):
            msg = f"a row has another number of cells than the schema's {width} columns"
            raise ValueError(msg)
        text = "\n".join(map(",".join, rows)) + "\n"
        # One look at the whole batch: no cell holds anything that would need a quote
        # exactly if there are no more separators than between cells and rows.
        plain = (
            text.count(",") == len(rows) * (width - 1)
            and text.count("\n") == len(rows)
            and '"' not in text
            and "\r" not in text
        )
        if not plain:
            text = "".join([_encode_text(row) for row in rows])
        try:
            if "\0" not in text:
                return text.encode()
        except UnicodeEncodeError:
            pass
        column, rule = next(
            (column, rule)
            for row in rows
            for column, cell in zip(self.columns, row, strict=True)
            if (rule := _broken_rule(cell)) is not None
        )
        raise InvalidTextError(column, rule)

    def decode(
        self, source: Iterable[bytes], *, vouched: bool = False, fill: bool = False
    ) -> Iterator[Row]:
        """The rows of a file, its columns matched by their names.

        Reads canonical files and what else occurs: see :func:`read_table`. Columns
        that the schema does not have are left out; an id column that is not the key
        may be missing.

        Args:
            source: A binary stream, or chunks of bytes.
            vouched: A record says that the library wrote it: then no TAB is taken off.
            fill: Whether a property that the file lacks is empty, not an error.

        Raises:
            MissingColumnsError: The file lacks the key or, without ``fill``, a property.
            MalformedCsvError: As :func:`read_table`.
        """
        table = read_table(source, vouched=vouched)
        select = table.selector(self, fill=fill)
        for rows in table.batches:
            yield from map(select, rows)

    def check_columns(self, columns: Collection[str], *, fill: bool) -> None:
        """That members with these columns can be rows of the schema.

        Args:
            columns: The names that they have.
            fill: Whether a property that they lack is empty, not an error.

        Raises:
            MissingColumnsError: The key or, without ``fill``, a property is absent.
        """
        required = (self.key,) if fill else (self.key, *self.properties)
        missing = [column for column in required if column not in columns]
        if missing:
            raise MissingColumnsError(tuple(dict.fromkeys(missing)))

    def row(self, member: MemberLike, *, fill: bool = False) -> Row:
        """The row of a member in any of the shapes that people have.

        Args:
            member: A ``Member``; a mapping by column (the ids in either header style,
                columns that the schema lacks are ignored); or a sequence in the order
                of ``columns``. Cells are text; integers become decimal text, None and
                NaN become empty.
            fill: Whether a property that the member lacks is empty, not an error.

        Raises:
            MissingColumnsError: The key or, without ``fill``, a property is absent.
            UnsupportedValueError: A cell is a float, a bool, a date or no scalar.
            MalformedCsvError: A mapping has an id column in two spellings that differ.

        >>> RowSchema(properties=("plan",)).row({"amplitudeID": 42, "plan": None})
        ('42', '', '')
        """
        given = _cells_by_column(member, self.columns)
        self.check_columns(given, fill=fill)
        return tuple(to_text(given.get(column), column) for column in self.columns)


def _cells_by_column(member: object, columns: tuple[str, ...]) -> Mapping[str, Any]:
    match member:
        case Member():
            try:
                return {
                    **member.properties,
                    "amplitude_id": member.amplitude_id,
                    "user_id": member.user_id,
                }
            except TypeError:  # asked beforehand, it would cost every row
                found, cure = type(member.properties).__name__, "give a mapping by column"
                raise UnsupportedValueError("properties", found, cure) from None
        case Mapping():
            named = cast("Mapping[str, Any]", member)
            given = {id_column(name) or name: cell for name, cell in named.items()}
            if len(given) < len(named):
                _check_repeats(named)
            return given
        case list() | tuple():
            cells = cast("Sequence[Any]", member)
            if len(cells) == len(columns):
                return dict(zip(columns, cells, strict=True))
            found, cure = f"sequence of {len(cells)} cells", f"give those of {', '.join(columns)}"
        case _:
            found = type(member).__name__
            cure = "give a Member, a mapping by column, or a sequence of cells"
    raise UnsupportedValueError("members", found, cure)


def _check_repeats(named: Mapping[str, Any]) -> None:
    """That a mapping which spells a column in two ways has one value for it, as in a file."""
    values = dict[str, str]()
    for name, cell in named.items():
        column = id_column(name)
        if column is not None:
            text = to_text(cell, column)
            if values.setdefault(column, text) != text:
                raise MalformedCsvError(1, f"the column {column} stands twice and differs")


def to_text(value: object, column: str) -> str:
    """A cell as text, where there is one faithful text.

    Raises:
        UnsupportedValueError: The value is a float, a bool, a date or no scalar.
    """
    match value:
        case str():
            return str(value)
        case None:
            return ""
        case bool():
            cure = "write the text that the consumers expect, such as 'true'"
        case int():
            return str(value)
        case float() if value != value:  # noqa: PLR0124 -- NaN, as pandas marks a missing value
            return ""
        case float() if column in ID_COLUMNS:
            cure = "an id may already have lost digits; read it as text or integer at the source"
        case float():
            cure = "format it as the text that the consumers expect, such as f'{value:.2f}'"
        case _ if hasattr(value, "isoformat"):
            cure = "format it, for example with .isoformat()"
        case _:
            cure = "convert it to text"
    raise UnsupportedValueError(column, type(value).__name__, cure)


@frozen
class Lines:
    """The rows of one block in their canonical form, in order.

    Attributes:
        lines: The canonical line of each row, without its line end.
        keys: The key of each row. None where each line begins with its key as it is,
            up to the first comma, and none has a line end inside.
    """

    lines: list[str]
    keys: list[str] | None

    def key_list(self) -> list[str]:
        """The key of each row."""
        if self.keys is not None:
            return self.keys
        return [line.split(",", 1)[0] for line in self.lines]


@frozen
class Table:
    """A CSV file as it is read: its columns, then its rows, which can be read once.

    Attributes:
        columns: ``amplitude_id`` and ``user_id`` where the file has them, and the
            properties, in the file's own order, each once.
        blocks: What is left to read.
        reader: Turns blocks into rows.
    """

    columns: tuple[str, ...]
    blocks: Iterator[Block]
    reader: "RowReader"

    @property
    def properties(self) -> tuple[str, ...]:
        """The columns that are no ids."""
        return tuple(c for c in self.columns if c not in ID_COLUMNS)

    @property
    def batches(self) -> Iterator[list[Row]]:
        """The rows, many at a time."""
        return map(self.reader.rows, self.blocks)

    def selector(self, schema: RowSchema, *, fill: bool = False) -> Callable[[Row], Row]:
        """A function from the file's rows to those of a schema.

        Raises:
            MissingColumnsError: The file lacks the key or, without ``fill``, a property.
        """
        if self.columns == schema.columns:
            return lambda row: row
        places = self._places(schema, fill=fill)

        def select(row: Row) -> Row:
            cells = (*row, "")
            return tuple([cells[place] for place in places])

        return select

    def line_reader(self, schema: RowSchema, *, fill: bool = False) -> "LineReader":
        """What turns blocks into canonical lines of a schema.

        Raises:
            MissingColumnsError: As :meth:`selector`.
        """
        same = self.columns == schema.columns
        return LineReader(
            self.reader, None if same else self._places(schema, fill=fill), schema.key_index
        )

    def _places(self, schema: RowSchema, *, fill: bool) -> tuple[int, ...]:
        """Where the schema's columns stand; behind the file's cells stands an empty one."""
        schema.check_columns(self.columns, fill=fill)
        empty = len(self.columns)
        return tuple(self.columns.index(c) if c in self.columns else empty for c in schema.columns)


def read_table(source: Iterable[bytes], *, vouched: bool = False) -> Table:
    """Reads a CSV file of cohort members, however it looks.

    Accepted: a byte order mark, CRLF, quotes around every cell, line ends inside quotes,
    blank lines, columns in any order, the id columns in either style, letter case and
    with blanks around them, an id column twice. Where every header cell begins with a
    TAB, as in Amplitude's exports for spreadsheets, one is taken off every cell.

    Args:
        source: A binary stream, or chunks of bytes.
        vouched: A record says that the library wrote it: then no TAB is taken off.

    Raises:
        MalformedCsvError: No id column, another number of cells than the header has, a
            column twice with different values, a NUL, not UTF-8, a quote where none may
            stand. The error says at which line.
    """
    blocks = read_blocks(source)
    first = next((block for block in blocks if block.data.strip(b"\r\n")), None)
    if first is None:
        cure = "Give it a header, also where it has no members"
        raise MalformedCsvError(1, "the file is empty, it lacks even a header", cure)
    line, header, rest = first.split_header()
    tabs = not vouched and bool(header) and all(cell.startswith("\t") for cell in header)
    names = [cell[1:] if tabs else cell for cell in header]
    columns = [id_column(name) or name for name in names]
    if not set(ID_COLUMNS) & set(columns):
        # The header is not shown: where a file has none, it is a member.
        rule = "no column is named amplitude_id or user_id"
        cure = "Begin the file with a header; MemberFile takes other names by columns="
        if len(names) == 1:
            for mark, name in {";": "semicolons", "\t": "TABs"}.items():
                if mark in names[0]:
                    cure = f"Save the file with commas between the cells, not {name}"
        raise MalformedCsvError(line, rule, cure)
    unique = tuple(dict.fromkeys(columns))
    reader = RowReader(tuple(columns), unique, tabs=tabs)
    return Table(unique, chain([rest] if rest.data else [], blocks), reader)


@frozen
class RowReader:
    """From blocks to rows, for one file's header.

    Attributes:
        columns: The file's columns.
        unique: The same, each once.
        tabs: Whether a TAB is taken off every cell.
    """

    columns: tuple[str, ...]
    unique: tuple[str, ...]
    tabs: bool = field(kw_only=True)

    def plain(self, block: Block) -> str | None:
        """The block as plain text, where its cells are the rows' as they stand."""
        width = len(self.columns)
        if self.tabs or width != len(self.unique) or width == 1:
            return None
        return block.as_plain(width)

    def rows(self, block: Block) -> list[Row]:
        """The rows of a block."""
        text = self.plain(block)
        if text is not None:
            return [tuple(line.split(",")) for line in text[:-1].split("\n")]
        return [row for _, row in self.numbered(block)]

    def numbered(self, block: Block) -> Iterator[tuple[int, Row]]:
        """The line at which each row begins, and the row; one by one, so it takes longer."""
        for line, cells in block.records():
            yield line, self._row(cells, line)

    def _row(self, cells: list[str], line: int) -> Row:
        if len(cells) != len(self.columns):
            raise MalformedCsvError(
                line, f"the row has {len(cells)} cells and the header {len(self.columns)}"
            )
        if self.tabs:
            cells = [cell.removeprefix("\t") for cell in cells]
        if len(self.unique) == len(self.columns):
            return tuple(cells)
        values = dict[str, str]()
        for column, cell in zip(self.columns, cells, strict=True):
            if values.setdefault(column, cell) != cell:
                raise MalformedCsvError(line, f"the column {column} stands twice and differs")
        return tuple(values.values())


@frozen
class LineReader:
    """From the blocks of one file to the canonical lines of a schema.

    A line that is canonical already is not taken apart.

    Attributes:
        reader: The file's reader.
        places: Where the schema's columns stand in the file's rows, one behind the last
            for those that it lacks; None where the columns are the same.
        key: The place of the key in the schema.
    """

    reader: RowReader
    places: tuple[int, ...] | None
    key: int

    def lines(self, block: Block) -> Lines:
        """The canonical lines of a block's rows.

        Raises:
            MalformedCsvError: As :func:`read_table`.
        """
        text = self.reader.plain(block)
        if text is not None:
            lines = text[:-1].split("\n")
            if self.places is not None:
                places = self.places
                rows = [[*line.split(","), ""] for line in lines]
                lines = [",".join([row[place] for place in places]) for row in rows]
            if not self.key:
                return Lines(lines, None)
            place = self.key  # no quotes here, so each comma ends a cell
            return Lines(lines, [line.split(",", place + 1)[place] for line in lines])
        canonical = self._canonical(block)
        if canonical is not None:
            return Lines(canonical, self._keys(canonical))
        selected = [self.select(row) for _, row in self.reader.numbered(block)]
        return Lines(
            [_encode_text(row)[:-1] for row in selected], [row[self.key] for row in selected]
        )

    def first_key(self, block: Block) -> str | None:
        """The key of a block's first row; None where it has no row.

        Raises:
            MalformedCsvError: As :func:`read_table`.
        """
        head = block.first_record()
        return next((self.select(row)[self.key] for _, row in self.reader.numbered(head)), None)

    def select(self, row: Row) -> Row:
        """A row of the schema from one of the file."""
        if self.places is None:
            return row
        cells = (*row, "")
        return tuple([cells[place] for place in self.places])

    def _canonical(self, block: Block) -> list[str] | None:
        """The block's lines where each is canonical as it stands, quotes and all, or None."""
        reader = self.reader
        width = len(reader.columns)
        if self.places is not None or reader.tabs or width != len(reader.unique):
            return None
        if b"\r" in block.data:
            return None
        lines = block.text().removesuffix("\n").split("\n")
        commas = width - 1
        is_canonical = canonical_line(width)
        odd = [line for line in lines if '"' in line or line.count(",") != commas]
        return lines if all(map(is_canonical, odd)) else None

    def _keys(self, lines: list[str]) -> list[str] | None:
        place = self.key
        if place == 0 and not any(line[:1] == '"' for line in lines):
            return None
        return [
            line.split(",", place + 1)[place] if '"' not in line else split_record(line, 0)[place]
            for line in lines
        ]


def _encode_text(cells: Iterable[str]) -> str:
    """One canonical line; a lone CR is quoted too, since readers take it for a line end."""
    return (
        ",".join(
            [
                '"' + cell.replace('"', '""') + '"'
                if '"' in cell or "," in cell or "\n" in cell or "\r" in cell
                else cell
                for cell in cells
            ]
        )
        + "\n"
    )


def _broken_rule(text: str) -> str | None:
    """By which rule a text can't stand in a file, or None."""
    if "\0" in text:
        return "holds a NUL, which ends a text for many databases"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which UTF-8 can't write"
    return None
