"""Syncing a cohort: prepare, commit, recover."""

from .adopt import adopt
from .commit import SyncResult, commit
from .head import Head, read_head
from .plan import SyncPlan, plan_sync
from .recover import RecoveryReport, recover
from .schedule import JobOutcome, JobResult, RunReport, run_due
from .sync_cohort import sync_cohort

__all__ = [
    "Head",
    "JobOutcome",
    "JobResult",
    "RecoveryReport",
    "RunReport",
    "SyncPlan",
    "SyncResult",
    "adopt",
    "commit",
    "plan_sync",
    "read_head",
    "recover",
    "run_due",
    "sync_cohort",
]
