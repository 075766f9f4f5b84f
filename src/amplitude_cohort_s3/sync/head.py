"""The newest published sync of a stream."""

from datetime import datetime

from attrs import field, frozen

from ..errors import HeadFilesMissingError, UnfinishedSyncError, UnloggedSyncsError
from ..history.members import Members
from ..log.keys import record_key
from ..log.listing import StreamFile, parse_listing
from ..log.records import SyncRecord
from ..log.stream import CohortStream
from ..log.sync_log import OpenObject, SyncLog, read_log
from ..storage.capabilities import log_storage
from ..storage.protocol import Storage
from .recover import recover


@frozen(kw_only=True)
class Head:
    """The newest published sync of a stream: the state that the next one continues.

    Attributes:
        record: What was recorded of it.
        log: The log that it was found in; void records may stand behind it.
        taken: The times, after it, under which a void sync left files.
    """

    record: SyncRecord
    log: SyncLog = field(repr=False)
    taken: frozenset[datetime] = frozenset()
    _open: OpenObject = field(repr=False, alias="open")

    def members(self) -> Members:
        """The members at this sync."""
        return Members.of_record(self.record, self._open)

    def is_taken(self, when: datetime) -> bool:
        """Whether files of the stream are visible under this time."""
        return when == self.record.synced_at or when in self.taken


def read_head(storage: Storage, stream: CohortStream, *, log: Storage | None = None) -> Head | None:
    """The newest published sync, or None before the first.

    Args:
        storage: Where the data is.
        stream: Whose head.
        log: Where the log is, if not in ``storage``.

    Raises:
        UnfinishedSyncError: The newest record has no outcome; ``recover`` gives it one.
        HeadFilesMissingError: Files of the newest published sync are gone.
        UnloggedSyncsError: Files of the stream, as new as the head, are in no record.
        RecordFormatError: The log can't be read.
        WrongArgumentError: An argument is of another type.
    """
    head, _ = _read_head(storage, stream, log_storage(storage, log))
    return head


def finished_head(
    storage: Storage, stream: CohortStream, log: Storage
) -> tuple[Head | None, frozenset[datetime]]:
    while True:
        try:
            return _read_head(storage, stream, log)
        except UnfinishedSyncError:
            recover(storage, stream, log=log)


# --- Reading the log and the names ---------------------------------------------------


def _read_head(
    storage: Storage, stream: CohortStream, log: Storage
) -> tuple[Head | None, frozenset[datetime]]:
    """The head, and the times from it on under which void syncs left files."""
    while True:
        found = read_log(log, stream)
        if found.is_unfinished:
            raise UnfinishedSyncError(record_key(stream, found.last_ended + 1))
        record = found.head
        times = _keys_from(storage, stream, record)
        recorded = set[str]() if record is None else record.keys
        missing = tuple(sorted(recorded - times.keys()))
        unknown = times.keys() - recorded
        taken = frozenset[datetime]()
        if unknown:
            strangers = _unrecorded(found, unknown)
            taken = frozenset(times[key] for key in unknown - strangers)
            unknown = strangers
        if (missing or unknown) and read_log(log, stream).newest != found.newest:
            continue  # Another writer went on between our two listings.
        if missing:
            raise HeadFilesMissingError(missing)
        if unknown:
            raise UnloggedSyncsError(stream.log_prefix, tuple(sorted(unknown)))
        if record is None:
            return None, taken
        return Head(record=record, log=found, taken=taken, open=storage.open), taken


def _unrecorded(log: SyncLog, keys: set[str]) -> set[str]:
    """Those keys that no record names.

    From the newest record down, until all are found: a void sync that left files may
    have a later time than the head, and yet a smaller number.
    """
    number = log.last_ended
    while keys and number:
        record = log.record(number)
        if isinstance(record, SyncRecord):
            keys = keys - record.keys
        number -= 1
    return keys


def _keys_from(
    storage: Storage, stream: CohortStream, record: SyncRecord | None
) -> dict[str, datetime]:
    """The keys of the stream's visible files, and their times, from a record's time on."""
    start_after = None
    if record is not None:
        # Names of one stream sort by their date and hour, whatever their style.
        hour = record.synced_at.isoformat()[: len("YYYY-MM-DDTHH")]
        start_after = stream.data_prefix + hour
    listing = storage.list_objects(stream.data_prefix, start_after=start_after)
    return {
        item.info.key: item.name.synced_at
        for item in parse_listing(stream, listing)
        if isinstance(item, StreamFile)
        and (record is None or item.name.synced_at >= record.synced_at)
    }
