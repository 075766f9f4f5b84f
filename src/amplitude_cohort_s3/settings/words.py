"""Settings that accept a word instead of a member of an enum.

The words are the values of the enum, as in the command's TOML file. Another value is returned
unchanged, so that the class with the setting reports all its faults at once.
"""

from enum import Enum
from typing import TypeVar, cast

from .._arguments import choice_faults

E = TypeVar("E", bound=Enum)


def member_of(kind: type[E], value: E | str) -> E:
    """Return the member of an enum with a value, or the value itself if there is none.

    >>> from amplitude_cohort_s3 import Cadence
    >>> member_of(Cadence, "daily"), member_of(Cadence, "weekly")
    (<Cadence.DAILY: 'daily'>, 'weekly')
    """
    return next((one for one in kind if one.value == value), cast("E", value))


def word_faults(name: str, value: object, kind: type[Enum]) -> list[str]:
    """Return the fault of a setting that is not a member of an enum.

    >>> from amplitude_cohort_s3 import Cadence
    >>> word_faults("cadence", "weekly", Cadence)
    ["cadence must be 'one-time', 'hourly' or 'daily', not 'weekly'"]
    """
    if isinstance(value, kind):
        return []
    return choice_faults(name, value, (one.value for one in kind))
