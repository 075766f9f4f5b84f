"""The head of a stream: its newest published sync, which the next one continues."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from attrs import field, frozen

from .._display import counted
from ..errors import HeadFilesMissingError, UnfinishedSyncError, UnloggedSyncsError
from ..history.members import Members
from ..log.amendments import LogRecord
from ..log.listing import StreamFile
from ..log.location import StreamLocation
from ..log.outcomes import Outcome
from ..log.records import SyncRecord, html_of_files
from ..log.stream import CohortStream, HasStream
from ..log.sync_log import OpenObject, SyncLog
from ..storage.open import StorageLocation
from ..storage.protocol import Storage


@frozen(kw_only=True)
class Head:
    """The newest published sync of a stream: the state that the next sync continues.

    Attributes:
        record: The record of the sync.
        log: The log in which it was found; void records may follow it.
        occupied_times: The times from this sync on that visible files have in their names:
            its own, and those of void syncs that left files.
    """

    record: SyncRecord
    log: SyncLog = field(repr=False)
    occupied_times: frozenset[datetime] = field(default=frozenset(), repr=False)
    _open: OpenObject = field(repr=False, alias="open")

    def __str__(self) -> str:
        """Return the number of members, and the notes of the sync."""
        return "\n".join([self._title, *self._notes])

    def _repr_html_(self) -> str:
        return html_of_files(self._title, self.record.files, self._notes)

    @property
    def _title(self) -> str:
        members = counted(self.record.members, "member")
        adopted = ", adopted" if self.record.adopted else ""
        return (
            f"head of the stream, synced at {self.record.synced_at.isoformat()}: {members}{adopted}"
        )

    @property
    def _notes(self) -> tuple[str, ...]:
        return self.record.count_notes(self.record.schema.key)

    def members(self) -> Members:
        """Return the members at this sync."""
        return Members.of_record(self.record, self._open)


@frozen(kw_only=True)
class StreamState:
    """A stream between two syncs.

    Attributes:
        head: The newest published sync, or None before the first.
        occupied_times: The times from the head on that visible files have in their names.
        last_number: The number of the newest entry of the log, or 0.
    """

    head: Head | None
    occupied_times: frozenset[datetime]
    last_number: int


def read_head(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    *,
    log: Storage | StorageLocation | None = None,
) -> Head | None:
    """Return the newest published sync of a stream, or None before the first.

    Args:
        storage: The storage of the data, or its location.
        stream: The stream, or a sync of it.
        log: The storage of the log, if it is not ``storage``.

    Raises:
        UnfinishedSyncError: The newest record has no outcome yet; call ``recover``.
        HeadFilesMissingError: Files of the newest published sync are gone.
        UnloggedSyncsError: No record names some files that are as new as the head.
        RecordFormatError: The log can't be read.
        ArgumentTypeError: An argument has the wrong type.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, sync_cohort
    >>> bucket = MemoryStorage()
    >>> sync = CohortSync(destination=Destination("d"), project_id=1, cohort_id="a")
    >>> print(read_head(bucket, sync))
    None
    >>> _ = sync_cohort(sync, [("1", "ann"), ("2", "bob")], bucket)
    >>> read_head(bucket, sync).record.members
    2
    """

    def refuse(record: LogRecord) -> Outcome:
        raise UnfinishedSyncError(record.key)

    return read_state(StreamLocation.of(storage, stream, log), refuse).head


def read_state(location: StreamLocation, finish: Callable[[LogRecord], Outcome]) -> StreamState:
    """Return the state of a stream, once its newest record has an outcome.

    The visible files must agree with the log: all files of the head exist, and every file
    that is as new as the head belongs to a record. Anything else means that somebody
    removed files, or that another tool writes into the stream.

    Args:
        location: The stream.
        finish: A function that is called if the newest record has no outcome yet, and
            returns one. It may recover the record, predict its outcome, or raise.

    Raises:
        HeadFilesMissingError: Files of the newest published sync are gone.
        UnloggedSyncsError: No record names some files that are as new as the head.
        RecordFormatError: The log can't be read.
    """
    while True:
        found = log = location.read_log()
        if found.unfinished is not None:
            log = found.with_outcome(finish(found.unfinished))
        record = log.head
        visible = visible_files(location, record)
        expected = set[str]() if record is None else record.keys
        missing = expected - visible.keys()
        if record is not None and record.number > found.last_ended:
            missing = set[str]()  # It has been published since, or is predicted to be.
        others = visible.keys() - expected
        unlogged = _unlogged(log, others)
        # The data was listed after the log: another writer may have published in between.
        if (missing or unlogged) and location.read_log().newest not in (found.newest, log.newest):
            continue
        if missing:
            raise HeadFilesMissingError(tuple(sorted(missing)))
        if unlogged:
            raise UnloggedSyncsError(location.stream.log_prefix, tuple(sorted(unlogged)))
        occupied = frozenset(visible.values())
        if record is not None:
            occupied |= {record.synced_at}
        head = None
        if record is not None:
            head = Head(record=record, log=log, occupied_times=occupied, open=location.data.open)
        return StreamState(head=head, occupied_times=occupied, last_number=log.last_ended)


def _unlogged(log: SyncLog, keys: set[str]) -> set[str]:
    """Return the keys that no record names.

    The search goes down from the newest record until all keys are found: a void sync that
    left files may have a later time than the head, but a smaller number.
    """
    number = log.last_ended
    while keys and number:
        record = log.record(number)
        if isinstance(record, SyncRecord):
            keys = keys - record.keys
        number -= 1
    return keys


def visible_files(location: StreamLocation, record: SyncRecord | None) -> dict[str, datetime]:
    """Return the times of the stream's visible files from a record's time on, by their keys."""
    since = None if record is None else record.synced_at
    return {
        item.info.key: item.name.synced_at
        for item in location.list_files(since)
        if isinstance(item, StreamFile) and (since is None or item.name.synced_at >= since)
    }
