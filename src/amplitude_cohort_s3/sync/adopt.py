"""The first record of a log, for a stream that had none."""

import hashlib
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from .._time import to_utc
from ..errors import ConcurrentSyncError, NothingToAdoptError
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..history.history import CohortHistory
from ..history.read import read_history
from ..log.listing import BucketSync
from ..log.records import RecordedFile, SyncRecord
from ..log.stream import CohortStream
from ..log.sync_log import read_log
from ..storage.capabilities import log_storage
from ..storage.protocol import Storage
from .head import Head
from .protocol import create_record, settle


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


def adopt(
    storage: Storage,
    stream: CohortStream,
    *,
    match_by: str = "amplitude_id",
    log: Storage | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Head:
    """Takes over a stream that Amplitude wrote: its newest complete sync becomes the baseline.

    Nothing of the data is touched; the log begins with a record of these files.

    Args:
        storage: Where the data is.
        stream: Whose syncs.
        match_by: The column by which members are told apart: an id column or the name
            of a property's column.
        log: Where the log goes, if not in ``storage``.
        clock: Gives the time; for tests.

    Raises:
        NothingToAdoptError: There is a log already, no complete sync, or a newer one
            that is not complete.
        ConcurrentSyncError: Another process began a log at the same time.
        MalformedCsvError, MissingColumnsError, EmptyKeyError: The files can't be read.
        WrongArgumentError: An argument is of another type.
    """
    log = log_storage(storage, log)
    if read_log(log, stream).newest is not None:
        raise NothingToAdoptError(
            stream.log_prefix, "the stream has a log already", "sync without adopt()"
        )
    history = read_history(storage, stream, match_by=match_by, log=log)
    if not history or history[-1].missing:
        raise NothingToAdoptError(
            stream.log_prefix,
            "there is no complete sync",
            "check project, cohort, path and routing key; a new stream is synced without adopt()",
        )
    if any(sync.synced_at > history[-1].synced_at for sync in history.unpublished):
        raise NothingToAdoptError(
            stream.log_prefix,
            "a sync newer than the newest complete one lacks files",
            "wait until it is whole, or remove what there is of it",
        )
    record = baseline(history, now=to_utc(clock(), "clock()"), writer=uuid.uuid4().hex)
    if (other := create_record(log, record)) is not None:
        raise ConcurrentSyncError(other.key, other.synced_at)
    settle(record, storage, log)
    return Head(record=record, log=read_log(log, stream), open=storage.open)
