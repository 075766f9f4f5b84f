"""Where members come from: what a source must be, whatever it is made of."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Protocol, runtime_checkable

from attrs import field, frozen

from ..errors import MalformedCsvError, WrongArgumentError
from ..format.columns import Row
from ..format.member import MemberLike
from ..format.schema import RowSchema


@frozen(kw_only=True)
class CsvSource:
    """Rows as CSV bytes, from wherever they come.

    Attributes:
        chunks: Opens the bytes from their start, decompressed, in chunks of any size.
        canonical: A record says that the library wrote these bytes: they are canonical
            and in the order of the key.
        repeatable: Whether ``chunks`` may be called again.
        rows: How many rows there are, where it is known.
        size: How many bytes there are, where it is known; an estimate will do.
        unit: What errors count to say where a row is: lines of a file, or the rows of
            an iterable.
        file: What errors call it, where it is a file: its location without credentials,
            or its key in the storage.
        origin: What the source says of itself, for the record of the sync. No secrets.
        ignored: Collects, while it is read, columns that the source has and the bytes lack.

    Raises:
        WrongArgumentError: ``chunks`` is no function.
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

    def __attrs_post_init__(self) -> None:
        if not callable(self.chunks):
            cure = "give a function that opens them: chunks=lambda: iter(chunks)"
            raise WrongArgumentError("chunks", type(self.chunks).__name__, cure)

    @contextmanager
    def reading(self) -> Generator[None]:
        """Within it the bytes are read: a ``MalformedCsvError`` says of which file it is."""
        try:
            yield
        except MalformedCsvError as error:
            if error.file is None:
                error.file = self.file
            raise

    def rows_of(self, schema: RowSchema, *, fill: bool = False) -> Iterator[Row]:
        """The rows in the columns of a schema: see ``RowSchema.decode``.

        Raises:
            MissingColumnsError, MalformedCsvError: As ``RowSchema.decode``.
        """
        with self.reading():
            yield from schema.decode(self.chunks(), canonical=self.canonical, fill=fill)


@runtime_checkable
class SupportsCsv(Protocol):
    """Members that give their bytes: ``Members``, a file, an export."""

    def csv_source(self, schema: RowSchema) -> CsvSource:
        """The members as CSV that has at least the columns of the schema.

        (Not ``to_csv``: data frames have one, which writes a file.)
        """
        ...


@runtime_checkable
class SupportsArrow(Protocol):
    """A table of pyarrow, pandas, Polars, DuckDB or any other that speaks Arrow.

    The protocol is Arrow's own, "The Arrow PyCapsule Interface".
    """

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table as a stream of record batches."""
        ...


@runtime_checkable
class SupportsUnchanged(Protocol):
    """Members whose source can say, without reading them, that they are still the same."""

    def is_unchanged(self, origin: Mapping[str, str], /) -> bool:
        """Whether the members are still those of an earlier sync.

        Args:
            origin: The ``source`` in the record of that sync: what the source said of
                itself then. It may be of another source.
        """
        ...


MemberSource = CsvSource | SupportsCsv | SupportsArrow | Iterable[MemberLike]
"""What a diff takes on either side."""
