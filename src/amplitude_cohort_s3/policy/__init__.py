"""Bucket policies, access checks and lifecycle rules.

The best order to read the modules is ``purposes`` (the actions), ``_statements``,
``_statement_builder``, ``bucket_policy``, ``_merge``, ``access``. Only ``lifecycle`` is separate.
"""

from typing import TYPE_CHECKING

from .._optional import exports_on_demand
from .bucket_policy import AMPLITUDE_ACCOUNTS, BucketPolicy, bucket_policy
from .lifecycle import lifecycle_rules
from .purposes import PURPOSES, Purpose

if TYPE_CHECKING:
    from .access import AccessReport, apply_bucket_policy, check_access

__all__ = [
    "AMPLITUDE_ACCOUNTS",
    "PURPOSES",
    "AccessReport",
    "BucketPolicy",
    "Purpose",
    "apply_bucket_policy",
    "bucket_policy",
    "check_access",
    "lifecycle_rules",
]

# Importing boto3 takes 0.3 s.
__getattr__ = exports_on_demand(
    __name__,
    {
        "AccessReport": ".access",
        "apply_bucket_policy": ".access",
        "check_access": ".access",
    },
)
