"""Conversion of aware datetimes to UTC."""

from datetime import UTC, datetime

from ._arguments import check_kind
from .errors import NaiveDatetimeError


def to_utc(when: datetime, argument: str) -> datetime:
    """Return the same instant in UTC.

    Args:
        when: An aware datetime of any time zone.
        argument: The name of the argument, for the error.

    Raises:
        NaiveDatetimeError: It has no time zone.
        ArgumentTypeError: It is not a datetime.
    """
    cure = 'give an aware datetime, as datetime.fromisoformat("2026-11-23T14:05Z") makes of text'
    check_kind(argument, when, datetime, cure)
    if when.tzinfo is None or when.utcoffset() is None:
        raise NaiveDatetimeError(argument)
    return when.astimezone(UTC)
