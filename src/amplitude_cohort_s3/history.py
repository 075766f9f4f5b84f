"""A bucket of cohort files as answers: who was a member when, and what changed."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import overload

from attrs import field, frozen

from .compression import decompress_chunks
from .destination import CohortStream, ExistingMeaning
from .diff import CsvSource
from .errors import InvalidFileNameError, NoSyncYetError
from .filename import CohortFileName, DiffType, to_utc
from .members import Members, OpenObject, read_chunks
from .rows import Row, RowSchema, Table, read_table
from .storage._protocol import ObjectInfo
from .sync_log import RecordedFile, SyncRecord


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
    """What is known of a sync in a bucket."""

    PUBLISHED = "published"
    """The log says that it is whole."""
    COMPLETE = "complete"
    """No log knows it, and its three files are there."""
    INCOMPLETE = "incomplete"
    """No log knows it, and it lacks files."""
    IN_DOUBT = "in doubt"
    """It is recorded and has no outcome yet: ``recover`` gives it one."""
    VOID = "void"
    """It never happened; it may have left the files entering or exiting."""


@frozen(kw_only=True)
class BucketSync:
    """One sync as a bucket shows it.

    Attributes:
        synced_at: The time in its names.
        state: What is known of it.
        files: Its visible files.
        record: What the log says of it, or None.
    """

    synced_at: datetime
    state: SyncState
    files: Mapping[DiffType, ObjectInfo]
    record: SyncRecord | None = None


@frozen
class MembershipEvent:
    """One user entering or exiting. The repr does not name the user.

    Attributes:
        synced_at: The sync at which it shows.
        diff_type: ``ENTERING`` or ``EXITING``.
        row: The user's cells, in the order of ``columns``: at exits, those of before.
        columns: The names of the cells.
    """

    synced_at: datetime
    diff_type: DiffType
    row: Row = field(repr=False)
    columns: tuple[str, ...]


@frozen(kw_only=True)
class CohortHistory(Sequence[BucketSync]):
    """The whole syncs of a stream, oldest first.

    Attributes:
        stream: Whose syncs.
        syncs: Those that are published or complete.
        unpublished: Those that are not, and why: see ``BucketSync.state``.
        skipped: Objects in the listing that are no file of the stream.
    """

    stream: CohortStream
    syncs: tuple[BucketSync, ...]
    unpublished: tuple[BucketSync, ...] = ()
    skipped: tuple[SkippedObject, ...] = ()
    _open: OpenObject = field(repr=False, alias="open")

    def __len__(self) -> int:
        return len(self.syncs)

    @overload
    def __getitem__(self, index: int, /) -> BucketSync: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[BucketSync]: ...
    def __getitem__(self, index: int | slice, /) -> BucketSync | Sequence[BucketSync]:
        return self.syncs[index]

    def members_at(self, when: datetime | BucketSync) -> Members:
        """The members as of a time: those of the newest sync not after it.

        Args:
            when: An aware datetime, or one of the syncs.

        Raises:
            NaiveDatetimeError: ``when`` has no time zone.
            NoSyncYetError: The first sync is later.
        """
        sync = when if isinstance(when, BucketSync) else self._sync_at(to_utc(when, "when"))
        if sync.record is not None:
            return Members.of_record(sync.record, self._open)
        sources = _sources(sync, self._open)
        return Members(schema=_schema(sources), sources=sources)

    def _sync_at(self, when: datetime) -> BucketSync:
        for sync in reversed(self.syncs):
            if sync.synced_at <= when:
                return sync
        first = self.syncs[0].synced_at if self.syncs else None
        raise NoSyncYetError(when, first)

    def rows(self, sync: BucketSync, diff_type: DiffType) -> Iterator[Row]:
        """The rows of one file as they stand in it, in the file's own columns.

        Raises:
            MalformedCsvError: The file is not a cohort's CSV.
        """
        for batch in self._table(sync, diff_type).batches:
            yield from batch

    def _table(self, sync: BucketSync, diff_type: DiffType) -> Table:
        source = _source(sync.files[diff_type], sync.record, self._open)
        return read_table(source.chunks(), vouched=source.vouched)

    def events(self) -> Iterator[MembershipEvent]:
        """Every entry and exit, in the order of the syncs; at each, exits behind entries.

        Streams the small files only, never ``existing``.
        """
        for sync in self.syncs:
            for diff_type in (DiffType.ENTERING, DiffType.EXITING):
                table = self._table(sync, diff_type)
                for rows in table.batches:
                    for row in rows:
                        yield MembershipEvent(sync.synced_at, diff_type, row, table.columns)


def build_history(
    stream: CohortStream,
    listed: Iterable[StreamFile | SkippedObject],
    logged: Iterable[tuple[SyncRecord, SyncState]],
    open_object: OpenObject,
) -> CohortHistory:
    """The history that a listing and a log tell.

    Args:
        stream: Whose.
        listed: From :func:`parse_listing`.
        logged: The records, and what became of each.
        open_object: ``storage.open``.
    """
    skipped = list[SkippedObject]()
    found = dict[str, StreamFile]()
    for item in listed:
        if isinstance(item, SkippedObject):
            skipped.append(item)
        else:
            found[item.info.key] = item
    syncs = list[BucketSync]()
    for record, state in logged:
        files = {t: found.pop(f.key).info for t, f in record.files.items() if f.key in found}
        syncs.append(
            BucketSync(synced_at=record.synced_at, state=state, files=files, record=record)
        )
    unlogged = dict[datetime, dict[DiffType, ObjectInfo]]()
    for file in found.values():
        files = unlogged.setdefault(file.name.synced_at, {})
        if files.setdefault(file.name.diff_type, file.info) is not file.info:
            skipped.append(SkippedObject(file.info.key, "another name says the same"))
    for synced_at, unordered in unlogged.items():
        files = {t: unordered[t] for t in DiffType if t in unordered}
        state = SyncState.COMPLETE if len(files) == len(DiffType) else SyncState.INCOMPLETE
        syncs.append(BucketSync(synced_at=synced_at, state=state, files=files))
    syncs.sort(key=lambda sync: sync.synced_at)
    whole = (SyncState.PUBLISHED, SyncState.COMPLETE)
    return CohortHistory(
        stream=stream,
        syncs=tuple(sync for sync in syncs if sync.state in whole),
        unpublished=tuple(sync for sync in syncs if sync.state not in whole),
        skipped=tuple(skipped),
        open=open_object,
    )


def baseline(
    stream: CohortStream,
    sync: BucketSync,
    open_object: OpenObject,
    *,
    match_by: str,
    now: datetime,
    writer: str,
) -> SyncRecord:
    """The record that makes an unlogged, complete sync the first of a log.

    Args:
        stream: Whose sync.
        sync: A complete one.
        open_object: ``storage.open``.
        match_by: The column by which members are told apart.
        now: The time of the request, in UTC.
        writer: A token of the caller.

    Raises:
        MalformedCsvError, MissingColumnsError, EmptyKeyError: The files can't be read.
    """
    sources = _sources(sync, open_object)
    schema = _schema(sources, match_by)
    members = Members(schema=schema, sources=sources)
    digest = hashlib.sha256()
    rows = 0
    for chunk in members.to_csv(schema).chunks():
        digest.update(chunk)
    rows = sum(1 for _ in members)
    return SyncRecord(
        number=1,
        previous=None,
        stream=stream,
        bucket=None,
        synced_at=sync.synced_at,
        requested_at=now,
        # The reader's formula holds under every meaning, so none is claimed.
        existing=ExistingMeaning.MEMBERS,
        schema=schema,
        files={
            diff_type: _recorded(info, sources[diff_type]) for diff_type, info in sync.files.items()
        },
        members=rows,
        members_before=0,
        members_sha256=digest.hexdigest(),
        adopted=True,
        writer=writer,
    )


def _recorded(info: ObjectInfo, source: CsvSource) -> RecordedFile:
    digest = hashlib.sha256()
    size = 0
    for chunk in source.chunks():
        digest.update(chunk)
        size += len(chunk)
    rows = sum(len(batch) for batch in read_table(source.chunks()).batches)
    return RecordedFile(key=info.key, rows=rows, size=size, sha256=digest.hexdigest(), staged=None)


def _source(info: ObjectInfo, record: SyncRecord | None, open_object: OpenObject) -> CsvSource:
    def chunks() -> Iterator[bytes]:
        stored = read_chunks(open_object(info.key))
        return decompress_chunks(stored) if info.key.endswith(".gz") else stored

    return CsvSource(chunks=chunks, vouched=record is not None and not record.adopted)


def _sources(sync: BucketSync, open_object: OpenObject) -> dict[DiffType, CsvSource]:
    return {t: _source(info, sync.record, open_object) for t, info in sync.files.items()}


def _schema(sources: Mapping[DiffType, CsvSource], match_by: str = "amplitude_id") -> RowSchema:
    """The columns of files that no record describes: all that any of them has."""
    tables = [read_table(source.chunks()) for source in sources.values()]
    properties = dict.fromkeys(name for table in tables for name in table.properties)
    return RowSchema(properties=tuple(properties), key=match_by)
