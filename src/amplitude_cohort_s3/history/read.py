"""Reading the history of a stream from listings."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from os import PathLike

from ..format.filename import DiffType
from ..log.listing import (
    SAME_SYNC,
    BucketSync,
    SkippedObject,
    StreamFile,
    StreamOverview,
    overview,
)
from ..log.location import StreamLocation
from ..log.stream import CohortStream
from ..log.sync_log import OpenObject, SyncLog
from ..storage.capabilities import check_is_storage
from ..storage.protocol import ObjectInfo, Storage
from .history import _CHANGES, CohortHistory


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
                    skipped.append(SkippedObject(info.key, SAME_SYNC))
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


def read_history(
    storage: Storage,
    stream: CohortStream,
    *,
    match_by: str | None = None,
    log: Storage | None = None,
    work_dir: str | PathLike[str] | None = None,
) -> CohortHistory:
    """Return all syncs of a stream, whoever wrote them. Only listings are read, no file.

    Args:
        storage: The storage of the data.
        stream: The stream.
        match_by: The column that members are matched by. Default: the log's, or the
            Amplitude id if there is no log.
        log: The storage of the log, if it is not ``storage``. A stream that Amplitude wrote
            has no log.
        work_dir: The folder for temporary files. Default: the system's.

    Raises:
        RecordFormatError: The log can't be read.
        WrongArgumentError: An argument is of another type.
    """
    location = StreamLocation.of(storage, stream, log)
    return read_location(location, match_by=match_by, work_dir=work_dir)


def read_location(
    location: StreamLocation,
    *,
    match_by: str | None = None,
    work_dir: str | PathLike[str] | None = None,
) -> CohortHistory:
    """Return the history of a stream: see :func:`read_history`."""
    history = _list_history(location, match_by=match_by, work_dir=work_dir)
    if any(sync.missing for sync in history):
        # Perhaps it was published between our two listings; then its files are there now.
        history = _list_history(location, match_by=match_by, work_dir=work_dir)
    return history


def _list_history(
    location: StreamLocation, *, match_by: str | None, work_dir: str | PathLike[str] | None
) -> CohortHistory:
    # The data before the log: a sync that the log calls published is then complete, or was
    # published in between. The other way round, a listed file could be unknown to the log.
    listed = list(location.list_files())
    log = location.read_log()
    return build_history(listed, log, location.data.open, match_by=match_by, work_dir=work_dir)


def list_streams(storage: Storage, path: str = "") -> Iterator[StreamOverview]:
    """Return the streams of a bucket, whoever wrote them, from one listing.

    Args:
        storage: The storage of the data.
        path: The folder to look in, with everything below it. Default: the whole bucket.

    Raises:
        WrongArgumentError: ``storage`` is not a storage.
    """
    check_is_storage("storage", storage)
    return overview(storage.list_objects(f"{path}/" if path else ""))
