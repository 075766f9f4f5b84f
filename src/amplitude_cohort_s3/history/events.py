"""Changes of a cohort: the users who entered and exited, and their numbers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from attrs import field, frozen

from .._display import short_repr
from ..format.columns import Row
from ..format.filename import DiffType
from ..format.named_rows import ColumnType, NamedRow, TableRow, names_beside
from ._sync_table import SyncTable

EVENT_COLUMNS: Mapping[str, ColumnType] = {"synced_at": "timestamp", "diff_type": "text"}
"""The columns of events that come before the user's cells."""

CHURN_COLUMNS: Mapping[str, ColumnType] = {
    "synced_at": "timestamp",
    **dict.fromkeys(("members", "entered", "exited", "returned", "changed"), "integer"),
}
"""The columns of the table of all syncs."""


@frozen(repr=False)
class MembershipEvent(NamedRow):
    """One user entering or exiting. The repr does not show the user.

    It is also a row of the table of events: ``event["plan"]`` is a cell of the user.

    Attributes:
        synced_at: The time of the sync.
        diff_type: ``ENTERING`` or ``EXITING``.
        row: The user's cells; at exits, the cells from before.
        derived: True if no file lists the change, so it was computed as the difference of
            the members at this sync and at the one before.
        columns: The names of the cells.
    """

    synced_at: datetime
    diff_type: DiffType
    row: Row = field(repr=False)
    derived: bool = False
    columns: tuple[str, ...] = field(default=(), repr=False)

    __repr__ = short_repr

    @property
    def _fields(self) -> tuple[str, ...]:
        return names_beside(tuple(EVENT_COLUMNS), self.columns)

    @property
    def _cells(self) -> TableRow:
        return (self.synced_at, self.diff_type.value, *self.row)


@frozen(kw_only=True, repr=False)
class Churn(NamedRow):
    """The changes of one sync, in numbers; also a row of the table of all syncs.

    Attributes:
        synced_at: The time of the sync.
        members: The number of members after it.
        entered: The number of users who entered.
        exited: The number of users who exited.
        returned: The number of users who entered and had exited earlier in this history.
        changed: The number of members who stayed with other properties, if the record states it.
    """

    synced_at: datetime
    members: int
    entered: int
    exited: int
    returned: int
    changed: int | None = None

    __repr__ = short_repr

    @property
    def _fields(self) -> tuple[str, ...]:
        return tuple(CHURN_COLUMNS)

    @property
    def _cells(self) -> TableRow:
        return tuple([getattr(self, name) for name in CHURN_COLUMNS])

    @property
    def members_before(self) -> int:
        """The number of members before the sync."""
        return self.members - self.entered + self.exited

    @property
    def entry_rate(self) -> float:
        """The share of the members who entered at this sync; 0 without members."""
        return self.entered / self.members if self.members else 0.0

    @property
    def exit_rate(self) -> float:
        """The share of the members before who exited at this sync; 0 without such members."""
        return self.exited / self.members_before if self.members_before else 0.0


@frozen(repr=False)
class ChurnTable(SyncTable[Churn]):
    """One ``Churn`` for each sync, oldest first; also a data frame. A slice is such a table too.

    The repr shows the number of syncs, the text all of them, and a notebook the newest hundred.

    Attributes:
        syncs: The entries.
    """

    _title: ClassVar[str] = "churn"

    def _columns(self) -> Mapping[str, ColumnType]:
        return CHURN_COLUMNS

    def _shown_columns(self) -> Sequence[str]:
        return tuple(CHURN_COLUMNS)

    def _shown_cells(self, sync: Churn) -> Sequence[object]:
        return sync
