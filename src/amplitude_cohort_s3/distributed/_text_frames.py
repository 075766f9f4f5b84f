"""Data frames of PySpark with the columns of a sync, all of them text."""

from typing import Any

from attrs import frozen

from ..errors import InvalidCellError
from ..format.columns import ID_COLUMNS, id_column, places_of, repeated_column
from ..format.schema import RowSchema

_TEXT_LIKE = {"string", "tinyint", "smallint", "int", "bigint", "void"}
"""The types of Spark whose cast to a string is the canonical text."""


def frame_names(schema: RowSchema) -> dict[str, str]:
    """Return the names in frames of a schema's columns.

    Properties are renamed, because Spark reads a dot in a name as the field of a structure,
    and ignores the case of names.
    """
    properties = [f"property_{number}" for number, _ in enumerate(schema.properties)]
    return dict(zip(schema.columns, (*ID_COLUMNS, *properties), strict=True))


def quoted(name: str) -> str:
    """Return a column's name in Spark's quotes; unquoted, a dot means the field of a structure."""
    return "`" + name.replace("`", "``") + "`"


def as_text(functions: Any, frame: Any, schema: RowSchema) -> tuple[Any, tuple[str, ...]]:
    """Return a frame as text without nulls, and the names of the columns that it loses.

    The columns of the result are those of the schema: see :func:`frame_names`.

    Raises:
        MissingColumnsError: The frame lacks the key or a property.
        InvalidCellError: A column is neither text nor integers.
        MalformedCsvError: A column that is asked for occurs more than once.
    """
    found = places_of(frame.columns, schema.columns)
    for column, places in found.items():
        if len(places) > 1:
            raise repeated_column(column)
    schema.check_columns([id_column(name) or name for name in frame.columns], fill=False)
    types = [field.dataType.simpleString() for field in frame.schema.fields]
    # By position, because names may repeat, and Spark ignores their letter case.
    renamed = frame.toDF(*(f"column_{place}" for place in range(len(types))))
    cells: list[Any] = []
    for column, name in frame_names(schema).items():
        cell = functions.lit("")
        if column in found:
            (place,) = found[column]
            kind = types[place]
            is_integer = kind.startswith("decimal") and kind.endswith(",0)")
            if kind not in _TEXT_LIKE and not is_integer:
                raise InvalidCellError(
                    column, f"is of type {kind}", "cast it to text at the source"
                )
            cell = functions.coalesce(renamed[f"column_{place}"].cast("string"), cell)
        cells.append(cell.alias(name))
    used = {place for (place,) in found.values()}
    ignored = {name for place, name in enumerate(frame.columns) if place not in used}
    return renamed.select(*cells), tuple(sorted(ignored))


@frozen
class FileSize:
    """The numbers of rows and bytes that a file will have."""

    rows: int
    bytes: int

    def part_count(self, part_bytes: int) -> int:
        """Return the number of parts of about this size."""
        return max(1, -(-self.bytes // part_bytes))


def size_of(functions: Any, frame: Any, schema: RowSchema) -> FileSize:
    """Return the exact size that the file of a frame will have.

    Raises:
        InvalidCellError: A cell contains a NUL.
    """
    size = functions.lit(len(schema.columns))  # the commas and the line end
    nuls: list[Any] = []
    for name in frame_names(schema).values():
        cell = frame[name]
        quotes = functions.length(cell) - functions.length(functions.regexp_replace(cell, '"', ""))
        is_quoted = cell.rlike('[,"\\n\\r]')
        size = size + functions.octet_length(cell)
        size = size + functions.when(is_quoted, quotes + 2).otherwise(0)
        nuls.append(functions.max(cell.contains("\0")))
    rows, total, *has_nul = frame.agg(
        functions.count("*"), functions.sum(size.cast("long")), *nuls
    ).collect()[0]
    for column, found in zip(schema.columns, has_nul, strict=True):
        if found:
            raise InvalidCellError(column, "contains a NUL", "remove it before the sync")
    return FileSize(rows, len(schema.header_line) + (total or 0))
