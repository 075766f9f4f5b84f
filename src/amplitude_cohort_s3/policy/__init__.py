"""Bucket policies, lifecycle rules, and whether access suffices."""

from typing import TYPE_CHECKING

from .._optional import exports_on_demand
from .bucket_policy import AMPLITUDE_ACCOUNTS, BucketPolicy, bucket_policy
from .lifecycle import lifecycle_rules

if TYPE_CHECKING:
    from .access import AccessReport, apply_bucket_policy, check_access

__all__ = [
    "AMPLITUDE_ACCOUNTS",
    "AccessReport",
    "BucketPolicy",
    "apply_bucket_policy",
    "bucket_policy",
    "check_access",
    "lifecycle_rules",
]

# It imports boto3, which takes 0.3 s.
__getattr__ = exports_on_demand(
    __name__,
    {
        "AccessReport": ".access",
        "apply_bucket_policy": ".access",
        "check_access": ".access",
    },
)
