"""The merge of sorted rows into stays in Python, for one round: see :mod:`._stay_lines`.

Each key has a path: the list of the sides that it was found on so far. There are few different
paths, and the stays that follow from a path are computed once, so a row takes little time.
"""

from array import array
from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from ..format.cells import encode_lines, encode_text
from ..format.columns import Row
from ..format.csv_blocks import split_record
from ._key_blocks import count_until
from .stays import ChangeKind, RowMerge


class Side(Protocol):
    """The changes of one kind at one sync."""

    @property
    def number(self) -> int:
        """The number of the sync."""
        ...

    @property
    def kind(self) -> ChangeKind:
        """The kind of change."""
        ...


@frozen
class KeyedLines:
    """The rows of a side: their keys in order, and their lines without the line end."""

    keys: list[str]
    lines: list[str]

    def without_keyless(self) -> "KeyedLines":
        """Return the rows that have a key, since the others are not members."""
        if "" not in self.keys:
            return self
        rows = [row for row in zip(self.keys, self.lines, strict=True) if row[0]]
        return KeyedLines([key for key, _ in rows], [line for _, line in rows])

    def split_after(self, key: str | None) -> tuple["KeyedLines", "KeyedLines"]:
        """Return the rows up to a key, or all for None; and the other rows."""
        count = len(self.keys) if key is None else count_until(self.keys, key)
        return (
            KeyedLines(self.keys[:count], self.lines[:count]),
            KeyedLines(self.keys[count:], self.lines[count:]),
        )


def stays_of_round(
    rows: Sequence[KeyedLines], sides: Sequence[Side], merge: RowMerge
) -> tuple[bytes, "array[int]", "array[int]"]:
    """Return the stays of all users on some sides: see ``StayLines``.

    Args:
        rows: The rows of each side.
        sides: The sides, in the order of the numbers and the kinds.
        merge: The rule that combines the rows of one stay.
    """
    begin = _Path(sides, merge)
    path_of = dict[str, _Path]()
    for side, of_side in enumerate(rows):
        if path_of:
            known = path_of.get
            for key in of_side.keys:
                path_of[key] = known(key, begin)[side]
        elif of_side.keys:
            path_of = dict.fromkeys(of_side.keys, begin[side])
    distinct = dict(zip(map(id, path_of.values()), path_of.values(), strict=True)).values()
    shown = {side for path in distinct for stay in path.stays for side in stay[2]}
    line_of = {side: dict(zip(rows[side].keys, rows[side].lines, strict=True)) for side in shown}
    lines, entered, exited = list[str](), array("I"), array("I")
    for key in sorted(path_of):
        for begun, ended, of_stay in path_of[key].stays:
            entered.append(begun)
            exited.append(ended)
            if len(of_stay) == 1:
                lines.append(line_of[of_stay[0]][key])
            else:
                found = [(sides[side], line_of[side][key]) for side in of_stay]
                lines.append(_newest_line(found, merge))
    return encode_lines(lines), entered, exited


def _newest_line(found: Sequence[tuple[Side, str]], merge: RowMerge) -> str:
    """Return the line of the newest known cells of a stay, from its lines."""
    known: Row = ()
    for side, line in found:
        cells = tuple(split_record(line, 1))
        known = merge.newer(side.number, side.kind, known, cells) if known else cells
    return encode_text(known).removesuffix("\n")


class _Path(dict[int, "_Path"]):
    """The sides that a user was found on, and the stays that follow. Its items are longer paths.

    Attributes:
        stays: For each stay, 1 more than the numbers of the syncs at which it began and ended,
            or 0; and the sides of its rows, beginning with the last one that shows all cells.
    """

    __slots__ = ("_ended", "_entered", "_merge", "_rows", "_sides", "stays")

    def __init__(
        self,
        sides: Sequence[Side],
        merge: RowMerge,
        *,
        ended: tuple[tuple[int, int, tuple[int, ...]], ...] = (),
        entered: int = 0,
        rows: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self._sides, self._merge = sides, merge
        self._ended, self._entered, self._rows = ended, entered, rows
        # Without rows, the user is not a member.
        self.stays = (*ended, (entered, 0, rows)) if rows else ended

    def __missing__(self, place: int) -> "_Path":
        """Return this path with one more side."""
        side = self._sides[place]
        shows_all = self._merge.shows_all(side.number, side.kind)
        rows = (place,) if shows_all else (*self._rows, place)
        now, ended, entered = side.number + 1, self._ended, self._entered
        if side.kind == ChangeKind.EXITED:
            # An exit without an entry: the user was a member before the first known sync.
            if self._rows or not ended:
                ended = (*ended, (entered, now, rows))
            entered, rows = 0, ()
        elif not self._rows:
            entered = now if side.kind == ChangeKind.ENTERED or ended else 0
        path = self[place] = _Path(
            self._sides, self._merge, ended=ended, entered=entered, rows=rows
        )
        return path
