"""The history of a stream: its members at any time, and their changes."""

from .archives import UnpackedArchive, unpack_archive
from .events import Churn, ChurnTable, MembershipEvent
from .findings import Finding, FindingKind
from .history import CohortHistory, detect_existing_meaning
from .members import Members
from .read import list_streams, read_history
from .stays import Stay
from .tables import ValueTable
from .window import Window

__all__ = [
    "Churn",
    "ChurnTable",
    "CohortHistory",
    "Finding",
    "FindingKind",
    "Members",
    "MembershipEvent",
    "Stay",
    "UnpackedArchive",
    "ValueTable",
    "Window",
    "detect_existing_meaning",
    "list_streams",
    "read_history",
    "unpack_archive",
]
