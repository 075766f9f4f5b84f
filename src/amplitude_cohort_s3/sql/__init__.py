"""Histories in databases and warehouses. Needs the extra ``sql``, but for ``statements``."""

from typing import TYPE_CHECKING, Any

from .._optional import load
from .warehouses import manifests, statements

if TYPE_CHECKING:
    from .apply_history import AppliedSync, ApplyReport, OnApplied, apply

_ON_DEMAND = ("AppliedSync", "ApplyReport", "OnApplied", "apply")

__all__ = ["AppliedSync", "ApplyReport", "OnApplied", "apply", "manifests", "statements"]


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    load("sqlalchemy", "sql")
    from . import apply_history  # noqa: PLC0415 -- it builds on SQLAlchemy

    return getattr(apply_history, name)


def __dir__() -> list[str]:
    return __all__
