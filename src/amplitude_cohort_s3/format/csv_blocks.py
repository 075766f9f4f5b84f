"""CSV bytes split into blocks of whole records, and records into cells.

The csv module splits a row at a lone CR, limits cells to 128 KiB by a setting of the whole
process, and does not know the line at which a row begins. So the rules are implemented
here: RFC 4180 with LF or CRLF. A quote is allowed only around a cell, or doubled inside a
quoted cell. A CR that is not followed by LF is data. Bytes that break these rules, contain
a NUL or are not UTF-8 raise ``MalformedCsvError``, with the line.
"""

import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any, SupportsIndex

from attrs import frozen

from .._arguments import check_kind
from .._bytes import CHUNK_BYTES
from ..errors import MalformedCsvError

BLOCK_BYTES = 64 << 10
"""The size of a block: large enough that the work per block does not count, and small
enough that the block stays in the processor's cache."""

MAX_ROW_BYTES = 64 << 20
"""The largest row, so that a file without line ends can't fill the memory."""

_BOM = b"\xef\xbb\xbf"

# The first bytes of files that are often taken for CSV; no header in UTF-8 begins with them.
_OTHER_FORMATS = {
    b"PK\x03\x04": ("it is a workbook or another zip", "Save it as CSV (UTF-8)"),
    b"\xff\xfe": ("it is UTF-16", "Save it as UTF-8"),
    b"\xfe\xff": ("it is UTF-16", "Save it as UTF-8"),
}

_NO_SEPARATORS = bytes(set(range(256)) - set(b",\n"))

_QUOTED_CELL = re.compile(r'"((?:[^"]|"")*+)"|([^",]*)')


@frozen
class Block:
    """A part of a file that consists of whole records.

    Attributes:
        first_line: The number of its first line in the file, from 1.
        data: The bytes, with a line end at the end unless the file ends without one.
    """

    first_line: int
    data: bytes

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.data)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        # The pipe to a worker can then take the bytes without a copy.
        return Block, (self.first_line, pickle.PickleBuffer(self.data))

    def as_plain(self, width: int) -> str | None:
        r"""Return plain text: each line is a row, and each comma separates two cells.

        CRLF and quotes around every cell, as in Amplitude's own exports, are removed.
        Return None for other blocks, whose rows must be read one by one. This method
        treats the block as a whole, so it is at least ten times as fast as
        :meth:`records`.

        Args:
            width: The number of cells of a row, two or more.

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
            # If no quote is left after the replacements below, each quote was at the edge
            # of a cell, so every cell was quoted.
            if not (
                data.startswith(b'"')
                and data.endswith(b'"\n')
                and data.count(b'"') == 2 * quoted_rows * width
            ):
                return None
            data = data[1:-2].replace(b'"\n"', b"\n").replace(b'","', b",") + b"\n"
            if b'"' in data:
                return None
        # The sequence of separators is right exactly if each row has ``width`` cells. To
        # count the commas of each row would take twice as long.
        separators = data.translate(None, _NO_SEPARATORS)
        rows = quoted_rows if quoted else len(separators) // width
        if separators != (b"," * (width - 1) + b"\n") * rows:
            return None
        return Block(self.first_line, data).text()

    def text(self) -> str:
        """Return the block as text."""
        nul = self.data.find(b"\0")
        if nul >= 0:
            raise MalformedCsvError(self._line_at(nul), "it contains a NUL")
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            line = self._line_at(error.start)
            raise MalformedCsvError(line, "it is not UTF-8", "Save the file as UTF-8") from None

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the first line and the cells of each record; blank lines are skipped."""
        line = self.first_line
        begun = list[str]()
        quoted = False
        for part in self.text().split("\n"):
            # Only a part with an odd number of quotes begins or ends a quoted cell. The
            # parts are joined once, because a cell may contain very many line ends.
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
        """Return the first record that is not blank, with the blank lines before it."""
        begin = end = 0
        while end < len(self.data) and not self.data[begin:end].strip(b"\r\n"):
            begin = end
            end = _end_of_first_record(self.data, begin)
        return Block(self.first_line, self.data[:end])

    def split_header(self) -> tuple[int, list[str], "Block"]:
        """Return the line and cells of the first record that is not blank, and the rest."""
        header = self.first_record()
        end = len(header.data)
        rest = Block(self._line_at(end), self.data[end:])
        for line, cells in header.records():
            return line, cells, rest
        return self.first_line, [], rest

    def _line_at(self, offset: int) -> int:
        return self.first_line + self.data.count(b"\n", 0, offset)


