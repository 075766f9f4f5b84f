"""Members from Amplitude's Behavioral Cohorts API."""

from .api import AmplitudeCohorts
from .cohorts import AmplitudeCohort, AmplitudeMembers
from .usage import DownloadUsage

__all__ = [
    "AmplitudeCohort",
    "AmplitudeCohorts",
    "AmplitudeMembers",
    "DownloadUsage",
]
