"""A bucket of cohort files as answers: who was a member when, and what changed."""

import hashlib
import heapq
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from datetime import datetime
from enum import Enum
from functools import cache
from itertools import accumulate, islice
from os import PathLike
from typing import Any, overload

from attrs import field, frozen

from .destination import CohortStream, ExistingMeaning
from .diff import CsvSource, diff_members
from .errors import CohortS3Error, DigestMismatchError, InvalidFileNameError, NoSyncYetError
from .external_sort import external_sort
from .filename import CohortFileName, DiffType, to_utc
from .members import Members, needed_files, object_source, recorded_source
from .plot import plot_history
from .rows import ID_COLUMNS, Row, RowSchema, read_table
from .stays import Change, ChangeKind, NumberedStay, Stay, stays_of
from .storage._protocol import ObjectInfo
from .sync_log import OpenObject, RecordedFile, SyncLog, SyncRecord
from .verification import Finding, FindingKind, check_accounting, consistent_meanings


@frozen
class StreamFile:
    """An object in a listing that is a file of the stream."""

    info: ObjectInfo
    name: CohortFileName


@frozen
class SkippedObject:
    """An object in a listing that is none, and why."""

    key: str
    reason: str


def parse_listing(
    stream: CohortStream, listing: Iterable[ObjectInfo]
) -> Iterator[StreamFile | SkippedObject]:
    """Tells a stream's files from strangers; it never raises.

    Args:
        stream: Whose files.
        listing: Of ``stream.data_prefix``.
    """
    for info in listing:
        try:
            path, name = CohortFileName.from_key(info.key)
        except InvalidFileNameError as error:
            yield SkippedObject(info.key, error.rule)
            continue
        if stream.owns(path, name):
            yield StreamFile(info, name)
        else:
            yield SkippedObject(info.key, "it belongs to another stream")


class SyncState(Enum):
    """What is known of a sync that is not whole."""

    INCOMPLETE = "incomplete"
    """No log knows it, and it lacks files from which its members could be told."""
    IN_DOUBT = "in doubt"
    """It is recorded and has no outcome yet: ``recover`` gives it one."""
    VOID = "void"
    """It never happened; it may have left the files entering or exiting."""


@frozen(kw_only=True)
class BucketSync:
    """One sync as a listing shows it.

    Attributes:
        synced_at: The time in its names.
        files: Its visible files. Older syncs may lack ``existing``: pruned, or lost.
    """

    synced_at: datetime
    files: Mapping[DiffType, ObjectInfo]

    @property
    def missing(self) -> tuple[DiffType, ...]:
        """The files that it lacks."""
        return tuple(t for t in DiffType if t not in self.files)


@frozen(kw_only=True)
class UnpublishedSync:
    """A sync that is not part of the history, and why.

    Attributes:
        synced_at: The time in its names.
        state: What is known of it.
        files: Its visible files.
    """

    synced_at: datetime
    state: SyncState
    files: Mapping[DiffType, ObjectInfo]


@frozen
class MembershipEvent:
    """One user entering or exiting. The repr does not name the user.

    Attributes:
        synced_at: The sync at which it shows.
        diff_type: ``ENTERING`` or ``EXITING``.
        row: The user's cells, in the order of the history's columns: at exits, those of before.
    """

    synced_at: datetime
    diff_type: DiffType
    row: Row = field(repr=False)


@frozen(kw_only=True)
class Churn:
    """How one sync changed the cohort.

    Attributes:
        synced_at: The sync.
        members: How many there are after it.
        entered: How many came.
        exited: How many left.
        returned: How many of those who came had left before, in the known history.
    """

    synced_at: datetime
    members: int
    entered: int
    exited: int
    returned: int

    @property
    def members_before(self) -> int:
        """How many there were before it."""
        return self.members - self.entered + self.exited

    @property
    def entry_rate(self) -> float:
        """Who came, as a share of those who are there now; 0 where nobody is."""
        return self.entered / self.members if self.members else 0.0

    @property
    def exit_rate(self) -> float:
        """Who left, as a share of those who were there before; 0 where nobody was."""
        return self.exited / self.members_before if self.members_before else 0.0


@frozen(kw_only=True)
class StreamOverview:
    """One stream as the listing of a bucket shows it.

    Attributes:
        stream: Its identity: what ``read_history`` takes.
        first: The time of its first sync.
        last: The time of its newest sync.
        syncs: How many times there are files of.
        files: How many files.
        has_log: Whether there is a log beside the data.
    """

    stream: CohortStream
    first: datetime
    last: datetime
    syncs: int
    files: int
    has_log: bool


