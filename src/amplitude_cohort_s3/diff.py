"""Who entered, who exited, who is there: the difference of two sets of members."""

import errno
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Generic, Literal, Protocol, Self, runtime_checkable

from attrs import define, evolve, field, frozen
from typing_extensions import TypeVar

from .content import FileContent
from .destination import ExistingMeaning
from .errors import DiskFullError, MalformedCsvError, UnsupportedValueError
from .filename import DiffType
from .rows import Member, MemberLike, Row, RowSchema, id_column

Duplicates = Literal["refuse", "keep_smallest"]
"""What to do with different rows of one key: raise ``DuplicateKeyError``, or keep the row
with the smaller bytes. (Never "the first": the result must not depend on the order.)"""

Progress = Callable[[int, int | None], None]
"""Called now and then with the rows read so far and, where known, the rows expected."""

CHUNK_BYTES = 1 << 20


@frozen(kw_only=True)
class CsvSource:
    """Rows as CSV bytes, from wherever they come.

    Attributes:
        chunks: Opens the bytes from their start, decompressed, in chunks of any size.
        vouched: A record says that the library wrote these bytes: they are canonical
            and in the order of the key.
        repeatable: Whether ``chunks`` may be called again.
        rows: How many rows there are, where it is known.
        size: How many bytes there are, where it is known; an estimate will do.
        unit: What errors count to say where a row is: lines of a file, or the rows of
            an iterable.
        origin: What the source says of itself, for the record of the sync. No secrets.
        ignored: Collects, while it is read, columns that the source has and the bytes lack.
    """

    chunks: Callable[[], Iterator[bytes]]
    vouched: bool = False
    repeatable: bool = True
    rows: int | None = None
    size: int | None = None
    unit: Literal["line", "row"] = "line"
    origin: Mapping[str, str] = field(factory=dict[str, str])
    ignored: set[str] = field(factory=set[str], eq=False, repr=False)


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


@frozen(kw_only=True)
class DiffFile(FileContent):
    """One of the three files before it is stored: canonical bytes on the local disk.

    Attributes:
        path: Where it is, as long as the diff is open.
    """

    path: Path = field(repr=False)
    sha256: str

    def open(self) -> BinaryIO:
        """A stream over the bytes; the caller closes it."""
        return self.path.open("rb")

    def chunks(self) -> Iterator[bytes]:
        """The bytes in chunks of a MiB."""
        with self.open() as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk


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


