"""Amplitude's settings of destinations and syncs, as frozen values."""

from .cadence import Cadence
from .cohort_sync import CohortSync
from .destination import Destination, UserProperty
from .guard import Guard

__all__ = [
    "Cadence",
    "CohortSync",
    "Destination",
    "Guard",
    "UserProperty",
]
