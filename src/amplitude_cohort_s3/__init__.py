"""Syncs cohorts to S3 as Amplitude does, and reads such buckets back.

This page is the table of contents: everything here is defined in the module that
its import names. Nothing here imports boto3, smart_open or urllib3.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .diff.cohort_diff import CohortDiff, diff_members
from .diff.engine import PartitionEngine
from .diff.protocol import DiffEngine
from .errors import CohortS3Error
from .format.filename import CohortFileName, DiffType, NameStyle
from .format.schema import Member, RowSchema
from .history.events import Churn, ChurnTable, MembershipEvent
from .history.findings import Finding, FindingKind
from .history.history import CohortHistory
from .history.members import Head, Members
from .history.stays import Stay
from .history.verification import detect_existing_meaning
from .log.listing import BucketSync, StreamOverview, SyncState, UnpublishedSync
from .log.records import Outcome, SyncRecord
from .maintenance.forget import ForgetPlan, ForgetReceipt, forget, plan_forget
from .maintenance.prune import PrunePlan, PruneReceipt, plan_prune, prune
from .policy.bucket_policy import AMPLITUDE_ACCOUNTS, BucketPolicy, bucket_policy
from .policy.lifecycle import lifecycle_rules
from .settings.destination import (
    Cadence,
    CohortStream,
    CohortSync,
    Destination,
    ExistingMeaning,
    ExitGuard,
    UserProperty,
)
from .sources import MemberFile
from .sources.arrow import ValueTable
from .sources.protocol import CsvSource, SupportsCsv
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
from .sync.plan import SyncPlan, plan_sync
from .sync.schedule import JobOutcome, JobResult, RunReport, run_due
from .sync.sync_cohort import (
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

if TYPE_CHECKING:
    from .policy.access import AccessReport, apply_bucket_policy, check_access
    from .sources.amplitude._session import DownloadUsage
    from .sources.amplitude.api import AmplitudeCohort, AmplitudeCohorts, AmplitudeMembers
    from .storage import S3Storage

_ON_DEMAND = {
    "AccessReport": ".policy.access",
    "AmplitudeCohort": ".sources.amplitude.api",
    "AmplitudeCohorts": ".sources.amplitude.api",
    "AmplitudeMembers": ".sources.amplitude.api",
    "DownloadUsage": ".sources.amplitude._session",
    "S3Storage": ".storage",
    "apply_bucket_policy": ".policy.access",
    "check_access": ".policy.access",
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
