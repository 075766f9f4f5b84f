"""Reading a TOML table and collecting its faults."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeGuard, TypeVar, cast

from ..errors import ConfigurationError

T = TypeVar("T")


_KINDS: Mapping[type[Any], str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


TABLE = cast("type[dict[str, Any]]", dict)


LIST = cast("type[list[Any]]", list)


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


class TomlTable:
    """A table of the file: gives its values by name and kind, and notes what is wrong."""

    def __init__(self, values: Mapping[str, Any], place: str, faults: list[str]) -> None:
        self._values = values
        self._asked = dict[str, None]()
        self.place = place
        self.faults = faults

    def at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def fault(self, key: str, rule: str) -> None:
        self.faults.append(f"{self.at(key)} {rule}")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def any(self, key: str) -> Any:
        """A value of whatever kind, or None."""
        self._asked[key] = None
        return self._values.get(key)

    def get(self, key: str, kind: type[T]) -> T | None:
        """A value, or None where it is absent or of another kind."""
        value = self.any(key)
        if value is None:
            return None
        # In Python a bool is an integer, and an integer may stand for a float.
        wanted = (int, float) if kind is float else kind
        if isinstance(value, wanted) and (kind is bool or not isinstance(value, bool)):
            return cast("T", value)
        found = next((words for k, words in _KINDS.items() if type(value) is k), "a time")
        self.fault(key, f"must be {_KINDS[kind]}, and is {found}")
        return None

    def require(self, key: str, kind: type[T], default: T) -> T:
        """A value that must be there; the default only lets the reading go on."""
        if key not in self:
            self.any(key)
            self.fault(key, "is missing")
        value = self.get(key, kind)
        return default if value is None else value

    def one_of(self, key: str, choices: Iterable[str]) -> str | None:
        """A text that is one of a few."""
        value, listed = self.get(key, str), [*choices]
        if value is not None and value not in listed:
            self.fault(key, f"must be one of {', '.join(map(repr, listed))}, not {value!r}")
            return None
        return value

    def table(self, key: str) -> "TomlTable | None":
        """A table in the table."""
        value = self.get(key, TABLE)
        return None if value is None else TomlTable(value, self.at(key), self.faults)

    def tables(self, key: str) -> Iterator[tuple[str, "TomlTable"]]:
        """The named tables in a table."""
        inner = self.table(key)
        if inner is None:
            return
        for name in inner:
            found = inner.table(name)
            if found is not None:
                yield name, found
                found.end()

    def end(self) -> None:
        """Notes the keys that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                where = f"in {self.place}" if self.place else "at the top"
                self.faults.append(
                    f"{self.at(key)} is unknown; the keys {where} are {', '.join(self._asked)}"
                )

    def build(self, make: Callable[..., T], **arguments: Any) -> T | None:
        """A value of those arguments that are not None; its own faults become the file's."""
        try:
            return make(**{key: value for key, value in arguments.items() if value is not None})
        except ConfigurationError as error:
            self.faults.extend(f"{self.place}: {fault}" for fault in error.faults)
            return None