def read_blocks(source: Iterable[bytes], size: int | None = None) -> Iterator[Block]:
    """Split a binary stream, or chunks of any size, into blocks of whole records.

    A byte order mark is removed.

    Args:
        source: The bytes.
        size: The approximate size of a block; by default ``BLOCK_BYTES``.

    Raises:
        MalformedCsvError: A quote is never closed, a row exceeds ``MAX_ROW_BYTES``, or the
            bytes are a workbook or UTF-16.
    """
    size = BLOCK_BYTES if size is None else size
    line = 1
    rest = b""
    chunks = _even_chunks(source, size)
    # Two chunks, as the first may consist of the byte order mark only.
    more = b"".join(islice(chunks, 2)).removeprefix(_BOM)
    for magic, (rule, hint) in _OTHER_FORMATS.items():
        if more.startswith(magic):
            raise MalformedCsvError(line, rule, hint)
    while more:
        data = rest + more
        end = _end_of_records(data)
        if len(data) - end > MAX_ROW_BYTES:
            raise MalformedCsvError(
                line + data.count(b"\n", 0, end), f"the row has more than {MAX_ROW_BYTES >> 20} MiB"
            )
        if end:
            yield Block(line, data[:end])
            line += data.count(b"\n", 0, end)
        rest = data[end:]
        # For a long row, as many bytes are read again as it has so far, so that its bytes
        # are searched only a few times.
        more = b"".join(islice(chunks, 1 + len(rest) // size))
    if rest.count(b'"') % 2:
        raise MalformedCsvError(line, "a quoted cell is never closed")
    if rest:
        yield Block(line, rest)


def split_record(record: str, line: int) -> list[str]:
    """Return the cells of one record without its line end.

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
    raise MalformedCsvError(
        line, "a quote is inside a cell that is not quoted, or text follows a quoted cell"
    )


@cache
def canonical_line(cells: int) -> Callable[[str], object]:
    """Return a function that tests whether a line is canonical.

    A canonical line has ``cells`` cells, quoted only if necessary. Lines with line ends in
    a cell are not supported.

    >>> [bool(canonical_line(2)(line)) for line in ('1,"a,b"', '1,"a"', "1,2,3")]
    [True, False, False]
    """
    cell = r'(?:[^",\r\n]*+|"(?![^",\r]*+"(?!"))(?:[^"\n]|"")*+")'
    return re.compile(",".join([cell] * cells)).fullmatch


def _end_of_records(data: bytes) -> int:
    """Return the offset after the last line end that is not in a quoted cell, or 0.

    A line end is outside of quoted cells if the number of quotes before it is even.
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
    """Return the offset after the first line end that is not in a quoted cell, or the end."""
    end, quotes = begin, 0
    while end < len(data):
        before, end = end, data.find(b"\n", end) + 1 or len(data)
        quotes += data.count(b'"', before, end)
        if quotes % 2 == 0:
            break
    return end


def _even_chunks(source: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the bytes in chunks of one size; the last one is shorter, perhaps empty."""
    read = getattr(source, "read", None)
    chunks = iter(source) if read is None else iter(partial(read, CHUNK_BYTES), b"")
    gathered = list[bytes]()
    ready = 0
    for chunk in chunks:
        if not gathered:  # Only the first is checked: the others have its type.
            check_kind("a chunk", chunk, bytes, "pass bytes; encode text as UTF-8")
        gathered.append(chunk)
        ready += len(chunk)
        if ready >= size:
            data = b"".join(gathered)
            end = ready - ready % size
            for begin in range(0, end, size):
                yield data[begin : begin + size]
            gathered, ready = [data[end:]], ready - end
    yield b"".join(gathered)
