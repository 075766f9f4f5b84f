"""CSV bytes split into blocks of whole records, and records into cells.

The csv module is not used: it splits a row at a lone CR, limits cells to 128 KiB by a setting of
the whole process, and does not report the line at which a row begins. The rules are those of RFC
4180, with LF or CRLF. A quote is allowed only around a cell, or doubled inside a quoted cell. A
CR outside of quotes is allowed only before LF: read as data, it would turn a file with CR line
ends into a header without rows. Bytes that break these rules, contain a NUL or are not UTF-8
raise ``MalformedCsvError``, with the line.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache, partial

from attrs import field, frozen

from .._arguments import check_kind
from .._bytes import CHUNK_BYTES, even_parts
from ..errors import MalformedCsvError
from ._other_formats import HEAD_BYTES, other_format
from .kernel import HAS_KERNEL, count_line_ends

BLOCK_BYTES = 64 << 10
"""The size of a block: its overhead is negligible, and it fits into the processor's cache."""

MAX_ROW_BYTES = 64 << 20
"""The size of the largest row that is accepted. A file without line ends can't fill the memory."""

_BOM = b"\xef\xbb\xbf"

# A larger block has a very long row. Its marks could double its memory, its lines be millions.
_MAX_MARKED_BYTES = 2 << 20
_MAX_SPLIT_BYTES = 4 * BLOCK_BYTES

_ALL_BUT_MARKS = bytes(set(range(256)) - set(b'",\r\n'))

_ALL_BUT_QUOTES_AND_LINE_ENDS = bytes(set(range(256)) - set(b'"\n'))

_QUOTED_CELL = re.compile(r'"((?:[^"]++|"")*+)"|([^",\r]*)')

# One match reads a whole record, because a cell may have millions of line ends.
_RECORD = re.compile(r'[^"\n]*+(?:"[^"]*+"[^"\n]*+)*+\n?')
RECORD_BYTES = re.compile(_RECORD.pattern.encode())

_LONE_CR = "it has a CR that is not followed by LF, outside of quotes"
_LONE_CR_HINT = "Save the file with LF or CRLF line ends"


