"""The diff of two sets of members, and the files that contain it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self, get_args

from attrs import define, evolve, field

from .._arguments import check_kind, choice_faults
from .._bytes import Hashed
from .._display import html_table
from ..errors import ConfigurationError, UnusableDiffError
from ..format.compression import content_type_of, stage_csv
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.named_rows import MemberRow, row_class
from ..format.notes import changed_text
from ..format.schema import RowSchema
from ..settings.words import member_of
from ..sources.file_set import as_source
from ..sources.protocol import MemberSource
from ..sources.rows import as_csv
from ..storage.file_staging import SupportsStageFile
from ..storage.protocol import StagedObject, Storage
from ..storage.temporary import temporary_folder
from ._sealed import SealedFile
from .engine import PartitionEngine
from .progress import Progress, Reporter, reporting
from .protocol import DiffEngine, DiffFile, DiffReport, Duplicates, Grown


@define(kw_only=True, eq=False, repr=False)
class CohortDiff:
    """The diff of two sets of members, as files that exist until the diff is closed.

    Use it as a context manager. The repr has counts, but no user ids.

    Attributes:
        schema: The columns and the key.
        existing_meaning: The users that the file ``existing`` contains.
        report: The files and the counts.
        origin: The ``origin`` of the current members: see ``CsvSource``.
    """

    schema: RowSchema
    existing_meaning: ExistingMeaning
    report: DiffReport = field(repr=False)
    origin: Mapping[str, str] = field(factory=dict[str, str])
    _sealed: Mapping[DiffType, SealedFile] = field(repr=False, alias="sealed")
    _closing: ExitStack = field(repr=False, alias="closing")

    def __repr__(self) -> str:
        return f"CohortDiff(<{self.report.describe(self.schema.key)}>)"

    def _repr_html_(self) -> str:
        report = self.report
        return html_table(
            f"{report.members_before:,} → {report.members_now:,} members"
            f"{changed_text(report.changed)}",
            ("file", "rows", "bytes"),
            [(str(t), file.rows, file.size) for t, file in report.files.items()],
            report.notes(self.schema.key),
        )

    @property
    def entering(self) -> DiffFile:
        """The current members who were not members before."""
        return self.report.files[DiffType.ENTERING]

    @property
    def exiting(self) -> DiffFile:
        """The previous members who are not members now, with the properties that they had."""
        return self.report.files[DiffType.EXITING]

    @property
    def existing(self) -> DiffFile:
        """The users chosen by the destination: see ``ExistingMeaning``."""
        return self.report.files[DiffType.EXISTING]

    def rows(self, diff_type: DiffType) -> Iterator[MemberRow]:
        """Yield the rows of one file, in order; ``row["plan"]`` is the cell of a column."""
        if faults := choice_faults("diff_type", diff_type, map(str, DiffType)):
            raise ConfigurationError("CohortDiff.rows", tuple(faults))
        rows = self.schema.decode(self.report.files[diff_type].chunks(), canonical=True)
        return map(row_class(self.schema.columns), rows)

    def stage(
        self,
        diff_type: DiffType,
        storage: Storage,
        key: str,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> StagedObject:
        """Stage one of the files: see ``StageableDiff``.

        Args:
            diff_type: The file.
            storage: The storage of the data.
            key: The key under which the file will appear.
            progress: A callback for the number of bytes that the storage has received.

        Raises:
            UnusableDiffError: The diff is closed, or the file has been changed.
        """
        file = self.report.files[diff_type]
        sealed = self._sealed.get(diff_type)
        if (
            isinstance(storage, SupportsStageFile)
            and not key.endswith(".gz")
            and sealed is not None
            and sealed.is_unchanged()
        ):
            content_type = content_type_of(key)
            staged = storage.stage_file(
                key, file.path, sha256=file.sha256, content_type=content_type
            )
            return checked(file, diff_type, storage, staged, staged.sha256)
        chunks = file.chunks() if progress is None else _counted(file.chunks(), progress)
        return checked(file, diff_type, storage, *stage_chunks(storage, key, chunks))

    def close(self) -> None:
        """Remove the files. A second call does nothing."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def diff_members(
    previous: MemberSource | str | PathLike[str],
    current: MemberSource | str | PathLike[str],
    *,
    schema: RowSchema,
    existing: ExistingMeaning | Literal["members", "stayed", "previous"] = (
        ExistingMeaning.MEMBERS
    ),
    duplicates: Duplicates = "refuse",
    engine: DiffEngine | None = None,
    work_dir: str | PathLike[str] | None = None,
    progress: Progress | Literal[True] | None = None,
) -> CohortDiff:
    """Compute which users entered and exited, and the members.

    A changed property alone is neither entering nor exiting; ``report.changed`` counts such
    members. The files do not depend on the order of the rows.

    Args:
        previous: The previous members: ``Head.members()``, or ``()`` for the first sync.
        current: The current members: see ``sync_cohort``.
        schema: The columns to write, and the key.
        existing: The meaning of the file ``existing``, or its word, such as ``"stayed"``.
        duplicates: The treatment of different rows with one key.
        engine: An engine to use instead of the default one.
        work_dir: The folder for temporary files. Default: the system's.
        progress: A callback for the progress; ``True`` shows tqdm bars.

    Returns:
        The diff, which owns temporary files; use it as a context manager.

    Raises:
        EmptyKeyError: Current rows have no Amplitude id, and members are matched by it.
        DuplicateKeyError: Different current rows have one key, and ``duplicates`` is
            ``"refuse"``.
        MalformedCsvError, MissingColumnsError, InvalidCellError: The members can't be read
            as rows of the schema.
        DiskFullError: The temporary files do not fit on the disk; they have been removed.
        MissingExtraError: ``progress=True`` without tqdm.
        ArgumentTypeError: An argument has the wrong type, such as members that are a single
            text or a query that has not been executed.
        ConfigurationError: ``duplicates`` is not one of the possible values, or there is no
            folder for temporary files.

    >>> schema = RowSchema()
    >>> with diff_members([("1", "ann"), ("2", "bob")], [("2", "bob"), ("3", "cy")],
    ...                   schema=schema) as diff:
    ...     diff.entering.rows, list(diff.rows(DiffType.EXITING))
    (1, [('1', 'ann')])
    """
    with reporting(progress) as reporter:
        return compute_diff(
            previous,
            current,
            schema=schema,
            existing=member_of(ExistingMeaning, existing),
            duplicates=duplicates,
            engine=engine,
            reporter=reporter,
            open_folder=partial(system_folder, work_dir),
        )


