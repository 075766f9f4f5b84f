"""The report of a history: one HTML file about the size, the changes and the runs of a cohort."""

from .report import HistoryReport

__all__ = [
    "HistoryReport",
]
