"""The protocol of a diff engine, and the report that it returns.

``engine`` has the default engine; ``testing.DiffEngineContract`` tests the protocol.
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
"""The treatment of different rows with one key: raise ``DuplicateKeyError``, or keep the row
with the smaller bytes. (Not the first row: the result must not depend on the order.)"""


@frozen(kw_only=True)
class DiffFile(FileContent):
    """One of the three files before it is stored: canonical bytes on the local disk.

    Attributes:
        path: The path of the file while the diff is open.
    """

    path: Path = field(repr=False)
    sha256: str

    def open(self) -> BinaryIO:
        """Open a stream of the bytes, which the caller closes.

        Raises:
            DiffClosedError: The diff is closed.
        """
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            raise DiffClosedError(self.path.stem) from None

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in chunks of a MiB.

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
    """An algorithm that computes a diff. ``testing.DiffEngineContract`` tests one."""

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
        """Write the three files into a folder.

        Args:
            previous: The members at the previous sync. Properties that it lacks are
                empty, columns that the schema lacks are dropped; no row occurs twice.
            current: The current members. It must have all properties.
            schema: The columns to write, and the key.
            existing: The meaning of the file ``existing``.
            duplicates: The treatment of different current rows with one key.
            folder: An empty folder for the engine's own use; the caller removes it.
            progress: A callback for the number of current rows read so far.

        Returns:
            The report of the files, whose rows are in the order of the key's UTF-8 bytes.

        Raises:
            EmptyKeyError: Current rows have no Amplitude id, and it is the key. (Rows
                without another key are skipped and counted.)
            DuplicateKeyError: Different current rows have one key, and are refused.
            MalformedCsvError: One of the sources is not valid CSV.
            MissingColumnsError: The current source lacks a column.
        """
        ...
