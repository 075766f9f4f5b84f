"""The log of a stream: the recorded syncs, and the outcome of each."""

from .amendments import Amendment
from .files import RecordedFile
from .listing import BucketSync, StreamList, StreamOverview, SyncState, UnpublishedSync
from .outcomes import Outcome
from .records import SyncRecord
from .stream import CohortStream
from .stream_events import Observer, StreamEvent
from .sync_log import SyncLog

__all__ = [
    "Amendment",
    "BucketSync",
    "CohortStream",
    "Observer",
    "Outcome",
    "RecordedFile",
    "StreamEvent",
    "StreamList",
    "StreamOverview",
    "SyncLog",
    "SyncRecord",
    "SyncState",
    "UnpublishedSync",
]
