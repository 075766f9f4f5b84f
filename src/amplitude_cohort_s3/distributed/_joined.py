"""The previous and current members in one frame of PySpark, and the rows of the files."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from attrs import frozen

from ..errors import InvalidCellError
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ._text_frames import frame_names

FILE_COLUMN = "file"
"""The column with the number of the file that a row belongs to, in the order of
:class:`DiffType`."""

_CHANGE_COLUMN = "change"

ENTERED, EXITED, STAYED = range(3)
"""The values of the column of changes. The first two are also the numbers of the files
``entering`` and ``exiting``."""

_EXISTING = 2


@frozen
class FileSize:
    """The numbers of rows and bytes that a file will have."""

    rows: int
    bytes: int

    def part_count(self, part_bytes: int) -> int:
        """Return the number of parts of about this size that the file needs, at least 1."""
        return max(1, -(-self.bytes // part_bytes))


@frozen(kw_only=True)
class JoinedMembers:
    """All previous and current members, each once, with the change of each.

    One join computes all three files. Its result is used three times, to count, sample and write
    the rows, so it is stored in a local checkpoint when it is first computed. A cache would not
    be safe: if a machine is lost, Spark evaluates the query again to fill the cache, and the
    query may return other members.

    Attributes:
        functions: The module ``pyspark.sql.functions``.
        rows: A frame with the current cells or, for members who exited, the previous cells.
        schema: The columns of the rows.
        existing: The meaning of the file ``existing``.
    """

    functions: Any
    rows: Any
    schema: RowSchema
    existing: ExistingMeaning

    @classmethod
    def join(
        cls,
        functions: Any,
        previous: Any,
        current: Any,
        *,
        schema: RowSchema,
        existing: ExistingMeaning,
    ) -> "JoinedMembers":
        """Join the members by their key.

        No side may repeat a key, and no current key may be empty.
        """
        f, names = functions, tuple(frame_names(schema).values())
        key = frame_names(schema)[schema.key]
        before = previous.filter(previous[key] != "").toDF(*(f"before_{name}" for name in names))
        is_new, is_gone = before[f"before_{key}"].isNull(), current[key].isNull()
        change = f.when(is_new, ENTERED).when(is_gone, EXITED).otherwise(STAYED)
        cells = [
            f.when(is_gone, before[f"before_{name}"]).otherwise(current[name]).alias(name)
            for name in names
        ]
        joined = current.join(before, current[key] == before[f"before_{key}"], "full")
        rows = joined.select(*cells, change.alias(_CHANGE_COLUMN)).localCheckpoint(eager=False)
        return cls(functions=functions, rows=rows, schema=schema, existing=existing)

    @property
    def _files_of_change(self) -> Mapping[int, list[int]]:
        """The numbers of the files that contain a member, by the member's change."""
        return {
            ENTERED: [ENTERED, *[_EXISTING] * self.existing.contains_entering],
            EXITED: [EXITED, *[_EXISTING] * self.existing.contains_exiting],
            STAYED: [_EXISTING],
        }

    def sizes(self) -> dict[DiffType, FileSize]:
        """Return the exact sizes that the files will have.

        Raises:
            InvalidCellError: A cell contains a NUL.
        """
        f, schema = self.functions, self.schema
        size = f.lit(len(schema.columns))  # the commas and the line end
        nuls: list[Any] = []
        for name in frame_names(schema).values():
            cell = self.rows[name]
            quotes = f.length(cell) - f.length(f.replace(cell, f.lit('"'), f.lit("")))
            special = [cell.contains(text) for text in (",", '"', "\n", "\r")]
            is_quoted = reduce(lambda one, other: one | other, special)
            size = size + f.octet_length(cell) + f.when(is_quoted, quotes + 2).otherwise(0)
            nuls.append(f.max(cell.contains("\0")))
        totals = self.rows.groupBy(_CHANGE_COLUMN)
        rows, sizes = [0] * len(DiffType), [len(schema.header_line)] * len(DiffType)
        for change, count, total, *has_nul in totals.agg(
            f.count("*"), f.sum(size.cast("long")), *nuls
        ).collect():
            for column, is_found in zip(schema.columns, has_nul, strict=True):
                if is_found:
                    raise InvalidCellError(column, "contains a NUL", "remove it before the sync")
            for number in self._files_of_change[change]:
                rows[number] += count
                sizes[number] += total
        return dict(zip(DiffType, map(FileSize, rows, sizes), strict=True))

    def rows_of_files(self) -> Any:
        """Return the rows of all files in one frame, with the number of the file."""
        f = self.functions
        entered, exited, stayed = (
            f.array(*map(f.lit, self._files_of_change[change]))
            for change in (ENTERED, EXITED, STAYED)
        )
        change = self.rows[_CHANGE_COLUMN]
        files = f.when(change == ENTERED, entered).when(change == EXITED, exited).otherwise(stayed)
        names = frame_names(self.schema).values()
        return self.rows.select(*names, f.explode(files).alias(FILE_COLUMN))
