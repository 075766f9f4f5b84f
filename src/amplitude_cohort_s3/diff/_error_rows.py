"""Where rows stand that an error is about.

Keeping the place of every row would cost all diffs for the sake of those that fail, so
the source is read once more, row by row.
"""

from collections.abc import Callable, Iterator

from ..format.columns import Row
from ..format.reader import read_table
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource

_NAMED = 5


def first_without_key(source: CsvSource, schema: RowSchema) -> tuple[int, ...]:
    """Where the first rows stand that have no key."""
    key = schema.key_index
    return _first(source, schema, lambda row: not row[key])


def first_conflicts(source: CsvSource, schema: RowSchema, keys: set[str]) -> tuple[int, ...]:
    """Where the first rows stand that differ from an earlier one of their key.

    Args:
        source: The rows.
        schema: The columns and the key.
        keys: Those that have different rows.
    """
    key = schema.key_index
    seen = dict[str, Row]()

    def differs(row: Row) -> bool:
        if row[key] not in keys or seen.setdefault(row[key], row) == row:
            return False
        keys.remove(row[key])  # named once
        return True

    return _first(source, schema, differs)


def _first(source: CsvSource, schema: RowSchema, fits: Callable[[Row], bool]) -> tuple[int, ...]:
    found = list[int]()
    for position, row in _numbered(source, schema):
        if fits(row):
            found.append(position)
            if len(found) == _NAMED:
                break
    return tuple(found)


def _numbered(source: CsvSource, schema: RowSchema) -> Iterator[tuple[int, Row]]:
    table = read_table(source.chunks(), canonical=source.canonical)
    select = schema.selector(table)
    position = 0
    for block in table.blocks:
        for line, row in table.reader.numbered(block):
            position += 1
            yield (line if source.unit == "line" else position), select(row)
