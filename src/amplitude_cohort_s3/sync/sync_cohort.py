"""The shell: the only module that reads and writes storages to sync a cohort.

The protocol, per stream: stage three files that nobody sees; create one record, which
is the decision; publish the files, ``existing`` last; create the outcome. Whoever finds
a record without an outcome finishes it the same way. Nothing is ever overwritten, but
by an ``Amendment``, which is a record too: see ``forgetting`` and ``pruning``.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from os import PathLike
from typing import Literal

from .._time import to_utc
from ..diff.cohort_diff import diff_members
from ..diff.progress import Progress
from ..diff.protocol import DiffEngine, Duplicates
from ..errors import ClockSkewError, FutureTimeError, SyncOrderError, SyncTimeTakenError
from ..log.records import SyncRecord
from ..settings.cohort_sync import CohortSync, check_is_sync
from ..sources import MemberFile
from ..sources.protocol import MemberSource
from ..storage.capabilities import log_storage
from ..storage.protocol import Storage
from .commit import SyncResult, check_bucket, commit
from .head import Head, finished_head
from .plan import check_match_by, next_free_moment, plan_sync, statement_of

CLOCK_TOLERANCE = timedelta(minutes=15)
"""How far a clock may be off. Requests to S3 are refused beyond the same distance."""


def sync_cohort(
    sync: CohortSync,
    members: MemberSource | str | PathLike[str],
    storage: Storage,
    *,
    synced_at: datetime | None = None,
    max_exits: int | None = None,
    duplicates: Duplicates = "refuse",
    engine: DiffEngine | None = None,
    work_dir: str | PathLike[str] | None = None,
    log: Storage | None = None,
    progress: Progress | Literal[True] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> SyncResult:
    """Syncs a cohort: three files appear, or none.

    It does what you can do by hand::

        recover(storage, sync.stream)
        head = read_head(storage, sync.stream)
        before = head.members() if head else ()
        with diff_members(before, members, schema=sync.schema) as diff:
            plan = plan_sync(sync, diff, synced_at=now, previous=head)
            result = commit(plan, diff, storage)

    A run that is repeated, with the same time and the same members, finds that it is
    done: schedulers may retry.

    Args:
        sync: What is synced where.
        members: Who is in the cohort now: an iterable of ``Member``, mappings or
            sequences; a data frame that speaks Arrow; an object that gives CSV; or the
            location of a file, as ``MemberFile`` takes it.
        storage: The bucket or folder.
        synced_at: An aware datetime, floored to what the names can spell. By default
            the first free moment from now on.
        max_exits: How many members may leave, instead of the sync's exit guard.
        duplicates: What to do with different rows of one key.
        engine: Another diff engine than the default one.
        work_dir: Where temporary files go.
        log: Another storage for the log, so that ``storage`` holds data files only.
        progress: Told of the rows read so far; ``True`` draws a bar with tqdm.
        clock: Gives the time; for tests.

    Raises:
        MassExitError: So many members would leave that the source looks broken.
        SyncTimeTakenError, SyncOrderError, FutureTimeError, ClockSkewError: The time
            can't be that of the next sync.
        UnloggedSyncsError, HeadFilesMissingError: The state of the stream is undecided.
        MatchByChangedError: The stream matches members by another column.
        ConcurrentSyncError: Another writer was faster; nothing of this sync is visible.
        UnknownOutcomeError: The storage did not say what became of a write.
        EmptyKeyError, DuplicateKeyError, MalformedCsvError, MissingColumnsError,
            UnsupportedValueError, InvalidTextError: The members can't be synced.
        WrongArgumentError: An argument is of another type: text where a storage or a time
            is wanted, a destination in place of a sync.
    """
    now = to_utc(clock(), "clock()")
    head, synced_at = begin_sync(sync, storage, synced_at=synced_at, now=now, log=log)
    with diff_members(
        head.members() if head is not None else (),
        MemberFile(members) if isinstance(members, str | PathLike) else members,
        schema=sync.schema,
        existing=sync.destination.existing,
        duplicates=duplicates,
        engine=engine,
        work_dir=work_dir,
        progress=progress,
    ) as diff:
        report = diff.report
        done = done_before(sync, head, synced_at, lambda: report.members_sha256)
        if done is not None:
            return SyncResult(
                record=done, already_done=True, ignored_columns=report.ignored_columns
            )
        plan = plan_sync(
            sync,
            diff,
            synced_at=synced_at,
            previous=head,
            requested_at=now,
            max_exits=max_exits,
        )
        return commit(plan, diff, storage, log=log)


def begin_sync(
    sync: CohortSync,
    storage: Storage,
    *,
    synced_at: datetime | None,
    now: datetime,
    log: Storage | None = None,
) -> tuple[Head | None, datetime]:
    """What a sync continues, and its time: for syncs whose diff you make yourself.

    An unfinished sync is recovered first.

    Args:
        sync: What is synced where.
        storage: Where the data is.
        synced_at: As for ``sync_cohort``.
        now: The present, in UTC.
        log: Where the log is, if not in ``storage``.

    Returns:
        The head, or None before the first sync; and the time, floored to what the names
        can spell.

    Raises:
        SyncTimeTakenError, FutureTimeError, ClockSkewError: The time can't be that of the
            next sync.
        UnloggedSyncsError, HeadFilesMissingError: The state of the stream is undecided.
        MatchByChangedError: The stream matches members by another column.
        WrongArgumentError: An argument is of another type.
    """
    check_is_sync(sync)
    log = log_storage(storage, log)
    check_bucket(sync, storage)
    if synced_at is not None:
        synced_at = sync.name_style.floor(to_utc(synced_at, "synced_at"))
        if synced_at > now + CLOCK_TOLERANCE:
            raise FutureTimeError(synced_at, now)
    head, left_over = finished_head(storage, sync.stream, log)
    check_match_by(sync, head)
    if synced_at is None:
        if head is not None and now + CLOCK_TOLERANCE < head.record.synced_at:
            raise ClockSkewError(now, head.record.synced_at)
        synced_at = next_free_moment(sync, head, now, left_over=left_over)
    if head is None and synced_at in left_over:
        free = next_free_moment(sync, head, synced_at, left_over=left_over)
        raise SyncTimeTakenError(synced_at, free)
    return head, synced_at


def done_before(
    sync: CohortSync,
    head: Head | None,
    synced_at: datetime,
    members_sha256: Callable[[], str],
) -> SyncRecord | None:
    """The earlier sync that a run would only repeat; None if the run is a new one.

    Args:
        sync: What is synced where.
        head: What it would continue.
        synced_at: A time that the names can spell.
        members_sha256: Gives the digest of the members now; asked only if there may be
            such a sync.

    Raises:
        SyncTimeTakenError: The earlier sync of this time is different.
        SyncOrderError: There is none of this time, and the head is newer.
    """
    if head is None or synced_at > head.record.synced_at:
        return None
    earlier = head.log.published_at(synced_at)
    if earlier is None:
        raise SyncOrderError(synced_at, head.record.synced_at)
    if earlier.statement != statement_of(sync, members_sha256(), synced_at):
        raise SyncTimeTakenError(synced_at, next_free_moment(sync, head, synced_at))
    return earlier
