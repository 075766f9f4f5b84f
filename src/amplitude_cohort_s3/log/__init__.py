"""The log of a stream: which syncs were recorded, and how each ended."""

from .amendments import Amendment
from .listing import BucketSync, StreamOverview, SyncState, UnpublishedSync
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
    "StreamOverview",
    "SyncLog",
    "SyncRecord",
    "SyncState",
    "UnpublishedSync",
]
