"""Beginning a sync: the state that it continues, and its time."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from os import PathLike
from time import perf_counter
from typing import Literal, Unpack

from attrs import evolve, frozen

from .._arguments import check_kind, wrong_kind
from .._time import to_utc
from ..diff.cohort_diff import CohortDiff
from ..diff.progress import Progress, Reporter, reporting
from ..diff.protocol import DiffEngine, Duplicates, StageableDiff
from ..errors import (
    SyncTimeError,
    SyncTimeTakenError,
)
from ..format.filename import DiffType
from ..log.location import StreamLocation
from ..log.records import SyncRecord
from ..log.stream_events import Observer
from ..settings.cohort_sync import CohortSync, check_is_sync
from ..settings.guard import Guard
from ..sources.protocol import MemberSource
from ..storage.file_staging import SupportsStageFile
from ..storage.open import StorageLocation
from ..storage.protocol import Storage
from .clock import utc_now
from .commit import SyncResult, commit_plan
from .early_staging import EarlyStaging
from .head import Head, StreamState, read_state
from .plan import (
    SyncPlan,
    check_bucket,
    check_is_guard,
    check_match_by,
    identity_of,
    keys_of,
    make_plan,
    next_free_time,
    plan_mismatch,
)
from .recover import RecoveryReport, predict_for_dry_run, recovering
from .work_files import DiffOptions, diff_for_sync

CLOCK_TOLERANCE = timedelta(minutes=15)
"""The tolerated error of a clock. S3 refuses requests of a clock with a larger error."""


@frozen(kw_only=True)
class SyncStart:
    """A sync whose diff is not computed yet: the state that it continues, and its time.

    Attributes:
        sync: The cohort and its destination.
        location: The stream and its storages.
        state: The state that the sync continues.
        synced_at: The time in the file names.
        requested_at: The exact time of the request.
        guard: The limits on what the sync may change; False for no limits.
        dry_run: True if nothing may be written.
        recoveries: The work of other writers that was finished first.
    """

    sync: CohortSync
    location: StreamLocation
    state: StreamState
    synced_at: datetime
    requested_at: datetime
    guard: Guard | Literal[False]
    dry_run: bool
    recoveries: tuple[RecoveryReport, ...] = ()

    @property
    def head(self) -> Head | None:
        """The sync that this one continues, or None for the first."""
        return self.state.head

    def diff(
        self,
        members: MemberSource | str | PathLike[str],
        *,
        duplicates: Duplicates = "refuse",
        engine: DiffEngine | None = None,
        work_dir: str | PathLike[str] | None = None,
        progress: Progress | Literal[True] | None = None,
    ) -> CohortDiff:
        """Return the difference of these members to those of the head: see ``diff_members``.

        Without ``work_dir``, the temporary files are in a folder of the storage if it can take
        them over, and otherwise in the system's folder for temporary files.

        Raises:
            StagedGoneError: ``forget`` or ``clean_up`` has removed the temporary files.
        """
        with reporting(progress) as reporter:
            return diff_of_start(
                self,
                members,
                None,
                reporter,
                duplicates=duplicates,
                engine=engine,
                work_dir=work_dir,
            )

    def find_repeated_sync(self, members_sha256: Callable[[], str]) -> SyncRecord | None:
        """Return the record of an earlier run that did the same sync; None for a new sync.

        Args:
            members_sha256: A function that returns the digest of the members now. It is
                called only if there is a sync of the same time.

        Raises:
            SyncTimeTakenError: The earlier sync with this time is different.
            SyncTimeError: There is no sync with this time, and the head is newer.
        """
        head = self.head
        if head is None or self.synced_at > head.record.synced_at:
            return None
        earlier = head.log.published_at(self.synced_at)
        if earlier is None:
            raise SyncTimeError("order", self.synced_at, head.record.synced_at)
        if earlier.identity != identity_of(self.sync, members_sha256(), self.synced_at):
            raise SyncTimeTakenError(self.synced_at, self._next_free_time())
        return earlier

    def plan(self, diff: StageableDiff) -> SyncPlan:
        """Return the plan of the sync, with a diff to the members of the head.

        If an earlier run did the same sync, the plan is that of this run, with ``already_done``.

        Raises:
            GuardError: The sync exceeds a limit of the guard.
            SyncTimeTakenError, SyncTimeError: As :meth:`find_repeated_sync`; or a void
                sync left files with this time.
        """
        repeated = self.find_repeated_sync(lambda: diff.report.members_sha256)
        if repeated is not None:
            ignored = diff.report.ignored_columns
            return SyncPlan.of_record(self.sync, repeated, ignored=ignored, dry_run=self.dry_run)
        if self.synced_at in self.state.occupied_times:
            raise SyncTimeTakenError(self.synced_at, self._next_free_time())
        return make_plan(
            self.sync,
            diff,
            synced_at=self.synced_at,
            requested_at=self.requested_at,
            head=self.head,
            number=self.state.last_number + 1,
            guard=self.guard,
            dry_run=self.dry_run,
            recovered=len(self.recoveries),
        )

    def commit(self, plan: SyncPlan, diff: StageableDiff) -> SyncResult:
        """Carry out the plan of this sync: see ``commit``.

        Raises:
            ConfigurationError: The sync was begun as a dry run.
            ConcurrentSyncError, SyncVoidError, UnknownOutcomeError, UnusableDiffError,
                LogLimitError: As ``commit``.
        """
        plan.check(diff)
        if plan.sync != self.sync:
            raise plan_mismatch("it belongs to another sync")
        if plan.already_done and self.head is not None:
            record = self.head.log.published_at(plan.synced_at) or self.head.record
            return self.result_of_repeated(record, plan.ignored_columns)
        result = commit_plan(plan, diff, self.location)
        return evolve(result, recoveries=(*self.recoveries, *result.recoveries))

    def result_of_repeated(
        self, record: SyncRecord, ignored_columns: tuple[str, ...] = ()
    ) -> SyncResult:
        """Return the result of this sync if an earlier run has done it.

        Args:
            record: The record from :meth:`find_repeated_sync`.
            ignored_columns: The columns of the source that the sync does not have.
        """
        return SyncResult(
            record=record,
            already_done=True,
            ignored_columns=ignored_columns,
            recoveries=self.recoveries,
        )

    def _next_free_time(self) -> datetime:
        state = self.state
        style = self.sync.name_style
        return next_free_time(style, self.synced_at, state.head, state.occupied_times)


def check_is_not_storage(members: object) -> None:
    """Raise ArgumentTypeError if the argument ``members`` is a storage."""
    if hasattr(members, "list_objects"):
        hint = "swap the arguments: the members come before the storage"
        raise wrong_kind("members", members, hint)


def diff_of_start(
    start: SyncStart,
    members: MemberSource | str | PathLike[str],
    early: EarlyStaging | None,
    reporter: Reporter | None,
    **options: Unpack[DiffOptions],
) -> CohortDiff:
    """Return the diff of ``SyncStart.diff``; ``early`` stages its files while they grow."""
    return diff_for_sync(
        start.sync.schema,
        start.sync.destination.existing,
        () if start.head is None else start.head.members(),
        members,
        storage=None if start.dry_run else _file_storage(start),
        key=keys_of(start.sync, start.synced_at)[DiffType.EXISTING],
        early=early,
        reporter=reporter,
        **options,
    )


def early_staging_of(start: SyncStart) -> EarlyStaging | None:
    """Return an ``EarlyStaging`` of the files of a sync, or None if it would not be useful.

    A repeated run and a sync with an occupied time stage nothing. A storage that takes over
    files has nothing to do before they are finished.
    """
    if _file_storage(start) is not None or start.synced_at in start.state.occupied_times:
        return None
    if start.head is not None and start.synced_at <= start.head.record.synced_at:
        return None
    return EarlyStaging(start.location.data, keys_of(start.sync, start.synced_at))


def _file_storage(start: SyncStart) -> SupportsStageFile | None:
    """Return the storage of the data if it can take over the files of a sync."""
    storage = start.location.data
    is_compressed = start.sync.destination.compression is not None
    return storage if isinstance(storage, SupportsStageFile) and not is_compressed else None


def begin_sync(
    sync: CohortSync,
    storage: Storage | StorageLocation,
    *,
    synced_at: datetime | None = None,
    guard: Guard | Literal[False] | None = None,
    log: Storage | StorageLocation | None = None,
    observer: Observer | None = None,
    dry_run: bool = False,
    clock: Callable[[], datetime] = utc_now,
) -> SyncStart:
    """Read the head of a sync's stream, and choose the sync's time.

    ``prepare_sync`` calls this function for you. Call it yourself only if you compute the diff
    yourself, for example on many machines.

    Args:
        sync: The cohort and its destination.
        storage: The storage of the data, or its location.
        synced_at: The time of the sync. Default: now, or the first free time after it.
        guard: The limits on what this sync may change; False for no limits. Default:
            ``sync.guard``.
        log: The storage of the log, if it is not ``storage``.
        observer: A function that is called with a ``StreamEvent`` at the end of each step.
        dry_run: True to write nothing: the outcome of an unfinished sync is predicted.
            Otherwise the sync is recovered.
        clock: A function that returns the time; for tests.

    Returns:
        The state that the sync continues, and its time.

    Raises:
        SyncTimeError, SyncTimeTakenError: The stream can't have a sync at this time.
        UnloggedSyncsError, HeadFilesMissingError: The files do not agree with the log.
        MatchByChangedError: The stream matches members by another column.
        UnfinishedSyncError: A dry run can't read the members of an unfinished sync.
        ConfigurationError: The sync's bucket is not that of the storage.
        ArgumentTypeError: An argument has the wrong type.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> start = begin_sync(sync, MemoryStorage())
    >>> with start.diff([("1", "ann"), ("2", "bob")]) as diff:
    ...     result = start.commit(start.plan(diff), diff)
    >>> result.record.members_before, result.record.members
    (0, 2)
    """
    check_is_guard(guard)
    check_kind("dry_run", dry_run, bool, "pass True or False")
    location = StreamLocation.of(storage, check_is_sync(sync).stream, log, observer)
    now = to_utc(clock(), "clock()")
    return begin_at(sync, location, synced_at=synced_at, guard=guard, now=now, dry_run=dry_run)


def begin_at(
    sync: CohortSync,
    location: StreamLocation,
    *,
    synced_at: datetime | None,
    guard: Guard | Literal[False] | None,
    now: datetime,
    dry_run: bool,
) -> SyncStart:
    """Begin a sync at a location: see :func:`begin_sync`. The arguments are not checked."""
    check_bucket(sync, location.data)
    if synced_at is not None:
        synced_at = sync.name_style.floor(to_utc(synced_at, "synced_at"))
        if synced_at > now + CLOCK_TOLERANCE:
            raise SyncTimeError("future", synced_at, now)
    recoveries, began = list[RecoveryReport](), perf_counter()
    end = partial(predict_for_dry_run, location) if dry_run else recovering(location, recoveries)
    state = read_state(location, end)
    check_match_by(sync, state.head)
    if synced_at is None:
        synced_at = _time_from_now(sync, state, now)
    elif state.head is None and synced_at in state.occupied_times:
        free = next_free_time(sync.name_style, synced_at, None, state.occupied_times)
        raise SyncTimeTakenError(synced_at, free)
    before = 0 if state.head is None else state.head.record.members
    location.report("began", perf_counter() - began, synced_at, members_before=before)
    return SyncStart(
        sync=sync,
        location=location,
        state=state,
        synced_at=synced_at,
        requested_at=now,
        guard=sync.guard if guard is None else guard,
        dry_run=dry_run,
        recoveries=tuple(recoveries),
    )


def _time_from_now(sync: CohortSync, state: StreamState, now: datetime) -> datetime:
    if state.head is not None and now + CLOCK_TOLERANCE < state.head.record.synced_at:
        raise SyncTimeError("clock", now, state.head.record.synced_at)
    return next_free_time(sync.name_style, now, state.head, state.occupied_times)
