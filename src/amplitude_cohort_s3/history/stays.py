"""Stays: the periods in which users were members, computed from changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from itertools import groupby, islice
from operator import itemgetter
from typing import Self

from attrs import field, frozen

from .._display import short_repr
from ..format.columns import Row
from ..format.named_rows import ColumnType, NamedRow, TableRow, names_beside


class ChangeKind(IntEnum):
    """The change of a user that a file shows, in the order in which those of one sync apply."""

    EXITED = 0
    ENTERED = 1
    PRESENT = 2


Change = tuple[bytes, int, ChangeKind, Row]
"""The key in UTF-8, the number of the sync in the history, the kind, the user's row."""


STAY_COLUMNS: Mapping[str, ColumnType] = {"entered": "timestamp", "exited": "timestamp"}
"""The columns of stays that come before the user's cells."""


@frozen(kw_only=True, repr=False)
class Stay(NamedRow):
    """An uninterrupted period in which one user was a member. The repr does not show the user.

    It is also a row of the table of stays: ``stay["plan"]`` is a cell of the user.

    Attributes:
        entered: The time of the sync at which the user entered; None if the user was
            already a member at the first known sync.
        exited: The time of the first sync without the user, so the end is exclusive;
            None for current members.
        row: The newest cells of the user that are known from this stay. A property that a
            later sync no longer had keeps the last value that was known.
        columns: The names of the cells.
    """

    entered: datetime | None
    exited: datetime | None
    row: Row = field(repr=False)
    columns: tuple[str, ...] = field(repr=False)

    __repr__ = short_repr

    @property
    def _fields(self) -> tuple[str, ...]:
        return names_beside(tuple(STAY_COLUMNS), self.columns)

    @property
    def _cells(self) -> TableRow:
        return (self.entered, self.exited, *self.row)


@frozen(kw_only=True)
class NumberedStay:
    """A stay with numbers of syncs as its times; ``is_return`` if it is not the user's first."""

    entered: int | None
    exited: int | None
    row: Row
    is_return: bool


@frozen
class RowMerge:
    """Combines the rows of one stay into the newest known cells.

    Attributes:
        has_cells: For each sync, True for each column that the sync has; empty if all syncs
            have the same columns.
    """

    has_cells: Sequence[tuple[bool, ...]]

    @classmethod
    def of(cls, columns_at: Sequence[frozenset[str]], columns: Sequence[str]) -> Self:
        """Return the merge for syncs with these columns, and rows with those."""
        if len(set(columns_at)) <= 1:
            return cls(())
        return cls([tuple([name in has for name in columns]) for has in columns_at])

    def shows_all(self, number: int, kind: ChangeKind) -> bool:
        """Return True if a change shows all cells, so that no earlier ones are needed.

        Args:
            number: The number of the change's sync.
            kind: The kind of the change.
        """
        return not self.has_cells or all(map(all, self._columns_of(number, kind)))

    def newer(self, number: int, kind: ChangeKind, known: Row, cells: Row) -> Row:
        """Return the newest known cells of a stay.

        An empty cell counts only if the sync has the column.

        Args:
            number: The number of the change's sync.
            kind: The kind of the change.
            known: The cells that are known from earlier changes.
            cells: The cells of the change.
        """
        if not self.has_cells:
            return cells
        has, before = self._columns_of(number, kind)
        return tuple(
            [
                cell if cell or (now and then) else old
                for old, cell, now, then in zip(known, cells, has, before, strict=True)
            ]
        )

    def _columns_of(
        self, number: int, kind: ChangeKind
    ) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
        """Return the columns of a change's sync, and those that its cells must have too.

        The cells of ``exiting`` are from the sync before.
        """
        has = self.has_cells[number]
        return has, self.has_cells[number - 1] if kind == ChangeKind.EXITED and number else has


def snapshots_to_show(snapshots: Sequence[int], columns_at: Sequence[frozenset[str]]) -> list[int]:
    """Return the snapshots from which the newest cells of all stays are known.

    They are the newest one and, for each sync that dropped a column, the last one before it.

    Args:
        snapshots: The numbers of the syncs whose files show all members.
        columns_at: The columns of each sync.

    >>> with_plan, without = frozenset({"user_id", "plan"}), frozenset({"user_id"})
    >>> snapshots_to_show(range(4), [with_plan, with_plan, without, without])
    [1, 3]
    """
    shown = set(snapshots[-1:])
    for number in range(1, len(columns_at)):
        for dropped in columns_at[number - 1] - columns_at[number]:
            earlier = (n for n in reversed(snapshots) if n < number and dropped in columns_at[n])
            shown.update(islice(earlier, 1))
    return sorted(shown)


def stays_of(changes: Iterable[Change], merge: RowMerge) -> Iterator[NumberedStay]:
    """Yield the stays that result from changes; those of one user follow each other.

    Args:
        changes: All changes, sorted.
        merge: Combines the rows of one stay.
    """
    for _, of_one_user in groupby(changes, key=itemgetter(0)):
        yield from _stays_of_one_user(of_one_user, merge)


def _stays_of_one_user(changes: Iterable[Change], merge: RowMerge) -> Iterator[NumberedStay]:
    is_member = has_left = False
    entered: int | None = None
    row: Row = ()
    for _, number, kind, cells in changes:
        row = merge.newer(number, kind, row, cells) if is_member else cells
        if kind == ChangeKind.EXITED:
            # An exit without an entry: the user was a member before the first known sync.
            if is_member or not has_left:
                yield NumberedStay(entered=entered, exited=number, row=row, is_return=has_left)
            is_member, has_left, entered = False, True, None
        elif not is_member:
            is_member = True
            entered = number if kind == ChangeKind.ENTERED or has_left else None
    if is_member:
        yield NumberedStay(entered=entered, exited=None, row=row, is_return=has_left)
