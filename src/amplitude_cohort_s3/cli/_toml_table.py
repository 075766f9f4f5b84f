"""Build values of attrs classes from TOML tables, and collect everything that is wrong.

The keys of a table are the fields of the class, and their annotations determine the allowed
values. Reading goes on after a fault, so that one run of the command reports all of them. A value
of a wrong kind is never shown: it may be a secret.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

from ..errors import ConfigurationError
from ..format.filename import NameStyle
from ..settings.cohort_sync import CohortSync
from ..settings.destination import Destination, UserProperty
from ..sources import MemberFile, MemberFiles

T = TypeVar("T")

_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    list: "an array",
    dict: "a table",
}

# These fields have no key: they describe names that are only read, follow from other keys, or
# need a Python object.
_WITHOUT_KEY: Mapping[type, set[str]] = {
    NameStyle: {"second_group", "empty_routing_key", "extension"},
    MemberFile: {"transport_params", "_start"},
    MemberFiles: {"transport_params"},
}

# These fields have other values only in names that are read.
_WRITTEN: Mapping[tuple[type, str], Any] = {(NameStyle, "separator"): Literal[":", "-"]}

# Settings are easily written into the table of the other kind.
_RELATED: Mapping[str, tuple[str, type[attrs.AttrsInstance]]] = {
    "syncs": ("destinations", Destination),
    "destinations": ("syncs", CohortSync),
}

# A table or a value that turns the setting off.
_EXAMPLES = {"guard": "{ max_exits = 0.5, max_growth = 1.0 }, or false"}

# They replace required values that are missing, so that the faults of other keys are found too.
_PLACEHOLDERS: Mapping[Any, Any] = {str: "x", int: 0}


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a TOML value is a table."""
    return isinstance(value, dict)


