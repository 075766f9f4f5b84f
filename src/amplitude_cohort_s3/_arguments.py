"""Arguments of another kind than a function takes: in a notebook no type checker says it."""

from types import UnionType
from typing import cast, get_args

from .errors import WrongArgumentError


def check_kind(argument: str, value: object, kind: type | UnionType, cure: str) -> None:
    """That a value is of the kind that a function takes.

    Args:
        argument: Its name in the signature.
        value: What was given.
        kind: A class, a protocol, or several of them.
        cure: What to give instead.

    Raises:
        WrongArgumentError: It is of another kind.

    >>> check_kind("key", 42, str, "give it as text")
    Traceback (most recent call last):
    ...
    amplitude_cohort_s3.errors.WrongArgumentError: key has the wrong type int: give it as text
    """
    if not isinstance(value, kind):
        raise WrongArgumentError(argument, type(value).__name__, cure)


def kind_faults(
    name: str, value: object, kind: type | UnionType, cure: str | None = None
) -> list[str]:
    """The fault of a setting of another kind, for those who report all faults at once.

    Args:
        name: The setting's.
        value: What was given.
        kind: A class, or several.
        cure: What to give instead, where the kind alone does not say it.

    >>> kind_faults("routing_key", 7, str | None)
    ['routing_key must be of type str or None, not 7']
    """
    if isinstance(value, kind):
        return []
    kinds: tuple[type, ...] = get_args(kind) or (cast("type", kind),)
    wanted = " or ".join(one.__name__ for one in kinds).replace("NoneType", "None")
    # Anything else may hold users: members that were given in the wrong place.
    shown = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    fault = f"{name} must be of type {wanted}, not {shown}"
    return [fault if cure is None else f"{fault}: {cure}"]
