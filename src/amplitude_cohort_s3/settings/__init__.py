"""Amplitude's settings of destinations and syncs, as frozen values."""

from .cadence import Cadence
from .cohort_sync import CohortSync
from .destination import Destination, UserProperty
from .exit_guard import ExitGuard

__all__ = [
    "Cadence",
    "CohortSync",
    "Destination",
    "ExitGuard",
    "UserProperty",
]
