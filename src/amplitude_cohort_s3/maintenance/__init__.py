"""Changing what is stored: forgetting people and pruning old files."""

from .forget import forget, plan_forget
from .forget_report import AffectedFile, ForgetPlan, ForgetReceipt
from .prune import PrunePlan, PruneReceipt, plan_prune, prune

__all__ = [
    "AffectedFile",
    "ForgetPlan",
    "ForgetReceipt",
    "PrunePlan",
    "PruneReceipt",
    "forget",
    "plan_forget",
    "plan_prune",
    "prune",
]
