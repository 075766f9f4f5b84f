"""Sync cohorts to S3 as Amplitude does, and read such buckets back.

Each name is defined in the folder that its import names. Importing the package imports
neither boto3 nor smart_open.
"""

from typing import TYPE_CHECKING, Any

from ._optional import exports_on_demand
from .diff import CohortDiff, diff_members
from .errors import CohortS3Error
from .format import CohortFileName, DiffType, ExistingMeaning, Member, NameStyle, RowSchema
from .history import Members
from .log import CohortStream, SyncRecord
from .settings import Cadence, CohortSync, Destination, Guard, UserProperty
from .sources import CsvSource, MemberFile
from .storage import LocalStorage, MemoryStorage, ObjectInfo, Storage, open_storage
from .sync import (
    Head,
    PreparedSync,
    SyncPlan,
    SyncResult,
    prepare_sync,
    read_head,
    recover,
    sync_cohort,
)

if TYPE_CHECKING:
    from .history import (
        CohortHistory,
        Finding,
        detect_existing_meaning,
        list_streams,
        overlap,
        read_history,
    )
    from .maintenance import forget, plan_forget, plan_prune, prune
    from .policy import BucketPolicy, apply_bucket_policy, bucket_policy, check_access
    from .sources.amplitude import AmplitudeCohorts
    from .storage import S3Storage
    from .sync import adopt, run_due

    __version__: str

__all__ = [
    "AmplitudeCohorts",
    "BucketPolicy",
    "Cadence",
    "CohortDiff",
    "CohortFileName",
    "CohortHistory",
    "CohortS3Error",
    "CohortStream",
    "CohortSync",
    "CsvSource",
    "Destination",
    "DiffType",
    "ExistingMeaning",
    "Finding",
    "Guard",
    "Head",
    "LocalStorage",
    "Member",
    "MemberFile",
    "Members",
    "MemoryStorage",
    "NameStyle",
    "ObjectInfo",
    "PreparedSync",
    "RowSchema",
    "S3Storage",
    "Storage",
    "SyncPlan",
    "SyncRecord",
    "SyncResult",
    "UserProperty",
    "adopt",
    "apply_bucket_policy",
    "bucket_policy",
    "check_access",
    "detect_existing_meaning",
    "diff_members",
    "forget",
    "list_streams",
    "open_storage",
    "overlap",
    "plan_forget",
    "plan_prune",
    "prepare_sync",
    "prune",
    "read_head",
    "read_history",
    "recover",
    "run_due",
    "sync_cohort",
]

# A sync does not need these names. Importing boto3 takes 0.3 s, ssl and http.client up to 0.1 s,
# and the other modules together 0.1 s.
_on_demand = exports_on_demand(
    __name__,
    {
        "AmplitudeCohorts": ".sources.amplitude",
        "BucketPolicy": ".policy",
        "CohortHistory": ".history",
        "Finding": ".history",
        "S3Storage": ".storage",
        "adopt": ".sync",
        "apply_bucket_policy": ".policy",
        "bucket_policy": ".policy",
        "check_access": ".policy",
        "detect_existing_meaning": ".history",
        "forget": ".maintenance",
        "list_streams": ".history",
        "overlap": ".history",
        "plan_forget": ".maintenance",
        "plan_prune": ".maintenance",
        "prune": ".maintenance",
        "read_history": ".history",
        "run_due": ".sync",
    },
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 -- it takes 20 ms

        return version(__name__)
    return _on_demand(name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
