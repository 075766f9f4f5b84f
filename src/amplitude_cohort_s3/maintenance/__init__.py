"""Changing what is stored: forgetting people, pruning old files, removing leftovers."""

from .clean_up import clean_up, plan_clean_up
from .forget import forget, plan_forget
from .forget_report import AffectedFile, ForgetPlan, ForgetReceipt
from .prune import PrunePlan, PruneReceipt, plan_prune, prune

__all__ = [
    "AffectedFile",
    "ForgetPlan",
    "ForgetReceipt",
    "PrunePlan",
    "PruneReceipt",
    "clean_up",
    "forget",
    "plan_clean_up",
    "plan_forget",
    "plan_prune",
    "prune",
]
