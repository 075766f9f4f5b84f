"""The diff of a sync, with its files in a folder from which the storage can take them over."""

from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TypedDict, Unpack

from ..diff.cohort_diff import CohortDiff, compute_diff, system_folder
from ..diff.progress import Reporter
from ..diff.protocol import DiffEngine, Duplicates, Grown
from ..errors import CohortS3Error, StagedGoneError
from ..format.existing_meaning import ExistingMeaning
from ..format.schema import RowSchema
from ..sources.protocol import MemberSource
from ..storage.file_staging import SupportsStageFile
from .early_staging import EarlyFlush, EarlyStaging


class DiffOptions(TypedDict):
    """The arguments of ``sync_cohort`` that are about the diff."""

    duplicates: Duplicates
    engine: DiffEngine | None
    work_dir: str | PathLike[str] | None


def diff_for_sync(
    schema: RowSchema,
    existing: ExistingMeaning,
    previous: MemberSource,
    current: MemberSource | str | PathLike[str],
    *,
    storage: SupportsStageFile | None,
    key: str,
    early: EarlyStaging | None,
    reporter: Reporter | None,
    **options: Unpack[DiffOptions],
) -> CohortDiff:
    """Compute the diff of a sync: see ``SyncStart.diff``.

    Args:
        schema: The columns and the key.
        existing: The meaning of the file ``existing``.
        previous: The members of the head.
        current: The members now.
        storage: The storage of the data if it can take over files, or None.
        key: The key of the file ``existing``.
        early: The ``EarlyStaging`` of the files; None to stage them when they are finished.
        reporter: The callback for the progress, or None.
        options: The other arguments of ``diff_members``.
    """
    grown: Grown | None = None
    if early is not None:
        grown = early.grown
    elif storage is not None:
        grown = EarlyFlush().grown
    work_dir = options["work_dir"]

    def open_folder(closing: ExitStack) -> Path:
        folder = None
        if storage is not None and work_dir is None:
            folder = _work_folder(storage, key, closing)
        if folder is None:
            folder = system_folder(work_dir, closing)
        if early is not None:
            closing.callback(early.close)
        return folder

    return compute_diff(
        previous,
        current,
        schema=schema,
        existing=existing,
        duplicates=options["duplicates"],
        engine=options["engine"],
        reporter=reporter,
        open_folder=open_folder,
        grown=grown,
    )


def _work_folder(storage: SupportsStageFile, key: str, closing: ExitStack) -> Path | None:
    """Make a folder in a storage; return None if that is not possible."""
    try:
        folder = closing.enter_context(storage.work_folder(key))
    except (CohortS3Error, OSError):
        # For example, this account can only read the root. If the sync is committed, its
        # staging raises the error; a sync that is only prepared does not need to write there.
        return None

    def check(_kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FileNotFoundError) and not folder.exists():
            raise StagedGoneError(key) from None

    closing.push(check)
    return folder
