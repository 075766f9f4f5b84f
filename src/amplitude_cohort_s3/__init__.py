"""Syncs cohorts to S3 as Amplitude does, and reads such buckets back.

This page is the table of contents: everything here is defined in the module that
its import names. Nothing here imports boto3 or smart_open.
"""

from .destination import (
    Cadence,
    CohortStream,
    CohortSync,
    Destination,
    ExistingMeaning,
    ExitGuard,
    UserProperty,
)
from .diff import CohortDiff, CsvSource, DiffEngine, diff_members
from .errors import CohortS3Error
from .filename import CohortFileName, DiffType, NameStyle
from .history import (
    BucketSync,
    Churn,
    CohortHistory,
    MembershipEvent,
    StreamOverview,
    SyncState,
    UnpublishedSync,
)
from .members import Head, Members
from .plan import SyncPlan, plan_sync
from .rows import Member, RowSchema
from .stays import Stay
from .storage import (
    LocalStorage,
    MemoryStorage,
    ObjectInfo,
    StagedObject,
    StagedState,
    Storage,
    SupportsDelete,
)
from .sync import (
    RecoveryReport,
    SyncResult,
    adopt,
    commit,
    list_streams,
    read_head,
    read_history,
    recover,
    sync_cohort,
)
from .sync_log import Outcome, SyncRecord
from .verification import Finding, FindingKind

__all__ = [
    "BucketSync",
    "Cadence",
    "Churn",
    "CohortDiff",
    "CohortFileName",
    "CohortHistory",
    "CohortS3Error",
    "CohortStream",
    "CohortSync",
    "CsvSource",
    "Destination",
    "DiffEngine",
    "DiffType",
    "ExistingMeaning",
    "ExitGuard",
    "Finding",
    "FindingKind",
    "Head",
    "LocalStorage",
    "Member",
    "Members",
    "MembershipEvent",
    "MemoryStorage",
    "NameStyle",
    "ObjectInfo",
    "Outcome",
    "RecoveryReport",
    "RowSchema",
    "StagedObject",
    "StagedState",
    "Stay",
    "Storage",
    "StreamOverview",
    "SupportsDelete",
    "SyncPlan",
    "SyncRecord",
    "SyncResult",
    "SyncState",
    "UnpublishedSync",
    "UserProperty",
    "adopt",
    "commit",
    "diff_members",
    "list_streams",
    "plan_sync",
    "read_head",
    "read_history",
    "recover",
    "sync_cohort",
]


def __dir__() -> list[str]:
    return __all__
