"""The file format: file names, columns, rows and their canonical bytes."""

from .columns import ID_COLUMNS, Row
from .content import FileContent
from .existing_meaning import ExistingMeaning
from .filename import CohortFileName, DiffType, NameStyle
from .kernel import kernel_state
from .member import Member, MemberLike
from .named_rows import MemberRow
from .reader import Table, read_table
from .schema import RowSchema

__all__ = [
    "ID_COLUMNS",
    "CohortFileName",
    "DiffType",
    "ExistingMeaning",
    "FileContent",
    "Member",
    "MemberLike",
    "MemberRow",
    "NameStyle",
    "Row",
    "RowSchema",
    "Table",
    "kernel_state",
    "read_table",
]
