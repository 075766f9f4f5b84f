"""The rule that decides which rows of a file count, for all methods of a history.

A file that another tool wrote may have rows without a key, the same row twice, or different
rows with one key. Rows without a key are not members: under ``match_by="user_id"`` an
anonymous user has none, and many of them must not become one person. Of several rows with
one key, the one with the smallest canonical bytes counts, so that no answer depends on the
order of the rows.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from os import PathLike

from attrs import define

from ..format.cells import encode_text
from ..format.columns import Row
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource
from ._external_sort import external_sort

KeyedRow = tuple[bytes, Row]
"""The key in UTF-8, and the row."""


@define
class RowTally:
    """The rows of a file, counted while it is read.

    Attributes:
        rows: The number of all rows.
        keyless: The number of rows without a key.
        repeated: The number of rows that are identical to an earlier row.
        conflicting: The number of keys that have different rows.
    """

    rows: int = 0
    keyless: int = 0
    repeated: int = 0
    conflicting: int = 0


def keyed_rows(
    source: CsvSource, schema: RowSchema, tally: RowTally | None = None
) -> Iterator[KeyedRow]:
    """Yield the rows of a file that have a key, with their keys, in the order of the file.

    Raises:
        MissingColumnsError, MalformedCsvError: The file can't be read.
    """
    tally, index = tally or RowTally(), schema.key_index
    for row in source.rows_of(schema, fill=True):
        tally.rows += 1
        if row[index]:
            yield row[index].encode(), row
        else:
            tally.keyless += 1


def smallest_row(rows: Iterable[Row], tally: RowTally | None = None) -> Row:
    """Return the row with the smallest canonical bytes, of sorted rows with one key.

    Args:
        rows: At least one row, sorted.
        tally: The counts to add to.
    """
    remaining = iter(rows)
    chosen = previous = next(remaining)
    repeated, differs = 0, False
    for row in remaining:
        if row == previous:
            repeated += 1
            continue
        previous, differs = row, True
        chosen = min(chosen, row, key=_canonical_bytes)
    if tally is not None:
        tally.repeated += repeated
        tally.conflicting += differs
    return chosen


def _canonical_bytes(row: Row) -> bytes:
    return encode_text(row).encode().removesuffix(b"\n")


def member_rows(
    source: CsvSource,
    schema: RowSchema,
    *,
    is_sorted: bool = False,
    work_dir: str | PathLike[str] | None = None,
    tally: RowTally | None = None,
) -> Iterator[KeyedRow]:
    """Yield the rows of a file that count: one for each key, in the order of the keys.

    Args:
        source: The file.
        schema: The columns of the rows, and the key.
        is_sorted: True if the file is known to have one row for each key, in their order.
        work_dir: The folder for temporary files. Default: the system's.
        tally: The counts to add to.

    Raises:
        MissingColumnsError, MalformedCsvError: The file can't be read.

    >>> rows = [("2", "bob"), ("", "cy"), ("1", "ann"), ("1", "ANN"), ("2", "bob")]
    >>> source = CsvSource(chunks=lambda: RowSchema().encode(rows))
    >>> tally = RowTally()
    >>> [row for _, row in member_rows(source, RowSchema(), tally=tally)]
    [('1', 'ANN'), ('2', 'bob')]
    >>> tally
    RowTally(rows=5, keyless=1, repeated=1, conflicting=1)
    """
    rows = keyed_rows(source, schema, tally)
    if is_sorted:
        yield from rows
        return
    for key, same_key in groupby(external_sort(rows, work_dir=work_dir), key=itemgetter(0)):
        yield key, smallest_row(map(itemgetter(1), same_key), tally)
