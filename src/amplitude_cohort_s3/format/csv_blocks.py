"""CSV bytes cut into whole records, and records into cells.

The standard library's reader splits a row at a lone CR, limits cells to 128 KiB by a
setting of the whole process, and can't say at which line a row began. So the few
rules are ours: RFC 4180 with LF or CRLF; a quote stands only around a cell or doubled
inside a quoted one; a CR that no LF follows is data.
"""

import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any, SupportsIndex

from attrs import frozen

from .._arguments import check_kind
from ..errors import MalformedCsvError

BLOCK_BYTES = 64 << 10
"""The size of a block: the work per block does not count, and all that is done with one
finds it in the processor's cache."""

_READ_BYTES = 1 << 20
"""How much is read of a stream at a time."""

MAX_ROW_BYTES = 64 << 20
"""A row beyond this is an error, so that a file without line ends can't fill the memory."""

_BOM = b"\xef\xbb\xbf"

# With what files begin that people take for CSV; none of it is UTF-8 that a header can have.
_OTHER_FORMATS = {
    b"PK\x03\x04": ("it is a workbook or another zip", "Save it as CSV (UTF-8)"),
    b"\xff\xfe": ("it is UTF-16", "Save it as UTF-8"),
    b"\xfe\xff": ("it is UTF-16", "Save it as UTF-8"),
}

_NO_SEPARATORS = bytes(set(range(256)) - set(b",\n"))

_QUOTED_CELL = re.compile(r'"((?:[^"]|"")*+)"|([^",]*)')


@frozen
class Block:
    """Whole records: none begins before or ends after it.

    Attributes:
        first_line: The number of its first line in the file, from 1.
        data: The bytes; a line end stands at the end, unless the file ends without.
    """

    first_line: int
    data: bytes

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        # So that a pipe to a worker can take the bytes as they are.
        return Block, (self.first_line, pickle.PickleBuffer(self.data))

    def as_plain(self, width: int) -> str | None:
        r"""The text in which each line is a row and each comma stands between two cells.

        None where rows have to be looked at one by one. CRLF and quotes around every
        cell (Amplitude's own exports) are taken off. At least ten times as fast as
        :meth:`records`, for it looks at no row by itself.

        Args:
            width: How many cells each row must have, two or more.

        Raises:
            MalformedCsvError: As :meth:`text`.

        >>> Block(1, b'"1","a"\r\n"2",""\r\n').as_plain(2)
        '1,a\n2,\n'
        """
        data = self.data if self.data.endswith(b"\n") else self.data + b"\n"
        quoted = b'"' in data
        if b"\r" in data:
            data = data.replace(*((b'"\r\n', b'"\n') if quoted else (b"\r\n", b"\n")))
            if b"\r" in data:
                return None
        quoted_rows = data.count(b'"\n"') + 1 if quoted else 0
        if quoted:
            # Quotes that are not left over below are all at the edge of a cell, so what
            # lies between two of them is a whole cell.
            if not (
                data.startswith(b'"')
                and data.endswith(b'"\n')
                and data.count(b'"') == 2 * quoted_rows * width
            ):
                return None
            data = data[1:-2].replace(b'"\n"', b"\n").replace(b'","', b",") + b"\n"
            if b'"' in data:
                return None
        # Only the separators are left in the right order exactly if each row has its
        # cells; counting commas for each row would take twice as long.
        separators = data.translate(None, _NO_SEPARATORS)
        rows = quoted_rows if quoted else len(separators) // width
        if separators != (b"," * (width - 1) + b"\n") * rows:
            return None
        return Block(self.first_line, data).text()

    def text(self) -> str:
        """The block as text.

        Raises:
            MalformedCsvError: It holds a NUL or is not UTF-8.
        """
        nul = self.data.find(b"\0")
        if nul >= 0:
            raise MalformedCsvError(self._line_at(nul), "it holds a NUL")
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            line, cure = self._line_at(error.start), "Save the file as UTF-8"
            raise MalformedCsvError(line, "it is not UTF-8", cure) from None

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """The line at which each record begins, and its cells; blank lines are skipped.

        Raises:
            MalformedCsvError: As :meth:`text`, or a quote stands where none may.
        """
        line = self.first_line
        begun = list[str]()
        quoted = False
        for part in self.text().split("\n"):
            # Within a quoted cell only a part with an odd number of quotes can end it. The
            # parts are joined once: a cell may hold any number of line ends.
            quoted ^= part.count('"') % 2 == 1
            begun.append(part)
            if quoted:
                continue
            record = "\n".join(begun)
            if record not in ("", "\r"):
                yield line, split_record(record.removesuffix("\r"), line)
            line += len(begun)
            begun = []
        if begun:
            yield line, split_record("\n".join(begun), line)

    def first_record(self) -> "Block":
        """The first record that is not blank, and blank lines before it."""
        begin = end = 0
        while end < len(self.data) and not self.data[begin:end].strip(b"\r\n"):
            begin = end
            end = _end_of_first_record(self.data, begin)
        return Block(self.first_line, self.data[:end])

    def split_header(self) -> tuple[int, list[str], "Block"]:
        """The line and the cells of the first record that is not blank, and what is behind it.

        Raises:
            MalformedCsvError: As :meth:`records`.
        """
        header = self.first_record()
        end = len(header.data)
        rest = Block(self._line_at(end), self.data[end:])
        for line, cells in header.records():
            return line, cells, rest
        return self.first_line, [], rest

    def _line_at(self, offset: int) -> int:
        return self.first_line + self.data.count(b"\n", 0, offset)


