"""The cadence of a sync."""

from datetime import datetime, timedelta
from enum import Enum

from .._time import days_of, start_of_day, to_utc
from ..errors import ConfigurationError
from .words import word_faults


class Cadence(Enum):
    """The cadence of a sync, in Amplitude's words. The caller does the scheduling."""

    ONE_TIME = "one-time"
    HOURLY = "hourly"
    DAILY = "daily"

    def is_due(self, last_synced_at: datetime | None, now: datetime) -> bool:
        """Return True if a sync should run now.

        One sync is due in each hour, or on each day of the time zone of ``now``. It may run at
        any moment of that hour or day, so a late run does not delay the next one. A one-time
        sync is due if the stream has no sync yet.

        Args:
            last_synced_at: The time of the newest sync, or None before the first.
            now: The present time. For a job at a fixed local time, pass it in the local time
                zone: a day has 23 or 25 hours when summer time begins or ends, and days of
                UTC would then skip one of the job's days.

        Raises:
            NaiveDatetimeError: A datetime has no time zone.

        >>> from datetime import UTC, datetime
        >>> late = datetime(2026, 11, 23, 14, 50, tzinfo=UTC)
        >>> Cadence.HOURLY.is_due(late, datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
        True
        >>> from zoneinfo import ZoneInfo
        >>> midnight = datetime(2026, 11, 24, 0, 0, tzinfo=ZoneInfo("Europe/Berlin"))
        >>> Cadence.DAILY.is_due(late, midnight)
        True
        """
        moment = to_utc(now, "now")
        if last_synced_at is None:
            return True
        last = to_utc(last_synced_at, "last_synced_at")
        match self:
            case Cadence.ONE_TIME:
                return False
            case Cadence.HOURLY:
                hour = last.replace(minute=0, second=0, microsecond=0)
                return moment - hour >= timedelta(hours=1)
            case Cadence.DAILY:
                today, last_day = days_of(now, last)
                return today > last_day

    def overdue(self, last_synced_at: datetime, now: datetime) -> timedelta | None:
        """Return how long the next sync is overdue; None if it is not.

        A sync is overdue once a whole hour or a whole day of the time zone of ``now`` has passed
        without one. A sync that is only due is not overdue: it may still run at any moment of the
        present hour or day. A one-time sync is never overdue after the first.

        Args:
            last_synced_at: The time of the newest sync.
            now: The present time: see :meth:`is_due`.

        Raises:
            NaiveDatetimeError: A datetime has no time zone.

        >>> from datetime import UTC, datetime
        >>> last = datetime(2026, 11, 23, 14, 50, tzinfo=UTC)
        >>> print(Cadence.HOURLY.overdue(last, datetime(2026, 11, 23, 15, 59, tzinfo=UTC)))
        None
        >>> print(Cadence.HOURLY.overdue(last, datetime(2026, 11, 23, 16, 10, tzinfo=UTC)))
        0:10:00
        """
        moment, last = to_utc(now, "now"), to_utc(last_synced_at, "last_synced_at")
        match self:
            case Cadence.ONE_TIME:
                return None
            case Cadence.HOURLY:
                hour = last.replace(minute=0, second=0, microsecond=0)
                late = moment - hour - timedelta(hours=2)
            case Cadence.DAILY:
                today, last_day = days_of(now, last)
                if today - last_day < timedelta(days=2):
                    return None
                late = moment - start_of_day(now, last_day + timedelta(days=2))
        return late if late >= timedelta(0) else None


def check_cadence(value: object) -> Cadence:
    """Return the argument ``cadence``, which may be the word of a cadence.

    Raises:
        ConfigurationError: It is not a cadence.
    """
    try:
        return Cadence(value)
    except ValueError:
        faults = word_faults("cadence", value, Cadence)
    raise ConfigurationError("the argument cadence", tuple(faults))
