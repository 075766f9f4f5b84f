"""CSV bytes cut into whole records, and records into cells.

The standard library's reader splits a row at a lone CR, limits cells to 128 KiB by a
setting of the whole process, and can't say at which line a row began. So the few
rules are ours: RFC 4180 with LF or CRLF; a quote stands only around a cell or doubled
inside a quoted one; a CR that no LF follows is data.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial

from attrs import frozen

from .errors import MalformedCsvError

BLOCK_BYTES = 1 << 20
"""How much is read at a time: large enough that the work per block does not count."""

MAX_ROW_BYTES = 64 << 20
"""A row beyond this is an error, so that a file without line ends can't fill the memory."""

_BOM = b"\xef\xbb\xbf"

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

    @property
    def is_plain(self) -> bool:
        """Whether lines are records and commas separate cells, with nothing to unquote."""
        return b'"' not in self.data and b"\r" not in self.data

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
            raise MalformedCsvError(self._line_at(error.start), "it is not UTF-8") from None

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """The line at which each record begins, and its cells; blank lines are skipped.

        Raises:
            MalformedCsvError: As :meth:`text`, or a quote stands where none may.
        """
        line = self.first_line
        begun = ""
        for part in self.text().split("\n"):
            record = begun + part
            if record.count('"') % 2:
                begun = record + "\n"
                continue
            begun = ""
            if record not in ("", "\r"):
                yield line, split_record(record.removesuffix("\r"), line)
            line += record.count("\n") + 1

    def split_header(self) -> tuple[int, list[str], "Block"]:
        """The line and the cells of the first record that is not blank, and what is behind it.

        Raises:
            MalformedCsvError: As :meth:`records`.
        """
        begin = end = 0
        while end < len(self.data) and not self.data[begin:end].strip(b"\r\n"):
            begin = end
            end = _end_of_first_record(self.data, begin)
        header = Block(self._line_at(begin), self.data[begin:end])
        cells = [cells for _, cells in header.records()]
        line = header.first_line
        return line, (cells[0] if cells else []), Block(self._line_at(end), self.data[end:])

    def _line_at(self, offset: int) -> int:
        return self.first_line + self.data.count(b"\n", 0, offset)


def read_blocks(source: Iterable[bytes]) -> Iterator[Block]:
    """Cuts a binary stream, or chunks of any size, into blocks of whole records.

    A byte order mark is taken off.

    Raises:
        MalformedCsvError: A quote is never closed, or a row exceeds ``MAX_ROW_BYTES``.
    """
    line = 1
    rest = b""
    for number, more in enumerate(_even_chunks(source)):
        data = rest + (more if number else more.removeprefix(_BOM))
        end = _end_of_records(data)
        if len(data) - end > MAX_ROW_BYTES:
            raise MalformedCsvError(
                line + data.count(b"\n", 0, end), f"a row has over {MAX_ROW_BYTES >> 20} MiB"
            )
        if end:
            yield Block(line, data[:end])
            line += data.count(b"\n", 0, end)
        rest = data[end:]
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


def _end_of_records(data: bytes) -> int:
    """Behind the last line end that no quoted cell encloses; 0 where there is none.

    A line end is outside of quotes where the number of quotes before it is even.
    """
    end = data.rfind(b"\n") + 1
    quotes = data.count(b'"', 0, end)
    while quotes % 2 and end:
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', before, end)
        end = before
    return end


def _end_of_first_record(data: bytes, begin: int) -> int:
    """Behind the first line end that no quoted cell encloses, or the end of the data."""
    end = begin
    quotes = 1
    while quotes % 2:
        before, end = end, data.find(b"\n", end) + 1 or len(data)
        quotes = data.count(b'"', begin, end)
        if end == before:
            break
    return end


def _even_chunks(source: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of at least ``BLOCK_BYTES``, but for the last."""
    read = getattr(source, "read", None)
    chunks = iter(source) if read is None else iter(partial(read, BLOCK_BYTES), b"")
    gathered = list[bytes]()
    size = 0
    for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= BLOCK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)
