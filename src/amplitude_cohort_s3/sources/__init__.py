"""Sources of members: files, tables, Python rows and Amplitude."""

from .files import MemberFile
from .protocol import CsvSource, MemberSource, SupportsArrow, SupportsCsv, SupportsUnchanged

__all__ = [
    "CsvSource",
    "MemberFile",
    "MemberSource",
    "SupportsArrow",
    "SupportsCsv",
    "SupportsUnchanged",
]
