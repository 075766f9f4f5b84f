"""Stays: the times from which to which users were members, computed from changes."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import IntEnum
from itertools import groupby
from operator import itemgetter

from attrs import field, frozen

from ..format.columns import Row


class ChangeKind(IntEnum):
    """The statement of a file about a user, in the order in which one sync's apply."""

    EXITED = 0
    ENTERED = 1
    PRESENT = 2


Change = tuple[bytes, int, ChangeKind, Row]
"""The key in UTF-8, the number of the sync in the history, the kind, the user's row."""


@frozen(kw_only=True)
class Stay:
    """One uninterrupted time for which one user was a member. The repr does not show the user.

    Attributes:
        entered: The time of the sync at which the user entered; None if the user was
            already a member at the first known sync.
        exited: The time of the first sync without the user, so the end is exclusive;
            None for current members.
        row: The newest cells of the user that are known from this stay.
        columns: The names of the cells.
    """

    entered: datetime | None
    exited: datetime | None
    row: Row = field(repr=False)
    columns: tuple[str, ...]


@frozen(kw_only=True)
class NumberedStay:
    """A stay between numbers of syncs instead of times; ``is_return`` if it is not the first."""

    entered: int | None
    exited: int | None
    row: Row
    is_return: bool


def stays_of(changes: Iterable[Change]) -> Iterator[NumberedStay]:
    """Yield the stays that result from changes; those of one user follow each other.

    Args:
        changes: All changes, sorted.
    """
    for _, of_one_user in groupby(changes, key=itemgetter(0)):
        yield from _stays_of_one_user(of_one_user)


def _stays_of_one_user(changes: Iterable[Change]) -> Iterator[NumberedStay]:
    is_member = has_left = False
    entered: int | None = None
    row: Row = ()
    for _, number, kind, cells in changes:
        if kind == ChangeKind.EXITED:
            # An exit without an entry: the user was a member before the first known sync.
            if is_member or not has_left:
                yield NumberedStay(entered=entered, exited=number, row=cells, is_return=has_left)
            is_member, has_left, entered = False, True, None
        elif not is_member:
            is_member, row = True, cells
            entered = number if kind == ChangeKind.ENTERED or has_left else None
        else:
            row = cells
    if is_member:
        yield NumberedStay(entered=entered, exited=None, row=row, is_return=has_left)
