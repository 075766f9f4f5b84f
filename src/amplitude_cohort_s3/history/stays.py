"""From changes to stays: who was a member from when to when."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import IntEnum

from attrs import field, frozen

from ..format.columns import Row
from ._external_sort import group_by_first
from .tables import ValueTable, value_table


class ChangeKind(IntEnum):
    """What a file says of a member; at one sync, in the order in which it is applied."""

    EXITED = 0
    ENTERED = 1
    PRESENT = 2


Change = tuple[bytes, int, int, Row]
"""The key in UTF-8, the number of the sync in the history, the ``ChangeKind``, the row."""


@frozen(kw_only=True)
class Stay:
    """One time that one user was a member. The repr does not name the user.

    Attributes:
        entered: The sync at which the user entered; None where that was before the
            first sync that is known.
        exited: The first sync at which the user was gone, so the end is exclusive;
            None for those who are members still.
        row: The user's newest known cells in this stay, in the order of ``columns``.
        columns: The names of the cells.
    """

    entered: datetime | None
    exited: datetime | None
    row: Row = field(repr=False)
    columns: tuple[str, ...]


def stay_table(
    stays: Callable[[], Iterator[Stay]], columns: Callable[[], Sequence[str]]
) -> ValueTable[Stay]:
    """Stays, and the same as a data frame.

    Args:
        stays: Gives them from their start.
        columns: The names of the cells of their rows.
    """
    return value_table(
        Stay,
        stays,
        {"entered": "timestamp", "exited": "timestamp"},
        columns,
        lambda stay: (stay.entered, stay.exited, *stay.row),
    )


@frozen(kw_only=True)
class NumberedStay:
    """A stay by the numbers of the syncs in a history: see ``Stay``."""

    entered: int | None
    exited: int | None
    row: Row
    is_return: bool


def stays_of(changes: Iterable[Change]) -> Iterator[NumberedStay]:
    """The stays that changes tell, a returning user's one after the other.

    Args:
        changes: In order.
    """
    for same_key in group_by_first(changes):
        yield from _stays_of_one(same_key)


def _stays_of_one(changes: Sequence[Change]) -> Iterator[NumberedStay]:
    inside = left = False
    entered: int | None = None
    row: Row = ()
    for _, number, kind, cells in changes:
        if kind == ChangeKind.EXITED:
            # Who leaves without having entered was there before the first known sync.
            if inside or not left:
                yield NumberedStay(entered=entered, exited=number, row=cells, is_return=left)
            inside, left, entered = False, True, None
        elif not inside:
            inside, row = True, cells
            entered = number if kind == ChangeKind.ENTERED or left else None
        else:
            row = cells
    if inside:
        yield NumberedStay(entered=entered, exited=None, row=row, is_return=left)
