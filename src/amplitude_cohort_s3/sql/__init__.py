"""Histories in databases and warehouses. ``apply`` needs the extra ``sql``."""

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

# These names are imported on demand: they need SQLAlchemy.
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
