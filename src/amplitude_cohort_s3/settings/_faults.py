"""Type checks of settings, for classes that report all faults at once."""

from types import UnionType

from .._arguments import kind_faults


def type_faults(settings: object, **kinds: type | UnionType) -> list[str]:
    """Return a fault for each named setting whose value has another type."""
    return [
        fault
        for name, kind in kinds.items()
        for fault in kind_faults(name, getattr(settings, name), kind)
    ]