@frozen
class Block:
    """A part of a file that consists of whole records.

    Attributes:
        first_line: The number of its first line in the file, from 1.
        data: The bytes, with a line end at the end unless the file ends without one.
    """

    first_line: int
    data: bytes
    _marks: bytes | None = field(default=None, init=False, eq=False, repr=False)

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.data)

    @property
    def marks(self) -> bytes | None:
        """All quotes, commas, CRs and LFs in order, found once; None if a row is very long."""
        if self._marks is None and len(self.data) <= _MAX_MARKED_BYTES:
            object.__setattr__(self, "_marks", self.data.translate(None, _ALL_BUT_MARKS))
        return self._marks

    @property
    def line_ends(self) -> int:
        """The number of line ends."""
        if HAS_KERNEL:
            return count_line_ends(self.data)
        return (self.data if self.marks is None else self.marks).count(b"\n")

    def plain_lines(self, width: int) -> list[str] | None:
        r"""Return the lines if each is a row, and each comma separates two cells.

        CRLF and quotes around every cell, as in Amplitude's own exports, are removed. Return None
        for other blocks, whose rows must be read one by one. This method processes the block as a
        whole, so it is at least ten times as fast as :meth:`records`.

        Args:
            width: The number of cells of a row, two or more.

        >>> Block(1, b'"1","a"\r\n"2",""\r\n').plain_lines(2)
        ['1,a', '2,']
        """
        if not self.marks:
            return None
        if not self.data.endswith((b"\n", b"\r")):
            return Block(self.first_line, self.data + b"\n").plain_lines(width)
        row = self.marks[: self.marks.find(b"\n") + 1]
        count = len(self.marks) // len(row) if row else 0
        if row not in _plain_rows(width) or self.marks != row * count:
            return None
        # Each row has the right marks in the right order. It remains to check that there is
        # no text between a quote and the mark next to it, or between CR and LF.
        text = self.text()
        end = "\r\n" if row.endswith(b"\r\n") else "\n"
        if not row.startswith(b'"'):
            lines = text.split(end)
            lines.pop()  # what follows the last line end
            return lines if len(lines) == count else None
        unquoted = text.replace('","', ",")
        if len(text) - len(unquoted) != 2 * count * (width - 1):
            return None
        if not (text.startswith('"') and text.endswith(f'"{end}')):
            return None
        lines = unquoted[1 : -1 - len(end)].split(f'"{end}"')
        return lines if len(lines) == count else None

    def split_lines(self) -> tuple[list[str], list[bytes]] | None:
        """Return the lines without LF or CRLF, and the marks of each.

        A line is not always a row: it may be blank, or end in a quoted cell. Return None if there
        may be very many lines, or if a line has a CR that is not at its end.
        """
        if self.marks is None or self.size > _MAX_SPLIT_BYTES:
            return None
        text, marks = self.text(), self.marks
        if b"\r" in marks:
            text, marks = text.replace("\r\n", "\n"), marks.replace(b"\r\n", b"\n")
            if b"\r" in marks or "\r" in text:
                return None
        return text.removesuffix("\n").split("\n"), marks.removesuffix(b"\n").split(b"\n")

    def text(self) -> str:
        """Return the block as text.

        Raises:
            MalformedCsvError: The block contains a NUL, or is not UTF-8.
        """
        nul = self.data.find(b"\0")
        if nul >= 0:
            raise MalformedCsvError(
                self._line_at(nul), "it contains a NUL", "Save it as CSV (UTF-8)"
            )
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            line = self._line_at(error.start)
            raise MalformedCsvError(line, "it is not UTF-8", "Save the file as UTF-8") from None

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of the first line and the cells of each record; skip blank lines."""
        line = self.first_line
        for record in _RECORD.findall(self.text()):
            row = record.removesuffix("\n")
            if row is not record:
                row = row.removesuffix("\r")
            if row:
                yield line, split_record(row, line)
            line += record.count("\n") if '"' in record else 1

    def first_record(self) -> "Block":
        """Return the first record that is not blank, with the blank lines before it."""
        begin = end = 0
        while end < len(self.data) and not self.data[begin:end].strip(b"\r\n"):
            begin = end
            end = _end_of_first_record(self.data, begin)
        return Block(self.first_line, self.data[:end])

    def split_header(self) -> tuple[int, list[str], "Block"]:
        """Return the line number and cells of the first record that isn't blank, and the rest."""
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

    Byte order marks at the beginning are removed.

    Args:
        source: The bytes.
        size: The approximate size of a block. Default: ``BLOCK_BYTES``.

    Raises:
        MalformedCsvError: A quote is never closed, a row exceeds ``MAX_ROW_BYTES``, or the
            bytes are another format, such as a workbook, UTF-16 or a web page.
    """
    line = 1
    # The beginning of a record whose end has not been read yet. Each byte is searched once,
    # however long the record is.
    begun, begun_bytes, quoted = list[bytes](), 0, False
    for chunk, begin, stop in even_parts(_csv_bytes(source), BLOCK_BYTES if size is None else size):
        end = _end_of_records(chunk, begin, stop, quoted=quoted)
        if end > begin:
            data = b"".join([*begun, memoryview(chunk)[begin:end]])
            if len(data) > MAX_ROW_BYTES:
                _check_row_size(_end_of_first_record(data, 0), line)
            # Keep no second reference to the bytes of a long row while the caller works on it.
            begun, begun_bytes, quoted = [], 0, False
            block = Block(line, data)
            yield block
            line += block.line_ends
        rest = chunk[end:stop]
        if not begun_bytes and end == begin:
            _check_line_end(rest, line)
        begun.append(rest)
        begun_bytes += len(rest)
        quoted ^= rest.count(b'"') % 2 == 1
        _check_row_size(begun_bytes, line)
    if quoted:
        hint = "Add the missing quote; a quote within a cell is written twice"
        raise MalformedCsvError(line, "a quoted cell is never closed", hint)
    if begun_bytes:
        data = b"".join(begun)
        begun.clear()
        yield Block(line, data)


def _check_row_size(size: int, line: int) -> None:
    if size > MAX_ROW_BYTES:
        hint = "Look for a quote that is never closed, before this row or in it"
        raise MalformedCsvError(line, f"the row has more than {MAX_ROW_BYTES >> 20} MiB", hint)


def _check_line_end(data: bytes, line: int) -> None:
    """Raise if an incomplete record has a CR outside of quotes that no LF follows.

    Otherwise a large file with CR line ends would be refused because of the size of its row, and
    the error would not name the cause.
    """
    place = data.find(b"\r")
    outside = data.count(b'"', 0, place) % 2 == 0
    if place >= 0 and outside and data[place + 1 : place + 2] not in (b"", b"\n"):
        raise MalformedCsvError(line, _LONE_CR, _LONE_CR_HINT)


def split_record(record: str, line: int) -> list[str]:
    """Return the cells of one record.

    Args:
        record: The record, without its line end.
        line: The number of its first line, for errors.

    Raises:
        MalformedCsvError: The record breaks a rule.

    >>> split_record('1,"a ""b"", c",', 1)
    ['1', 'a "b", c', '']
    """
    if '"' not in record:
        if "\r" in record:
            raise MalformedCsvError(line, _LONE_CR, _LONE_CR_HINT)
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
        if record[position] == "\r":
            raise MalformedCsvError(line, _LONE_CR, _LONE_CR_HINT)
        if record[position] != ",":
            break
        position += 1
    raise MalformedCsvError(
        line,
        "a quote is inside a cell that is not quoted, or text follows a quoted cell",
        "Put the whole cell in quotes, and write a quote within it twice",
    )


def repeated_header(line: int) -> MalformedCsvError:
    """Return the error about a row that repeats the header."""
    hint = "Remove the row; if several files were joined, pass each by itself"
    return MalformedCsvError(line, "the row is a header again", hint)


@cache
def _plain_rows(width: int) -> frozenset[bytes]:
    """Return the marks of a row without quotes or with all cells quoted, with LF or CRLF."""
    return frozenset(
        b",".join([quotes] * width) + end for quotes in (b"", b'""') for end in (b"\n", b"\r\n")
    )


def _end_of_records(data: bytes, begin: int, stop: int, *, quoted: bool) -> int:
    """Return the offset after the last line end that is not in a quoted cell, or ``begin``.

    A line end is outside of quoted cells if the number of quotes before it is even.

    Args:
        data: The bytes. Only the part from ``begin`` to ``stop`` is searched.
        begin: The beginning of the part.
        stop: The end of the part.
        quoted: True if the part begins inside a quoted cell.
    """
    end = data.rfind(b"\n", begin, stop) + 1 or begin
    if not quoted and data.find(b'"', begin, stop) < 0:
        return end
    if (quoted + data.count(b'"', begin, end)) % 2 == 0:
        return end
    # Two adjacent quotes change nothing, so they are removed from the marks. The quotes that are
    # left open and close cells in turn, and the last one opens a cell, because the number of
    # quotes is odd. The record ends at the last line end before that quote, and ``inside`` line
    # ends follow the quote.
    part = data[begin:end]
    marks = part.translate(None, _ALL_BUT_QUOTES_AND_LINE_ENDS).replace(b'""', b"")
    opening = marks.rfind(b'"')
    if opening <= 0:
        return begin
    inside = len(marks) - opening - 1
    return begin + len(part.rsplit(b"\n", inside + 1)[0]) + 1


def _end_of_first_record(data: bytes, begin: int) -> int:
    """Return the offset after the first line end that is not in a quoted cell, or the end."""
    match = RECORD_BYTES.match(data, begin)
    return len(data) if match is None or match.end() == begin else match.end()


def _csv_bytes(source: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes without byte order marks; raise if they are another format."""
    read = getattr(source, "read", None)
    chunks = iter(source) if read is None else iter(partial(read, CHUNK_BYTES), b"")
    head = b""
    for chunk in chunks:
        if not head:  # Only the first chunk is checked: the others are of the same type.
            check_kind("a chunk", chunk, bytes, "pass bytes; encode text as UTF-8")
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    while head.startswith(_BOM):
        head = head.removeprefix(_BOM)
    found = other_format(head)
    if found is not None:
        raise MalformedCsvError(1, *found)
    yield head
    yield from chunks
