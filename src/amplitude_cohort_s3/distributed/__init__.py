"""Syncs of cohorts that are too large for one machine: data frames, composed files, Spark."""

from ..format.digests import members_digest, row_digest
from .composition import ComposedDiff, StoredPart, write_part
from .frames import FrameDiff, diff_frames
from .spark import sync_frames

__all__ = [
    "ComposedDiff",
    "FrameDiff",
    "StoredPart",
    "diff_frames",
    "members_digest",
    "row_digest",
    "sync_frames",
    "write_part",
]
