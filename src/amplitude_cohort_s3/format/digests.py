"""Digests of rows that do not depend on the order in which the rows are read."""

import hashlib

from .columns import Row
from .schema import RowSchema


def row_digest(row: Row) -> int:
    """Return the SHA-256 of a row as a number. The digest of a set of rows is a sum of these.

    A sum does not depend on the order of the rows, so a repeated sync is recognized even if its
    engine partitions the rows differently.

    Args:
        row: The cells in the order of the schema's columns.
    """
    # No cell contains a NUL, so different rows have different bytes.
    return int.from_bytes(hashlib.sha256("\0".join(row).encode()).digest(), "big")


def plain_lines_digest(lines: bytes) -> int:
    r"""Return the sum of the :func:`row_digest` of canonical lines in which no cell has quotes.

    >>> plain_lines_digest(b"1,ann\n2,bob\n") == row_digest(("1", "ann")) + row_digest(("2", "bob"))
    True
    """
    rows = lines.replace(b",", b"\0").split(b"\n")
    rows.pop()  # This removes the empty text after the last line end.
    return sum([int.from_bytes(hashlib.sha256(row).digest(), "big") for row in rows])


def members_digest(schema: RowSchema, rows_digest: int) -> str:
    """Return the digest of a member set that no single process reads completely.

    Args:
        schema: The columns; their header is part of the digest.
        rows_digest: The sum of the members' :func:`row_digest`.

    Returns:
        The SHA-256, in hex, of the header and of the sum modulo 2**256.

    >>> rows = [("1", "ann"), ("2", "bob")]
    >>> one = members_digest(RowSchema(), sum(map(row_digest, rows)))
    >>> one == members_digest(RowSchema(), sum(map(row_digest, reversed(rows))))
    True
    """
    total = (rows_digest % (1 << 256)).to_bytes(32, "big")
    return hashlib.sha256(schema.header_line + total).hexdigest()
