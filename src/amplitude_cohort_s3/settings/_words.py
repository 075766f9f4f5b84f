"""Settings that accept a word instead of a member of an enum.

The words are the values of the enum, as in the command's TOML file. Another value is returned
unchanged, so that the class with the setting reports all its faults at once.
"""

from collections.abc import Iterable
from enum import Enum
from typing import TypeVar, cast

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
    # Other values are not shown: members passed by mistake would put users into a message.
    shown = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return [f"{name} must be {alternatives(one.value for one in kind)}, not {shown}"]


def alternatives(values: Iterable[object]) -> str:
    """Return values as the alternatives in a sentence.

    >>> alternatives(["a", "b", "c"])
    "'a', 'b' or 'c'"
    """
    *others, last = map(repr, values)
    return f"{', '.join(others)} or {last}" if others else last
