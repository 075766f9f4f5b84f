"""Pruning: deleting old files that are no longer needed.

If the stream has a log, one entry of it, an ``Amendment``, is the decision. From it readers
know later that the files were pruned and not lost. Keys of the log are never deleted.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal, get_args

from attrs import frozen

from .._display import counted, html_table
from .._time import to_utc
from ..errors import ConfigurationError, UnfinishedSyncError
from ..format.filename import DiffType
from ..history.history import CohortHistory
from ..history.read import read_location
from ..log.amendments import Amendment
from ..log.listing import StreamFile
from ..log.location import StreamLocation
from ..log.stream import CohortStream
from ..storage.capabilities import require_delete
from ..storage.protocol import ObjectInfo, Storage
from ..sync.amend import amend
from ..sync.recover import recover_location

Keep = Literal["changes", "nothing"]
"""The files of old syncs that are kept: entering and exiting, or none."""


@frozen(kw_only=True)
class PrunePlan:
    """The files that ``prune`` would delete.

    Attributes:
        stream: The stream.
        before: Syncs before this time are old, in UTC.
        keep: What is kept of them.
        files: The files to delete, in the order of their keys.
        replays_from: The time of the first sync whose members can still be read, or None.
    """

    stream: CohortStream
    before: datetime
    keep: Keep
    files: tuple[ObjectInfo, ...]
    replays_from: datetime | None

    @property
    def size(self) -> int:
        """The number of bytes that the files take, as stored."""
        return sum(info.size for info in self.files)

    def __str__(self) -> str:
        """Return the files and their sizes, one per line."""
        return "\n".join([self._title, *(f"{i.size:>14,} {i.key}" for i in self.files)])

    def _repr_html_(self) -> str:
        return html_table(self._title, ("bytes", "key"), [(i.size, i.key) for i in self.files])

    @property
    def _title(self) -> str:
        return f"prune {counted(len(self.files), 'file')} of {counted(self.size, 'byte')}"


@frozen(kw_only=True)
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

    def __str__(self) -> str:
        """Return the time and the files."""
        return f"{self.pruned_at.isoformat()}: {self.plan}"


def plan_prune(
    storage: Storage,
    stream: CohortStream,
    *,
    before: datetime,
    keep: Keep = "changes",
    log: Storage | None = None,
) -> PrunePlan:
    """Return the old files that can be deleted, without changing anything.

    Args:
        storage: The storage of the data.
        stream: The stream.
        before: Syncs before this time are old (timezone-aware).
        keep: ``"changes"`` deletes the files ``existing`` that are not needed to reconstruct
            others: the members at every sync, events and stays remain, with the properties
            that entering and exiting rows have. ``"nothing"`` deletes all files before the
            newest sync up to ``before`` whose own files are enough to know its members; the
            history then begins with that sync.
        log: The storage of the log, if it is not ``storage``.

    Raises:
        MissingCapabilityError: The storage can't delete.
        NaiveDatetimeError: ``before`` has no time zone.
        UnfinishedSyncError: A sync is running or died; ``recover`` finishes it.
        ConfigurationError: ``keep`` has another value.
        ArgumentTypeError: An argument has the wrong type.
    """
    location = StreamLocation.of(storage, stream, log)
    require_delete(storage, "prune")
    plan, _ = _plan(location, before=before, keep=keep)
    return plan


def prune(
    storage: Storage,
    stream: CohortStream,
    *,
    before: datetime,
    keep: Keep = "changes",
    log: Storage | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> PruneReceipt:
    """Delete old files of a stream. The newest sync is never touched.

    If a run dies, run it again; once it is recorded, ``recover`` and the next sync finish it
    too. ``verify`` does not report pruned files as missing. Without a log it can't
    distinguish them from lost ones.

    Args:
        storage: The storage of the data.
        stream: The stream.
        before: Syncs before this time are old (timezone-aware).
        keep: What is kept of them: see :func:`plan_prune`.
        log: The storage of the log, if it is not ``storage``.
        clock: A function that returns the time; for tests.

    Raises:
        MissingCapabilityError: The storage can't delete.
        NaiveDatetimeError: ``before`` has no time zone.
        ConcurrentSyncError: A sync came first; nothing is deleted. Run it again.
        LogLimitError: There are more files than one entry of the log can name; nothing is
            deleted. Prune to an earlier time first.
        UnknownOutcomeError: The storage did not answer a write. Run it again.
        ConfigurationError: ``keep`` has another value.
        ArgumentTypeError: An argument has the wrong type.
    """
    location = StreamLocation.of(storage, stream, log)
    remover = require_delete(storage, "prune")
    recover_location(location)
    plan, history = _plan(location, before=before, keep=keep)
    now = to_utc(clock(), "clock()")
    head = history.log.head
    number = None
    if plan.files and head is not None:
        number = history.log.last_ended + 1
        amendment = Amendment(
            number=number,
            previous=head.ref,
            stream=stream,
            requested_at=now,
            purpose="prune",
            removed=tuple(info.key for info in plan.files),
            earlier=head.amendment,
            writer=uuid.uuid4().hex,
        )
        amend(location, amendment)
    else:
        for info in plan.files:
            remover.delete(info.key)
    return PruneReceipt(plan=plan, pruned_at=now, number=number)


def _plan(
    location: StreamLocation, *, before: datetime, keep: Keep
) -> tuple[PrunePlan, CohortHistory]:
    if keep not in get_args(Keep):
        fault = f"keep must be one of {', '.join(get_args(Keep))}, not {keep!r}"
        raise ConfigurationError("prune", (fault,))
    before = to_utc(before, "before")
    history = read_location(location)
    if history.log.unfinished is not None:
        raise UnfinishedSyncError(history.log.unfinished.key)
    begin = history[0].synced_at if history else None
    if keep == "changes":
        files = tuple(sorted(_needless_snapshots(history, before), key=lambda info: info.key))
    else:
        starts = (s.synced_at for s in history if s.synced_at <= before and history.has_snapshot(s))
        start = max(starts, default=None)
        files = tuple(
            item.info
            for item in location.list_files()
            if isinstance(item, StreamFile) and start is not None and item.name.synced_at < start
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
        if not any(history.has_gap_before(s) or _lacks_changes(s.files) for s in near):
            yield info


def _lacks_changes(files: Mapping[DiffType, ObjectInfo]) -> bool:
    return not {DiffType.ENTERING, DiffType.EXITING} <= set(files)
