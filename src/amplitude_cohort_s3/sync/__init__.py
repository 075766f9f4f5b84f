"""Syncing a cohort: prepare, commit, recover."""

from typing import TYPE_CHECKING

from .._optional import exports_on_demand
from .commit import SyncResult, commit
from .head import Head, read_head
from .plan import SyncPlan, plan_sync
from .prepare import PreparedSync, prepare_sync
from .recover import RecoveryReport, recover
from .start import SyncStart, begin_sync
from .stored_cohorts import vanished_cohorts
from .sync_cohort import sync_cohort

if TYPE_CHECKING:
    from .adoption import adopt
    from .rebuild import rebuild_history
    from .schedule import JobOutcome, JobResult, RunReport, run_due

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
    "vanished_cohorts",
]

# These names are imported on demand: they need all modules of the history.
__getattr__ = exports_on_demand(
    __name__,
    {
        "JobOutcome": ".schedule",
        "JobResult": ".schedule",
        "RunReport": ".schedule",
        "adopt": ".adoption",
        "rebuild_history": ".rebuild",
        "run_due": ".schedule",
    },
)
