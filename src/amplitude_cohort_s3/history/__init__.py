"""The history of a stream: its members at any time, and their changes."""

from typing import TYPE_CHECKING

from .._optional import exports_on_demand
from .members import Members

if TYPE_CHECKING:
    from .archives import UnpackedArchive, unpack_archive
    from .cohort_overlap import Overlap, OverlapGroup, overlap
    from .events import Churn, ChurnTable, MembershipEvent
    from .findings import Finding, FindingKind, Findings
    from .history import CohortHistory
    from .meanings import detect_existing_meaning
    from .property_changes import PropertyChange
    from .read import list_streams, read_history
    from .report.report import HistoryReport
    from .runs import RunTable, SyncRun
    from .stays import Stay
    from .tables import ValueTable
    from .window import Window

__all__ = [
    "Churn",
    "ChurnTable",
    "CohortHistory",
    "Finding",
    "FindingKind",
    "Findings",
    "HistoryReport",
    "Members",
    "MembershipEvent",
    "Overlap",
    "OverlapGroup",
    "PropertyChange",
    "RunTable",
    "Stay",
    "SyncRun",
    "UnpackedArchive",
    "ValueTable",
    "Window",
    "detect_existing_meaning",
    "list_streams",
    "overlap",
    "read_history",
    "unpack_archive",
]

# A sync needs only the members. Importing all modules takes 60 ms more.
__getattr__ = exports_on_demand(
    __name__,
    {
        "Churn": ".events",
        "ChurnTable": ".events",
        "CohortHistory": ".history",
        "Finding": ".findings",
        "FindingKind": ".findings",
        "Findings": ".findings",
        "HistoryReport": ".report.report",
        "MembershipEvent": ".events",
        "Overlap": ".cohort_overlap",
        "OverlapGroup": ".cohort_overlap",
        "PropertyChange": ".property_changes",
        "RunTable": ".runs",
        "Stay": ".stays",
        "SyncRun": ".runs",
        "UnpackedArchive": ".archives",
        "ValueTable": ".tables",
        "Window": ".window",
        "detect_existing_meaning": ".meanings",
        "list_streams": ".read",
        "overlap": ".cohort_overlap",
        "read_history": ".read",
        "unpack_archive": ".archives",
    },
)
