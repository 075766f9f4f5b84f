"""Detection of quoted cells in text from the middle of a canonical file.

Canonical CSV quotes a cell only if it must, doubles each quote in it, and has only ``,`` or LF
around a quoted cell. So most quotes show whether they open or close a cell.
"""

import re

from ..format.csv_blocks import RECORD_BYTES

_CELL = rb'"(?![^",\r\n]*+"(?!"))(?:[^"]++|"")*+"(?=[,\n])'
_OUTSIDE = rb'(?:[^"]*+(?<=[,\n])%b)*+[^"]*+(?:(?<=[,\n])"(?:[^"]++|"")*+)?\Z' % _CELL
_FROM_OUTSIDE = re.compile(_OUTSIDE)
_FROM_INSIDE = re.compile(rb'(?:[^"]++|"")*+(?:"(?=[,\n])%b|\Z)' % _OUTSIDE)
_REST_OF_CELL = re.compile(rb'(?:[^"]++|"")*+"')


class DoubtError(Exception):
    """Raised if a file is not sorted or canonical as far as it was read, or has very long rows."""


def quoting_at(data: bytes) -> tuple[bool | None, int]:
    r"""Return whether some bytes in the middle of a file begin outside of quoted cells.

    Returns:
        True, False, or None if both are possible; and the offset that this is true for, which
        is right after the first byte that is not a quote.

    Raises:
        DoubtError: Neither is possible.

    >>> [quoting_at(data) for data in (b'a,"b,c"\n', b'b,c",d\n', b"a,b\n")]
    [(True, 1), (False, 1), (None, 1)]
    """
    begin = len(data) - len(data.lstrip(b'"')) + 1
    end = len(data.rstrip(b'"'))
    if data.find(b'"', begin, end) < 0:
        return None, begin
    outside = _FROM_OUTSIDE.match(data, begin, end) is not None
    inside = _FROM_INSIDE.match(data, begin, end) is not None
    if not (outside or inside):
        raise DoubtError
    return (None if outside and inside else outside), begin


def first_line(data: bytes, begin: int, *, is_outside: bool) -> int:
    """Return the offset of the first line that begins after an offset, or the end."""
    if not is_outside:
        rest = _REST_OF_CELL.match(data, begin)
        if rest is None:
            return len(data)
        begin = rest.end()
    line = RECORD_BYTES.match(data, begin)
    if line is None or not line[0].endswith(b"\n"):
        return len(data)
    return line.end()


def whole_lines(data: bytes, begin: int) -> tuple[list[bytes], int]:
    """Return the whole lines from an offset on, and the offset after the last of them.

    An LF in a quoted cell does not end a line.
    """
    if data.find(b'"', begin) < 0:
        end = data.rfind(b"\n", begin) + 1 or begin
        return data[begin:end].splitlines(keepends=True), end
    lines = list[bytes]()
    for match in RECORD_BYTES.finditer(data, begin):
        if not match[0].endswith(b"\n"):
            break
        lines.append(match[0])
        begin = match.end()
    return lines, begin
