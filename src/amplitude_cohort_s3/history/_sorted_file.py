"""Finding one row in a canonical file that is sorted by the key, without reading all of it.

A binary search jumps to places in the middle of a file, and there is the difficulty: a quoted
cell may contain line ends, so the text at such a place may be a cell that looks like rows.
Whether it is one depends on the number of quotes before it, back to the beginning of the file.

So the search has two steps. The first step goes from place to place and treats each line that
looks like a row as a row. Its result is only a guess: a line with the key, or two neighbours
between which the key would be. The second step proves that this line is the beginning of a
row. Then the rows after it are certain too, and so is the answer, because the file is in order.
There are four proofs, and each is complete:

- All bytes from the header to the line were read, and they have an even number of quotes.
- All bytes from the line to the end of the file were read, and they have an even number.
- The last quote before the line certainly closes a cell, because nothing else in canonical CSV
  looks like it.
- No row is longer than ``MAX_ROW_BYTES``, and this many bytes before the line have no quote.

If no proof succeeds, the caller reads the whole file.
"""

from bisect import bisect, bisect_right
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import BinaryIO

from attrs import frozen

from .._bytes import common_length
from ..errors import MalformedCsvError
from ..format.csv_blocks import MAX_ROW_BYTES, split_record
from ..format.schema import RowSchema
from ._canonical_text import DoubtError, first_line, quoting_at, whole_lines

# A stream of S3 has a buffer of this size, and reads whole buffers with one request.
_BUFFER_BYTES = 64 << 10

# With the byte before it, a window is whole buffers. It is large enough for keys that are
# evenly distributed: among 10 million of them, the guess is rarely 2,000 rows wrong.
_WINDOW_BYTES = 4 * _BUFFER_BYTES - 1
_MAX_WINDOW_BYTES = 4 << 20
_CHUNK_BYTES = 256 << 10

# The numbers of bytes that a proof reads before a line, one after the other: most files have a
# quote nearby, or no quotes at all.
_STEPS = (4 << 20, MAX_ROW_BYTES)

_MAX_PLACES = 64
"""The limit of places in a search. It is never reached in a valid file, because at least every
second place halves the rest of the file."""

_SAMPLED_KEYS = 32
_COMPARED_SYMBOLS = 12


def find_row(stream: BinaryIO, size: int, schema: RowSchema, key: bytes) -> tuple[str, ...] | None:
    r"""Return the cells of the row with a key; no cells if the file has no such row.

    Args:
        stream: The file, which must be seekable.
        size: The number of its bytes.
        schema: The columns of the file, and the key by which it is sorted.
        key: The key in UTF-8.

    Returns:
        The cells, or no cells. None if the file is not as expected, or if no proof succeeds; then
        read all of it.

    >>> import io
    >>> schema = RowSchema()
    >>> data = b"".join(schema.encode([("1", "ann"), ("3", "bob")]))
    >>> [find_row(io.BytesIO(data), len(data), schema, key) for key in (b"3", b"2")]
    [('3', 'bob'), ()]
    """
    file = _SortedFile(
        stream=stream,
        size=size,
        first=len(schema.header_line),
        width=len(schema.columns),
        key_index=schema.key_index,
    )
    try:
        is_header = file.read(0, file.first) == schema.header_line
        return file.find(key) if is_header else None
    except (MalformedCsvError, UnicodeDecodeError, DoubtError):
        return None


@frozen
class _Place:
    """Consecutive lines in a file that look like rows.

    Attributes:
        begin: The offset of the first line.
        end: The offset after the last line.
        lines: The lines, with their ends.
        is_certain: True if they are rows, because the bytes around them allow nothing else.
        clear: The smallest known offset without a quote between it and ``begin``.
    """

    begin: int
    end: int
    lines: list[bytes]
    is_certain: bool
    clear: int

    def offset(self, index: int) -> int:
        """Return the offset of a line."""
        return self.begin + sum(map(len, self.lines[:index]))