class TomlTable:
    """A table of the file, its place there, and the list that collects the faults."""

    def __init__(self, values: Mapping[str, Any], place: str, faults: list[str]) -> None:
        self.values = values
        self.place = place
        self.faults = faults
        self._known = dict[str, None]()

    def fault(self, key: str, rule: str) -> None:
        """Note that a key breaks a rule."""
        self.faults.append(f"{self._at(key)} {rule}")

    def get(self, key: str, kind: Any) -> Any:
        """Return the value of a key, or None if it is missing or not of the kind."""
        self._known[key] = None
        value = self.values.get(key)
        return None if value is None else self._convert(key, value, kind)

    def require(self, key: str, kind: Any) -> Any:
        """Return the value of a key as ``get`` does; a missing one is a fault."""
        if key not in self.values:
            self.fault(key, "is missing")
        return self.get(key, kind)

    def reference(self, key: str, kind: str, found: Mapping[str, object]) -> str:
        """Return the value of a key that must be the name of a table ``[<kind>.<name>]``."""
        name: str | None = self.require(key, str)
        if name is not None and name not in found:
            tables = ", ".join(f"[{kind}.{one}]" for one in found) or "none"
            rule = f"is {name!r}, but there is no [{kind}.{name}]; the file has: {tables}"
            self.fault(key, rule)
        return name or ""

    def build(self, cls: type[T], **given: object) -> T | None:
        """Return an instance made of the keys and of given fields; its faults become the file's."""
        arguments = dict(given)
        kinds = get_type_hints(cls)
        for field in attrs.fields(cls):  # type: ignore[arg-type]
            if field.name in given or field.name in _WITHOUT_KEY.get(cls, ()):
                continue
            kind = _WRITTEN.get((cls, field.name), kinds[field.name])
            is_required = field.default is attrs.NOTHING
            value = (self.require if is_required else self.get)(field.name, kind)
            if value is None and is_required:
                value = _PLACEHOLDERS[kind]
            if value is not None:
                arguments[field.name] = value
        try:
            return cls(**arguments)
        except ConfigurationError as error:
            self.faults.extend(f"{self.place}: {fault}" for fault in error.faults)
            return None

    def tables(self, key: str) -> Iterator[tuple[str, "TomlTable"]]:
        """Yield the named tables in a table, such as those of ``[destinations.<name>]``."""
        tables: dict[str, Any] = self.get(key, dict) or {}
        for name, values in tables.items():
            if is_table(values):
                table = self._inner(f"{key}.{name}", values)
                yield name, table
                table.end()
            else:
                self.fault(f"{key}.{name}", f"must be a table, not {_name_of(values)}")

    def inner(self, key: str) -> "TomlTable":
        """Return the table of a key that has one."""
        return self._inner(key, self.values[key])

    def end(self) -> None:
        """Note the keys that nothing has read."""
        for key in self.values:
            if key not in self._known:
                self.fault(key, f"is unknown; {self._instead_of(key)}")

    def _instead_of(self, key: str) -> str:
        """Return what is meant by a key that the table does not have."""
        kind, cls = _RELATED.get(self.place.partition(".")[0], ("", None))
        if cls is not None and key in attrs.fields_dict(cls):
            return f"it belongs in a table [{kind}.<name>]"
        if similar := get_close_matches(key, self._known, n=1):
            return f"did you mean {similar[0]}?"
        where = f"in {self.place}" if self.place else "at the top level"
        return f"the keys {where} are {', '.join(self._known)}"

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def _inner(self, key: str, values: Mapping[str, Any]) -> "TomlTable":
        return TomlTable(values, self._at(key), self.faults)

    def _convert(self, key: str, value: Any, kind: Any) -> Any:
        is_union = get_origin(kind) in (Union, UnionType)
        allowed = get_args(kind) if is_union else (kind,)
        kinds = [one for one in allowed if one not in (NoneType, Literal[False])]
        if value is False and len(kinds) < len(allowed):
            return value  # A limit or a guard that is off. TOML has no None.
        fitting = [one for one in kinds if type(value) in _toml_types(one)]
        # A word of a choice, or else the name of a property.
        for one in fitting:
            if one is fitting[-1] or value in _choices(one):
                return self._convert_as(one, key, value)
        expected = dict.fromkeys(_NAMES[found] for one in kinds for found in _toml_types(one))
        example = f": {_EXAMPLES[key]}" if key in _EXAMPLES else ""
        self.fault(key, f"must be {' or '.join(expected)}, not {_name_of(value)}{example}")
        return None

    def _convert_as(self, kind: Any, key: str, value: Any) -> Any:
        if choices := _choices(kind):
            if value not in choices:
                self.fault(key, f"must be one of {', '.join(map(repr, choices))}, not {value!r}")
            return choices.get(value)
        if get_origin(kind) is tuple:
            item = get_args(kind)[0]
            items = [self._convert(f"{key}[{n}]", one, item) for n, one in enumerate(value)]
            return [one for one in items if one is not None]
        if get_origin(kind) is Mapping and not all(isinstance(v, str) for v in value.values()):
            self.fault(key, 'must be a table of strings, such as { id = "amplitude_id" }')
            return None
        if attrs.has(kind):
            table = self._inner(key, value if is_table(value) else {"name": value})
            built = table.build(kind)
            table.end()
            return built
        return value


def _toml_types(kind: Any) -> tuple[type, ...]:
    """Return the types of TOML values that become a value of the kind."""
    origin = get_origin(kind) or kind
    if origin is UserProperty:
        return str, dict  # a string is the name of the property
    if _choices(kind):
        return (str,)
    if attrs.has(origin) or origin is Mapping:
        return (dict,)
    return {tuple: (list,), float: (float, int)}.get(origin, (origin,))


def _choices(kind: Any) -> dict[str, Any]:
    """Return the values of a ``Literal`` or an ``Enum`` by their texts in the file."""
    if get_origin(kind) is Literal:
        return {choice: choice for choice in get_args(kind)}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {choice.value: choice for choice in kind}
    return {}


def _name_of(value: object) -> str:
    return _NAMES.get(type(value), "a date or time")
