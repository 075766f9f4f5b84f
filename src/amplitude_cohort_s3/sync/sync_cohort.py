"""Syncing a cohort: prepare, then commit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from os import PathLike
from typing import Literal, overload

from ..diff.progress import Progress
from ..diff.protocol import DiffEngine, Duplicates
from ..log.stream_events import Observer
from ..settings.cohort_sync import CohortSync
from ..settings.guard import Guard
from ..sources.protocol import MemberSource
from ..storage.open import StorageLocation
from ..storage.protocol import Storage
from .clock import utc_now
from .commit import SyncResult
from .plan import SyncPlan
from .prepare import prepare_start
from .start import begin_sync, check_is_not_storage


@overload
def sync_cohort(
    sync: CohortSync,
    members: MemberSource | str | PathLike[str],
    storage: Storage | StorageLocation,
    *,
    synced_at: datetime | None = None,
    guard: Guard | Literal[False] | None = None,
    duplicates: Duplicates = "refuse",
    engine: DiffEngine | None = None,
    work_dir: str | PathLike[str] | None = None,
    log: Storage | StorageLocation | None = None,
    observer: Observer | None = None,
    progress: Progress | Literal[True] | None = None,
    dry_run: Literal[False] = False,
    clock: Callable[[], datetime] = ...,
) -> SyncResult: ...
@overload
def sync_cohort(
    sync: CohortSync,
    members: MemberSource | str | PathLike[str],
    storage: Storage | StorageLocation,
    *,
    synced_at: datetime | None = None,
    guard: Guard | Literal[False] | None = None,
    duplicates: Duplicates = "refuse",
    engine: DiffEngine | None = None,
    work_dir: str | PathLike[str] | None = None,
    log: Storage | StorageLocation | None = None,
    observer: Observer | None = None,
    progress: Progress | Literal[True] | None = None,
    dry_run: Literal[True],
    clock: Callable[[], datetime] = ...,
) -> SyncPlan: ...
def sync_cohort(
    sync: CohortSync,
    members: MemberSource | str | PathLike[str],
    storage: Storage | StorageLocation,
    *,
    synced_at: datetime | None = None,
    guard: Guard | Literal[False] | None = None,
    duplicates: Duplicates = "refuse",
    engine: DiffEngine | None = None,
    work_dir: str | PathLike[str] | None = None,
    log: Storage | StorageLocation | None = None,
    observer: Observer | None = None,
    progress: Progress | Literal[True] | None = None,
    dry_run: bool = False,
    clock: Callable[[], datetime] = utc_now,
) -> SyncResult | SyncPlan:
    """Sync a cohort: three files appear, or none.

    A repeated run, with the same time and the same members, finds that it is already done,
    so schedulers may retry. If you need a step between the preparation and the commit, such as
    an approval, use ``prepare_sync``. Large files are uploaded to S3 while the members are still
    being compared; if the sync is then refused, nothing of them is kept.

    Args:
        sync: The cohort and its destination.
        members: The members of the cohort now: an iterable of ``Member``, mappings or
            sequences; a data frame that supports Arrow; an object that provides CSV; the
            location of a file, a folder or a pattern, as for ``MemberFiles``; or an iterable of
            several files or tables.
        storage: The storage of the data, or its location.
        synced_at: When the cohort was computed (timezone-aware). Rounded down to the
            precision of the file names, by default the minute. Default: now, or the first
            free time after it.
        guard: The limits on what this sync may change; False for no limits. Default:
            ``sync.guard``.
        duplicates: The treatment of different rows with one key: ``"refuse"`` raises
            ``DuplicateKeyError``, ``"keep_smallest"`` keeps the row that sorts first.
        engine: An engine to use instead of the default one.
        work_dir: The folder for temporary files. Default: a hidden folder of the storage if it
            can take over files, otherwise the system's.
        log: The storage of the log, if it is not ``storage``.
        observer: A function that is called with a ``StreamEvent`` at the end of each step.
        progress: A callback for the progress, such as ``print``; ``True`` shows tqdm bars. It
            gets a ``ProgressEvent``. If it raises, the sync is not done.
        dry_run: True to return the plan and write nothing, not even the recovery of an
            unfinished sync.
        clock: A function that returns the time; for tests.

    Returns:
        The result; with ``dry_run`` the plan.

    Raises:
        GuardError: The sync exceeds a limit of the guard.
        SyncTimeError, SyncTimeTakenError: The stream can't have a sync at this time.
        UnloggedSyncsError, HeadFilesMissingError: The files do not agree with the log.
        UnfinishedSyncError: A dry run can't read the members of an unfinished sync.
        MatchByChangedError: The stream matches members by another column.
        ConcurrentSyncError: Another writer was faster; nothing of this sync is visible.
        SyncVoidError: A staged file disappeared, another object took a name, or the storage
            refuses a file from every caller.
        UnknownOutcomeError: The storage did not answer a write; run the sync again.
        ConfigurationError: The sync's bucket is not that of the storage.
        LogLimitError: The log has no number left.
        EmptyKeyError, DuplicateKeyError, MalformedCsvError, MissingColumnsError,
            InvalidCellError: The members can't be synced.
        ArgumentTypeError: An argument has the wrong type.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> result = sync_cohort(sync, [("1", "ann"), ("2", "bob")], MemoryStorage())
    >>> result.record.members
    2
    """
    check_is_not_storage(members)
    start = begin_sync(
        sync,
        storage,
        synced_at=synced_at,
        guard=guard,
        log=log,
        observer=observer,
        dry_run=dry_run,
        clock=clock,
    )
    with prepare_start(
        start,
        members,
        duplicates=duplicates,
        engine=engine,
        work_dir=work_dir,
        progress=progress,
        commits=not dry_run,
    ) as prepared:
        return prepared.plan if dry_run else prepared.commit()
