"""What is synced where, and when: Amplitude's own settings as frozen values."""

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
