"""Syncing a cohort: prepare, commit, recover."""

from .adopt import adopt
from .commit import SyncResult, commit
from .head import Head, read_head
from .plan import SyncPlan, plan_sync
from .prepare import PreparedSync, prepare_sync
from .rebuild import rebuild_history
from .recover import RecoveryReport, recover
from .schedule import JobOutcome, JobResult, RunReport, run_due
from .start import SyncStart, begin_sync
from .sync_cohort import sync_cohort

__all__ = [
    "Head",
    "JobOutcome",
    "JobResult",
    "PreparedSync",
    "RecoveryReport",
    "RunReport",
    "SyncPlan",
    "SyncResult",
    "SyncStart",
    "adopt",
    "begin_sync",
    "commit",
    "plan_sync",
    "prepare_sync",
    "read_head",
    "rebuild_history",
    "recover",
    "run_due",
    "sync_cohort",
]
