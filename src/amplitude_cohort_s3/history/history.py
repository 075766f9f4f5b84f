"""A bucket of cohort files as answers: who was a member when, and what changed."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from datetime import UTC, datetime
from itertools import accumulate, islice
from os import PathLike
from typing import Any, overload

from attrs import field, frozen

from .._arguments import check_kind
from .._html import html_table
from .._time import to_utc
from ..diff.cohort_diff import diff_members
from ..errors import CohortS3Error, NoSyncYetError
from ..format.columns import ID_COLUMNS, Row
from ..format.filename import DiffType
from ..format.reader import read_table
from ..format.schema import RowSchema
from ..log.listing import BucketSync, SkippedObject, SyncState, UnpublishedSync
from ..log.records import RecordedFile, SyncRecord
from ..log.stream import CohortStream
from ..log.sync_log import OpenObject, SyncLog
from ..sources.protocol import CsvSource
from ._external_sort import external_sort
from ._plot import plot_history
from .events import Churn, ChurnTable, MembershipEvent, event_table
from .findings import Finding
from .members import Members, needed_files, object_source, recorded_source
from .stays import Change, ChangeKind, NumberedStay, Stay, stay_table, stays_of
from .tables import ValueTable

MOST_ROWS = 10
"""How many syncs a notebook shows: the newest."""


_EVER = datetime.max.replace(tzinfo=UTC)


_NO_SYNC = str(NoSyncYetError(_EVER, None))
"""An empty history is no error, and mostly a stream that was mistyped: it says so."""


def _count(values: Sized) -> str:
    return f"<{len(values)}>"


def _count_syncs(syncs: Sized) -> str:
    return _count(syncs) if syncs else f"<0: {_NO_SYNC}>"


@frozen(kw_only=True)
class CohortHistory(Sequence[BucketSync]):
    """The syncs of a stream, oldest first, and the questions that they answer.

    It comes from listings alone: files and log are read when they are asked for. All
    answers are streams, in memory that does not grow with the history. The repr counts; a
    notebook shows the newest ten syncs, for which it reads their records, as they are small.

    Attributes:
        stream: Whose syncs.
        syncs: Those from which the members can be told.
        skipped: Objects in the listing that are no file of the stream, and why.
        match_by: The column by which members are told apart.
        log: The stream's log, read as it is needed; empty where there is none.
        work_dir: Where temporary files go; by default the system's place for them.
    """

    stream: CohortStream
    syncs: tuple[BucketSync, ...] = field(repr=_count_syncs)
    skipped: tuple[SkippedObject, ...] = field(default=(), repr=_count)
    match_by: str = "amplitude_id"
    work_dir: str | PathLike[str] | None = field(default=None, repr=False)
    _partial: tuple[BucketSync, ...] = field(default=(), repr=False, alias="partial")
    log: SyncLog = field(repr=False)
    _open: OpenObject = field(repr=False, alias="open")

    def __len__(self) -> int:
        return len(self.syncs)

    @overload
    def __getitem__(self, index: int, /) -> BucketSync: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[BucketSync]: ...
    def __getitem__(self, index: int | slice, /) -> BucketSync | Sequence[BucketSync]:
        return self.syncs[index]

    def _repr_html_(self) -> str:
        title = f"{self.stream.data_prefix}: "
        if self.syncs:
            first, last = self.syncs[0].synced_at, self.syncs[-1].synced_at
            title += f"{len(self.syncs):,} syncs, {first} to {last}"
        else:
            title += _NO_SYNC
        rows = [
            (
                sync.synced_at,
                self._recorded_members(sync),
                *(sync.files[t].size if t in sync.files else "-" for t in DiffType),
            )
            for sync in self.syncs[-MOST_ROWS:]
        ]
        columns = ("sync", "members", *(f"{t.value}, bytes" for t in DiffType))
        return html_table(title, columns, rows)

    def _recorded_members(self, sync: BucketSync) -> int | str:
        try:
            record = self.record(sync)
        except (CohortS3Error, OSError):  # A look is no place; whoever asks for the record gets it.
            record = None
        return "-" if record is None else record.members

    def record(self, sync: BucketSync) -> SyncRecord | None:
        """What the log says of a sync; None where no log knows it.

        What people were forgotten since is taken out of its counts and digests.

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
        known = [
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
        return tuple(sorted([*known, *incomplete], key=lambda sync: sync.synced_at))

    @property
    def schema(self) -> RowSchema:
        """The columns that any of the syncs has, in the order in which they came up.

        Raises:
            RecordFormatError, MalformedCsvError: The log or a file can't be read.
        """
        names = dict.fromkeys(name for sync in self.syncs for name in self._properties(sync))
        if self.match_by not in ID_COLUMNS:
            names.setdefault(self.match_by)
        return RowSchema(properties=tuple(names), key=self.match_by)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the cells of every row that the history gives."""
        return self.schema.columns

    def rows(self, sync: BucketSync, diff_type: DiffType) -> Iterator[Row]:
        """The rows of one file, in the order and the columns in which they stand there.

        Raises:
            MalformedCsvError: The file is not a cohort's CSV.
        """
        source = self.source(sync, diff_type)
        with source.reading():
            for batch in read_table(source.chunks(), canonical=source.canonical).batches:
                yield from batch

    def members_at(self, when: datetime | BucketSync) -> Members:
        """The members as of a time: those of the newest sync not after it.

        They are read from the files of that sync or, where it has no ``existing``, from
        those of the nearest earlier one and the changes since. Then the properties are
        those that the users had when they entered, or at the earlier sync.

        Args:
            when: An aware datetime, or one of the syncs.

        Raises:
            NaiveDatetimeError: ``when`` has no time zone.
            WrongArgumentError: It is text, a date, a number.
            NoSyncYetError: The first sync is later.
        """
        index = self._index(when)
        sync = self.syncs[index]
        if not self.has_snapshot(sync):
            return Members(schema=self.schema, sources={DiffType.EXISTING: self._replayed(index)})
        record = self.record(sync)
        if record is not None:
            return Members.of_record(record, self._open, self._replacing)
        schema = RowSchema(properties=self._properties(sync), key=self.match_by)
        return Members(schema=schema, sources={t: self.source(sync, t) for t in DiffType})

    def events(self) -> ValueTable[MembershipEvent]:
        """Every entry and exit in the order of the syncs; at each, entries before exits.

        Iterating streams the small files only, never ``existing``, each time anew. Where one
        of them is missing, the changes are the difference to the sync before, if its members
        can be told, and the event says that it is derived. As a data frame it has the columns
        ``synced_at`` and ``diff_type``, then the history's.

        Raises:
            MalformedCsvError: A file is not a cohort's CSV; while it is read.
        """

        def events() -> Iterator[MembershipEvent]:
            schema = self.schema
            for number, sync in enumerate(self.syncs):
                for diff_type in _CHANGES:
                    derived = self.is_derived(sync, diff_type)
                    for row in self._changed(number, diff_type, schema):
                        yield MembershipEvent(sync.synced_at, diff_type, row, derived)

        return event_table(events, lambda: self.columns)

    def intervals(self) -> ValueTable[Stay]:
        """Every stay of every user, in the order of the key; a returning user has several.

        Iterating reads the newest snapshot and the changes, however long the history is. As a
        data frame it has the columns ``entered`` and ``exited``, null where they are open,
        then the history's.

        Raises:
            MalformedCsvError: A file is not a cohort's CSV; while it is read.
        """

        def stays() -> Iterator[Stay]:
            schema = self.schema
            for stay in stays_of(self._changes(schema)):
                yield self._stay(stay, schema)

        return stay_table(stays, lambda: self.columns)

    def member_history(self, key: str) -> list[Stay]:
        """The stays of one user; none for a key that nobody has.

        Args:
            key: The value of the column that members are matched by.

        Raises:
            WrongArgumentError: It is no text.
        """
        check_kind("key", key, str, "give it as text, as it stands in the files")
        schema = self.schema
        wanted = key.encode()
        changes = sorted(
            change
            for number in range(len(self.syncs))
            for change in self._changes_at(number, schema)
            if change[0] == wanted
        )
        snapshot = self._newest_snapshot()
        if snapshot is not None:
            present = self._present(snapshot, schema)
            changes = sorted([*changes, *(c for c in present if c[0] == wanted)])
        return [self._stay(stay, schema) for stay in stays_of(changes)]

    def churn(self) -> ChurnTable:
        """One entry per sync: its size, who entered, exited and returned.

        Raises:
            MalformedCsvError: A file is not a cohort's CSV.
        """
        entered, exited, returned = ([0] * len(self.syncs) for _ in range(3))
        before = 0
        for stay in stays_of(self._changes(self.schema)):
            if stay.entered is None:
                before += 1
            else:
                entered[stay.entered] += 1
                returned[stay.entered] += stay.is_return
            if stay.exited is not None:
                exited[stay.exited] += 1
        sizes = accumulate((i - o for i, o in zip(entered, exited, strict=True)), initial=before)
        return ChurnTable(
            Churn(synced_at=sync.synced_at, members=m, entered=i, exited=o, returned=r)
            for sync, m, i, o, r in zip(
                self.syncs, islice(sizes, 1, None), entered, exited, returned, strict=True
            )
        )

    def verify(self) -> tuple[Finding, ...]:
        """Whether the history adds up; empty if it does.

        Each file is read and compared with its record; each sync's members must be those
        before, with the entering and without the exiting; the log must be one chain, and
        what it calls published must be there, unless ``prune`` removed it. A stream without
        a log is checked as far as its files tell.
        """
        from .verification import verify  # noqa: PLC0415 -- it builds on this module

        return verify(self)

    def plot(self, ax: Any = None) -> Any:
        """Draws the size over time, with entries and exits; needs the extra ``plot``.

        Args:
            ax: The axes of matplotlib to draw on; by default a new figure's.

        Returns:
            The axes of the size.

        Raises:
            NoSyncYetError: The history is empty.
            MissingExtraError: matplotlib is not installed.
        """
        if not self.syncs:
            raise NoSyncYetError(_EVER, None)
        points = [(one.synced_at, one.members, one.entered, one.exited) for one in self.churn()]
        return plot_history(points, ax)

    # --- Reading files -----------------------------------------------------------------

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
            msg = "it is no sync of this history"
            raise ValueError(msg)
        return number

    def source(self, sync: BucketSync, diff_type: DiffType) -> CsvSource:
        """The bytes of one file; those that a record describes are verified as they are read."""
        record = self.record(sync)
        if record is None:
            return object_source(sync.files[diff_type].key, self._open)
        return recorded_source(record, diff_type, self._open, self._replacing)

    @property
    def _replacing(self) -> Mapping[str, RecordedFile]:
        """The files that an unfinished amendment may have replaced already."""
        pending = self.log.pending
        return {} if pending is None else pending.replaced

    def has_snapshot(self, sync: BucketSync) -> bool:
        """Whether the sync's own files tell its members."""
        if not sync.missing:
            return True
        record = self.record(sync)
        return record is not None and sync.files.keys() >= set(needed_files(record))

    @property
    def begins_empty(self) -> bool:
        """Whether the log says that nobody was a member before the first sync."""
        record = self.record(self.syncs[0]) if self.syncs else None
        return record is not None and record.previous is None and not record.adopted

    def has_gap_before(self, sync: BucketSync) -> bool:
        """Whether there was a sync between this and the one before that can't be told.

        The log knows; where there is none, the files of an incomplete sync show it.
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

    def is_derived(self, sync: BucketSync, diff_type: DiffType) -> bool:
        """Whether who entered or exited at a sync is told by the syncs around it.

        That is so where its file is missing, or the sync that it is the difference to;
        and both the members then and those before it can be told.
        """
        number = self._number(sync)
        if diff_type in sync.files and not self.has_gap_before(sync):
            return False
        return number > 0 and self.has_snapshot(sync) and self._tells(number - 1)

    def _tells(self, number: int) -> bool:
        """Whether the members at a sync follow from it and what is before it."""
        return self.begins_empty or any(map(self.has_snapshot, self.syncs[: number + 1]))

    def _properties(self, sync: BucketSync) -> tuple[str, ...]:
        record = self.record(sync)
        if record is not None:
            return record.schema.properties
        tables = [read_table(self.source(sync, t).chunks()) for t in sync.files]
        return tuple(dict.fromkeys(name for table in tables for name in table.properties))

    def _decoded(self, sync: BucketSync, diff_type: DiffType, schema: RowSchema) -> Iterator[Row]:
        return self.source(sync, diff_type).rows_of(schema, fill=True)

    # --- Changes -------------------------------------------------------------------------

    def _changes(self, schema: RowSchema) -> Iterator[Change]:
        """All changes, and the newest snapshot, in order."""
        changes = (
            change
            for number in range(len(self.syncs))
            for change in self._changes_at(number, schema)
        )
        snapshot = self._newest_snapshot()
        present = iter(()) if snapshot is None else self._present(snapshot, schema)
        return heapq.merge(present, self._sorted(changes))

    def _sorted(self, changes: Iterable[Change]) -> Iterator[Change]:
        return external_sort(changes, size=_change_size, work_dir=self.work_dir)

    def _changes_at(self, number: int, schema: RowSchema) -> Iterator[Change]:
        key = schema.key_index
        for diff_type, kind in _CHANGES.items():
            for row in self._changed(number, diff_type, schema):
                yield row[key].encode(), number, kind, row

    def _changed(self, number: int, diff_type: DiffType, schema: RowSchema) -> Iterator[Row]:
        """Who entered or exited at a sync: from its file, or else from its neighbours."""
        sync = self.syncs[number]
        if self.is_derived(sync, diff_type):
            before, now = (
                self.members_at(s).csv_source(schema).rows_of(schema, fill=True)
                for s in self.syncs[number - 1 : number + 1]
            )
            with diff_members(before, now, schema=schema, work_dir=self.work_dir) as diff:
                yield from diff.rows(diff_type)
        elif diff_type in sync.files:
            yield from self._decoded(sync, diff_type, schema)

    def _newest_snapshot(self) -> int | None:
        numbers = reversed(range(len(self.syncs)))
        return next((n for n in numbers if self.has_snapshot(self.syncs[n])), None)

    def _present(self, number: int, schema: RowSchema) -> Iterator[Change]:
        """Everyone at a sync, in order."""
        members = self.members_at(self.syncs[number])
        key = schema.key_index
        for row in members.csv_source(schema).rows_of(schema, fill=True):
            yield row[key].encode(), number, ChangeKind.PRESENT, row

    def _replayed(self, index: int) -> CsvSource:
        """The members at a sync without a snapshot, from the nearest one and the changes between.

        An earlier one is taken if there is any, or nobody where the first sync was the very
        first: what came later tells less of the properties.
        """
        schema = self.schema
        with_snapshot = [n for n, sync in enumerate(self.syncs) if self.has_snapshot(sync)]
        earlier = [n for n in with_snapshot if n < index]
        if earlier or self.begins_empty:
            nearest = earlier[-1] if earlier else None
            first, last = (0 if nearest is None else nearest + 1), index
        else:
            nearest = next(iter(with_snapshot), None)
            first, last = 0, index if nearest is None else nearest

        def rows() -> Iterator[Row]:
            changes = (c for n in range(first, last + 1) for c in self._changes_at(n, schema))
            present = iter(()) if nearest is None else self._present(nearest, schema)
            for stay in stays_of(heapq.merge(present, self._sorted(changes))):
                if (stay.entered or 0) <= index and (stay.exited is None or stay.exited > index):
                    yield stay.row

        return CsvSource(chunks=lambda: schema.encode(rows()), canonical=True)

    def _stay(self, stay: NumberedStay, schema: RowSchema) -> Stay:
        def time(number: int | None) -> datetime | None:
            return None if number is None else self.syncs[number].synced_at

        return Stay(
            entered=time(stay.entered),
            exited=time(stay.exited),
            row=stay.row,
            columns=schema.columns,
        )


_CHANGES = {DiffType.ENTERING: ChangeKind.ENTERED, DiffType.EXITING: ChangeKind.EXITED}


def _change_size(change: Change) -> int:
    # What Python itself adds to a tuple of short texts, measured at about 60 bytes a cell.
    return len(change[0]) + sum(map(len, change[3])) + 60 * (len(change[3]) + 4)


def check_is_history(value: object) -> None:
    """That an argument ``history`` is one.

    Raises:
        WrongArgumentError: It is a storage, a stream, or anything else.
    """
    cure = "give read_history(storage, sync.stream)"
    check_kind("history", value, CohortHistory, cure)
