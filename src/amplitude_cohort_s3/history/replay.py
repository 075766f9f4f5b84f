"""The syncs of a stream and their files, from which members and changes are replayed.

The files of one sync may not be enough to know its members: ``existing`` may be pruned or
lost. They can still be replayed, because members at one sync plus the changes after it
are the members at a later sync. The same works backwards. A snapshot is a sync whose own
files are enough; from one snapshot and all changes the whole history follows. If instead
a file of changes is missing, its rows are the difference of the members at this sync and
at the sync before.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sized
from datetime import UTC, datetime
from os import PathLike

from attrs import field, frozen

from .._time import to_utc
from ..diff.cohort_diff import diff_members
from ..errors import NoSyncYetError
from ..format.columns import ID_COLUMNS, Row
from ..format.filename import CohortFileName, DiffType
from ..format.schema import RowSchema
from ..log.listing import BucketSync, SkippedObject, SyncState, UnpublishedSync
from ..log.records import RecordedFile, SyncRecord
from ..log.stream import CohortStream
from ..log.sync_log import OpenObject, SyncLog
from ..sources.protocol import CsvSource
from ._external_sort import external_sort
from .members import Members, needed_files, object_source, recorded_source
from .stays import Change, ChangeKind, NumberedStay, stays_of

CHANGES = {DiffType.ENTERING: ChangeKind.ENTERED, DiffType.EXITING: ChangeKind.EXITED}
"""The files of changes, and the kind of change of their rows."""

FAR_FUTURE = datetime.max.replace(tzinfo=UTC)

NO_SYNC = str(NoSyncYetError(FAR_FUTURE, None))
"""Shown for an empty history: most often the stream was mistyped."""


def _count(values: Sized) -> str:
    return f"<{len(values)}>"


def _count_syncs(syncs: Sized) -> str:
    return _count(syncs) if syncs else f"<0: {NO_SYNC}>"


@frozen(kw_only=True)
class Replay:
    """The syncs of a stream, oldest first, with their log and their files.

    Attributes:
        stream: The stream of the syncs.
        syncs: The syncs whose members are known.
        skipped: Objects in the listing that are not files of the stream, with the reasons.
        match_by: The column by which members are matched.
        log: The log of the stream, read on demand; empty if the stream has none.
        work_dir: The folder for temporary files. Default: the system's.
    """

    stream: CohortStream
    syncs: tuple[BucketSync, ...] = field(repr=_count_syncs)
    skipped: tuple[SkippedObject, ...] = field(default=(), repr=_count)
    match_by: str = "amplitude_id"
    work_dir: str | PathLike[str] | None = field(default=None, repr=False)
    _partial: tuple[BucketSync, ...] = field(default=(), repr=False, alias="partial")
    log: SyncLog = field(repr=False)
    _open: OpenObject = field(repr=False, alias="open")

    def record(self, sync: BucketSync) -> SyncRecord | None:
        """Return the record of a sync, or None if it is not in the log.

        The counts and digests are those after later calls of ``forget``.

        Raises:
            RecordFormatError: The log can't be read.
        """
        return self.log.published_at(sync.synced_at)

    @property
    def unpublished(self) -> tuple[UnpublishedSync, ...]:
        """The syncs that are not part of the history: void, in doubt, or incomplete.

        Raises:
            RecordFormatError: The log can't be read.
        """
        files = {sync.synced_at: sync.files for sync in self._partial}
        recorded = [
            UnpublishedSync(
                synced_at=record.synced_at,
                state=SyncState.VOID if void else SyncState.IN_DOUBT,
                files=files.pop(record.synced_at, {}),
            )
            for record, void in self.log.unpublished()
        ]
        incomplete = (
            UnpublishedSync(synced_at=synced_at, state=SyncState.INCOMPLETE, files=found)
            for synced_at, found in files.items()
        )
        return tuple(sorted([*recorded, *incomplete], key=lambda sync: sync.synced_at))

    # --- Files -------------------------------------------------------------------------

    @property
    def schema(self) -> RowSchema:
        """The columns of all syncs, in the order in which they first appeared.

        Raises:
            RecordFormatError, MalformedCsvError: The log or a file can't be read.
        """
        names = dict.fromkeys(name for sync in self.syncs for name in self._properties(sync))
        if self.match_by not in ID_COLUMNS:
            names.setdefault(self.match_by)
        return RowSchema(properties=tuple(names), key=self.match_by)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the cells of the rows of events and stays."""
        return self.schema.columns

    def source(self, sync: BucketSync, diff_type: DiffType) -> CsvSource:
        """Return the bytes of one file, verified while they are read if it has a record."""
        record = self.record(sync)
        if record is None:
            return object_source(sync.files[diff_type].key, self._open)
        return recorded_source(record, diff_type, self._open, self._replacing)

    def rows(self, sync: BucketSync, diff_type: DiffType) -> Iterator[Row]:
        """Yield the rows of one file, in the order and the columns of the file.

        Raises:
            MalformedCsvError: The file is not valid CSV of a cohort.
        """
        source = self.source(sync, diff_type)
        with source.reading():
            for batch in source.read_table().batches:
                yield from batch

    @property
    def _replacing(self) -> Mapping[str, RecordedFile]:
        """The files that an unfinished amendment may have replaced already."""
        pending = self.log.pending
        return {} if pending is None else pending.replaced

    def _properties(self, sync: BucketSync) -> tuple[str, ...]:
        record = self.record(sync)
        if record is not None:
            return record.schema.properties
        tables = [self.source(sync, t).read_table() for t in sync.files]
        return tuple(dict.fromkeys(name for table in tables for name in table.properties))

    # --- Members -----------------------------------------------------------------------

    def members_at(self, when: datetime | BucketSync) -> Members:
        """Return the members at the newest sync that is not after a time.

        They come from the files of that sync. If it has no ``existing``, they are replayed
        from the nearest earlier snapshot and the changes since. Each user then has the
        properties from that snapshot or from the entry after it.

        Args:
            when: An aware datetime, or one of the syncs.

        Raises:
            NaiveDatetimeError: ``when`` has no time zone.
            ArgumentTypeError: ``when`` is a text, a date or a number.
            NoSyncYetError: The first sync is later.
        """
        index = self._index(when)
        sync = self.syncs[index]
        if not self.has_snapshot(sync):
            return Members(schema=self.schema, sources={DiffType.EXISTING: self._replayed(index)})
        record = self.record(sync)
        if record is not None:
            return Members.of_record(record, self._open, self._replacing)
        return Members(
            schema=RowSchema(properties=self._properties(sync), key=self.match_by),
            sources={t: self.source(sync, t) for t in DiffType},
            work_dir=self.work_dir,
        )

    def _index(self, when: datetime | BucketSync) -> int:
        if isinstance(when, BucketSync):
            return self._number(when)
        instant = to_utc(when, "when")
        index = bisect_right(self.syncs, instant, key=lambda sync: sync.synced_at) - 1
        if index < 0:
            raise NoSyncYetError(instant, self.syncs[0].synced_at if self.syncs else None)
        return index

    def _number(self, sync: BucketSync) -> int:
        number = bisect_left(self.syncs, sync.synced_at, key=lambda s: s.synced_at)
        if self.syncs[number : number + 1] != (sync,):
            msg = f"the sync of {sync.synced_at.isoformat()} is not in this history"
            raise ValueError(msg)
        return number

    def has_snapshot(self, sync: BucketSync) -> bool:
        """Return True if the sync's own files are enough to know its members."""
        if not sync.missing:
            return True
        record = self.record(sync)
        return record is not None and sync.files.keys() >= set(needed_files(record))

    @property
    def has_known_start(self) -> bool:
        """True if the log states that there was no member before the first sync."""
        record = self.record(self.syncs[0]) if self.syncs else None
        return record is not None and record.previous is None and not record.adopted

    def has_gap_before(self, sync: BucketSync) -> bool:
        """Return True if a sync between this one and the one before it is missing.

        The log shows it or, without a log, the files of an incomplete sync.
        """
        number = self._number(sync)
        if not number:
            return False
        earlier = self.syncs[number - 1]
        record, before = self.record(sync), self.record(earlier)
        if record is None:
            between = (one.synced_at for one in self._partial)
            return any(earlier.synced_at < when < sync.synced_at for when in between)
        if record.previous is None or before is None:
            return False
        return record.previous.number != before.number

    def _replayed(self, index: int) -> CsvSource:
        """Return the members at a sync that is not a snapshot.

        An earlier snapshot is preferred, because a later one shows later properties.
        """
        snapshots = [n for n, sync in enumerate(self.syncs) if self.has_snapshot(sync)]
        earlier = [n for n in snapshots if n < index]
        nearest: int | None
        if earlier:
            nearest, numbers = earlier[-1], range(earlier[-1] + 1, index + 1)
        elif snapshots and not self.has_known_start:
            nearest, numbers = snapshots[0], range(snapshots[0] + 1)
        else:
            nearest, numbers = None, range(index + 1)
        schema = self.schema

        def rows() -> Iterator[Row]:
            for stay in self._stays(schema, numbers, nearest):
                if (stay.entered or 0) <= index and (stay.exited is None or stay.exited > index):
                    yield stay.row

        return CsvSource(chunks=lambda: schema.encode(rows()), canonical=True)

    # --- Changes -----------------------------------------------------------------------

    def is_derived(self, sync: BucketSync, diff_type: DiffType) -> bool:
        """Return True if the changes at a sync are computed from the members around it.

        That is so if their file or the sync before is missing, while the members at this
        sync and those before it are known.
        """
        number = self._number(sync)
        if diff_type in sync.files and not self.has_gap_before(sync):
            return False
        if not number or not self.has_snapshot(sync):
            return False
        return self.has_known_start or any(map(self.has_snapshot, self.syncs[:number]))

    def _changed_rows(self, number: int, diff_type: DiffType, schema: RowSchema) -> Iterator[Row]:
        """Yield the rows of the users who entered or exited at a sync."""
        sync = self.syncs[number]
        if self.is_derived(sync, diff_type):
            before, now = (
                self.members_at(s).csv_source(schema).rows_of(schema, fill=True)
                for s in self.syncs[number - 1 : number + 1]
            )
            with diff_members(before, now, schema=schema, work_dir=self.work_dir) as diff:
                yield from diff.rows(diff_type)
        elif diff_type in sync.files:
            yield from self.source(sync, diff_type).rows_of(schema, fill=True)

    def _all_stays(self, schema: RowSchema, key: str | None = None) -> Iterator[NumberedStay]:
        """Yield the stays of all users, or of the one user with a key, in the order of the key."""
        numbers = range(len(self.syncs))
        newest = next((n for n in reversed(numbers) if self.has_snapshot(self.syncs[n])), None)
        return self._stays(schema, numbers, newest, key)

    def _stays(
        self,
        schema: RowSchema,
        numbers: Iterable[int],
        snapshot: int | None,
        key: str | None = None,
    ) -> Iterator[NumberedStay]:
        """Yield the stays that follow from the changes at some syncs and from a snapshot."""
        changes = (c for number in numbers for c in self._changes_at(number, schema))
        present = iter(()) if snapshot is None else self._present(snapshot, schema)
        if key is not None:
            wanted = key.encode()
            changes = (change for change in changes if change[0] == wanted)
            present = (change for change in present if change[0] == wanted)
        ordered = external_sort(changes, work_dir=self.work_dir)
        return stays_of(heapq.merge(present, ordered))

    def _changes_at(self, number: int, schema: RowSchema) -> Iterator[Change]:
        for diff_type, kind in CHANGES.items():
            for row in self._changed_rows(number, diff_type, schema):
                yield row[schema.key_index].encode(), number, kind, row

    def _present(self, number: int, schema: RowSchema) -> Iterator[Change]:
        """Yield the members at a sync, in order, as changes."""
        members = self.members_at(self.syncs[number]).csv_source(schema)
        for row in members.rows_of(schema, fill=True):
            yield row[schema.key_index].encode(), number, ChangeKind.PRESENT, row


Files = frozenset[tuple[datetime, DiffType]]
"""Files of a stream, each by the time of its sync and its type."""


def removed_files(log: SyncLog) -> Files:
    """Return the files that were removed according to the log, or are being removed."""
    pending = log.pending
    keys = log.removed.union(() if pending is None else pending.removed)
    names = [CohortFileName.from_key(key)[1] for key in keys]
    return frozenset((name.synced_at, name.diff_type) for name in names)
