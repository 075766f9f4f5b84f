"""The log of a stream: the recorded syncs, and the outcome of each."""

from .amendments import Amendment
from .listing import BucketSync, StreamList, StreamOverview, SyncState, UnpublishedSync
from .outcomes import Outcome
from .records import RecordedFile, SyncRecord
from .stream import CohortStream
from .sync_log import SyncLog

__all__ = [
    "Amendment",
    "BucketSync",
    "CohortStream",
    "Outcome",
    "RecordedFile",
    "StreamList",
    "StreamOverview",
    "SyncLog",
    "SyncRecord",
    "SyncState",
    "UnpublishedSync",
]
