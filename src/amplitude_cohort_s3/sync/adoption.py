"""Adopting a stream that another program wrote, so that it can be continued."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime

from .._bytes import Hashed
from .._time import to_utc
from ..errors import ConcurrentSyncError, EmptyKeyError, NothingToAdoptError
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.filled import CountedCsv
from ..format.schema import RowSchema
from ..history.history import CohortHistory
from ..history.member_rows import RowTally, keyed_rows, member_rows
from ..history.read import read_location
from ..log.listing import BucketSync
from ..log.location import StreamLocation
from ..log.records import RecordedFile, SyncRecord
from ..log.stream import CohortStream, HasStream
from ..storage.open import StorageLocation
from ..storage.protocol import Storage
from .clock import utc_now
from .commit_protocol import carry_out, create_record
from .head import Head


def adopt(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    *,
    match_by: str = "amplitude_id",
    log: Storage | StorageLocation | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Head:
    r"""Begin the log of a stream with its newest complete sync.

    The data is not touched. Afterwards ``sync_cohort`` continues the stream.

    Args:
        storage: The storage of the data, or its location.
        stream: The stream, or a sync of it.
        match_by: The column that members are matched by: an id column or the column of a
            property.
        log: The storage of the log, if it is not ``storage``.
        clock: A function that returns the time; for tests.

    Returns:
        The head of the stream: the newest complete sync.

    Raises:
        NothingToAdoptError: There is a log already, there is no complete sync, or a newer
            sync is incomplete. ``rebuild_history`` is for a stream of full lists only.
        ConcurrentSyncError: Another process began a log at the same time.
        MalformedCsvError, MissingColumnsError, EmptyKeyError: The files can't be read.
        ArgumentTypeError: An argument has the wrong type.

    >>> from amplitude_cohort_s3 import CohortStream, MemoryStorage
    >>> bucket = MemoryStorage()
    >>> files = {"entering": b"2,bob\n", "exiting": b"", "existing": b"1,ann\n"}
    >>> for diff_type, rows in files.items():
    ...     data = b"amplitude_id,user_id\n" + rows
    ...     _ = bucket.create(f"1_a_2026-11-23T06:30_{diff_type}.csv", data)
    >>> head = adopt(bucket, CohortStream(project_id=1, cohort_id="a"))
    >>> head.record.members, head.record.adopted
    (2, True)
    """
    location = StreamLocation.of(storage, stream, log)
    if location.read_log().newest is not None:
        raise NothingToAdoptError(
            location.stream.log_prefix, "the stream has a log already", "Sync without adopt()"
        )
    history = read_location(location, match_by=match_by)
    unpublished = history.unpublished
    if not history and any(DiffType.EXISTING in one.files for one in unpublished):
        raise NothingToAdoptError(
            location.stream.log_prefix,
            "no sync has the files entering and exiting beside existing",
            "Rebuild the history from the lists with amplitude_cohort_s3.sync.rebuild_history",
        )
    if not history or history[-1].missing:
        raise NothingToAdoptError(
            location.stream.log_prefix,
            "there is no complete sync",
            "Check the project, cohort, path and routing key; sync a new stream without adopt()",
        )
    if any(sync.synced_at > history[-1].synced_at for sync in unpublished):
        raise NothingToAdoptError(
            location.stream.log_prefix,
            "a sync newer than the newest complete one lacks files",
            "Wait until it is complete, or remove its files",
        )
    record = _baseline(history, now=to_utc(clock(), "clock()"))
    if (other := create_record(location, record)) is not None:
        raise ConcurrentSyncError(other.key, other.synced_at)
    carry_out(location, record)
    occupied = frozenset({record.synced_at})
    log_now = location.read_log()
    return Head(record=record, log=log_now, occupied_times=occupied, open=location.data.open)


def _baseline(history: CohortHistory, *, now: datetime) -> SyncRecord:
    """Return the record that makes the newest sync of a history the first of a log."""
    sync = history[-1]
    members = history.members_at(sync)
    counted = CountedCsv(members.schema, members)
    content = Hashed(counted).read()
    skipped, collapsed = _left_out(history, sync, members.schema)
    return SyncRecord(
        number=1,
        previous=None,
        stream=history.stream,
        bucket=None,
        synced_at=sync.synced_at,
        requested_at=now,
        # The meaning is unknown. Readers of an adopted record ignore this value.
        existing=ExistingMeaning.MEMBERS,
        schema=members.schema,
        files={diff_type: _recorded(history, sync, diff_type) for diff_type in DiffType},
        members=counted.rows,
        members_before=0,
        members_sha256=content.sha256,
        filled=counted.filled,
        skipped=skipped,
        collapsed=collapsed,
        adopted=True,
        writer=uuid.uuid4().hex,
    )


def _left_out(history: CohortHistory, sync: BucketSync, schema: RowSchema) -> tuple[int, int]:
    """Return how many rows of ``existing`` have no key, and how many repeat another."""
    tally = RowTally()
    source = history.source(sync, DiffType.EXISTING)
    users = sum(1 for _ in member_rows(source, schema, tally=tally))
    return tally.keyless, tally.rows - tally.keyless - users


def _recorded(history: CohortHistory, sync: BucketSync, diff_type: DiffType) -> RecordedFile:
    source = history.source(sync, diff_type)
    content, tally = Hashed(source.chunks()).read(), RowTally()
    for _ in keyed_rows(source, history.members_at(sync).schema, tally):
        pass
    if tally.keyless and history.match_by == "amplitude_id":
        # Most often the members must be matched by another column.
        raise EmptyKeyError(history.match_by, tally.keyless, (), "row")
    return RecordedFile(
        key=sync.files[diff_type].key,
        rows=tally.rows,
        size=content.size,
        sha256=content.sha256,
        staged=None,
    )
