"""What happened in a cohort: who entered and exited when, and how many."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import overload

from attrs import field, frozen

from .._html import html_table
from ..format.columns import Row
from ..format.filename import DiffType
from .tables import ArrowTable, CellType, RowTable, ValueTable, value_table


@frozen
class MembershipEvent:
    """One user entering or exiting. The repr does not name the user.

    Attributes:
        synced_at: The sync at which it shows.
        diff_type: ``ENTERING`` or ``EXITING``.
        row: The user's cells, in the order of the history's columns: at exits, those of before.
        derived: Whether no file says so, and the syncs around it do.
    """

    synced_at: datetime
    diff_type: DiffType
    row: Row = field(repr=False)
    derived: bool = False


@frozen(kw_only=True)
class Churn:
    """How one sync changed the cohort.

    Attributes:
        synced_at: The sync.
        members: How many there are after it.
        entered: How many came.
        exited: How many left.
        returned: How many of those who came had left before, in the known history.
    """

    synced_at: datetime
    members: int
    entered: int
    exited: int
    returned: int

    @property
    def members_before(self) -> int:
        """How many there were before it."""
        return self.members - self.entered + self.exited

    @property
    def entry_rate(self) -> float:
        """Who came, as a share of those who are there now; 0 where nobody is."""
        return self.entered / self.members if self.members else 0.0

    @property
    def exit_rate(self) -> float:
        """Who left, as a share of those who were there before; 0 where nobody was."""
        return self.exited / self.members_before if self.members_before else 0.0


MOST_CHURNS = 100
"""How many syncs a notebook shows of a churn: the newest."""

_CHURN_COLUMNS: dict[str, CellType] = {
    "synced_at": "timestamp",
    **dict.fromkeys(("members", "entered", "exited", "returned"), "integer"),
}


def _as_tuple(churns: Iterable[Churn]) -> tuple[Churn, ...]:
    return tuple(churns)


def _count(churns: Sequence[Churn]) -> str:
    return f"<{len(churns)}: {', '.join(_CHURN_COLUMNS)}>"


def _cells(churn: Churn) -> tuple[datetime, int, int, int, int]:
    return churn.synced_at, churn.members, churn.entered, churn.exited, churn.returned


@frozen
class ChurnTable(ArrowTable, Sequence[Churn]):
    """One ``Churn`` for each sync, oldest first; and the same as a data frame.

    The repr counts; a notebook shows the newest hundred.

    Attributes:
        syncs: The entries.
    """

    syncs: Sequence[Churn] = field(converter=_as_tuple, repr=_count)

    def __len__(self) -> int:
        return len(self.syncs)

    @overload
    def __getitem__(self, index: int, /) -> Churn: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[Churn]: ...
    def __getitem__(self, index: int | slice, /) -> Churn | Sequence[Churn]:
        return self.syncs[index]

    def to_list(self) -> list[Churn]:
        """All entries."""
        return list(self.syncs)

    def _repr_html_(self) -> str:
        shown = self.syncs[-MOST_CHURNS:]
        newest = f", the newest {len(shown)}" if len(shown) < len(self) else ""
        title = f"churn of {len(self):,} syncs{newest}"
        return html_table(title, tuple(_CHURN_COLUMNS), map(_cells, shown))

    @property
    def _table(self) -> RowTable:
        return RowTable(columns=_CHURN_COLUMNS, rows=lambda: map(_cells, self.syncs))


def event_table(
    events: Callable[[], Iterator[MembershipEvent]], columns: Callable[[], Sequence[str]]
) -> ValueTable[MembershipEvent]:
    """Events, and the same as a data frame.

    Args:
        events: Gives them from their start.
        columns: The names of the cells of their rows.
    """
    return value_table(
        MembershipEvent,
        events,
        {"synced_at": "timestamp", "diff_type": "text"},
        columns,
        lambda event: (event.synced_at, event.diff_type.value, *event.row),
    )
