"""The line numbers of faulty rows, found by reading the source a second time.

To remember the line of every row would slow down all diffs for the sake of the few that fail.
"""

from collections.abc import Callable, Iterator
from itertools import islice

from ..format.cells import is_float_id
from ..format.columns import Row
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource

_MAX_LINES = 5


def first_without_key(source: CsvSource, schema: RowSchema) -> tuple[int, ...]:
    """Return the positions of the first rows without a key."""
    key = schema.key_index
    return _first(source, schema, lambda row: not row[key])


def first_float_ids(source: CsvSource, schema: RowSchema) -> tuple[int, ...]:
    """Return the positions of the first rows whose Amplitude id is the text of a float."""
    return _first(source, schema, lambda row: is_float_id(row[0]) is not None)


def first_conflicts(source: CsvSource, schema: RowSchema, keys: set[str]) -> tuple[int, ...]:
    """Return the positions of the first rows that differ from an earlier row of their key.

    Args:
        source: The rows.
        schema: The columns and the key.
        keys: The keys with different rows. Each key that is found is removed.
    """
    key = schema.key_index
    seen = dict[str, Row]()

    def differs(row: Row) -> bool:
        if row[key] not in keys or seen.setdefault(row[key], row) == row:
            return False
        keys.remove(row[key])  # Each key is reported once.
        return True

    return _first(source, schema, differs)


def _first(source: CsvSource, schema: RowSchema, fits: Callable[[Row], bool]) -> tuple[int, ...]:
    found = (position for position, row in _numbered(source, schema) if fits(row))
    return tuple(islice(found, _MAX_LINES))


def _numbered(source: CsvSource, schema: RowSchema) -> Iterator[tuple[int, Row]]:
    table = source.read_table()
    reader = schema.line_reader(table)
    numbered = (row for block in table.blocks for row in reader.numbered(block))
    for number, (line, row) in enumerate(numbered, start=1):
        yield (line if source.unit == "line" else number), row
