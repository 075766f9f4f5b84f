"""The number of rows that have a value in each property column, counted in canonical CSV.

Each sync counts its members this way, so :func:`count_filled` must cost little. A loop over
single cells would be slow in Python, so a block is processed as a whole, by a few operations on
bytes that run in C.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import define, field

from .columns import ID_COLUMNS, Row
from .schema import RowSchema

_IDS = len(ID_COLUMNS)

_QUOTED_CELL = re.compile(rb'(?:"[^"]*+")++')

# A search by ``re`` takes two thirds of the time of ``bytes.count``.
_EMPTY_AT_END = re.compile(rb",\n")
_EMPTY_WITHIN = re.compile(rb",,")

# A table that turns separators into letters, and all other bytes into blanks.
_MARKED_SEPARATORS = bytes(ord("a") if byte in b",\n" else ord(" ") for byte in range(256))


def count_filled(lines: bytes, rows: int, columns: int) -> tuple[int, ...]:
    r"""Return for each property column the number of rows that have a value in it.

    Args:
        lines: Rows in canonical form: UTF-8, each ended by LF, a cell quoted only if necessary.
        rows: The number of rows.
        columns: The number of cells of each row: two ids, then the properties.

    Returns:
        The counts in the order of the properties.

    >>> count_filled(b'1,ann,,x\n2,,"a,b",\n3,,,y\n', 3, 4)
    (1, 2)
    """
    if columns == _IDS or not rows:
        return (0,) * (columns - _IDS)
    if b'"' in lines:  # A quoted cell is never empty.
        lines = _QUOTED_CELL.sub(b"x", lines)
    if columns == _IDS + 1 or _EMPTY_WITHIN.search(lines) is None:
        full = (rows,) * (columns - _IDS - 1)
        return (*full, rows - len(_EMPTY_AT_END.findall(lines)))
    # ``title`` turns the first letter of each word into a capital. The separators are the only
    # letters now. One that directly follows another separator, because the cell between them is
    # empty, stays small. Without the blanks, each row has one letter for each of its cells.
    letters = lines.translate(_MARKED_SEPARATORS).title().translate(None, b" ")
    return tuple([rows - letters[n::columns].count(b"a") for n in range(_IDS, columns)])


def add_counts(counts: Sequence[int], more: Sequence[int]) -> list[int]:
    """Return the sums of two lists of counts."""
    return [count + another for count, another in zip(counts, more, strict=True)]


@define
class CountedCsv:
    r"""Rows as canonical CSV, counted while its chunks are iterated.

    Attributes:
        schema: The columns of the rows.
        rows: The number of rows so far.
        filled: The number of rows with a value, for each property; complete at the end.

    >>> counted = CountedCsv(RowSchema(properties=("plan",)), [("1", "", "pro"), ("2", "", "")])
    >>> b"".join(counted), counted.rows, counted.filled
    (b'amplitudeID,userID,plan\n1,,pro\n2,,\n', 2, {'plan': 1})
    """

    schema: RowSchema
    _given: Iterable[Row]
    rows: int = field(default=0, init=False)
    filled: Mapping[str, int] = field(factory=dict[str, int], init=False)

    def __iter__(self) -> Iterator[bytes]:
        columns, begin = len(self.schema.columns), len(self.schema.header_line)
        counts, before = [0] * len(self.schema.properties), 0
        for chunk in self.schema.encode(self._passing()):
            # A chunk consists of whole rows: those that passed since the chunk before it.
            found = count_filled(chunk[begin:], self.rows - before, columns)
            counts, before, begin = add_counts(counts, found), self.rows, 0
            yield chunk
        self.filled = dict(zip(self.schema.properties, counts, strict=True))

    def _passing(self) -> Iterator[Row]:
        for row in self._given:
            self.rows += 1
            yield row