def overview(listing: Iterable[ObjectInfo]) -> Iterator[StreamOverview]:
    """The streams that a listing shows, by their paths, projects and cohorts.

    Args:
        listing: Of a whole bucket, or of a folder in it.
    """
    times = dict[CohortStream, list[datetime]]()
    logs = set[str]()
    for info in listing:
        try:
            path, name = CohortFileName.from_key(info.key)
        except InvalidFileNameError:
            logs.add(info.key.rpartition("/")[0] + "/")
            continue
        stream = CohortStream(
            project_id=name.project_id,
            cohort_id=name.cohort_id,
            path=path,
            routing_key=name.routing_key,
        )
        times.setdefault(stream, []).append(name.synced_at)
    for stream, seen in sorted(times.items(), key=lambda item: item[0].log_prefix):
        yield StreamOverview(
            stream=stream,
            first=min(seen),
            last=max(seen),
            syncs=len(set(seen)),
            files=len(seen),
            has_log=stream.log_prefix in logs,
        )


def _count(values: Sized) -> str:
    return f"<{len(values)}>"


@frozen(kw_only=True)
class CohortHistory(Sequence[BucketSync]):
    """The syncs of a stream, oldest first, and the questions that they answer.

    It comes from listings alone: files and log are read when they are asked for. All
    answers are streams, in memory that does not grow with the history. The repr counts.

    Attributes:
        stream: Whose syncs.
        syncs: Those from which the members can be told.
        skipped: Objects in the listing that are no file of the stream, and why.
        match_by: The column by which members are told apart.
        work_dir: Where temporary files go; by default the system's place for them.
    """

    stream: CohortStream
    syncs: tuple[BucketSync, ...] = field(repr=_count)
    skipped: tuple[SkippedObject, ...] = field(default=(), repr=_count)
    match_by: str = "amplitude_id"
    work_dir: str | PathLike[str] | None = field(default=None, repr=False)
    _partial: tuple[BucketSync, ...] = field(default=(), repr=False, alias="partial")
    _log: SyncLog = field(repr=False, alias="log")
    _open: OpenObject = field(repr=False, alias="open")

    def __len__(self) -> int:
        return len(self.syncs)

    @overload
    def __getitem__(self, index: int, /) -> BucketSync: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[BucketSync]: ...
    def __getitem__(self, index: int | slice, /) -> BucketSync | Sequence[BucketSync]:
        return self.syncs[index]

    def record(self, sync: BucketSync) -> SyncRecord | None:
        """What the log says of a sync; None where no log knows it.

        Raises:
            RecordFormatError: The log can't be read.
        """
        return self._log.published_at(sync.synced_at)

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
            for record, void in self._log.unpublished()
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
        for batch in read_table(source.chunks(), vouched=source.vouched).batches:
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
            NoSyncYetError: The first sync is later.
        """
        index = self._index(when)
        sync = self.syncs[index]
        if not self._has_snapshot(sync):
            return Members(schema=self.schema, sources={DiffType.EXISTING: self._replayed(index)})
        record = self.record(sync)
        if record is not None:
            return Members.of_record(record, self._open)
        schema = RowSchema(properties=self._properties(sync), key=self.match_by)
        return Members(schema=schema, sources={t: self.source(sync, t) for t in DiffType})

    def events(self) -> Iterator[MembershipEvent]:
        """Every entry and exit in the order of the syncs; at each, entries before exits.

        Streams the small files only, never ``existing``. Where one of them is missing, the
        changes are the difference to the sync before, if its members can be told.

        Raises:
            MalformedCsvError: A file is not a cohort's CSV.
        """
        schema = self.schema
        for number, sync in enumerate(self.syncs):
            for diff_type in _CHANGES:
                for row in self._changed(number, diff_type, schema):
                    yield MembershipEvent(sync.synced_at, diff_type, row)

    def intervals(self) -> Iterator[Stay]:
        """Every stay of every user, in the order of the key; a returning user has several.

        It reads the newest snapshot and the changes, however long the history is.

        Raises:
            MalformedCsvError: A file is not a cohort's CSV.
        """
        schema = self.schema
        for stay in stays_of(self._changes(schema)):
            yield self._stay(stay, schema)

    def member_history(self, key: str) -> list[Stay]:
        """The stays of one user.

        Args:
            key: The value of the column that members are matched by.
        """
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

    def churn(self) -> list[Churn]:
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
        return [
            Churn(synced_at=sync.synced_at, members=m, entered=i, exited=o, returned=r)
            for sync, m, i, o, r in zip(
                self.syncs, islice(sizes, 1, None), entered, exited, returned, strict=True
            )
        ]

    def plot(self, ax: Any = None) -> Any:
        """Draws the size over time, with entries and exits; needs the extra ``plot``.

        Args:
            ax: The axes of matplotlib to draw on; by default a new figure's.

        Returns:
            The axes of the size.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        points = [(one.synced_at, one.members, one.entered, one.exited) for one in self.churn()]
        return plot_history(points, ax)

    # --- Reading files -----------------------------------------------------------------

    def _index(self, when: datetime | BucketSync) -> int:
        if isinstance(when, BucketSync):
            return self.syncs.index(when)
        instant = to_utc(when, "when")
        index = bisect_right(self.syncs, instant, key=lambda sync: sync.synced_at) - 1
        if index < 0:
            raise NoSyncYetError(instant, self.syncs[0].synced_at if self.syncs else None)
        return index

    def source(self, sync: BucketSync, diff_type: DiffType) -> CsvSource:
        """The bytes of one file; those that a record describes are verified as they are read."""
        record = self.record(sync)
        if record is None:
            return object_source(sync.files[diff_type].key, self._open)
        return recorded_source(record, diff_type, self._open)

    def _properties(self, sync: BucketSync) -> tuple[str, ...]:
        record = self.record(sync)
        if record is not None:
            return record.schema.properties
        tables = [read_table(self.source(sync, t).chunks()) for t in sync.files]
        return tuple(dict.fromkeys(name for table in tables for name in table.properties))

    def _decoded(self, sync: BucketSync, diff_type: DiffType, schema: RowSchema) -> Iterator[Row]:
        source = self.source(sync, diff_type)
        return schema.decode(source.chunks(), vouched=source.vouched, fill=True)

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
        if diff_type in sync.files:
            yield from self._decoded(sync, diff_type, schema)
        elif number and self._has_snapshot(sync):
            before, now = (
                schema.decode(
                    self.members_at(s).csv_source(schema).chunks(), vouched=True, fill=True
                )
                for s in self.syncs[number - 1 : number + 1]
            )
            with diff_members(before, now, schema=schema, work_dir=self.work_dir) as diff:
                yield from diff.rows(diff_type)

    def _has_snapshot(self, sync: BucketSync) -> bool:
        """Whether the sync's own files tell its members."""
        if not sync.missing:
            return True
        record = self.record(sync)
        return record is not None and sync.files.keys() >= set(needed_files(record))

    def _newest_snapshot(self) -> int | None:
        numbers = reversed(range(len(self.syncs)))
        return next((n for n in numbers if self._has_snapshot(self.syncs[n])), None)

    def _present(self, number: int, schema: RowSchema) -> Iterator[Change]:
        """Everyone at a sync, in order."""
        members = self.members_at(self.syncs[number])
        key = schema.key_index
        for row in schema.decode(members.csv_source(schema).chunks(), vouched=True, fill=True):
            yield row[key].encode(), number, ChangeKind.PRESENT, row

    def _replayed(self, index: int) -> CsvSource:
        """The members at a sync without a snapshot, from the nearest one and the changes between.

        An earlier one is taken if there is any: what came later tells less of the properties.
        """
        schema = self.schema
        with_snapshot = [n for n, sync in enumerate(self.syncs) if self._has_snapshot(sync)]
        earlier = [n for n in with_snapshot if n < index]
        nearest = earlier[-1] if earlier else next(iter(with_snapshot), None)
        first, last = (earlier[-1] + 1, index) if earlier else (0, nearest or index)

        def rows() -> Iterator[Row]:
            changes = (c for n in range(first, last + 1) for c in self._changes_at(n, schema))
            present = iter(()) if nearest is None else self._present(nearest, schema)
            for stay in stays_of(heapq.merge(present, self._sorted(changes))):
                if (stay.entered or 0) <= index and (stay.exited is None or stay.exited > index):
                    yield stay.row

        return CsvSource(chunks=lambda: schema.encode(rows()), vouched=True)

    def verify(self) -> tuple[Finding, ...]:
        """Whether the history adds up; empty if it does.

        Each file is read and compared with its record; each sync's members must be those
        before, with the entering and without the exiting; the log must be one chain.
        A stream without a log is checked as far as its files tell.
        """
        findings = [
            Finding(kind=_UNPUBLISHED[sync.state], synced_at=sync.synced_at, count=len(sync.files))
            for sync in self.unpublished
            if sync.files or sync.state is SyncState.IN_DOUBT
        ]
        findings += self._broken_links()
        was_readable = True
        for number, sync in enumerate(self.syncs):
            of_files = list(self._file_findings(sync))
            readable = all(f.kind is FindingKind.MISSING_FILE for f in of_files)
            findings += of_files
            if readable and was_readable:
                findings += self._set_findings(number)
            was_readable = readable
        return tuple(sorted(findings, key=lambda finding: finding.synced_at))

    def _broken_links(self) -> Iterator[Finding]:
        before: SyncRecord | None = None
        for record in self._log.published():
            follows = record.previous == (None if before is None else before.ref)
            grows = before is None or record.synced_at > before.synced_at
            same = self._log.record(record.number) == record
            if not (follows and grows and same):
                yield Finding(
                    kind=FindingKind.BROKEN_CHAIN, synced_at=record.synced_at, key=record.key
                )
            before = record

    def _file_findings(self, sync: BucketSync) -> Iterator[Finding]:
        """What is wrong with the files of a sync, each for itself."""
        record = self.record(sync)
        for diff_type in DiffType:
            info = sync.files.get(diff_type)
            if info is None:
                key = None if record is None else record.files[diff_type].key
                kind, detail = FindingKind.MISSING_FILE, diff_type.value
            else:
                key, detail = info.key, ""
                try:
                    count = sum(1 for _ in self.rows(sync, diff_type))
                except DigestMismatchError:
                    kind = FindingKind.EDITED_FILE
                except (CohortS3Error, zlib.error, EOFError) as error:
                    kind, detail = FindingKind.UNREADABLE_FILE, str(error)
                else:
                    if record is None or count == record.files[diff_type].rows:
                        continue
                    kind, detail = FindingKind.EDITED_FILE, f"{count} rows"
            yield Finding(kind=kind, synced_at=sync.synced_at, key=key, detail=detail)

    def _set_findings(self, number: int) -> Iterator[Finding]:
        """What is wrong between the files of a sync, and to the sync before."""
        sync = self.syncs[number]
        if not sync.missing:
            record = self.record(sync)
            meanings = self._meanings(sync)
            wrong = record is not None and not record.adopted and record.existing not in meanings
            if wrong or not meanings:
                yield Finding(kind=FindingKind.MEANING_BROKEN, synced_at=sync.synced_at)
        if set(_CHANGES) <= sync.files.keys() and (not number or self._has_snapshot(sync)):
            before = self._member_keys(number - 1) if number else None
            if before is None and not self._is_first(sync):
                return
            found = check_accounting(
                before=before or (),
                entering=self._keys(sync, DiffType.ENTERING),
                exiting=self._keys(sync, DiffType.EXITING),
                now=self._member_keys(number),
            )
            for kind, count in found.items():
                yield Finding(kind=kind, synced_at=sync.synced_at, count=count)

    def _is_first(self, sync: BucketSync) -> bool:
        """Whether the log says that nobody was a member before."""
        record = self.record(sync)
        return record is not None and record.previous is None and not record.adopted

    def _meanings(self, sync: BucketSync) -> frozenset[ExistingMeaning]:
        keys = {t.value: self._keys(sync, t) for t in DiffType}
        return consistent_meanings(**keys)

    def detect_existing_meaning(self) -> frozenset[ExistingMeaning]:
        """The readings of ``existing`` that all whole syncs allow.

        One is the answer; several: no file decides between them; none: the syncs follow
        different readings, or none of the three.
        """
        whole = [sync for sync in self.syncs if not sync.missing]
        return frozenset(ExistingMeaning).intersection(*map(self._meanings, whole))

    def _keys(self, sync: BucketSync, diff_type: DiffType) -> Iterator[bytes]:
        """The keys of one file, in order."""
        properties = () if self.match_by in ID_COLUMNS else (self.match_by,)
        schema = RowSchema(properties=properties, key=self.match_by)
        rows = self._decoded(sync, diff_type, schema)
        keys = ((row[schema.key_index].encode(),) for row in rows)
        ordered = external_sort(keys, size=lambda item: len(item[0]) + 64, work_dir=self.work_dir)
        return (key for (key,) in ordered)

    def _member_keys(self, number: int) -> Iterator[bytes]:
        members = self.members_at(self.syncs[number])
        index = members.schema.key_index
        return (row[index].encode() for row in members)

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

