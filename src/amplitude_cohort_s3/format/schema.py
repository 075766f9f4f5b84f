"""The columns of a sync's files, and the conversion between members, rows and CSV."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, cast

from attrs import Factory, evolve, field, frozen

from .._arguments import kind_faults
from .._bytes import CHUNK_BYTES
from .._display import short_repr
from ..errors import ConfigurationError, InvalidCellError
from .cells import broken_rule, encode_text, to_text, to_texts
from .columns import ID_COLUMNS, Row, check_present, id_column
from .member import MemberLike, cells_of, check_length, named_cells, shape_of
from .reader import LineReader, Table, read_table

_WRITTEN_IDS = {
    "documented": ("amplitudeID", "userID"),
    "api": ("amplitude_id", "user_id"),
}


_BATCH_ROWS = 4096


def _as_names(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        fault = f"properties must be a sequence of names, for example ({names!r},)"
        raise ConfigurationError("RowSchema", (fault,))
    if faults := kind_faults("properties", names, Iterable, 'pass names: ("plan",)'):
        raise ConfigurationError("RowSchema", tuple(faults))
    return tuple(names)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name != ""


def _property_fault(name: str, earlier: Collection[object]) -> str | None:
    """Return the fault of a property's column, or None."""
    for fault in kind_faults("a property's column", name, str):
        return fault
    if not name:
        return "a property's column has no name"
    if (column := id_column(name)) is not None:
        return f"the property column {name!r} has the name of the id column {column}"
    if name in earlier:
        return f"two properties have the column {name!r}"
    rule = broken_rule(name)
    return None if rule is None else f"the property column {name!r} {rule}"


