"""What a diff engine promises, and what it takes and gives.

``engine`` has the default one, ``testing.DiffEngineContract`` checks each word.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Generic, Literal, Protocol, runtime_checkable

from attrs import field, frozen
from typing_extensions import TypeVar

from .._bytes import read_chunks
from ..errors import DiffClosedError
from ..format.content import FileContent
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource
from .progress import Progress

Duplicates = Literal["refuse", "keep_smallest"]
"""What to do with different rows of one key: raise ``DuplicateKeyError``, or keep the row
with the smaller bytes. (Never "the first": the result must not depend on the order.)"""


@frozen(kw_only=True)
class DiffFile(FileContent):
    """One of the three files before it is stored: canonical bytes on the local disk.

    Attributes:
        path: Where it is, as long as the diff is open.
    """

    path: Path = field(repr=False)
    sha256: str

    def open(self) -> BinaryIO:
        """A stream over the bytes; the caller closes it.

        Raises:
            DiffClosedError: The diff is closed.
        """
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            raise DiffClosedError(self.path.stem) from None

    def chunks(self) -> Iterator[bytes]:
        """The bytes in chunks of a MiB.

        Raises:
            DiffClosedError: The diff is closed.
        """
        yield from read_chunks(self.open())


F_co = TypeVar("F_co", bound=FileContent, default=DiffFile, covariant=True)


@frozen(kw_only=True)
class DiffReport(Generic[F_co]):
    """What an engine hands back: the files that it wrote, and what it counted.

    Attributes:
        files: Entering, exiting, existing.
        members_before: Rows of the previous side.
        members_now: Rows of the current side, after the rules for keys.
        members_sha256: The digest of a file of all current members in canonical order,
            with its header: the same whatever ``existing`` means. Where no process
            has seen them all, that of ``composition.members_digest``.
        skipped: Current rows without a key, where that is no error.
        collapsed: Current rows that repeat another, or that lost to a smaller one.
        ignored_columns: Columns of the current side that the schema lacks.
    """

    files: Mapping[DiffType, F_co]
    members_before: int
    members_now: int
    members_sha256: str
    skipped: int = 0
    collapsed: int = 0
    ignored_columns: tuple[str, ...] = ()


@runtime_checkable
class DiffEngine(Protocol):
    """Computes a diff. ``testing.DiffEngineContract`` says what it must fulfil."""

    def diff(
        self,
        previous: CsvSource,
        current: CsvSource,
        *,
        schema: RowSchema,
        existing: ExistingMeaning,
        duplicates: Duplicates,
        folder: Path,
        progress: Progress | None,
    ) -> DiffReport:
        """Writes the three files into a folder.

        Args:
            previous: The members at the previous sync. Properties that it lacks are
                empty, columns that the schema lacks are dropped; it has no row twice.
            current: The members now; properties that it lacks are an error.
            schema: The columns to write, and the key.
            existing: Which rows the file ``existing`` gets.
            duplicates: What to do with different current rows of one key.
            folder: Empty, of the engine's own; the caller removes it with all it holds.
            progress: Told of the current rows read so far.

        Returns:
            The files, in the canonical order, that of the key's UTF-8 bytes.

        Raises:
            EmptyKeyError: Current rows have no Amplitude id and it is the key. (Rows
                without another key are skipped and counted.)
            DuplicateKeyError: Different current rows share a key, and are refused.
            MalformedCsvError: Either side is no CSV.
            MissingColumnsError: The current side lacks a column.
        """
        ...
