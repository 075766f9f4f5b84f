"""What a diff engine promises, and what it takes and gives.

``engine`` has the default one, ``testing.DiffEngineContract`` checks each word.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, runtime_checkable

from attrs import field, frozen

from .._bytes import read_chunks
from ..errors import DiffClosedError
from ..format.content import FileContent
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource
from ..storage.protocol import StagedObject, Storage
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


@frozen(kw_only=True)
class DiffSummary:
    """The counts of a diff, and the contents of its three files.

    Attributes:
        files: The files ``entering``, ``exiting`` and ``existing``.
        members_before: The number of members before.
        members_now: The number of members now, after the rules for keys.
        members_sha256: The digest of the members now: the SHA-256 of a file of all of them
            in canonical order, with its header. It does not depend on the meaning of
            ``existing``.
        skipped: The number of current rows without a key.
        collapsed: The number of current rows that repeat another, or lost to a smaller one.
        ignored_columns: The columns of the current side that the schema does not have.
    """

    files: Mapping[DiffType, FileContent]
    members_before: int
    members_now: int
    members_sha256: str
    skipped: int = 0
    collapsed: int = 0
    ignored_columns: tuple[str, ...] = ()


@frozen(kw_only=True)
class DiffReport(DiffSummary):
    """The result of a diff engine: a summary whose files are on the local disk."""

    files: Mapping[DiffType, DiffFile]


@runtime_checkable
class StageableDiff(Protocol):
    """A diff whose files can be staged in a storage: all that a sync needs of a diff.

    ``CohortDiff`` is one. ``distributed.ComposedDiff`` is another, whose files are composed
    of parts that many machines wrote.
    """

    @property
    def schema(self) -> RowSchema:
        """The columns and the key of its rows."""
        ...

    @property
    def existing_meaning(self) -> ExistingMeaning:
        """The users that its file ``existing`` contains."""
        ...

    @property
    def report(self) -> DiffSummary:
        """Its counts and its files."""
        ...

    @property
    def origin(self) -> Mapping[str, str]:
        """The description that the source of the current members gives of itself."""
        ...

    def stage(self, diff_type: DiffType, storage: Storage, key: str) -> StagedObject:
        """Stage one of the three files: see ``Storage.stage``.

        Args:
            diff_type: The file.
            storage: The storage of the data.
            key: The key under which the file will appear; ``.gz`` means compressed.

        Raises:
            UnusableDiffError: The bytes are not those of the report; nothing is staged.
        """
        ...


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
