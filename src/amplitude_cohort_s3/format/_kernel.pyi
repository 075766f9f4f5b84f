"""The inner loops of the library in C; `kernel/module.c` is the source.

A line is a row in canonical form. Every function returns None for bytes that it leaves to the
Python code: bytes that are not canonical or not CSV at all, lines with a line end in a cell, a
CR or quotes around the key, and texts of 4 GiB. The functions run without the GIL.
An argument without a meaning, such as a key that is not a column, is a `ValueError`.
"""

from typing_extensions import Buffer

def partition(
    lines: Buffer, out: Buffer, width: int, key: int, prefix: bytes, heads: bytes, /
) -> tuple[int, int, bytes] | None:
    """Write the lines of each key range to `out`, one range after the other.

    Range n + 1 begins at the key `prefix` + `heads[8 * n:8 * n + 8]`. LF separates the lines of a
    range; there is none after the last line. Rows with an empty key are left out.

    Args:
        lines: The lines.
        out: A writable buffer, at least as large as the lines.
        width: The number of cells of a row.
        key: The position of the key.
        prefix: The text that all boundaries share.
        heads: The rest of each boundary, padded with NUL to 8 bytes; ascending.

    Returns:
        The number of rows, the number of those without a key, and the number of bytes of
        each range, as an array of the type ``I``.
    """

def join(
    before: Buffer,
    now: Buffer,
    width: int,
    key: int,
    begin: str | bytes | None,
    end: str | bytes | None,
    before_is_sorted: bool,
    meaning: int,
    max_conflicts: int,
    lacking: int = 0,
    /,
) -> (
    tuple[
        int,
        int,
        int,
        int,
        list[str],
        bytes,
        bytes,
        bytes,
        bytes,
        int,
        int,
        int,
        tuple[int, ...],
        bool,
        int,
    ]
    | None
):
    """Join the two sides of a key range. Rows outside of its bounds do not count.

    Args:
        before: The previous lines.
        now: The current lines.
        width: The number of cells of a row.
        key: The position of the key.
        begin: The first possible key; None for no lower bound.
        end: The first key after the range; None for no upper bound.
        before_is_sorted: True if the previous keys must ascend; if they do not, None is returned.
        meaning: The users in the file ``existing``: 0 for the members, 1 for the members who
            stayed, 2 for the previous members.
        max_conflicts: The largest number of keys with different rows that are returned.
        lacking: A bit for each of the first 64 columns that the previous members lack.

    Returns:
        The numbers of previous members, of current rows, of current members and of keys with
        different current rows; some of these keys; the lines of all current members and of the
        files ``entering``, ``exiting`` and ``existing``; the numbers of lines of the files; the
        number of current members with a value for each property; True if the Amplitude id of a new
        or changed row is the text of a floating-point number; and the number of members who stayed
        with other cells, in columns that both sides have.
    """

def canonize(rows: Buffer, out: Buffer, width: int, places: bytes | None, /) -> int | None:
    """Write rows in canonical form to `out`, and return the number of bytes.

    Args:
        rows: Rows in any dialect of CSV, with or without blank lines.
        out: A writable buffer. None is returned if it is too small.
        width: The number of cells of a row.
        places: The position of each cell that is written; 255 for an empty cell. None for
            all cells in order.
    """

def count_filled(lines: Buffer, width: int, /) -> tuple[int, ...] | None:
    """Return for each property column the number of rows that have a value in it.

    Args:
        lines: The lines; line ends in cells are allowed.
        width: The number of cells of a row: two ids, then the properties.
    """

def columns(
    lines: Buffer, out: Buffer, width: int, stride: int, as_views: bool, /
) -> tuple[int, bytes] | None:
    """Write the texts of each column to `out`, in a layout of Arrow.

    As offsets: for each column, the offsets of its texts and the end of the last one, in 32 bits;
    after these, the texts of each column, one after the other. As views: for each column, 16
    bytes for each text; after these, all texts of more than 12 bytes.

    Args:
        lines: The lines; line ends and CRs in cells are allowed.
        out: A writable buffer for the offsets or views, and for a copy of the lines. None is
            returned if it is too small.
        width: The number of cells of a row.
        stride: The number of offsets or views that fit in the space of one column. None is
            returned unless it is greater than the number of rows.
        as_views: True for the layout `string_view`, False for `string`.

    Returns:
        The number of rows, and the number of bytes of the texts of each column, as an array of
        the type ``I``; as views, only texts of more than 12 bytes count.
    """

def count_line_ends(text: Buffer, /) -> int:
    """Return the number of LF in any bytes."""

def stays(
    sides: tuple[Buffer, ...],
    numbers: bytes,
    kinds: bytes,
    out: Buffer,
    width: int,
    key: int,
    /,
) -> tuple[int, bytes, bytes, tuple[int, ...]] | None:
    """Merge the lines of sides into stays, up to the key that all sides reach.

    Args:
        sides: The lines of each side, with one line for each key, in the order of the keys; the
            sides in the order of the syncs and kinds.
        numbers: The number of the sync of each side, as an array of the type ``I``.
        kinds: For each side 0 if the users of its lines exited, 1 if they entered, 2 if they were
            present; and 4 more if the side has more lines than these.
        out: A writable buffer for a line for each stay. The size of all lines with their line
            ends is always enough. None is returned if it is too small.
        width: The number of cells of a row.
        key: The position of the key.

    Returns:
        The number of bytes that were written; for each stay, 1 plus the number of the sync at
        which the user entered, and 1 plus that at which the user exited, or 0 if there is no such
        sync, as arrays of the type ``I``; and for each side the number of bytes that were merged.
    """

def read_spans(file: int, spans: bytes, /) -> bytes | None:
    """Read parts of a file with one call, and return them with an LF between two.

    Args:
        file: The descriptor of an open file. Its position is not used.
        spans: An offset and a size for each part, as an array of the type ``Q``.

    Returns:
        The text. None if the file can't be read or is too short, or the text has 4 GiB.
    """

def check(
    lines: Buffer, width: int, key: int, after: bytes, /
) -> tuple[int, bool, tuple[int, ...], bytes] | None:
    """Check lines that should be in the order of the key.

    Args:
        lines: The lines.
        width: The number of cells of a row: two ids, then the properties.
        key: The position of the key.
        after: The key of the line before these; empty if they are the first.

    Returns:
        The number of rows; True if each key is greater than the one before it; the number of rows
        with a value for each property; and the last key, or ``after`` if there is no line. None
        if the last line has no LF.
    """

def keys(lines: Buffer, out: Buffer, width: int, key: int, /) -> int | None:
    """Write the key of each line to `out`, each ended by LF; return the number of bytes.

    Args:
        lines: The lines.
        out: A writable buffer. None is returned if it is too small.
        width: The number of cells of a row.
        key: The position of the key.
    """

def sides(*texts: Buffer) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Merge texts of ascending keys, each ended by LF, until one of them has no key left.

    Args:
        texts: A text for each side, at most 8. A side without text does not count.

    Returns:
        A pair for each combination of sides that occurs, in the order of their first keys: a
        number in which bit n means side n, and the number of keys that exactly these sides have.
        After the pairs, the offset of the rest of each text.
    """
