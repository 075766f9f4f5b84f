"""Changes of a cohort: the users who entered and exited, and their numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self, overload

from attrs import field, frozen

from .._display import html_table, newest_of, short_repr, text_table
from ..format.columns import Row
from ..format.filename import DiffType
from ..format.named_rows import ColumnType, NamedRow, TableRow, names_beside
from .tables import RowTable, row_batches

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


MAX_CHURNS = 100
"""The number of syncs that a notebook shows of a churn: the newest ones."""


def _as_tuple(churns: Iterable[Churn]) -> tuple[Churn, ...]:
    return tuple(churns)


def _summary(churns: Sequence[Churn]) -> str:
    return f"<{len(churns)}: {', '.join(CHURN_COLUMNS)}>"


# It is not declared as a Sequence: polars.DataFrame would not look for Arrow then.
@frozen
class ChurnTable(RowTable[Churn]):
    """One ``Churn`` for each sync, oldest first; also a data frame. A slice is such a table too.

    The repr shows the number of syncs, the text all of them, and a notebook the newest hundred.

    Attributes:
        syncs: The entries.
    """

    syncs: Sequence[Churn] = field(converter=_as_tuple, repr=_summary)

    def __len__(self) -> int:
        return len(self.syncs)

    def __iter__(self) -> Iterator[Churn]:
        return iter(self.syncs)

    @overload
    def __getitem__(self, index: int, /) -> Churn: ...
    @overload
    def __getitem__(self, index: slice, /) -> Self: ...
    def __getitem__(self, index: int | slice, /) -> Churn | Self:
        found = self.syncs[index]
        return found if isinstance(found, Churn) else type(self)(found)

    def __str__(self) -> str:
        return text_table(tuple(CHURN_COLUMNS), self.syncs)

    def _repr_html_(self) -> str:
        shown = self.syncs[-MAX_CHURNS:]
        return html_table(
            f"churn: {newest_of(len(shown), len(self), 'sync')}", tuple(CHURN_COLUMNS), shown
        )

    def _known_length(self) -> int:
        return len(self.syncs)

    def _columns(self) -> Mapping[str, ColumnType]:
        return CHURN_COLUMNS

    def _batches(self, schema: Any) -> Iterator[Any]:
        return row_batches(self.syncs, schema)