def compute_diff(
    previous: MemberSource | str | PathLike[str],
    current: MemberSource | str | PathLike[str],
    *,
    schema: RowSchema,
    existing: ExistingMeaning,
    duplicates: Duplicates,
    engine: DiffEngine | None,
    reporter: Reporter | None,
    open_folder: Callable[[ExitStack], Path],
    grown: Grown | None = None,
) -> CohortDiff:
    """Compute the diff in a folder of the caller's choice: see :func:`diff_members`.

    ``open_folder`` makes the folder, and adds its removal to an exit stack, which is closed with
    the diff. ``grown`` is called while the files grow, but only by the default engine.
    """
    _check_arguments(schema, existing, engine, duplicates)
    before = as_csv(as_source(previous), schema, fill=True)
    each = iter if reporter is None else reporter.rows
    now = as_csv(as_source(current), schema, fill=False, each=each)
    engine = engine or PartitionEngine()
    # Other engines have no parameter ``grown``, and their digests must be checked.
    is_ours = type(engine).diff is PartitionEngine.diff
    following: dict[str, Any] = {"grown": grown} if is_ours and grown is not None else {}
    with ExitStack() as closing:
        report = engine.diff(
            before,
            now,
            schema=schema,
            existing=existing,
            duplicates=duplicates,
            folder=open_folder(closing),
            progress=reporter,
            **following,
        )
        if reporter is not None:
            reporter.flush()
        check_kind("the result of the engine", report, DiffReport, "return a DiffReport")
        files: Mapping[DiffType, DiffFile] = report.files if following else {}
        return CohortDiff(
            schema=schema,
            existing_meaning=existing,
            report=evolve(
                report, ignored_columns=tuple(sorted({*report.ignored_columns, *now.ignored}))
            ),
            origin=now.origin,
            sealed={t: SealedFile.of(file.path, file.size) for t, file in files.items()},
            closing=closing.pop_all(),
        )


def _check_arguments(schema: object, existing: object, engine: object, duplicates: object) -> None:
    """Raise unless these arguments of a diff are valid."""
    check_kind("schema", schema, RowSchema, "pass a RowSchema, such as sync.schema")
    check_kind("existing", existing, ExistingMeaning, "pass one, such as ExistingMeaning.MEMBERS")
    hint = "pass an engine, such as PartitionEngine(workers=2)"
    check_kind("engine", engine, DiffEngine | None, hint)
    if faults := choice_faults("duplicates", duplicates, get_args(Duplicates)):
        raise ConfigurationError("diff_members", tuple(faults))


def system_folder(work_dir: str | PathLike[str] | None, closing: ExitStack) -> Path:
    """Make a folder in ``work_dir`` or, by default, in the system's folder for temporary files."""
    folder = temporary_folder("cohort-diff-", work_dir)
    closing.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _counted(chunks: Iterable[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    """Yield chunks, and report the number of bytes after each."""
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        progress(done)


def stage_chunks(
    storage: Storage, key: str, chunks: Iterable[bytes]
) -> tuple[StagedObject, str | None]:
    """Stage the bytes of a file, and return their digest before compression."""
    if not key.endswith(".gz"):
        staged = stage_csv(storage, key, chunks)
        return staged, staged.sha256  # The storage computes it anyway.
    hashed = Hashed(chunks)
    return stage_csv(storage, key, hashed), hashed.sha256


def checked(
    file: DiffFile, diff_type: DiffType, storage: Storage, staged: StagedObject, sha256: str | None
) -> StagedObject:
    """Return a staged file, or discard it if its digest differs from the one in the report.

    Raises:
        UnusableDiffError: The digests differ.
    """
    if sha256 == file.sha256:
        return staged
    storage.discard(staged)
    raise UnusableDiffError(
        f"its file {diff_type.value!r} was changed on the disk", "Compute the diff again"
    )
