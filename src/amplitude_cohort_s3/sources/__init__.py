"""Sources of members: files, tables, Python rows and Amplitude."""

from .file_set import MemberFiles
from .files import MemberFile
from .protocol import CsvSource, MemberSource, SupportsArrow, SupportsCsv, SupportsUnchanged
from .selection import Selection, select

__all__ = [
    "CsvSource",
    "MemberFile",
    "MemberFiles",
    "MemberSource",
    "Selection",
    "SupportsArrow",
    "SupportsCsv",
    "SupportsUnchanged",
    "select",
]
