"""The syncs of a stream as its listing and its log show them; no file is opened."""

from bisect import bisect_left, bisect_right
from collections.abc import Sized
from datetime import UTC, datetime

from attrs import field, frozen

from .._time import to_utc
from ..errors import NoSyncYetError, RecordFormatError, UnknownMembersError
from ..format.filename import DiffType
from ..log.listing import BucketSync, SkippedObject, SyncState, UnpublishedSync
from ..log.records import SyncRecord
from ..log.stream import CohortStream
from ..log.sync_log import SyncLog
from .members import needed_files
from .window import ALL_TIMES, Window

FAR_FUTURE = datetime.max.replace(tzinfo=UTC)


def _count(values: Sized) -> str:
    return f"<{len(values)}>"


@frozen(kw_only=True)
class ListedSyncs:
    """The syncs of a stream, oldest first, with their log.

    Attributes:
        stream: The stream of the syncs.
        syncs: The syncs in the window whose changes or members are known.
        skipped: Objects in the listing that are not files of the stream, with the reasons.
        window: The times of the syncs that were read. Default: all.
        log: The log of the stream, read on demand; empty if the stream has none.
    """

    stream: CohortStream
    syncs: tuple[BucketSync, ...] = field(repr=_count)
    skipped: tuple[SkippedObject, ...] = field(default=(), repr=_count)
    window: Window = field(default=ALL_TIMES, repr=False)
    log: SyncLog = field(repr=False)
    _partial: tuple[BucketSync, ...] = field(default=(), repr=False, alias="partial")
    _log_fault: RecordFormatError | None = field(default=None, repr=False, alias="log_fault")

    def check_log(self) -> None:
        """Raise if the history was read without its log, because an entry is damaged.

        Raises:
            RecordFormatError: The entry is damaged.
        """
        if self._log_fault is not None:
            raise self._log_fault

    def record(self, sync: BucketSync) -> SyncRecord | None:
        """Return the record of a sync, or None if it is not in the log.

        The counts and digests are those after later calls of ``forget``.

        Raises:
            RecordFormatError: The log can't be read.
        """
        self.check_log()
        return self.log.published_at(sync.synced_at)

    @property
    def unpublished(self) -> tuple[UnpublishedSync, ...]:
        """The void, unfinished and incomplete syncs in the window, which the history leaves out.

        Raises:
            RecordFormatError: The log can't be read.
        """
        self.check_log()
        files = {sync.synced_at: sync.files for sync in self._partial}
        recorded = [
            UnpublishedSync(
                synced_at=record.synced_at,
                state=SyncState.VOID if void else SyncState.UNFINISHED,
                files=files.pop(record.synced_at, {}),
            )
            for record, void in self.log.unpublished()
            if self.window.contains(record.synced_at)
        ]
        incomplete = (
            UnpublishedSync(synced_at=synced_at, state=SyncState.INCOMPLETE, files=found)
            for synced_at, found in files.items()
        )
        return tuple(sorted([*recorded, *incomplete], key=lambda sync: sync.synced_at))

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
        if not (number := self._number(sync)):
            return False
        earlier = self.syncs[number - 1]
        record, before = self.record(sync), self.record(earlier)
        if record is None or record.adopted:
            between = (one.synced_at for one in self._partial)
            return any(earlier.synced_at < when < sync.synced_at for when in between)
        if record.previous is None or before is None:
            return True
        return record.previous.number != before.number

    # --- Syncs by their time ---------------------------------------------------------------

    def sync_at(self, when: datetime | BucketSync | None = None) -> BucketSync:
        """Return the newest sync that is not after a time.

        Args:
            when: An aware datetime, or one of the syncs. Default: the newest sync.

        Raises:
            NaiveDatetimeError: ``when`` has no time zone.
            ArgumentTypeError: ``when`` is a text, a date or a number.
            NoSyncYetError: The first sync is later, or there is none.
            UnknownMembersError: The time is not in the window of the history.
            ValueError: The sync is not one of the history.

        >>> from amplitude_cohort_s3 import MemoryStorage, read_history
        >>> from amplitude_cohort_s3.testing.sample_bucket import fill_bucket
        >>> storage = MemoryStorage()
        >>> history = read_history(storage, fill_bucket(storage, syncs=3))
        >>> history.sync_at(datetime(2026, 11, 3, tzinfo=UTC)) == history[1]
        True
        """
        return self.syncs[self._index(when)]

    def _index(self, when: datetime | BucketSync | None) -> int:
        window = self.window
        if when is None:
            when = self.syncs[-1] if self.syncs else window.until or window.since or FAR_FUTURE
        if isinstance(when, BucketSync):
            return self._number(when)
        instant = to_utc(when, "when")
        self.check_log()
        if window.until is not None and instant > window.until:
            reason = f"the history was read with until={window.until.isoformat()}"
            raise UnknownMembersError(instant, reason, "Read it with a later until, or without")
        index = bisect_right(self.syncs, instant, key=lambda sync: sync.synced_at) - 1
        if index < 0 and window.since is not None:
            reason = f"the history was read with since={window.since.isoformat()}"
            hint = "Read it with an earlier since, that of the sync before or none"
            raise UnknownMembersError(instant, reason, hint)
        if index < 0:
            raise self.no_sync_yet(instant)
        return index

    def no_sync_yet(self, when: datetime = FAR_FUTURE) -> NoSyncYetError:
        """Return the error about a time before the first sync, or about a history without syncs."""
        first = self.syncs[0].synced_at if self.syncs else None
        has_lists = any(DiffType.EXISTING in sync.files for sync in self._partial)
        prefix = None if self.syncs else self.stream.data_prefix
        return NoSyncYetError(when, first, has_lists=has_lists, prefix=prefix)

    def _number(self, sync: BucketSync) -> int:
        number = bisect_left(self.syncs, sync.synced_at, key=lambda s: s.synced_at)
        if self.syncs[number : number + 1] != (sync,):
            raise ValueError(f"the sync of {sync.synced_at.isoformat()} is not in this history")
        return number
