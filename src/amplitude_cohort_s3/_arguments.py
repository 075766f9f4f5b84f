"""Type checks at run time, for callers without a type checker, as in a notebook."""

from types import UnionType
from typing import cast, get_args

from .errors import ArgumentTypeError


def check_kind(argument: str, value: object, kind: type | UnionType, hint: str) -> None:
    """Raise unless an argument has the type that a function accepts.

    Args:
        argument: The name in the signature, for the message.
        value: The value that was passed.
        kind: A class, a protocol, or a union of them.
        hint: What to pass instead, for the message.

    Raises:
        ArgumentTypeError: The argument has another type.

    >>> check_kind("key", 42, str, "pass text")
    Traceback (most recent call last):
    ...
    amplitude_cohort_s3.errors.ArgumentTypeError: key has the wrong type int: pass text
    """
    if not isinstance(value, kind):
        raise ArgumentTypeError(argument, type(value).__name__, hint)


def kind_faults(
    name: str, value: object, kind: type | UnionType, hint: str | None = None
) -> list[str]:
    """Return the fault of a setting that has the wrong type, for a list of all faults.

    >>> kind_faults("routing_key", 7, str | None)
    ['routing_key must be of type str or None, not 7']
    """
    if isinstance(value, kind):
        return []
    kinds: tuple[type, ...] = get_args(kind) or (cast("type", kind),)
    expected = " or ".join(one.__name__ for one in kinds).replace("NoneType", "None")
    # Other values are not shown: members passed by mistake would put users into a message.
    shown = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    fault = f"{name} must be of type {expected}, not {shown}"
    return [fault if hint is None else f"{fault}: {hint}"]
