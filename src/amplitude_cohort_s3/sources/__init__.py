"""Sources of members: files, tables, Python rows and Amplitude."""

from .file_set import MemberFiles
from .files import MemberFile
from .protocol import CsvSource, MemberSource, SupportsArrow, SupportsCsv, SupportsUnchanged

__all__ = [
    "CsvSource",
    "MemberFile",
    "MemberFiles",
    "MemberSource",
    "SupportsArrow",
    "SupportsCsv",
    "SupportsUnchanged",
]
