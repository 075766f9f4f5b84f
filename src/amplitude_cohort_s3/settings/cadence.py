"""How often a cohort is synced."""

from datetime import datetime, timedelta
from enum import Enum

from .._time import to_utc


class Cadence(Enum):
    """How often a cohort is synced, by Amplitude's words. Scheduling is the caller's."""

    ONE_TIME = "one-time"
    HOURLY = "hourly"
    DAILY = "daily"

    def is_due(self, last_synced_at: datetime | None, now: datetime) -> bool:
        """Whether a sync should run now.

        An hour or day of UTC counts as served by any sync within it, so a run that
        came late does not make the next one late as well.

        Args:
            last_synced_at: The newest sync, or None before the first.
            now: An aware datetime.

        Raises:
            NaiveDatetimeError: A datetime has no time zone.

        >>> from datetime import UTC, datetime
        >>> late = datetime(2026, 11, 23, 14, 50, tzinfo=UTC)
        >>> Cadence.HOURLY.is_due(late, datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
        True
        """
        now = to_utc(now, "now")
        if last_synced_at is None:
            return True
        last = to_utc(last_synced_at, "last_synced_at")
        match self:
            case Cadence.ONE_TIME:
                return False
            case Cadence.HOURLY:
                return now - _floor_to_hour(last) >= timedelta(hours=1)
            case Cadence.DAILY:
                return now.date() > last.date()


def _floor_to_hour(when: datetime) -> datetime:
    return when.replace(minute=0, second=0, microsecond=0)
