"""The first record of a log, for a stream that had none."""

import hashlib
from datetime import datetime

from ..format.filename import DiffType
from ..history.history import CohortHistory
from ..log.listing import BucketSync
from ..log.records import RecordedFile, SyncRecord
from ..settings.destination import ExistingMeaning


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
