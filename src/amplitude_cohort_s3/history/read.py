"""Reading the history of a stream from listings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache, partial
from os import PathLike

from attrs import evolve, frozen

from .._arguments import check_kind
from .._time import to_utc
from ..errors import RecordFormatError, UnfinishedSyncError
from ..format.filename import DiffType
from ..log.listing import (
    SAME_SYNC,
    BucketSync,
    SkippedObject,
    StreamFile,
    StreamList,
    hour_in_name,
    overview,
)
from ..log.location import StreamLocation
from ..log.records import SyncRecord
from ..log.stream import CohortStream, HasStream
from ..log.sync_log import SyncLog
from ..storage.capabilities import as_storage
from ..storage.open import StorageLocation
from ..storage.protocol import ObjectInfo, Storage
from .history import CohortHistory
from .sync_files import CHANGES, absent_files
from .window import ALL_TIMES, Window


def read_history(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    match_by: str | None = None,
    log: Storage | StorageLocation | None = None,
    work_dir: str | PathLike[str] | None = None,
) -> CohortHistory:
    """Read the syncs of a stream, by any writer, from listings alone; no file is opened.

    A window leaves out the syncs before ``since`` and after ``until``, as if they were not
    there: their files are neither listed nor opened. A member at the first sync of
    the window who did not enter there has an unknown entry. The members outside of the
    window are not known: ``members_at`` raises ``UnknownMembersError`` for a time after
    ``until``, and for one before the first sync of a window with ``since``.

    A log that can't be read does not prevent the listing. The methods of the history then raise
    ``RecordFormatError``, and ``verify`` names the damaged entries.

    Args:
        storage: The storage of the data, or its location.
        stream: The stream, or a sync of it.
        since: The time of the first sync to read (timezone-aware). Default: no limit.
        until: The time of the last sync to read (timezone-aware). Default: no limit.
        match_by: The column by which members are matched. Default: the log's column, or
            the Amplitude id if there is no log.
        log: The storage of the log, if it is not ``storage``.
        work_dir: The folder for temporary files. Default: the system's.

    Returns:
        The history. Its methods read the files that they need.

    Raises:
        NaiveDatetimeError: ``since`` or ``until`` has no time zone.
        ConfigurationError: ``since`` is after ``until``.
        ArgumentTypeError: An argument has the wrong type.

    >>> from amplitude_cohort_s3 import MemoryStorage
    >>> from amplitude_cohort_s3.testing.sample_bucket import fill_bucket
    >>> storage = MemoryStorage()
    >>> history = read_history(storage, fill_bucket(storage, syncs=2))
    >>> print(history.churn())
    synced_at            members  entered  exited  returned  changed
    2026-11-01 06:30:00    2,000    2,000       0         0        0
    2026-11-02 06:30:00    1,984       38      54         0       10
    >>> len(history.members_at())
    1984
    """
    location = StreamLocation.of(storage, stream, log)
    hint = "pass the name of a column, or None for that of the log"
    check_kind("match_by", match_by, str | None, hint)
    window = Window(
        since=None if since is None else to_utc(since, "since"),
        until=None if until is None else to_utc(until, "until"),
    )
    return _read(location, window, match_by, work_dir)


def read_location(
    location: StreamLocation,
    *,
    match_by: str | None = None,
    work_dir: str | PathLike[str] | None = None,
) -> CohortHistory:
    """Return the history of a stream: see :func:`read_history`.

    Raises:
        RecordFormatError: The log can't be read.
    """
    history = _read(location, ALL_TIMES, match_by, work_dir)
    history.check_log()
    return history


def _read(
    location: StreamLocation,
    window: Window,
    match_by: str | None,
    work_dir: str | PathLike[str] | None,
) -> CohortHistory:
    found = _list_syncs(location, window)
    if found.lacks_files:
        # The sync may have been published between the two listings; then its files are visible now.
        found = _list_syncs(location, window)
    return _history(location, found, window, match_by, work_dir)


def read_settled(
    location: StreamLocation, *, work_dir: str | PathLike[str] | None = None
) -> tuple[CohortHistory, tuple[StreamFile, ...]]:
    """Return the history and all files of a stream whose newest entry of the log has ended.

    Both come from one listing, during which the log did not change. So the files of every
    sync in the log are listed, and an amendment with the next number covers them all.

    Raises:
        UnfinishedSyncError: The newest entry has no outcome.
        RecordFormatError: The log can't be read.
    """
    while True:
        before = location.read_log()
        if before.unfinished is not None:
            raise UnfinishedSyncError(before.unfinished.key)
        listed = list(location.list_files())
        log = location.read_log()
        if log.newest == before.newest:
            break
    history = _history(location, _sort_syncs(listed, log), ALL_TIMES, None, work_dir)
    history.check_log()
    return history, tuple(item for item in listed if isinstance(item, StreamFile))


def _history(
    location: StreamLocation,
    found: _Syncs,
    window: Window,
    match_by: str | None,
    work_dir: str | PathLike[str] | None,
) -> CohortHistory:
    head = None
    if match_by is None and found.log_fault is None:
        try:
            head = found.log.head
        except RecordFormatError as error:
            found = evolve(found, log_fault=error)
    return CohortHistory(
        stream=location.stream,
        syncs=found.syncs,
        skipped=found.skipped,
        match_by=match_by or ("amplitude_id" if head is None else head.schema.key),
        window=window,
        work_dir=work_dir,
        partial=found.partial,
        log=found.log,
        log_fault=found.log_fault,
        open=location.data.open,
        read_again=partial(_read, location, window, match_by, work_dir),
    )


def list_streams(storage: Storage | StorageLocation, path: str = "") -> StreamList:
    """Return the streams of a bucket, by any writer, from one listing.

    Args:
        storage: The storage to list.
        path: The folder to list, with all folders below it. Default: the whole bucket. Slashes
            at its ends are removed.

    Raises:
        ArgumentTypeError: ``storage`` is not a storage.

    >>> from amplitude_cohort_s3 import MemoryStorage
    >>> from amplitude_cohort_s3.testing.sample_bucket import fill_bucket
    >>> storage = MemoryStorage()
    >>> stream = fill_bucket(storage, syncs=2)
    >>> streams = list_streams(storage)
    >>> print(streams)
    path     project  cohort   routing key  syncs  first             last              log
    cohorts  123      26umsb5  -                2  2026-11-01 06:30  2026-11-02 06:30  yes
    >>> streams[0].stream == stream
    True
    """
    listed = as_storage("storage", storage)
    check_kind("path", path, str, 'pass a folder in it, such as "cohorts"')
    folder = path.strip("/")
    return StreamList(overview(listed.list_objects(f"{folder}/" if folder else "")))


@frozen(kw_only=True)
class _Syncs:
    """The syncs of a stream that one listing of its data and one of its log show."""

    syncs: tuple[BucketSync, ...]
    partial: tuple[BucketSync, ...]
    skipped: tuple[SkippedObject, ...]
    log: SyncLog
    log_fault: RecordFormatError | None = None
    """The reason why the syncs were grouped without the log."""

    @property
    def lacks_files(self) -> bool:
        """True if a file is missing, although the log does not show that it was removed."""
        missing = {(sync.synced_at, t) for sync in self.syncs for t in sync.missing}
        if not missing or self.log_fault is not None:
            return False
        try:
            return not missing <= absent_files(self.log.removed, self.log.pending)
        except RecordFormatError:
            return False  # The methods of the history raise it.


def _list_syncs(location: StreamLocation, window: Window) -> _Syncs:
    # The data is listed before the log. So a sync that the log shows as published is complete
    # in the data, or was published between the listings. In the other order, the data could
    # show files that the log does not contain yet.
    listed = list(_list_files(location, window))
    log = location.read_log()
    try:
        return _sort_syncs(listed, log)
    except RecordFormatError as error:
        no_log = SyncLog(location.stream, None, location.log.open)
        return evolve(_sort_syncs(listed, no_log), log=log, log_fault=error)


def _sort_syncs(listed: list[StreamFile | SkippedObject], log: SyncLog) -> _Syncs:
    """Group the listed files by sync; the log decides which of the incomplete ones count."""
    skipped = [item for item in listed if isinstance(item, SkippedObject)]
    by_time = dict[datetime, list[StreamFile]]()
    for item in listed:
        if isinstance(item, StreamFile):
            by_time.setdefault(item.name.synced_at, []).append(item)
    unpublished = cache(lambda: {record.synced_at for record, _ in log.unpublished()})
    syncs, partial = list[BucketSync](), list[BucketSync]()
    for synced_at, files in sorted(by_time.items()):
        is_complete = len(DiffType) == len(files) == len({f.name.diff_type for f in files})
        record = None if is_complete else log.published_at(synced_at)
        chosen, others = _choose_files(files, record)
        skipped += others
        sync = BucketSync(synced_at=synced_at, files=chosen)
        is_known = is_complete or record is not None
        if not is_known and CHANGES.keys() <= chosen.keys():
            # The changes are enough, unless they are all that an unpublished sync left.
            is_known = synced_at not in unpublished()
        (syncs if is_known else partial).append(sync)
    return _Syncs(syncs=tuple(syncs), partial=tuple(partial), skipped=tuple(skipped), log=log)


def _list_files(location: StreamLocation, window: Window) -> Iterator[StreamFile | SkippedObject]:
    """Yield the stream's visible files in a window, and the other objects listed with them."""
    for item in location.list_files(window.since):
        if isinstance(item, SkippedObject) or window.contains(item.name.synced_at):
            yield item
        elif window.until is not None and (
            hour_in_name(item.name.synced_at) > hour_in_name(window.until)
        ):
            return


def _choose_files(
    files: Iterable[StreamFile], record: SyncRecord | None
) -> tuple[dict[DiffType, ObjectInfo], list[SkippedObject]]:
    """Return one file of each type, the recorded one if there is a record; and the others."""
    chosen, others = dict[DiffType, ObjectInfo](), list[SkippedObject]()
    for diff_type in DiffType:
        for info in (file.info for file in files if file.name.diff_type is diff_type):
            if diff_type in chosen or (record and record.files[diff_type].key != info.key):
                others.append(SkippedObject(info.key, SAME_SYNC))
            else:
                chosen[diff_type] = info
    return chosen, others
