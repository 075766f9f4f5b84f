"""Imports of optional packages."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .errors import MissingExtraError


def load(module: str, extra: str | None = None) -> Any:
    """Import and return a module of an optional package.

    Args:
        module: The module's full name.
        extra: The extra of this library that installs the package, if there is one.

    Raises:
        MissingExtraError: The package is not installed.

    >>> load("json").dumps([1])
    '[1]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(module.partition(".")[0], extra) from error


def exports_on_demand(
    package: str, modules: Mapping[str, str], *, requires: tuple[str, str] | None = None
) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that imports some of its exports when they are used.

    Args:
        package: The module's ``__name__``.
        modules: The relative module that defines each name.
        requires: A module of another package that these names need, and the extra that
            installs it.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if requires is not None:
            load(*requires)
        return getattr(import_module(modules[name], package), name)

    return get
