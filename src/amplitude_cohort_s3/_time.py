"""Conversion of aware datetimes to UTC, and the calendar day of a moment."""

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

from ._arguments import check_kind, wrong_kind
from .errors import ConfigurationError, NaiveDatetimeError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_utc(when: datetime, argument: str) -> datetime:
    """Return the same moment in UTC, as a plain datetime.

    Every public function that takes a time calls this first. A subclass may carry more than
    a datetime: a ``pandas.Timestamp`` has nanoseconds, which ``replace`` keeps and
    ``isoformat`` writes. They are cut off, as names and records have at most microseconds.

    Args:
        when: A datetime of any time zone.
        argument: The parameter's name, for the message.

    Raises:
        NaiveDatetimeError: The datetime has no time zone.
        ArgumentTypeError: The value is a text, a date or a number.
        ConfigurationError: The moment is not in the years 1 to 9999 of UTC.
    """
    hint = 'pass an aware datetime; from a text, datetime.fromisoformat("2026-11-23T14:05Z")'
    if isinstance(when, timedelta):
        hint = "pass a time, for example datetime.now(timezone.utc) - timedelta(days=30)"
    check_kind(argument, when, datetime, hint)
    if when != when:  # noqa: PLR0124 -- NaT of pandas, which is a datetime
        raise wrong_kind(argument, when, hint)
    if when.tzinfo is None or when.utcoffset() is None:
        raise NaiveDatetimeError(argument)
    utc = _in_zone(when, UTC, argument)
    if type(utc) is datetime:
        return utc
    fields = (utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond)
    return datetime(*fields, tzinfo=UTC)


def epoch_microseconds(when: datetime) -> int:
    """Return the number of microseconds from the beginning of 1970 to a moment.

    >>> epoch_microseconds(datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC))
    2000000
    """
    return (when - _EPOCH) // timedelta(microseconds=1)


def days_of(now: datetime, *others: datetime) -> list[date]:
    """Return the calendar days of some moments, in the time zone of the first.

    A ``datetime`` from ``datetime.now().astimezone()`` has a fixed offset instead of a zone. The
    offset is wrong for moments before the last change to or from summer time. So an offset that
    equals this machine's at that moment is treated as the machine's own zone.

    Args:
        now: An aware datetime, in the time zone that determines the days.
        others: Other aware datetimes, in any time zone.
    """
    zone = _zone_of(now)
    return [_in_zone(to_utc(when, "now"), zone, "now").date() for when in (now, *others)]


def start_of_day(now: datetime, day: date) -> datetime:
    """Return the first moment of a calendar day, in UTC.

    Args:
        now: An aware datetime, in the time zone that determines the days: see :func:`days_of`.
        day: The day.
    """
    return _in_zone(datetime.combine(day, time(), tzinfo=_zone_of(now)), UTC, "now")


def _zone_of(now: datetime) -> tzinfo | None:
    """Return the time zone of a moment; None for the machine's own, as in ``astimezone``."""
    zone = now.tzinfo
    is_offset = isinstance(zone, timezone) and zone is not UTC
    if is_offset and now.utcoffset() == _in_zone(to_utc(now, "now"), None, "now").utcoffset():
        return None
    return zone


def _in_zone(when: datetime, zone: tzinfo | None, argument: str) -> datetime:
    """Return a moment in a time zone, or in the machine's."""
    try:
        return when.astimezone(zone)
    except (OverflowError, ValueError, OSError):
        name = "this machine's time zone" if zone is None else str(zone)
        fault = f"the moment has no date in {name}: years go from 1 to 9999. Pass another time"
        raise ConfigurationError(argument, (fault,)) from None
