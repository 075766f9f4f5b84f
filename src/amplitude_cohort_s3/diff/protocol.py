"""The protocol of a diff engine, and the report that it returns.

``engine`` has the default engine; ``testing.DiffEngineContract`` tests the protocol.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, runtime_checkable

from attrs import field, frozen

from .._bytes import read_chunks
from ..errors import UnusableDiffError
from ..format.content import FileContent
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.notes import changed_text, count_notes
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource
from ..storage.protocol import StagedObject, Storage
from .progress import Progress

Duplicates = Literal["refuse", "keep_smallest"]
"""The treatment of different rows with one key: raise ``DuplicateKeyError``, or keep the row with
the smaller bytes. (Keeping the first row would make the result depend on the order.)"""

Grown = Callable[[DiffType, Path, int], None]
"""A callback for the growth of one of the three files: its type, its path, and the number of
bytes so far, which do not change any more."""


def ignore_growth(_type: DiffType, _path: Path, _size: int) -> None:
    """Do nothing: the default for a caller that does not use the growth of the files."""


@frozen(kw_only=True)
class DiffFile(FileContent):
    """One of the three files before it is stored: canonical bytes on the local disk.

    Attributes:
        path: The path of the file while the diff is open.
    """

    path: Path = field(repr=False)

    def open(self) -> BinaryIO:
        """Open a stream of the bytes, which the caller closes.

        Raises:
            UnusableDiffError: The diff is closed, or its files have been removed.
        """
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            rule = f"it is closed, or clean_up removed its file {self.path.stem!r}"
            hint = "Read the files, and call commit, inside the with block"
            raise UnusableDiffError(rule, hint) from None

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in chunks of a MiB.

        Raises:
            UnusableDiffError: The diff is closed, or its files have been removed.
        """
        yield from read_chunks(self.open())


@frozen(kw_only=True)
class DiffSummary:
    """The counts of a diff, and the contents of its three files.

    Attributes:
        files: The files ``entering``, ``exiting`` and ``existing``.
        members_before: The number of previous members.
        members_now: The number of current members, each key counted once.
        changed: The number of users who are previous and current members, and whose row differs
            in a column that both sides have; None if the engine does not count them.
        members_sha256: The digest of the current members: the SHA-256 of a file of all of them in
            canonical order, with its header. It does not depend on the meaning of ``existing``.
            For files that are composed of parts: see ``distributed.members_digest``.
        skipped: The number of current rows without a key.
        collapsed: The number of current rows that were dropped: they repeat another row, or a
            smaller row has their key.
        ignored_columns: The columns of the current side that the schema does not have.
        filled: The number of current members that have a value, for each property.
    """

    files: Mapping[DiffType, FileContent]
    members_before: int
    members_now: int
    changed: int | None = None
    members_sha256: str
    skipped: int = 0
    collapsed: int = 0
    ignored_columns: tuple[str, ...] = ()
    filled: Mapping[str, int]

    def notes(self, key: str) -> tuple[str, ...]:
        """Return sentences about rows that were left out and values that are missing.

        Args:
            key: The column by which members are matched.
        """
        return count_notes(
            key=key,
            members=self.members_now,
            skipped=self.skipped,
            collapsed=self.collapsed,
            filled=self.filled,
            ignored_columns=self.ignored_columns,
        )

    def describe(self, key: str) -> str:
        """Return the counts and the notes in one line."""
        files = ", ".join(f"{file.rows} {diff_type}" for diff_type, file in self.files.items())
        members = f"{self.members_before} to {self.members_now} members"
        changes = f"{members}: {files}{changed_text(self.changed)}"
        return "; ".join([changes, *self.notes(key)])


@frozen(kw_only=True)
class DiffReport(DiffSummary):
    """The result of a diff engine: a summary whose files are on the local disk."""

    files: Mapping[DiffType, DiffFile]


@runtime_checkable
class StageableDiff(Protocol):
    """A diff whose files can be staged in a storage. A sync accepts any object of this form.

    Examples are ``CohortDiff`` and ``distributed.ComposedDiff``, whose files are composed of
    parts that many machines wrote.
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
        """The ``origin`` of the current members: see ``CsvSource``."""
        ...

    def stage(self, diff_type: DiffType, storage: Storage, key: str) -> StagedObject:
        """Stage one of the three files: see ``Storage.stage``.

        Args:
            diff_type: The file.
            storage: The storage of the data.
            key: The key under which the file will appear. If it ends with ``.gz``, the file is
                compressed.

        Raises:
            UnusableDiffError: The bytes are not those of the report; nothing is staged.
        """
        ...


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
            previous: The members at the previous sync. A property that it lacks is empty, and a
                column that the schema lacks is dropped.
            current: The current members. It must have all properties.
            schema: The columns to write, and the key.
            existing: The meaning of the file ``existing``.
            duplicates: The treatment of different current rows with one key.
            folder: An empty folder for the engine's own use; the caller removes it.
            progress: A callback for the progress: the step ``read`` for the current members
                and, if it takes long, the step ``compare``. It is called in this thread only.

        Returns:
            The report of the files, whose rows are in the order of the key's UTF-8 bytes.

        Raises:
            EmptyKeyError: The key is the Amplitude id, and current rows have none. (If the key is
                another column, rows without it are skipped and counted.)
            DuplicateKeyError: Different current rows have one key, and ``duplicates`` is
                ``"refuse"``.
            MalformedCsvError: One of the sources is not valid CSV.
            MissingColumnsError: The current source lacks a column.
        """
        ...