@frozen(kw_only=True, repr=False)
class RowSchema:
    r"""The columns of a sync's files, and the codec of their rows.

    Laws: ``list(schema.decode(schema.encode(rows))) == rows``, and equal rows in equal
    order have equal bytes. The canonical bytes are UTF-8 without a byte order mark. They
    always begin with a header. Cells are separated by ``,`` and rows end with LF. A cell
    is quoted only if it contains ``,`` ``"`` CR or LF; a quote in it is doubled.

    Attributes:
        properties: The names of the property columns, in order: their headers in the file.
        names: The name of each property in the source of the members. Several properties may have
            the same name: see ``UserProperty``. Default: ``properties``.
        key: The column by which members are matched.
        header_style: The spelling of the id columns in the header: see ``Destination``.

    Raises:
        ConfigurationError: A property has no name, or the name of an id column or of another
            property; or the key is not a column; or the header style does not exist.

    >>> schema = RowSchema(properties=("plan",))
    >>> b"".join(schema.encode([("42", "ann", "a,b")]))
    b'amplitudeID,userID,plan\n42,ann,"a,b"\n'
    """

    properties: tuple[str, ...] = field(default=(), converter=_as_names)
    names: tuple[str, ...] = field(
        default=Factory(lambda schema: schema.properties, takes_self=True),
        converter=_as_names,
        repr=False,
        eq=False,  # Schemas with the same columns are equal, from any source.
    )
    key: str = "amplitude_id"
    header_style: Literal["documented", "api"] = "documented"

    __repr__ = short_repr

    def __attrs_post_init__(self) -> None:
        faults, earlier = list[str](), dict[str, None]()
        for name in self.properties:
            fault = _property_fault(name, earlier)
            if fault is None:
                earlier[name] = None
            else:
                faults.append(fault)
        are_named = len(self.names) == len(self.properties) and all(map(_is_name, self.names))
        if self.names != self.properties and not are_named:
            faults.append("names must have one name for each property")
        if self.key not in self.columns:
            columns = ", ".join(map(repr, self.columns))
            faults.append(f"the key {self.key!r} is not a column; the columns are {columns}")
        if self.header_style not in _WRITTEN_IDS:
            faults.append(f"header_style must be 'documented' or 'api', not {self.header_style!r}")
        if faults:
            raise ConfigurationError("RowSchema", tuple(faults))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in Python: ``amplitude_id``, ``user_id``, then the properties."""
        return (*ID_COLUMNS, *self.properties)

    @property
    def key_index(self) -> int:
        """The position of the key in a row."""
        return self.columns.index(self.key)

    @property
    def header(self) -> tuple[str, ...]:
        """The columns in the first row of a file."""
        return (*_WRITTEN_IDS[self.header_style], *self.properties)

    @property
    def header_line(self) -> bytes:
        """The first line of every file of this schema."""
        return encode_text(self.header).encode()

    def encode(self, rows: Iterable[Row]) -> Iterator[bytes]:
        """Yield the canonical bytes of a file: the header, then the rows in the given order.

        Args:
            rows: Rows with their cells in the order of ``columns``.

        Yields:
            Chunks of about a MiB; a small file is a single chunk.

        Raises:
            InvalidCellError: A cell contains a NUL or a lone surrogate.
            ValueError: A row does not have exactly one cell for each column.
        """
        chunk = [self.header_line]
        size = 0
        remaining = iter(rows)
        while batch := list(islice(remaining, _BATCH_ROWS)):
            encoded = self._encode_batch(batch)
            chunk.append(encoded)
            size += len(encoded)
            if size >= CHUNK_BYTES:
                yield b"".join(chunk)
                chunk, size = [], 0
        if chunk:
            yield b"".join(chunk)

    def _encode_batch(self, rows: Sequence[Row]) -> bytes:
        width = len(self.columns)
        if set(map(len, rows)) != {width}:
            msg = f"a row has another number of cells than the schema's {width} columns"
            raise ValueError(msg)
        text = "\n".join(map(",".join, rows)) + "\n"
        # The whole batch is checked at once: no cell needs quotes if there are no other
        # separators than those between cells and rows.
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
        raise InvalidCellError(column, rule, "remove it before the sync")

    def decode(
        self, source: Iterable[bytes], *, canonical: bool = False, fill: bool = False
    ) -> Iterator[Row]:
        r"""Yield the rows of a CSV file, whose columns are matched by name.

        Reads canonical files and many others: see :func:`read_table`. Columns that the
        schema does not have are left out. An id column that is not the key may be missing.

        Args:
            source: A binary stream, or chunks of bytes.
            canonical: True if the bytes are in canonical form; then TABs are kept.
            fill: True if a property that the file lacks is empty instead of an error.

        Raises:
            MissingColumnsError: The file lacks the key or, without ``fill``, a property.
            MalformedCsvError: The file is not valid CSV: see :func:`read_table`.

        >>> list(RowSchema().decode([b"userID,amplitudeID\nann,42\n"]))
        [('42', 'ann')]
        """
        table = read_table(source, canonical=canonical)
        reader = self.line_reader(table, fill=fill)
        for block in table.blocks:
            yield from reader.rows(block)

    def line_reader(self, table: Table, *, fill: bool = False) -> LineReader:
        """Return a reader that turns a table's rows into rows of this schema.

        Args:
            table: A CSV file whose header has been read.
            fill: True if a property that the table lacks is empty instead of an error.

        Raises:
            MissingColumnsError: The table lacks the key or, without ``fill``, a property.
        """
        found = table.columns
        names = table.reader.header.names
        if names == self.columns:
            return LineReader(table.reader, None, self.key_index)
        self.check_columns(found, fill=fill)
        place_of = dict(zip(found, table.reader.header.places or range(len(names)), strict=True))
        positions = tuple(place_of.get(c, len(names)) for c in self.columns)
        return LineReader(table.reader, positions, self.key_index)

    def check_columns(self, columns: Collection[str], *, fill: bool) -> None:
        """Raise unless members with these columns can be rows of the schema.

        Args:
            columns: The names of the columns.
            fill: True if a property that they lack is empty instead of an error.

        Raises:
            MissingColumnsError: The key or, without ``fill``, a property is missing.
        """
        check_present(self._required(fill=fill), columns)

    def _required(self, *, fill: bool) -> tuple[str, ...]:
        return (self.key,) if fill else (self.key, *self.properties)

    def row(self, member: MemberLike, *, fill: bool = False) -> Row:
        """Return the row of a member.

        Args:
            member: A ``Member``, a mapping by column, or a row with named fields: a named
                tuple, a row of SQLAlchemy, sqlite3, PySpark or NumPy, a ``Series`` of pandas,
                an instance of a dataclass or of attrs. Fields are found by name, the ids in
                either header style, and those that the schema lacks are ignored. A plain
                tuple or list has the order of ``columns``. Values are text or integers; None
                and NaN become empty.
            fill: True if a property that the member lacks is empty instead of an error.

        Raises:
            MissingColumnsError: The key or, without ``fill``, a property is missing.
            InvalidCellError: A value is a float, a bool, a date or not a scalar.
            MalformedCsvError: A sequence has another length, a property occurs twice, or an
                id column occurs twice with different values.
            ArgumentTypeError: It is not a member.

        >>> RowSchema(properties=("plan",)).row({"amplitudeID": 42, "plan": None})
        ('42', '', '')
        """
        columns = self.columns
        named = named_cells(member)
        if named is None:
            cells = cast("Sequence[Any]", member)
            check_length(cells, columns)
        else:
            cells = shape_of(named[0], columns, self._required(fill=fill)).cells(named[1])
        return tuple(map(to_text, cells, columns))

    def rows(
        self, members: Iterable[MemberLike], *, fill: bool = False, ignored: set[str] | None = None
    ) -> Iterator[Row]:
        """Yield the row of each member: :meth:`row`, but faster for many members.

        Args:
            members: The members. They are read in batches.
            fill: True if a property that a member lacks is empty instead of an error.
            ignored: A set to which the names of fields that the schema lacks are added.

        Raises:
            MissingColumnsError, InvalidCellError, MalformedCsvError, ArgumentTypeError: As
                :meth:`row`. All but the last contain the number of the member, from 1.

        >>> list(RowSchema().rows([{"userID": "ann", "amplitudeID": 42}, (43, None)]))
        [('42', 'ann'), ('43', '')]
        """
        columns, required = self.columns, self._required(fill=fill)
        unused = set[str]() if ignored is None else ignored
        remaining, number = iter(members), 1
        while batch := list(islice(remaining, _BATCH_ROWS)):
            cells = cells_of(batch, number, columns, required, unused)
            number += len(batch)
            values = list(zip(*cells, strict=True))
            try:
                texts = [to_texts(of, column) for of, column in zip(values, columns, strict=True)]
            except InvalidCellError as error:
                raise self._located(error, cells, number - len(cells)) from None
            if all(text is given for text, given in zip(texts, values, strict=True)):
                yield from map(tuple, cells)
            else:
                yield from zip(*texts, strict=True)

    def _located(
        self, error: InvalidCellError, batch: Sequence[Sequence[Any]], number: int
    ) -> InvalidCellError:
        """Return the error about the first value in a batch that has no text, with its row.

        Columns are converted one by one, so the given error may be about a later row.
        """
        for place, cells in enumerate(batch, number):
            try:
                list(map(to_text, cells, self.columns))
            except InvalidCellError as first:
                return evolve(first, lines=(place,))
        return error
