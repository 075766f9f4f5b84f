"""The diff of two sets of members: the users who entered and exited, and the members."""

from .cohort_diff import CohortDiff, diff_members
from .engine import PartitionEngine
from .progress import Progress, ProgressEvent
from .protocol import (
    DiffEngine,
    DiffFile,
    DiffReport,
    DiffSummary,
    Duplicates,
    Grown,
    StageableDiff,
)

__all__ = [
    "CohortDiff",
    "DiffEngine",
    "DiffFile",
    "DiffReport",
    "DiffSummary",
    "Duplicates",
    "Grown",
    "PartitionEngine",
    "Progress",
    "ProgressEvent",
    "StageableDiff",
    "diff_members",
]
