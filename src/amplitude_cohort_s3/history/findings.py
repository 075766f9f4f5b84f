"""The findings of a verification."""

from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from typing import Self

from attrs import frozen

from .._display import counted, html_table, short_repr


class FindingKind(Enum):
    """The kinds of faults that ``verify`` can find."""

    MISSING_FILE = "a file is missing"
    """The detail says whether its content follows from the syncs around it. A file that
    ``prune`` removed, as the log shows, is not missing."""
    REMOVED_FILE = "a file is there, although the log shows that it was removed"
    DUPLICATE_FILE = "two files have names with the same meaning"
    EDITED_FILE = "a file differs from its record"
    UNREADABLE_FILE = "a file cannot be read"
    ROWS_WITHOUT_KEY = "rows lack a value in the column that members are matched by"
    """These rows do not belong to a member. The count is their number."""
    DUPLICATE_KEY = "a user has different rows in one file"
    """The smallest row counts. Identical rows count once and are not a fault."""
    ENTERED_TWICE = "a user who was already a member enters"
    EXITED_UNSEEN = "a user who was not a member exits"
    LOST_MEMBER = "a member disappeared without exiting"
    UNEXPLAINED_MEMBER = "a member appeared without entering"
    MEANING_BROKEN = "existing does not have the recorded meaning"
    WRONG_RECORD = "a record contradicts its files or itself"
    BROKEN_CHAIN = "a record does not follow the one before it"
    DAMAGED_LOG = "an entry of the log is missing or damaged"
    """The values of the entry are not checked."""
    UNLOGGED_SYNC = "a sync is not in the log, which covers its time"
    LEFTOVER = "a void sync left files"
    INCOMPLETE_SYNC = "a sync lacks files and is not in the log"
    UNFINISHED_SYNC = "a recorded sync has no outcome yet"
    UNFINISHED_AMENDMENT = "a forget or prune is unfinished; recover completes it"


@frozen(kw_only=True, repr=False)
class Finding:
    """One fault in a history. It counts users and does not name them.

    Attributes:
        kind: The kind of fault.
        synced_at: The time of the sync at which it appears; None if the entry of the log with
            this time can't be read.
        key: The key of the object concerned, if it is one object.
        count: The number of users, rows or files concerned.
        detail: More information, as a text.
    """

    kind: FindingKind
    synced_at: datetime | None
    key: str | None = None
    count: int = 1
    detail: str = ""

    __repr__ = short_repr

    def __str__(self) -> str:
        """Return the finding as one line."""
        when = "unknown time" if self.synced_at is None else f"{self.synced_at:%Y-%m-%d %H:%M:%S}"
        where = f" in {self.key}" if self.key is not None else ""
        more = f" ({self.detail})" if self.detail else ""
        return f"{when}: {self.kind.value}{where}, {self.count}x{more}"


class Findings(tuple[Finding, ...]):  # noqa: SLOT001 -- a tuple can't have slots with values
    """The findings of a verification: a tuple, which is printed with one line for each.

    It is empty, and equal to ``()``, if there is no fault.

    Attributes:
        syncs: The number of syncs that were verified.
    """

    syncs: int

    def __new__(cls, findings: Iterable[Finding], syncs: int) -> Self:
        """Return the findings of a number of syncs."""
        made = super().__new__(cls, findings)
        made.syncs = syncs
        return made

    def __getnewargs__(self) -> tuple[tuple[Finding, ...], int]:
        return tuple(self), self.syncs

    def __str__(self) -> str:
        return "\n".join([self._title, *map(str, self)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{self._title}>)"

    def _repr_html_(self) -> str:
        if not self:
            return html_table(self._title, (), ())
        rows = [
            (one.synced_at or "-", one.kind.value, one.count, one.key or "-", one.detail)
            for one in self
        ]
        return html_table(self._title, ("sync", "finding", "count", "key", "detail"), rows)

    @property
    def _title(self) -> str:
        number = counted(len(self), "finding") if self else "no findings"
        return f"{number} in {counted(self.syncs, 'sync')}"
