"""Members from Amplitude's Behavioral Cohorts API."""

from .api import AmplitudeCohorts
from .cohorts import AmplitudeMembers
from .listing import AmplitudeCohort, CohortList
from .usage import DownloadUsage

__all__ = [
    "AmplitudeCohort",
    "AmplitudeCohorts",
    "AmplitudeMembers",
    "CohortList",
    "DownloadUsage",
]
