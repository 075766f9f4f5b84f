"""Who entered, who exited, who is there: the difference of two sets of members."""

import errno
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

from attrs import define, evolve, field

from .._arguments import check_kind
from .._bytes import Hashed
from .._html import html_table
from ..errors import ArgumentTypeError, ConfigurationError, DiskFullError, UnusableDiffError
from ..format.columns import Row
from ..format.compression import stage_csv
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..sources.protocol import MemberSource
from ..sources.rows import as_csv
from ..storage.protocol import StagedObject, Storage
from .engine import PartitionEngine
from .progress import Progress, TqdmProgress
from .protocol import DiffEngine, DiffFile, DiffReport, Duplicates


def _counts(report: DiffReport) -> str:
    files = ", ".join(f"{file.rows} {diff_type}" for diff_type, file in report.files.items())
    return f"<{report.members_before} to {report.members_now} members: {files}>"


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
    report: DiffReport = field(repr=_counts)
    origin: Mapping[str, str] = field(factory=dict[str, str])
    _folder: Path = field(repr=False, alias="folder")

    def _repr_html_(self) -> str:
        report = self.report
        return html_table(
            f"{report.members_before:,} → {report.members_now:,} members",
            ("file", "rows", "bytes"),
            [(str(t), file.rows, file.size) for t, file in report.files.items()],
        )

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
        return self.schema.decode(self.report.files[diff_type].chunks(), canonical=True)

    def stage(self, diff_type: DiffType, storage: Storage, key: str) -> StagedObject:
        """Stage one of the files: see ``StageableDiff``.

        Raises:
            DiffClosedError: The diff is closed.
            UnusableDiffError: The file was changed since it was computed.
        """
        file = self.report.files[diff_type]
        if key.endswith(".gz"):
            hashed = Hashed(file.chunks())
            staged = stage_csv(storage, key, hashed)
            sha256: str | None = hashed.sha256
        else:
            staged = stage_csv(storage, key, file.chunks())
            sha256 = staged.sha256  # The storage computes it anyway.
        if sha256 != file.sha256:
            storage.discard(staged)
            raise UnusableDiffError(
                f"its file {diff_type.value!r} was changed since", "Compute the diff again"
            )
        return staged

    def close(self) -> None:
        """Remove the files. A second call does nothing."""
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
        MalformedCsvError,
    PlanMismatchError, MissingColumnsError, UnsupportedValueError, InvalidTextError:
            The members can't be read as the schema's rows.
        DiskFullError: There is no room for temporary files; none is left behind.
        MissingExtraError: ``progress=True`` without tqdm.
        ArgumentTypeError: An argument is of another type: members that are one text, a
            query that did not run yet.
        ConfigurationError: ``duplicates`` is none of its values, ``work_dir`` no folder.

    >>> schema = RowSchema()
    >>> with diff_members([("1", "ann"), ("2", "bob")], [("2", "bob"), ("3", "cy")],
    ...                   schema=schema) as diff:
    ...     diff.entering.rows, list(diff.rows(DiffType.EXITING))
    (1, [('1', 'ann')])
    """
    check_kind("schema", schema, RowSchema, "give that of the sync: sync.schema")
    check_kind("existing", existing, ExistingMeaning, "give one, such as ExistingMeaning.MEMBERS")
    check_kind("engine", engine, DiffEngine | None, "give one, such as PartitionEngine(workers=2)")
    if isinstance(engine, type):  # which has the method too
        raise ArgumentTypeError("engine", "type", f"give an object of it: {engine.__name__}()")
    if duplicates not in get_args(Duplicates):
        fault = f"duplicates must be one of {', '.join(get_args(Duplicates))}, not {duplicates!r}"
        raise ConfigurationError("diff_members", (fault,))
    chosen = PartitionEngine() if engine is None else engine
    before = as_csv(previous, schema, fill=True)
    now = as_csv(current, schema, fill=False)
    try:
        folder = Path(tempfile.mkdtemp(prefix="cohort-diff-", dir=work_dir))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(str(work_dir or tempfile.gettempdir())) from error
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            fault = f"work_dir {str(work_dir)!r} is no folder: make it first"
            raise ConfigurationError("diff_members", (fault,)) from None
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
        check_kind("what the engine gives", report, DiffReport, "return a DiffReport")
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
    return TqdmProgress() if progress is True else nullcontext(progress)
