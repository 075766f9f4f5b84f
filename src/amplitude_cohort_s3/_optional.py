"""Packages that are used where they are installed and never required."""

from importlib import import_module
from typing import Any

from .errors import MissingExtraError


def load(module: str, extra: str | None = None) -> Any:
    """A module of another package, imported when it is needed.

    Args:
        module: Its name.
        extra: The extra of ours that brings its package, if one does.

    Raises:
        MissingExtraError: It is not installed.

    >>> load("json").dumps([1])
    '[1]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(module.partition(".")[0], extra) from error