@frozen(kw_only=True)
class _SortedFile:
    """A canonical file.

    Attributes:
        stream: The bytes.
        size: The number of bytes.
        first: The offset of the first row.
        width: The number of cells of a row.
        key_index: The position of the key in a row.
    """

    stream: BinaryIO
    size: int
    first: int
    width: int
    key_index: int

    def read(self, begin: int, end: int) -> bytes:
        """Return some bytes, read in whole buffers."""
        buffers = -(-(end - begin) // _BUFFER_BYTES)
        self.stream.seek(begin)
        data = self.stream.read(min(buffers * _BUFFER_BYTES, self.size - begin))[: end - begin]
        if len(data) != end - begin:
            raise DoubtError
        return data

    def cells(self, line: bytes) -> list[str]:
        """Return the cells of a row."""
        cells = split_record(line[:-1].decode(), 0)
        if len(cells) != self.width:
            raise DoubtError
        return cells

    def key(self, line: bytes) -> bytes:
        """Return the key of a row."""
        if b'"' in line:
            return self.cells(line)[self.key_index].encode()
        cells = line[:-1].split(b",")
        if len(cells) != self.width:
            raise DoubtError
        return cells[self.key_index]

    # --- The search ------------------------------------------------------------------------

    def find(self, key: bytes) -> tuple[str, ...] | None:
        """Return the row with a key: see ``find_row``."""
        for place in self._places(key):
            index = bisect_right(place.lines, key, key=self.key) - 1
            if not self._is_row(place, max(index, 0)):
                return None
            is_found = index >= 0 and self.key(place.lines[index]) == key
            return tuple(self.cells(place.lines[index])) if is_found else ()
        return ()

    def _places(self, key: bytes) -> Iterator[_Place]:
        """Yield the place in which the key is or would be, if the file has any rows.

        ``begin`` is the offset of a row with a smaller key, or of the first row. ``end`` is
        that of a row with a larger key, or the end of the file.
        """
        begin, end = self.first, self.size
        keys = [b"", b"\xff"]
        symbols = set[int]()
        # The first and the last rows are read first, because they have the smallest and the
        # largest key. After a guess that did not help much, the middle is next.
        size, middle = end - begin, begin
        for number in range(_MAX_PLACES):
            if begin == end:
                return
            if number == 1:
                middle = end
            elif number:
                is_half = end - begin <= size // 2
                middle = (begin + end) // 2
                if number == 2 or is_half:  # noqa: PLR2004
                    middle = _guess(begin, end, keys, key, symbols)
                size = end - begin
            place = self._place_near(middle, begin, end)
            first, last = self.key(place.lines[0]), self.key(place.lines[-1])
            if not keys[0] <= first <= last <= keys[1]:
                raise DoubtError
            is_last = place.end == end
            if place.begin != begin and key < first:
                end, keys[1] = place.begin, first
            elif key > last and not is_last:
                begin, keys[0] = place.end - len(place.lines[-1]), last
            else:
                yield place
                return
            step = -(-len(place.lines) // _SAMPLED_KEYS)
            symbols.update(*map(self.key, place.lines[::step]))
        raise DoubtError

    def _place_near(self, middle: int, begin: int, end: int) -> _Place:
        """Return lines near the offset ``middle``, between the offsets of two rows."""
        size = _WINDOW_BYTES
        while size <= _MAX_WINDOW_BYTES:
            if end - begin <= size:
                place = self._place(begin, end, begin)
            else:
                start = min(max(middle - size // 2, begin), end - size)
                place = self._place(start, start + size, begin)
            if place.lines:
                return place
            size = 4 * (size + 1) - 1
        raise DoubtError

    def _place(self, start: int, end: int, row: int) -> _Place:
        """Return the lines between two offsets.

        Args:
            start: The first offset.
            end: The second offset.
            row: The offset of a row. If ``start`` is the same, the lines begin there.
        """
        # The byte before the first one decides which quotes can be there.
        data = self.read(start - 1, end)
        if end == self.size and not data.endswith(b"\n"):
            raise DoubtError
        is_outside, known_from = quoting_at(data)
        if start == row:
            begin = 1
            if is_outside is False:
                raise DoubtError
        else:
            begin = first_line(data, known_from, is_outside=is_outside is not False)
        lines, after = whole_lines(data, begin)
        quote = data.rfind(b'"', 0, begin)
        return _Place(
            begin=start - 1 + begin,
            end=start - 1 + after,
            lines=lines,
            is_certain=is_outside is not None,
            clear=start - 1 + (quote + 1 if quote >= 0 else 0),
        )

    # --- The proof -------------------------------------------------------------------------

    def _is_row(self, place: _Place, index: int) -> bool:
        """Return whether a line is proven to be a row."""
        begin = place.offset(index)
        if place.is_certain or begin == self.first:
            return True
        has_quote = b'"' in b"".join(place.lines[:index])
        return self._is_outside(begin, begin if has_quote else place.clear)

    def _is_outside(self, place: int, clear: int) -> bool:
        """Return whether an offset is proven to be outside of quoted cells.

        Args:
            place: The offset.
            clear: An offset without a quote between it and ``place``.
        """
        if self.size - place <= min(place - self.first, MAX_ROW_BYTES):
            return self._quotes(place, self.size)[0] % 2 == 0
        for step in _STEPS:
            begin = max(self.first, place - step)
            count, last = self._quotes(begin, clear)
            if begin == self.first:
                return count % 2 == 0
            if last is not None:
                return self._is_closing(last)
            clear = min(begin, clear)
        return True

    def _quotes(self, begin: int, end: int) -> tuple[int, int | None]:
        """Return the number of quotes between two offsets, and the offset of the last one."""
        count, last = 0, None
        self.stream.seek(begin)
        while begin < end:
            data = self.stream.read(_CHUNK_BYTES)[: end - begin]
            if not data:
                raise DoubtError
            found = data.rfind(b'"')
            if found >= 0:
                count, last = count + data.count(b'"'), begin + found
            begin += len(data)
        return count, last

    def _is_closing(self, quote: int) -> bool:
        """Return whether the quote at an offset is proven to close a cell."""
        begin = max(0, quote - _WINDOW_BYTES // 2)
        data = self.read(begin, min(self.size, begin + _WINDOW_BYTES))
        is_outside, known_from = quoting_at(data)
        if is_outside is None or known_from > quote - begin:
            return False
        quotes = data.count(b'"', known_from, quote + 1 - begin)
        return is_outside == (quotes % 2 == 0)


def _guess(begin: int, end: int, keys: list[bytes], key: bytes, symbols: Iterable[int]) -> int:
    """Return the offset near which a key should be, between two rows whose keys are known.

    The keys are treated as evenly distributed numbers, whose digits are the symbols that occur
    in the keys.
    """
    digits = sorted(symbols)
    common = common_length(*keys)
    low, wanted, high = (_number(one[common:], digits) for one in (keys[0], key, keys[1]))
    if not low <= wanted <= high or low == high:
        return (begin + end) // 2
    return begin + (end - begin) * (wanted - low) // (high - low)


def _number(key: bytes, digits: list[int]) -> int:
    number = 0
    for symbol, _ in zip_longest(key[:_COMPARED_SYMBOLS], range(_COMPARED_SYMBOLS)):
        digit = 0 if symbol is None else max(0, bisect(digits, symbol) - 1)
        number = number * len(digits) + digit
    return number
