"""Cohorts that outgrow one machine: data frames, composed files, Spark."""

from .composition import ComposedDiff, Part, write_part
from .frames import FrameDiff, diff_frames
from .spark import sync_frames

__all__ = [
    "ComposedDiff",
    "FrameDiff",
    "Part",
    "diff_frames",
    "sync_frames",
    "write_part",
]
