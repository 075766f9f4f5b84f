"""Conversion of aware datetimes to UTC."""

from datetime import UTC, datetime

from ._arguments import check_kind
from .errors import NaiveDatetimeError


def to_utc(when: datetime, argument: str) -> datetime:
    """Return the same moment in UTC.

    Args:
        when: A datetime of any time zone.
        argument: The parameter's name, for the message.

    Raises:
        NaiveDatetimeError: The datetime has no time zone.
        ArgumentTypeError: The value is a text, a date or a number.
    """
    hint = 'pass an aware datetime; from a text, datetime.fromisoformat("2026-11-23T14:05Z")'
    check_kind(argument, when, datetime, hint)
    if when.tzinfo is None or when.utcoffset() is None:
        raise NaiveDatetimeError(argument)
    return when.astimezone(UTC)
