"""Changes of the properties of members who stayed, from the members at two syncs."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from attrs import field, frozen

from .._display import short_repr
from ..format.columns import ID_COLUMNS, Row
from ..format.csv_blocks import split_record
from ..format.named_rows import ColumnType, NamedRow, TableRow, names_beside
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource
from ._merged_lines import line_parts

PROPERTY_CHANGE_COLUMNS: Mapping[str, ColumnType] = {"synced_at": "timestamp"}
"""The column of property changes that comes before the user's ids."""

_CELLS = ("property", "old", "new")
"""The columns that come after the user's ids."""


@frozen(kw_only=True, repr=False)
class PropertyChange(NamedRow):
    """One property of one member that changed. The repr shows neither the user nor the values.

    It is also a row of the table of changes: ``change["user_id"]`` is an id of the user.

    Attributes:
        synced_at: The time of the first sync with the new value.
        row: The user's ids at this sync.
        column: The name of the column that changed, in the table as ``property``. It may be the id
            by which members are not matched.
        old: The value at the sync before.
        new: The value at this sync.
        columns: The names of the ids.
    """

    synced_at: datetime
    row: Row = field(repr=False)
    column: str
    old: str = field(repr=False)
    new: str = field(repr=False)
    columns: tuple[str, ...] = field(default=ID_COLUMNS, repr=False)

    __repr__ = short_repr

    @property
    def _fields(self) -> tuple[str, ...]:
        cells = cell_names(self.columns)
        return names_beside(tuple(PROPERTY_CHANGE_COLUMNS), cells)

    @property
    def _cells(self) -> TableRow:
        return (self.synced_at, *self.row, self.column, self.old, self.new)


def cell_names(ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the cells after the time.

    >>> cell_names(("amplitude_id", "user_id"))
    ('amplitude_id', 'user_id', 'property', 'old', 'new')
    """
    return (*ids, *names_beside(_CELLS, ids)[: len(_CELLS)])


def changed_rows(
    before: CsvSource, now: CsvSource, schema: RowSchema
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the old and the new row of each member in two sets whose rows differ.

    Nearly all members stay as they are. Their lines are equal, so they are not split into cells.

    Args:
        before: The earlier members, as canonical CSV.
        now: The later members, as canonical CSV.
        schema: The columns of the rows, and the key.
    """
    for was, is_now in line_parts([(before, schema), (now, schema)]):
        unchanged = {*was.lines} & {*is_now.lines}
        if len(unchanged) == len(is_now):
            continue
        old = dict(was.items_without(unchanged))
        for key, line in is_now.items_without(unchanged):
            if key in old:
                yield split_record(old[key], 0), split_record(line, 0)
