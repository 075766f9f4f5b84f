"""Rows and their one canonical form as CSV; and the tolerant reading of other people's."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal

from attrs import field, frozen

from .._arguments import kind_faults
from ..errors import ConfigurationError, InvalidTextError, MissingColumnsError
from .cells import broken_rule, encode_text, to_text
from .columns import ID_COLUMNS, Row, id_column
from .member import MemberLike, cells_by_column
from .reader import LineReader, Table, read_table

_WRITTEN_IDS = {
    "documented": ("amplitudeID", "userID"),
    "api": ("amplitude_id", "user_id"),
}


_BATCH_ROWS = 4096


_CHUNK_BYTES = 1 << 20


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
            elif (rule := broken_rule(name)) is not None:
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
        return encode_text(self.header).encode()

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
            text = "".join([encode_text(row) for row in rows])
        try:
            if "\0" not in text:
                return text.encode()
        except UnicodeEncodeError:
            pass
        column, rule = next(
            (column, rule)
            for row in rows
            for column, cell in zip(self.columns, row, strict=True)
            if (rule := broken_rule(cell)) is not None
        )
        raise InvalidTextError(column, rule)

    def decode(
        self, source: Iterable[bytes], *, canonical: bool = False, fill: bool = False
    ) -> Iterator[Row]:
        """The rows of a file, its columns matched by their names.

        Reads canonical files and what else occurs: see :func:`read_table`. Columns
        that the schema does not have are left out; an id column that is not the key
        may be missing.

        Args:
            source: A binary stream, or chunks of bytes.
            canonical: A record says that the library wrote it: then no TAB is taken off.
            fill: Whether a property that the file lacks is empty, not an error.

        Raises:
            MissingColumnsError: The file lacks the key or, without ``fill``, a property.
            MalformedCsvError: As :func:`read_table`.
        """
        table = read_table(source, canonical=canonical)
        select = self.selector(table, fill=fill)
        for rows in table.batches:
            yield from map(select, rows)

    def selector(self, table: Table, *, fill: bool = False) -> Callable[[Row], Row]:
        """Return a function that turns a table's rows into rows of this schema.

        Args:
            table: A CSV file whose header has been read.
            fill: Whether a property that the table lacks is empty instead of an error.

        Raises:
            MissingColumnsError: The table lacks the key or, without ``fill``, a property.
        """
        if table.columns == self.columns:
            return lambda row: row
        positions = self._positions(table, fill=fill)

        def select(row: Row) -> Row:
            cells = (*row, "")
            return tuple([cells[position] for position in positions])

        return select

    def line_reader(self, table: Table, *, fill: bool = False) -> LineReader:
        """Return a reader that turns a table's blocks into canonical lines of this schema.

        Args:
            table: A CSV file whose header has been read.
            fill: Whether a property that the table lacks is empty instead of an error.

        Raises:
            MissingColumnsError: The table lacks the key or, without ``fill``, a property.
        """
        same = table.columns == self.columns
        positions = None if same else self._positions(table, fill=fill)
        return LineReader(table.reader, positions, self.key_index)

    def _positions(self, table: Table, *, fill: bool) -> tuple[int, ...]:
        """Return the position of each schema column; an absent one is after the last cell."""
        self.check_columns(table.columns, fill=fill)
        absent = len(table.columns)
        return tuple(table.columns.index(c) if c in table.columns else absent for c in self.columns)

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
        given = cells_by_column(member, self.columns)
        self.check_columns(given, fill=fill)
        return tuple(to_text(given.get(column), column) for column in self.columns)
