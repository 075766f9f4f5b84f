"""Members from Amplitude's Behavioral Cohorts API."""

from ._session import DownloadUsage
from .api import AmplitudeCohort, AmplitudeCohorts, AmplitudeMembers

__all__ = [
    "AmplitudeCohort",
    "AmplitudeCohorts",
    "AmplitudeMembers",
    "DownloadUsage",
]
