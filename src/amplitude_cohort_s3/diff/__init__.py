"""Set difference of members: who entered, who exited, who exists."""

from .cohort_diff import CohortDiff, diff_members
from .engine import PartitionEngine
from .progress import Progress
from .protocol import DiffEngine, DiffFile, DiffReport, Duplicates

__all__ = [
    "CohortDiff",
    "DiffEngine",
    "DiffFile",
    "DiffReport",
    "Duplicates",
    "PartitionEngine",
    "Progress",
    "diff_members",
]
