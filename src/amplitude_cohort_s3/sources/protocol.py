"""The protocols of sources: objects that can be passed as the members of a sync.

To write a source, define a class with one method ``csv_source(schema)`` that returns a
:class:`CsvSource`; no base class is needed. ``schema.columns`` lists the columns that
are needed, the key among them. ``schema.rows(members)`` and ``schema.encode(rows)`` turn
Python values into bytes, so a source can be this short::

    class QuerySource:
        def csv_source(self, schema):
            def chunks():
                yield from schema.encode(schema.rows(run_query()))

            return CsvSource(chunks=chunks, unit="row", origin={"database": "crm"})

If the source can find out cheaply that nothing has changed since the last sync, add
``is_unchanged(origin)``: see :class:`SupportsUnchanged`.
"""

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Literal, Protocol, runtime_checkable

from attrs import field, frozen

from ..errors import (
    ArgumentTypeError,
    CompressionError,
    DuplicateKeyError,
    EmptyKeyError,
    InvalidCellError,
    MalformedCsvError,
    MissingColumnsError,
)
from ..format.columns import Row
from ..format.member import MemberLike
from ..format.reader import Table, read_table
from ..format.schema import RowSchema

_CONTENT_ERRORS = (
    MalformedCsvError,
    CompressionError,
    MissingColumnsError,
    EmptyKeyError,
    DuplicateKeyError,
    InvalidCellError,
)
"""The errors about the content of a file."""


@frozen(kw_only=True)
class CsvSource:
    """Members as CSV bytes.

    Attributes:
        chunks: A function that returns an iterator over the bytes from their start,
            decompressed, in chunks of any size. The bytes begin with a header. Columns may
            have any order, and columns that the schema lacks are ignored.
        canonical: True if a record of the library covers these bytes, so that they are
            known to be canonical and in the order of the key.
        repeatable: False if ``chunks`` can be called only once.
        rows: The number of rows, if it is known.
        size: The number of bytes, if it is known; an estimate is enough.
        unit: The unit in which errors count the position of a row: the lines of a file, or
            the rows of an iterable.
        file: The name of the file in errors: its location without credentials, or its key
            in the storage.
        origin: A description of the source for the record of the sync. It must not contain
            secrets.
        ignored: A set that is filled, while the source is read, with the columns that the
            source has and the bytes lack.
        parts: A list that is filled, while several files are read as one source, with the number
            of rows before each file, and its name.

    Raises:
        ArgumentTypeError: ``chunks`` is not a function.
    """

    chunks: Callable[[], Iterator[bytes]]
    canonical: bool = False
    repeatable: bool = True
    rows: int | None = None
    size: int | None = None
    unit: Literal["line", "row"] = "line"
    file: str | None = None
    origin: Mapping[str, str] = field(factory=dict[str, str])
    ignored: set[str] = field(factory=set[str], eq=False, repr=False)
    parts: list[tuple[int, str]] = field(factory=list[tuple[int, str]], eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not callable(self.chunks):
            hint = "pass a function that opens them: chunks=lambda: iter(chunks)"
            raise ArgumentTypeError("chunks", type(self.chunks).__name__, hint)

    @contextmanager
    def reading(self) -> Generator[None]:
        """Add the file's name to an error about its content that is raised in the context."""
        try:
            yield
        except _CONTENT_ERRORS as error:
            if error.file is None:
                error.file = self.file
            raise

    def positions(
        self, lines: tuple[int, ...]
    ) -> tuple[tuple[int, ...], str, str | None, tuple[str, ...]]:
        """Return the fields ``lines``, ``unit``, ``file`` and ``files`` of an error about lines."""
        if not self.parts:
            return lines, self.unit, self.file, ()
        before = [rows for rows, _ in self.parts]
        parts = [self.parts[bisect_left(before, line) - 1] for line in lines]
        own_lines = tuple(line - rows for line, (rows, _) in zip(lines, parts, strict=True))
        return own_lines, self.unit, self.file, tuple(name for _, name in parts)

    def read_table(self) -> Table:
        """Read the header, and return the file as a table of blocks.

        If a property's header is repeated and the source can be read again, it is read
        once more: properties whose values are all equal count once.

        Raises:
            MalformedCsvError: The source is not CSV of a cohort. The error names the file.
        """
        with self.reading():
            table = read_table(self.chunks(), canonical=self.canonical)
            if self.repeatable and table.reader.header.repeated_properties:
                unequal = table.unequal_columns()
                table = read_table(self.chunks(), canonical=self.canonical, unequal=unequal)
            return table

    def rows_of(self, schema: RowSchema, *, fill: bool = False) -> Iterator[Row]:
        """Yield the rows in the columns of a schema: see ``RowSchema.decode``.

        Raises:
            MissingColumnsError, MalformedCsvError: As ``RowSchema.decode``; with the file.
        """
        with self.reading():
            yield from schema.decode(self.chunks(), canonical=self.canonical, fill=fill)


@runtime_checkable
class SupportsCsv(Protocol):
    """A source: an object that can return its members as CSV, such as ``MemberFile``."""

    def csv_source(self, schema: RowSchema) -> CsvSource:
        """Return the members as CSV that has at least the key and the columns of the schema.

        It is called once per sync or diff. Reading should start in ``chunks``, not here.
        (The name is not ``to_csv``, because that method of data frames writes a file.)
        """
        ...


@runtime_checkable
class SupportsArrow(Protocol):
    """A table of pyarrow, pandas, Polars, DuckDB or another library that supports Arrow.

    The protocol is Arrow's own, "The Arrow PyCapsule Interface".
    """

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the table as a stream of record batches."""
        ...


@runtime_checkable
class SupportsUnchanged(Protocol):
    """A source that can find out, without reading the members, that they have not changed."""

    def is_unchanged(self, origin: Mapping[str, str], /) -> bool:
        """Return whether the members are still those of an earlier sync.

        Args:
            origin: The ``origin`` of the source at that sync, from its record. It may be
                that of another source.
        """
        ...


MemberSource = (
    CsvSource
    | SupportsCsv
    | SupportsArrow
    | Iterable[MemberLike]
    | Iterable[CsvSource | SupportsCsv | SupportsArrow | PathLike[str]]
)
"""Anything that a sync accepts as members: a table, a file or another source; members; or several
sources, one after the other, of which a path is a file."""
