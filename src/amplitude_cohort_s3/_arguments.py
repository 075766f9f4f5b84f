"""Checks of types at run time, for callers without a type checker."""

from types import UnionType
from typing import cast, get_args

from .errors import ArgumentTypeError


def check_kind(argument: str, value: object, kind: type | UnionType, hint: str) -> None:
    """Raise unless a value is of the type that a function takes.

    Args:
        argument: The parameter's name.
        value: The argument.
        kind: A class, a protocol, or a union of them.
        hint: What to pass instead, for the message.

    Raises:
        ArgumentTypeError: The value is of another type.

    >>> check_kind("key", 42, str, "pass it as text")
    Traceback (most recent call last):
    ...
    amplitude_cohort_s3.errors.ArgumentTypeError: key has the wrong type int: pass it as text
    """
    if not isinstance(value, kind):
        raise ArgumentTypeError(argument, type(value).__name__, hint)


def kind_faults(
    name: str, value: object, kind: type | UnionType, hint: str | None = None
) -> list[str]:
    """Return the fault of a setting of another type, for callers that report all at once.

    Args:
        name: The setting's name.
        value: The setting.
        kind: A class or a union of classes.
        hint: What to pass instead, if the type alone does not make it clear.

    >>> kind_faults("routing_key", 7, str | None)
    ['routing_key must be of type str or None, not 7']
    """
    if isinstance(value, kind):
        return []
    kinds: tuple[type, ...] = get_args(kind) or (cast("type", kind),)
    wanted = " or ".join(one.__name__ for one in kinds).replace("NoneType", "None")
    # Another value is not shown, as it may hold user ids: members in the wrong place.
    shown = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    fault = f"{name} must be of type {wanted}, not {shown}"
    return [fault if hint is None else f"{fault}: {hint}"]
