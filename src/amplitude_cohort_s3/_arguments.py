"""Type checks at run time, for callers without a type checker, as in a notebook."""

from collections.abc import Iterable
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
        ArgumentTypeError: The argument has the wrong type.

    >>> check_kind("key", 42, str, "pass text")
    Traceback (most recent call last):
    ...
    amplitude_cohort_s3.errors.ArgumentTypeError: key has the wrong type int: pass text
    """
    if not _is_of_kind(value, kind):
        raise wrong_kind(argument, value, hint)


def wrong_kind(argument: str, value: object, hint: str) -> ArgumentTypeError:
    """Return the error of an argument that has the wrong type.

    >>> print(wrong_kind("storage", dict, "pass a folder"))
    storage has the wrong type type[dict]: pass a folder, not the class itself
    """
    if isinstance(value, type):
        return ArgumentTypeError(argument, _type_name(value), f"{hint}, not the class itself")
    return ArgumentTypeError(argument, _type_name(value), hint)


def kind_faults(
    name: str, value: object, kind: type | UnionType, hint: str | None = None
) -> list[str]:
    """Return the fault of a setting that has the wrong type, for a list of all faults.

    >>> kind_faults("routing_key", 7, str | None)
    ['routing_key must be of type str or None, not 7']
    """
    if _is_of_kind(value, kind):
        return []
    expected = " or ".join(one.__name__ for one in _kinds(kind)).replace("NoneType", "None")
    fault = f"{name} must be of type {expected}, not {_shown(value)}"
    return [fault if hint is None else f"{fault}: {hint}"]


def choice_faults(name: str, value: object, choices: Iterable[object]) -> list[str]:
    """Return the fault of a setting that is none of its possible values.

    >>> choice_faults("keep", "all", ["changes", "nothing"])
    ["keep must be 'changes' or 'nothing', not 'all'"]
    """
    listed = list(choices)
    if value in listed:
        return []
    *others, last = map(repr, listed)
    return [f"{name} must be {', '.join(others)} or {last}, not {_shown(value)}"]


def _is_of_kind(value: object, kind: type | UnionType) -> bool:
    """Return whether a value is an instance of a type.

    A class has the methods of its instances, so it would pass for one of a protocol; and a bool
    is an int to Python.
    """
    if isinstance(value, type) or not isinstance(value, kind):
        return False
    return not isinstance(value, bool) or not {int, float}.intersection(_kinds(kind))


def _kinds(kind: type | UnionType) -> tuple[type, ...]:
    return get_args(kind) or (cast("type", kind),)


def _type_name(value: object) -> str:
    return f"type[{value.__name__}]" if isinstance(value, type) else type(value).__name__


def _shown(value: object) -> str:
    # Other values are not shown: members passed by mistake would put users into a message.
    return repr(value) if isinstance(value, str | int | float | None) else _type_name(value)
