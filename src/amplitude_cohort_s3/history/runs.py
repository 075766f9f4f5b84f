"""The run log of a stream: every sync that was begun, also those that were never published."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Literal

from attrs import frozen

from .._display import short_repr
from ..format.filename import DiffType
from ..format.named_rows import ColumnType, NamedRow, TableRow
from ..log.listing import BucketSync, UnpublishedSync
from ..log.records import SyncRecord
from ..log.sync_log import SyncLog
from ._sync_table import SyncTable
from .window import ALL_TIMES, Window

RunOutcome = Literal["published", "adopted", "void", "unfinished", "incomplete"]
"""The outcome of a sync in the run log: see ``SyncRun``."""

_INTEGERS: Mapping[str, ColumnType] = dict.fromkeys(
    (
        *("members_before", "members", "entered", "exited"),
        *("bytes", "skipped", "collapsed", "recovered"),
    ),
    "integer",
)

RUN_COLUMNS: Mapping[str, ColumnType] = {
    "number": "integer",
    "synced_at": "timestamp",
    "requested_at": "timestamp",
    "outcome": "text",
    **_INTEGERS,
    "source": "text",
    "writer": "text",
}
"""The columns of the run log."""

_SHOWN = tuple(name for name in RUN_COLUMNS if name not in ("source", "writer"))


@frozen(kw_only=True, repr=False)
class SyncRun(NamedRow):
    """One sync of the run log; also a row of its table.

    If a sync has no record, for example in Amplitude's own buckets, only its time, its outcome
    and its bytes are known; all other values are None.

    Attributes:
        synced_at: The time in the file names.
        outcome: ``"published"``; ``"adopted"`` for the sync with which ``adopt`` began the log;
            ``"void"`` if the sync was never published; ``"unfinished"`` if its record has no
            outcome yet, because its writer is at work or died; ``"incomplete"`` if it has no
            record, and its visible files are not enough to know its members.
        bytes: The size of the three files as stored, also if they were pruned. Files that no
            record describes and that are no longer visible are not counted.
        number: The number of the record in the log.
        requested_at: The exact time of the request.
        members_before: The number of members before; None for an adopted sync.
        members: The number of members at the sync, or of those that a void sync would have had.
        entered: The number of rows in the file ``entering``.
        exited: The number of rows in the file ``exiting``.
        skipped: The number of source rows without a key.
        collapsed: The number of source rows that repeated another.
        recovered: The number of unfinished entries of other writers that the writer of this
            sync finished before it began.
        source: The ``origin`` of the members as compact JSON: see ``CsvSource``.
        writer: The random token of the writer.
    """

    synced_at: datetime
    outcome: RunOutcome
    bytes: int
    number: int | None = None
    requested_at: datetime | None = None
    members_before: int | None = None
    members: int | None = None
    entered: int | None = None
    exited: int | None = None
    skipped: int | None = None
    collapsed: int | None = None
    recovered: int | None = None
    source: str | None = None
    writer: str | None = None

    __repr__ = short_repr

    @property
    def _fields(self) -> tuple[str, ...]:
        return tuple(RUN_COLUMNS)

    @property
    def _cells(self) -> TableRow:
        return tuple(getattr(self, name) for name in RUN_COLUMNS)


@frozen(repr=False)
class RunTable(SyncTable[SyncRun]):
    """One ``SyncRun`` for each sync, oldest first; also a data frame. A slice is such a table too.

    The repr shows the number of syncs, the text all of them, and a notebook the newest hundred.
    Text and notebook leave out the columns ``source`` and ``writer``, which are long.

    Attributes:
        syncs: The rows.
    """

    _title: ClassVar[str] = "runs"

    def _columns(self) -> Mapping[str, ColumnType]:
        return RUN_COLUMNS

    def _shown_columns(self) -> Sequence[str]:
        return _SHOWN

    def _shown_cells(self, sync: SyncRun) -> Sequence[object]:
        return tuple(getattr(sync, name) for name in _SHOWN)


def runs_of(
    log: SyncLog,
    window: Window = ALL_TIMES,
    *,
    complete: Iterable[BucketSync] = (),
    incomplete: Iterable[BucketSync] = (),
    after: int = 0,
) -> list[SyncRun]:
    """Return the syncs of a log and of a listing, oldest first.

    Args:
        log: The log.
        window: The times of the syncs to return.
        complete: Listed syncs whose members or changes are known.
        incomplete: Other listed syncs.
        after: Only records with a larger number are read.

    Raises:
        RecordFormatError: The log can't be read.
    """
    listed = {one.synced_at: one for one in (*complete, *incomplete)}
    found = [
        _recorded(record, outcome, listed.get(record.synced_at))
        for record, outcome in recorded_syncs(log, after)
        if window.contains(record.synced_at)
    ]
    recorded = {run.synced_at for run in found}
    outcomes: tuple[tuple[RunOutcome, Iterable[BucketSync]], ...] = (
        ("published", complete),
        ("incomplete", incomplete),
    )
    found += [
        SyncRun(synced_at=one.synced_at, outcome=outcome, bytes=listed_bytes(one))
        for outcome, syncs in outcomes
        for one in syncs
        if one.synced_at not in recorded
    ]
    return sorted(found, key=lambda run: (run.synced_at, run.number or 0))


def recorded_syncs(log: SyncLog, after: int = 0) -> Iterator[tuple[SyncRecord, RunOutcome]]:
    """Yield the records of a log with the outcome of each, the published ones first.

    Args:
        log: The log.
        after: Only records with a larger number are read.
    """
    for record in log.published(after):
        yield record, "adopted" if record.adopted else "published"
    for record, is_void in log.unpublished(after):
        yield record, "void" if is_void else "unfinished"


def _recorded(record: SyncRecord, outcome: RunOutcome, listed: BucketSync | None) -> SyncRun:
    return SyncRun(
        number=record.number,
        synced_at=record.synced_at,
        requested_at=record.requested_at,
        outcome=outcome,
        members_before=None if record.adopted else record.members_before,
        members=record.members,
        entered=record.files[DiffType.ENTERING].rows,
        exited=record.files[DiffType.EXITING].rows,
        bytes=stored_bytes(record, listed),
        skipped=record.skipped,
        collapsed=record.collapsed,
        recovered=record.recovered,
        source=json.dumps(dict(record.source), ensure_ascii=False, separators=(",", ":")),
        writer=record.writer,
    )


def stored_bytes(record: SyncRecord, listed: BucketSync | None) -> int:
    """Return the size of the files of a record as they are stored, also if they were pruned.

    Only the listing shows the size of an adopted file, which may be compressed.

    Args:
        record: The record.
        listed: The same sync as the listing shows it, or None if none of its files is visible.
    """
    size = sum(file.staged.size for file in record.files.values() if file.staged is not None)
    if listed is not None:
        others = (t for t, file in record.files.items() if file.staged is None)
        size += sum(listed.files[t].size for t in others if t in listed.files)
    return size


def listed_bytes(sync: BucketSync | UnpublishedSync) -> int:
    """Return the size of the visible files of a sync."""
    return sum(info.size for info in sync.files.values())