_UNPUBLISHED = {
    SyncState.VOID: FindingKind.LEFTOVER,
    SyncState.IN_DOUBT: FindingKind.IN_DOUBT,
    SyncState.INCOMPLETE: FindingKind.INCOMPLETE_SYNC,
}


def _change_size(change: Change) -> int:
    # What Python itself adds to a tuple of short texts, measured at about 60 bytes a cell.
    return len(change[0]) + sum(map(len, change[3])) + 60 * (len(change[3]) + 4)


def build_history(
    listed: Iterable[StreamFile | SkippedObject],
    log: SyncLog,
    open_object: OpenObject,
    *,
    match_by: str | None,
    work_dir: str | PathLike[str] | None,
) -> CohortHistory:
    """The history that a listing and a log tell.

    Args:
        listed: From :func:`parse_listing`.
        log: The stream's.
        open_object: ``storage.open``.
        match_by: The column by which members are told apart; None takes the log's.
        work_dir: Where temporary files go.
    """

    @cache
    def unfinished() -> set[datetime]:
        return {record.synced_at for record, _ in log.unpublished()}

    skipped = list[SkippedObject]()
    groups = dict[datetime, dict[DiffType, list[ObjectInfo]]]()
    for item in listed:
        if isinstance(item, SkippedObject):
            skipped.append(item)
        else:
            group = groups.setdefault(item.name.synced_at, {})
            group.setdefault(item.name.diff_type, []).append(item.info)
    syncs, partial = list[BucketSync](), list[BucketSync]()
    for synced_at, group in sorted(groups.items()):
        whole = len(group) == len(DiffType) and all(len(infos) == 1 for infos in group.values())
        record = None if whole else log.published_at(synced_at)
        files = dict[DiffType, ObjectInfo]()
        for diff_type in DiffType:
            for info in group.get(diff_type, []):
                if diff_type in files or (record and record.files[diff_type].key != info.key):
                    skipped.append(SkippedObject(info.key, "another name says the same"))
                else:
                    files[diff_type] = info
        sync = BucketSync(synced_at=synced_at, files=files)
        # The changes tell the members, unless they are all that was ever published of it.
        told = whole or (files.keys() >= set(_CHANGES) and synced_at not in unfinished())
        (syncs if record is not None or told else partial).append(sync)
    if match_by is None:
        match_by = log.head.schema.key if log.head is not None else "amplitude_id"
    return CohortHistory(
        stream=log.stream,
        syncs=tuple(syncs),
        skipped=tuple(skipped),
        match_by=match_by,
        work_dir=work_dir,
        partial=tuple(partial),
        log=log,
        open=open_object,
    )


