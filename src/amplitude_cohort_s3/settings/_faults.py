"""Type checks of settings, for classes that report all faults at once."""

from types import UnionType

from .._arguments import kind_faults

_EXAMPLES = {
    "destination": 'Destination("warehouse", bucket="my-bucket")',
    "name_style": "NameStyle(seconds=True)",
    "user_property": 'UserProperty("plan")',
}


def type_faults(settings: object, **kinds: type | UnionType) -> list[str]:
    """Return a fault for each setting that has the wrong type."""
    faults = list[str]()
    for name, kind in kinds.items():
        hint = f"pass one, such as {_EXAMPLES[name]}" if name in _EXAMPLES else None
        faults += kind_faults(name, getattr(settings, name), kind, hint)
    return faults
