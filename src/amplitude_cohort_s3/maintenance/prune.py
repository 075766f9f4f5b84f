"""Pruning: deleting old files that are no longer needed.

If the stream has a log, one entry of it, an ``Amendment``, is the decision. By this entry readers
distinguish pruned files from lost ones. Objects of the log are never deleted.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from time import perf_counter
from typing import Literal, get_args

from attrs import frozen

from .._arguments import choice_faults
from .._display import counted, html_table, short_repr
from .._time import to_utc
from ..errors import ConfigurationError
from ..format.filename import DiffType
from ..history.history import CohortHistory
from ..history.read import read_settled
from ..history.sync_files import CHANGES
from ..log.amendment_rules import may_remove
from ..log.amendments import Amendment
from ..log.location import StreamLocation
from ..log.stream import CohortStream, HasStream
from ..log.stream_events import Observer
from ..storage.capabilities import require_delete
from ..storage.open import StorageLocation
from ..storage.protocol import ObjectInfo, Storage
from ..sync.amend import amend
from ..sync.clock import utc_now
from ._retries import with_retries

Keep = Literal["changes", "nothing"]
"""The files of old syncs that are kept: entering and exiting, or none."""


@frozen(kw_only=True, repr=False)
class PrunePlan:
    """The files that ``prune`` would delete.

    Attributes:
        stream: The stream.
        before: The time before which syncs are old, in UTC.
        keep: The files of old syncs that are kept: see :func:`plan_prune`.
        files: The files to delete, in the order of their keys.
        replays_from: The time of the first sync whose members can still be read, or None.
    """

    stream: CohortStream
    before: datetime
    keep: Keep
    files: tuple[ObjectInfo, ...]
    replays_from: datetime | None

    __repr__ = short_repr

    @property
    def size(self) -> int:
        """The total size of the stored files in bytes."""
        return sum(info.size for info in self.files)

    def __str__(self) -> str:
        """Return the files and their sizes, one per line."""
        return "\n".join([self._title, *(f"{i.size:>14,} {i.key}" for i in self.files)])

    def _repr_html_(self) -> str:
        return html_table(self._title, ("bytes", "key"), [(i.size, i.key) for i in self.files])

    @property
    def _title(self) -> str:
        return f"prune {counted(len(self.files), 'file')} of {counted(self.size, 'byte')}"


@frozen(kw_only=True, repr=False)
class PruneReceipt:
    """The evidence of what ``prune`` did.

    Attributes:
        plan: The plan that was carried out.
        pruned_at: The time, in UTC.
        number: The number of the entry in the log; None if nothing was deleted or there is
            no log.
    """

    plan: PrunePlan
    pruned_at: datetime
    number: int | None

    __repr__ = short_repr

    def __str__(self) -> str:
        """Return the time and the files."""
        return f"{self.pruned_at.isoformat()}: {self.plan}"


def plan_prune(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    *,
    before: datetime,
    keep: Keep = "changes",
    log: Storage | StorageLocation | None = None,
) -> PrunePlan:
    """Return the old files that can be deleted, without changing anything.

    Args:
        storage: The storage of the data, or its location.
        stream: The stream, or a sync of it.
        before: Syncs before this time are old (timezone-aware).
        keep: ``"changes"`` deletes the files ``existing`` that are not needed to reconstruct
            other files. The members at every sync, events and stays can still be read, with
            the properties that entering and exiting rows have. ``"nothing"`` finds the newest
            sync at or before ``before`` whose members follow from its own files, and deletes
            all files older than this sync; the history then begins with it.
        log: The storage of the log, if it is not ``storage``.

    Raises:
        MissingCapabilityError: The storage can't delete.
        NaiveDatetimeError: ``before`` has no time zone.
        UnfinishedSyncError: A sync is running or died; ``recover`` finishes it.
        ConfigurationError: ``keep`` has another value.
        ArgumentTypeError: An argument has the wrong type.

    >>> from datetime import UTC, datetime
    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, sync_cohort
    >>> bucket = MemoryStorage()
    >>> sync = CohortSync(destination=Destination("d"), project_id=1, cohort_id="a")
    >>> for day in (1, 2):
    ...     at = datetime(2026, 11, day, tzinfo=UTC)
    ...     _ = sync_cohort(sync, [("1", "ann")], bucket, synced_at=at)
    >>> len(plan_prune(bucket, sync, before=at).files)
    1
    """
    location = StreamLocation.of(storage, stream, log)
    require_delete(location.data, "prune")
    plan, _ = _plan(location, before=before, keep=keep)
    return plan


def prune(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    *,
    before: datetime,
    keep: Keep = "changes",
    log: Storage | StorageLocation | None = None,
    observer: Observer | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> PruneReceipt:
    """Delete old files of a stream. The newest sync is never touched.

    If a run dies, run it again; once it is recorded, ``recover`` and the next sync finish it
    too. ``verify`` does not report pruned files as missing. In a stream without a log it can't
    distinguish them from lost files.

    Args:
        storage: The storage of the data, or its location.
        stream: The stream, or a sync of it.
        before: Syncs before this time are old (timezone-aware).
        keep: The files of old syncs that are kept: see :func:`plan_prune`.
        log: The storage of the log, if it is not ``storage``.
        observer: A function that is called with a ``StreamEvent`` at the end of each step.
        clock: A function that returns the time; for tests.

    Returns:
        The receipt, with the files that were deleted.

    Raises:
        MissingCapabilityError: The storage can't delete.
        NaiveDatetimeError: ``before`` has no time zone.
        ConcurrentSyncError, UnfinishedSyncError: Syncs came first at each of several attempts;
            nothing is deleted. Run it again.
        HeadFilesMissingError: The newest sync has lost files; nothing is deleted.
        RecordFormatError: The log can't be read, or contradicts itself.
        LogLimitError: There are more files than one entry of the log can name; nothing is
            deleted. Prune to an earlier time first.
        UnknownOutcomeError: The storage did not answer a write. Run it again.
        ConfigurationError: ``keep`` has another value.
        ArgumentTypeError: An argument has the wrong type.

    >>> from datetime import UTC, datetime
    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, sync_cohort
    >>> bucket = MemoryStorage()
    >>> sync = CohortSync(destination=Destination("d"), project_id=1, cohort_id="a")
    >>> for day in (1, 2):
    ...     at = datetime(2026, 11, day, tzinfo=UTC)
    ...     _ = sync_cohort(sync, [("1", "ann")], bucket, synced_at=at)
    >>> len(prune(bucket, sync, before=at, keep="nothing").plan.files)
    3
    """
    location = StreamLocation.of(storage, stream, log, observer)
    began = perf_counter()
    remover = require_delete(location.data, "prune")

    def attempt() -> PruneReceipt:
        plan, history = _plan(location, before=before, keep=keep)
        now = to_utc(clock(), "clock()")
        keys = [info.key for info in plan.files]
        logged, number = _amend(location, history, keys, now)
        # A file that no record names, such as a second file of one type, needs no entry in the log.
        for key in keys:
            if key not in logged:
                remover.delete(key)
        return PruneReceipt(plan=plan, pruned_at=now, number=number)

    receipt = with_retries(location, attempt)
    files, size = len(receipt.plan.files), receipt.plan.size
    location.report("pruned", perf_counter() - began, files=files, bytes=size)
    return receipt


def _amend(
    location: StreamLocation, history: CohortHistory, keys: list[str], now: datetime
) -> tuple[frozenset[str], int | None]:
    """Record the removal of the files that records name, and remove them.

    Returns:
        The keys of these files, and the number of the entry; None if there are none.
    """
    log = history.log
    head = log.head
    if head is None:
        return frozenset(), None
    logged = tuple(filter(may_remove(log, head), keys))
    if not logged:
        return frozenset(), None
    amendment = Amendment(
        number=log.last_ended + 1,
        previous=head.ref,
        stream=location.stream,
        requested_at=now,
        purpose="prune",
        removed=logged,
        earlier=head.amendment,
        writer=uuid.uuid4().hex,
    )
    amend(location, amendment, log)
    return frozenset(logged), amendment.number


def _plan(
    location: StreamLocation, *, before: datetime, keep: Keep
) -> tuple[PrunePlan, CohortHistory]:
    if faults := choice_faults("keep", keep, get_args(Keep)):
        raise ConfigurationError("prune", tuple(faults))
    before = to_utc(before, "before")
    history, listed = read_settled(location)
    begin = history[0].synced_at if history else None
    if keep == "changes":
        files = tuple(sorted(_needless_snapshots(history, before), key=lambda info: info.key))
    else:
        starts = (s.synced_at for s in history if s.synced_at <= before and history.has_snapshot(s))
        start = max(starts, default=None)
        files = tuple(
            file.info for file in listed if start is not None and file.name.synced_at < start
        )
        begin = start or begin
    return (
        PrunePlan(
            stream=location.stream, before=before, keep=keep, files=files, replays_from=begin
        ),
        history,
    )


def _needless_snapshots(history: CohortHistory, before: datetime) -> Iterator[ObjectInfo]:
    """Yield the old files ``existing`` whose contents follow from the changes that are left."""
    newest = max((n for n, sync in enumerate(history) if not sync.missing), default=0)
    for number, sync in enumerate(history[:newest]):
        info = sync.files.get(DiffType.EXISTING)
        if info is None or sync.synced_at >= before:
            continue
        # A missing change is derived from the snapshots at the sync and at the one before.
        near = history[number : number + 2]
        if all(CHANGES.keys() <= s.files.keys() and not history.has_gap_before(s) for s in near):
            yield info
