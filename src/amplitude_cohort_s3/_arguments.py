"""Type checks at run time, for callers without a type checker, as in a notebook."""

from types import UnionType
from typing import cast, get_args

from .errors import WrongArgumentError


def check_kind(argument: str, value: object, kind: type | UnionType, cure: str) -> None:
    """Raise unless an argument has the type that a function accepts.

    Args:
        argument: The name in the signature, for the message.
        value: The value that was passed.
        kind: A class, a protocol, or a union of them.
        cure: What to pass instead, for the message.

    Raises:
        WrongArgumentError: The argument has another type.

    >>> check_kind("key", 42, str, "give it as text")
    Traceback (most recent call last):
    ...
    amplitude_cohort_s3.errors.WrongArgumentError: key can't be of type int: give it as text
    """
    if not isinstance(value, kind):
        raise WrongArgumentError(argument, type(value).__name__, cure)


def kind_faults(
    name: str, value: object, kind: type | UnionType, cure: str | None = None
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
    return [fault if cure is None else f"{fault}: {cure}"]
