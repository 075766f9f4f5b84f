"""Changes of a cohort: the users who entered and exited, and their numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, overload

from attrs import field, frozen

from .._display import counted, html_table
from ..format.columns import Row
from ..format.filename import DiffType
from .tables import ArrowTable, ColumnType, row_batches


@frozen
class MembershipEvent:
    """One user entering or exiting. The repr does not show the user.

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


@frozen(kw_only=True)
class Churn:
    """The changes of one sync, in numbers.

    Attributes:
        synced_at: The time of the sync.
        members: The number of members after it.
        entered: The number of users who entered.
        exited: The number of users who exited.
        returned: The number of users who entered and had exited earlier in this history.
    """

    synced_at: datetime
    members: int
    entered: int
    exited: int
    returned: int

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

_COLUMNS: dict[str, ColumnType] = {
    "synced_at": "timestamp",
    **dict.fromkeys(("members", "entered", "exited", "returned"), "integer"),
}

_table_row = attrgetter(*_COLUMNS)


def _as_tuple(churns: Iterable[Churn]) -> tuple[Churn, ...]:
    return tuple(churns)


def _summary(churns: Sequence[Churn]) -> str:
    return f"<{len(churns)}: {', '.join(_COLUMNS)}>"


@frozen
class ChurnTable(ArrowTable, Sequence[Churn]):
    """One ``Churn`` for each sync, oldest first; also a data frame.

    The repr shows the number of syncs; a notebook shows the newest hundred.

    Attributes:
        syncs: The entries.
    """

    syncs: Sequence[Churn] = field(converter=_as_tuple, repr=_summary)

    def __len__(self) -> int:
        return len(self.syncs)

    @overload
    def __getitem__(self, index: int, /) -> Churn: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[Churn]: ...
    def __getitem__(self, index: int | slice, /) -> Churn | Sequence[Churn]:
        return self.syncs[index]

    def to_list(self) -> list[Churn]:
        """Return all entries."""
        return list(self.syncs)

    def _repr_html_(self) -> str:
        shown = self.syncs[-MAX_CHURNS:]
        newest = f", the newest {len(shown)}" if len(shown) < len(self) else ""
        title = f"churn of {counted(len(self), 'sync')}{newest}"
        return html_table(title, tuple(_COLUMNS), map(_table_row, shown))

    def _columns(self) -> Mapping[str, ColumnType]:
        return _COLUMNS

    def _batches(self, schema: Any) -> Iterator[Any]:
        return row_batches(map(_table_row, self.syncs), schema)
