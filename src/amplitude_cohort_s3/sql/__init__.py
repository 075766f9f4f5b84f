"""Histories in databases and warehouses. Needs the extra ``sql``, except for the SQL text."""

from typing import TYPE_CHECKING

from .._optional import exports_on_demand
from .warehouses import manifests, statements

if TYPE_CHECKING:
    from .apply_history import apply
    from .report import AppliedSync, ApplyReport, OnApplied

__all__ = [
    "AppliedSync",
    "ApplyReport",
    "OnApplied",
    "apply",
    "manifests",
    "statements",
]

# They need SQLAlchemy.
__getattr__ = exports_on_demand(
    __name__,
    {
        "apply": ".apply_history",
        "AppliedSync": ".report",
        "ApplyReport": ".report",
        "OnApplied": ".report",
    },
    requires=("sqlalchemy", "sql"),
)