def baseline(history: CohortHistory, *, now: datetime, writer: str) -> SyncRecord:
    """The record that makes the newest sync of an unlogged history the first of a log.

    Args:
        history: Its newest sync is whole.
        now: The time of the request, in UTC.
        writer: A token of the caller.

    Raises:
        MalformedCsvError, MissingColumnsError, EmptyKeyError: The files can't be read.
    """
    sync = history[-1]
    members = history.members_at(sync)
    digest = hashlib.sha256()
    for chunk in members.csv_source(members.schema).chunks():
        digest.update(chunk)
    return SyncRecord(
        number=1,
        previous=None,
        stream=history.stream,
        bucket=None,
        synced_at=sync.synced_at,
        requested_at=now,
        # The reader's formula holds under every meaning, so none is claimed.
        existing=ExistingMeaning.MEMBERS,
        schema=members.schema,
        files={diff_type: _recorded(history, sync, diff_type) for diff_type in DiffType},
        members=sum(1 for _ in members),
        members_before=0,
        members_sha256=digest.hexdigest(),
        adopted=True,
        writer=writer,
    )


def _recorded(history: CohortHistory, sync: BucketSync, diff_type: DiffType) -> RecordedFile:
    digest = hashlib.sha256()
    size = 0
    for chunk in history.source(sync, diff_type).chunks():
        digest.update(chunk)
        size += len(chunk)
    return RecordedFile(
        key=sync.files[diff_type].key,
        rows=sum(1 for _ in history.rows(sync, diff_type)),
        size=size,
        sha256=digest.hexdigest(),
        staged=None,
    )