@define(kw_only=True, eq=False)
class CohortDiff:
    """The difference of two sets of members, as files that it owns until it is closed.

    Use it as a context manager. The repr counts and does not name.

    Attributes:
        schema: The columns and the key.
        existing_meaning: Which rows the file ``existing`` has.
        report: The files and the counts.
        origin: What the source of the current members says of itself.
    """

    schema: RowSchema
    existing_meaning: ExistingMeaning
    report: DiffReport
    origin: Mapping[str, str] = field(factory=dict[str, str])
    _folder: Path = field(repr=False, alias="folder")

    @property
    def entering(self) -> DiffFile:
        """Members now who were none before."""
        return self.report.files[DiffType.ENTERING]

    @property
    def exiting(self) -> DiffFile:
        """Members before who are none now, with the properties they had."""
        return self.report.files[DiffType.EXITING]

    @property
    def existing(self) -> DiffFile:
        """By choice of the destination: see ``ExistingMeaning``."""
        return self.report.files[DiffType.EXISTING]

    def rows(self, diff_type: DiffType) -> Iterator[Row]:
        """The rows of one file, in order."""
        return self.schema.decode(self.report.files[diff_type].chunks(), vouched=True)

    def close(self) -> None:
        """Removes the files. A second call does nothing."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def diff_members(
    previous: MemberSource,
    current: MemberSource,
    *,
    schema: RowSchema,
    existing: ExistingMeaning = ExistingMeaning.MEMBERS,
    duplicates: Duplicates = "refuse",
    engine: DiffEngine | None = None,
    work_dir: str | PathLike[str] | None = None,
    progress: Progress | Literal[True] | None = None,
) -> CohortDiff:
    """Computes who entered, who exited and who exists.

    A changed property alone is neither entering nor exiting. The files do not depend
    on the order of either side.

    Args:
        previous: The members before: ``Head.members()``, or ``()`` for the first sync.
        current: The members now: an iterable of ``Member``, mappings or sequences, a
            data frame that speaks Arrow, or an object that gives CSV.
        schema: The columns to write, and the key.
        existing: Which rows the file ``existing`` gets.
        duplicates: What to do with different rows of one key.
        engine: Another engine than the default one.
        work_dir: Where temporary files go; by default the system's place for them.
        progress: Told of the rows read so far; ``True`` draws a bar with tqdm.

    Returns:
        The diff, which owns temporary files; use it as a context manager.

    Raises:
        EmptyKeyError: Rows have no Amplitude id and members are matched by it.
        DuplicateKeyError: Different rows share a key, and are refused.
        MalformedCsvError, MissingColumnsError, UnsupportedValueError, InvalidTextError:
            The members can't be read as the schema's rows.
        DiskFullError: There is no room for temporary files; none is left behind.
        MissingExtraError: ``progress=True`` without tqdm.

    >>> schema = RowSchema()
    >>> with diff_members([("1", "ann"), ("2", "bob")], [("2", "bob"), ("3", "cy")],
    ...                   schema=schema) as diff:
    ...     diff.entering.rows, list(diff.rows(DiffType.EXITING))
    (1, [('1', 'ann')])
    """
    # The default engine is imported here because it builds on this module's types.
    from .engine import PartitionEngine  # noqa: PLC0415

    chosen = PartitionEngine() if engine is None else engine
    before = as_csv(previous, schema, fill=True)
    now = as_csv(current, schema, fill=False)
    try:
        folder = Path(tempfile.mkdtemp(prefix="cohort-diff-", dir=work_dir))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(str(work_dir or tempfile.gettempdir())) from error
        raise
    try:
        with _shown(progress) as told:
            report = chosen.diff(
                before,
                now,
                schema=schema,
                existing=existing,
                duplicates=duplicates,
                folder=folder,
                progress=told,
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    report = evolve(report, ignored_columns=tuple(sorted({*report.ignored_columns, *now.ignored})))
    return CohortDiff(
        schema=schema,
        existing_meaning=existing,
        report=report,
        origin=now.origin,
        folder=folder,
    )


def _shown(
    progress: Progress | Literal[True] | None,
) -> AbstractContextManager[Progress | None]:
    if progress is not True:
        return nullcontext(progress)
    from ._progress import TqdmProgress  # noqa: PLC0415 -- rarely wanted

    return TqdmProgress()


def as_csv(members: MemberSource, schema: RowSchema, *, fill: bool) -> CsvSource:
    """Members in any shape as CSV.

    Args:
        members: As :func:`diff_members` takes them.
        schema: The columns and the key.
        fill: Whether a property that a member lacks is empty, not an error.

    Raises:
        UnsupportedValueError: The members are one text, or nothing that gives rows.
    """
    if isinstance(members, CsvSource):
        return members
    if isinstance(members, SupportsCsv):
        return members.csv_source(schema)
    if isinstance(members, SupportsArrow):
        # Imported here because it builds on this module's types.
        from .arrow import arrow_csv  # noqa: PLC0415

        return arrow_csv(members, schema, fill=fill)
    if isinstance(members, str | bytes | PathLike):
        cure = "for a file, pass MemberFile(location)"
        raise UnsupportedValueError("members", type(members).__name__, cure)
    if not isinstance(members, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        # A query that did not run yet (Polars' LazyFrame, a dataset), or a single thing.
        cure = "give rows or a table; where it is a query, run it first, as with .collect()"
        raise UnsupportedValueError("members", type(members).__name__, cure)
    ignored = set[str]()

    def rows() -> Iterator[Row]:
        known = {*schema.columns}
        for number, member in enumerate(members, 1):
            named = member.properties if isinstance(member, Member) else member
            if isinstance(named, Mapping):
                ignored.update(c for c in named if (id_column(c) or c) not in known)
            try:
                yield schema.row(member, fill=fill)
            except MalformedCsvError as error:
                raise MalformedCsvError(number, error.rule) from None

    return CsvSource(
        chunks=lambda: schema.encode(rows()),
        repeatable=not isinstance(members, Iterator),
        rows=len(members) if isinstance(members, Sized) else None,
        unit="row",
        ignored=ignored,
    )
