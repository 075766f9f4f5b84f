"""Syncs cohorts to S3 as Amplitude does, and reads such buckets back.

This page is the table of contents: everything here is defined in the module that
its import names. Nothing here imports boto3, smart_open or urllib3.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .arrow import ValueTable
from .destination import (
    Cadence,
    CohortStream,
    CohortSync,
    Destination,
    ExistingMeaning,
    ExitGuard,
    UserProperty,
)
from .diff import CohortDiff, diff_members
from .engine import PartitionEngine
from .engine_protocol import DiffEngine
from .errors import CohortS3Error
from .events import Churn, ChurnTable, MembershipEvent
from .filename import CohortFileName, DiffType, NameStyle
from .findings import Finding, FindingKind
from .forgetting import ForgetPlan, ForgetReceipt, forget, plan_forget
from .history import CohortHistory
from .lifecycle import lifecycle_rules
from .listing import BucketSync, StreamOverview, SyncState, UnpublishedSync
from .member_source import CsvSource, SupportsCsv
from .members import Head, Members
from .plan import SyncPlan, plan_sync
from .policy import AMPLITUDE_ACCOUNTS, BucketPolicy, bucket_policy
from .pruning import PrunePlan, PruneReceipt, plan_prune, prune
from .records import Outcome, SyncRecord
from .rows import Member, RowSchema
from .schedule import JobOutcome, JobResult, RunReport, run_due
from .sources import MemberFile
from .stays import Stay
from .storage import (
    LocalStorage,
    MemoryStorage,
    ObjectInfo,
    StagedObject,
    StagedState,
    Storage,
    SupportsCompose,
    SupportsDelete,
    SupportsReplace,
    open_storage,
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
from .verification import detect_existing_meaning

if TYPE_CHECKING:
    from .access import AccessReport, apply_bucket_policy, check_access
    from .sources._amplitude_session import DownloadUsage
    from .sources.amplitude_api import AmplitudeCohort, AmplitudeCohorts, AmplitudeMembers
    from .storage import S3Storage

_ON_DEMAND = {
    "AccessReport": ".access",
    "AmplitudeCohort": ".sources.amplitude_api",
    "AmplitudeCohorts": ".sources.amplitude_api",
    "AmplitudeMembers": ".sources.amplitude_api",
    "DownloadUsage": ".sources._amplitude_session",
    "S3Storage": ".storage",
    "apply_bucket_policy": ".access",
    "check_access": ".access",
}

__all__ = [
    "AMPLITUDE_ACCOUNTS",
    "AccessReport",
    "AmplitudeCohort",
    "AmplitudeCohorts",
    "AmplitudeMembers",
    "BucketPolicy",
    "BucketSync",
    "Cadence",
    "Churn",
    "ChurnTable",
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
    "DownloadUsage",
    "ExistingMeaning",
    "ExitGuard",
    "Finding",
    "FindingKind",
    "ForgetPlan",
    "ForgetReceipt",
    "Head",
    "JobOutcome",
    "JobResult",
    "LocalStorage",
    "Member",
    "MemberFile",
    "Members",
    "MembershipEvent",
    "MemoryStorage",
    "NameStyle",
    "ObjectInfo",
    "Outcome",
    "PartitionEngine",
    "PrunePlan",
    "PruneReceipt",
    "RecoveryReport",
    "RowSchema",
    "RunReport",
    "S3Storage",
    "StagedObject",
    "StagedState",
    "Stay",
    "Storage",
    "StreamOverview",
    "SupportsCompose",
    "SupportsCsv",
    "SupportsDelete",
    "SupportsReplace",
    "SyncPlan",
    "SyncRecord",
    "SyncResult",
    "SyncState",
    "UnpublishedSync",
    "UserProperty",
    "ValueTable",
    "adopt",
    "apply_bucket_policy",
    "bucket_policy",
    "check_access",
    "commit",
    "detect_existing_meaning",
    "diff_members",
    "forget",
    "lifecycle_rules",
    "list_streams",
    "open_storage",
    "plan_forget",
    "plan_prune",
    "plan_sync",
    "prune",
    "read_head",
    "read_history",
    "recover",
    "run_due",
    "sync_cohort",
]


def __getattr__(name: str) -> Any:
    # On demand, as boto3 costs 0.3 s and urllib3 0.1 s.
    if name in _ON_DEMAND:
        return getattr(import_module(_ON_DEMAND[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
