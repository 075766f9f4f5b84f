"""Pruning: deleting old files so that what is left still tells who was a member when.

Where the stream has a log, one entry of it, an ``Amendment``, is the decision, and tells
readers later that the files were pruned and not lost. Keys of the log are never deleted.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal, get_args

from attrs import frozen

from .._html import html_table
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
"""What to keep of old syncs: who entered and exited, or nothing."""


@frozen(kw_only=True)
class PrunePlan:
    """What ``prune`` would do.

    Attributes:
        stream: Whose files.
        before: Syncs before this time are old, in UTC.
        keep: What is kept of them.
        files: The files to delete, in the order of their keys.
        replays_from: The first sync of whose members one can still ask; None if there is none.
    """

    stream: CohortStream
    before: datetime
    keep: Keep
    files: tuple[ObjectInfo, ...]
    replays_from: datetime | None

    @property
    def size(self) -> int:
        """How many bytes the files take, as stored."""
        return sum(info.size for info in self.files)

    def __str__(self) -> str:
        """The files and their sizes, one a line."""
        return "\n".join([self._title, *(f"{i.size:>14,} {i.key}" for i in self.files)])

    def _repr_html_(self) -> str:
        return html_table(self._title, ("bytes", "key"), [(i.size, i.key) for i in self.files])

    @property
    def _title(self) -> str:
        return f"prune {len(self.files):,} files of {self.size:,} bytes"


@frozen(kw_only=True)
class PruneReceipt:
    """What ``prune`` did.

    Attributes:
        plan: What was planned, and is done.
        pruned_at: When, in UTC.
        number: Of the entry in the log; None where nothing was to do or there is no log.
    """

    plan: PrunePlan
    pruned_at: datetime
    number: int | None

    def __str__(self) -> str:
        """When, and the files."""
        return f"{self.pruned_at.isoformat()}: {self.plan}"


def plan_prune(
    storage: Storage,
    stream: CohortStream,
    *,
    before: datetime,
    keep: Keep = "changes",
    log: Storage | None = None,
) -> PrunePlan:
    """Chooses which old files can go, and touches nothing.

    Args:
        storage: Where the data is.
        stream: Whose files.
        before: Syncs before this time are old; an aware datetime.
        keep: ``"changes"`` deletes the files ``existing`` that nothing else needs: members
            at every sync, events and stays remain; of properties, what entering and exiting
            rows say. ``"nothing"`` deletes all files before the newest sync, not after
            ``before``, whose own files tell its members: the history begins there.
        log: Where the log is, if not in ``storage``.

    Raises:
        MissingCapabilityError: The storage can't delete.
        NaiveDatetimeError: ``before`` has no time zone.
        UnfinishedSyncError: A sync is at work, or died; ``recover`` finishes it.
        ConfigurationError: ``keep`` is none of its values.
        ArgumentTypeError: An argument is of another type.
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
    """Deletes old files of a stream; the newest sync is never touched.

    A run that dies is completed by running it again, or, once it is recorded, by
    ``recover`` and by the next sync. ``verify`` does not miss what was pruned by a log.
    Where there is no log, it can't tell pruned files from lost ones.

    Args:
        storage: Where the data is.
        stream: Whose files.
        before: Syncs before this time are old; an aware datetime.
        keep: What to keep of them: see :func:`plan_prune`.
        log: Where the log is, if not in ``storage``.
        clock: Gives the time; for tests.

    Raises:
        MissingCapabilityError: The storage can't delete.
        NaiveDatetimeError: ``before`` has no time zone.
        ConcurrentSyncError: A sync came first; nothing is deleted, run it again.
        LogLimitError: There are more than one entry of the log can hold; nothing is
            deleted, take an earlier time first.
        UnknownOutcomeError: The storage did not say what became of a write; run it again.
        ConfigurationError: ``keep`` is none of its values.
        ArgumentTypeError: An argument is of another type.
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
        told = (s.synced_at for s in history if s.synced_at <= before and history.has_snapshot(s))
        start = max(told, default=None)
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
    """The old files ``existing`` whose content follows from the changes that are there."""
    newest = max((n for n, sync in enumerate(history) if not sync.missing), default=0)
    for number, sync in enumerate(history[:newest]):
        info = sync.files.get(DiffType.EXISTING)
        if info is None or sync.synced_at >= before:
            continue
        # What is derived at a sync comes from its own snapshot and from the one before.
        near = history[number : number + 2]
        if not any(history.has_gap_before(s) or _lacks_changes(s.files) for s in near):
            yield info


def _lacks_changes(files: Mapping[DiffType, ObjectInfo]) -> bool:
    return not {DiffType.ENTERING, DiffType.EXITING} <= set(files)