def read_blocks(source: Iterable[bytes], size: int | None = None) -> Iterator[Block]:
    """Cuts a binary stream, or chunks of any size, into blocks of whole records.

    A byte order mark is taken off.

    Args:
        source: The bytes.
        size: About how many a block has; by default ``BLOCK_BYTES``.

    Raises:
        MalformedCsvError: A quote is never closed, a row exceeds ``MAX_ROW_BYTES``, or it
            is a workbook or UTF-16.
    """
    size = BLOCK_BYTES if size is None else size
    line = 1
    rest = b""
    chunks = _even_chunks(source, size)
    # Two, so that something is left where the mark is all of the first.
    more = b"".join(islice(chunks, 2)).removeprefix(_BOM)
    for begins, (rule, cure) in _OTHER_FORMATS.items():
        if more.startswith(begins):
            raise MalformedCsvError(line, rule, cure)
    while more:
        data = rest + more
        end = _end_of_records(data)
        if len(data) - end > MAX_ROW_BYTES:
            raise MalformedCsvError(
                line + data.count(b"\n", 0, end), f"a row has over {MAX_ROW_BYTES >> 20} MiB"
            )
        if end:
            yield Block(line, data[:end])
            line += data.count(b"\n", 0, end)
        rest = data[end:]
        # Of a row that is longer as much again is read, so it is looked at a few times only.
        more = b"".join(islice(chunks, 1 + len(rest) // size))
    if rest.count(b'"') % 2:
        raise MalformedCsvError(line, "a quoted cell is never closed")
    if rest:
        yield Block(line, rest)


def split_record(record: str, line: int) -> list[str]:
    """The cells of one record without its line end.

    Raises:
        MalformedCsvError: A quote stands where none may.

    >>> split_record('1,"a ""b"", c",', 1)
    ['1', 'a "b", c', '']
    """
    if '"' not in record:
        return record.split(",")
    cells = list[str]()
    position = 0
    while True:
        match = _QUOTED_CELL.match(record, position)
        if match is None:
            break
        quoted, plain = match.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        position = match.end()
        if position == len(record):
            return cells
        if record[position] != ",":
            break
        position += 1
    raise MalformedCsvError(line, "a quote stands inside a cell that is not quoted, or behind one")


@cache
def canonical_line(cells: int) -> Callable[[str], object]:
    """A function that says whether a line without line ends inside is canonical.

    That is: it has so many cells, and quotes only around those that need them.

    >>> [bool(canonical_line(2)(line)) for line in ('1,"a,b"', '1,"a"', "1,2,3")]
    [True, False, False]
    """
    cell = r'(?:[^",\r\n]*+|"(?![^",\r]*+"(?!"))(?:[^"\n]|"")*+")'
    return re.compile(",".join([cell] * cells)).fullmatch


def _end_of_records(data: bytes) -> int:
    """Behind the last line end that no quoted cell encloses; 0 where there is none.

    A line end is outside of quotes where the number of quotes before it is even.
    """
    end = data.rfind(b"\n") + 1
    if b'"' not in data:
        return end
    quotes = data.count(b'"', 0, end)
    while quotes % 2 and end:
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', before, end)
        end = before
    return end


def _end_of_first_record(data: bytes, begin: int) -> int:
    """Behind the first line end that no quoted cell encloses, or the end of the data."""
    end, quotes = begin, 0
    while end < len(data):
        before, end = end, data.find(b"\n", end) + 1 or len(data)
        quotes += data.count(b'"', before, end)
        if quotes % 2 == 0:
            break
    return end


def _even_chunks(source: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in chunks of one size; the last one is shorter, perhaps empty."""
    read = getattr(source, "read", None)
    chunks = iter(source) if read is None else iter(partial(read, _READ_BYTES), b"")
    gathered = list[bytes]()
    ready = 0
    for chunk in chunks:
        if not gathered:  # only the first: the others are of its type
            check_kind("a chunk", chunk, bytes, "chunks are bytes: encode text, as UTF-8")
        gathered.append(chunk)
        ready += len(chunk)
        if ready >= size:
            data = b"".join(gathered)
            end = ready - ready % size
            for begin in range(0, end, size):
                yield data[begin : begin + size]
            gathered, ready = [data[end:]], ready - end
    yield b"".join(gathered)
