"""Data frames of Spark as text."""

from typing import Any

from attrs import frozen

from ..errors import InvalidCellError
from ..format.columns import ID_COLUMNS, id_column
from ..format.schema import RowSchema

# --- Frames of text --------------------------------------------------------------------


def frame_names(schema: RowSchema) -> dict[str, str]:
    """What the columns of a schema are called in frames.

    Not as in the files: Spark takes a dot in a name for a field of a structure, and names
    that differ in their case for one.
    """
    properties = [f"property_{number}" for number, _ in enumerate(schema.properties)]
    return dict(zip(schema.columns, (*ID_COLUMNS, *properties), strict=True))


def as_text(functions: Any, frame: Any, schema: RowSchema) -> tuple[Any, tuple[str, ...]]:
    """The frame in the columns of the schema, all text and nothing null; and what it has more.

    Its columns are called as :func:`frame_names` says.

    Raises:
        MissingColumnsError: It lacks the key or a property.
        InvalidCellError: A column is neither text nor integers.
    """
    named = {id_column(name) or name: name for name in frame.columns}
    schema.check_columns(named, fill=False)
    types = {field.name: field.dataType for field in frame.schema.fields}
    names = frame_names(schema)
    cells: list[Any] = []
    for column in schema.columns:
        if column not in named:
            cells.append(functions.lit("").alias(names[column]))
            continue
        name = named[column]
        kind = types[name].simpleString()
        whole = kind.startswith("decimal") and kind.endswith(",0)")
        if kind not in ("string", "tinyint", "smallint", "int", "bigint", "void") and not whole:
            raise InvalidCellError(column, f"is of type {kind}", "cast it to text at the source")
        # In backquotes, as a dot would be taken for a field of a structure.
        cell = frame["`" + name.replace("`", "``") + "`"].cast("string")
        cells.append(functions.coalesce(cell, functions.lit("")).alias(names[column]))
    ignored = tuple(sorted(name for key, name in named.items() if key not in schema.columns))
    return frame.select(*cells), ignored


@frozen
class Size:
    """How many rows and bytes a file will have."""

    rows: int
    bytes: int

    def divisions(self, part_bytes: int) -> int:
        return max(1, -(-self.bytes // part_bytes))


def size_of(functions: Any, frame: Any, schema: RowSchema) -> Size:
    """The exact size of the file, before a byte of it is written.

    Raises:
        InvalidCellError: A cell holds a NUL.
    """
    size = functions.lit(len(schema.columns))  # commas and the line end
    nuls: list[Any] = []
    for name in frame_names(schema).values():
        cell = frame[name]
        quotes = functions.length(cell) - functions.length(functions.regexp_replace(cell, '"', ""))
        quoted = cell.rlike('[,"\\n\\r]')
        size = size + functions.octet_length(cell)
        size = size + functions.when(quoted, quotes + 2).otherwise(0)
        nuls.append(functions.max(cell.contains("\0")).alias(f"nul_{len(nuls)}"))
    found = frame.agg(functions.count("*"), functions.sum(size.cast("long")), *nuls).collect()[0]
    for column, has_nul in zip(schema.columns, found[2:], strict=True):
        if has_nul:
            raise InvalidCellError(column, "holds a NUL character", "remove it before the sync")
    return Size(found[0], len(schema.header_line) + (found[1] or 0))
