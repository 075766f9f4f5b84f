"""The conversion of data frames of PySpark to the columns of a sync, all of them text."""

from typing import Any

from ..errors import CohortS3Error, InvalidCellError
from ..format.cells import FLOAT_ID, FLOAT_ID_HINT, FLOAT_ID_RULE
from ..format.columns import ID_COLUMNS, id_column, repeated_column
from ..format.schema import RowSchema
from ..sources.names import places_by_header, property_conflict
from ._tasks import error_note

_TEXT_LIKE = {"string", "tinyint", "smallint", "int", "bigint", "void"}
"""The types of Spark whose values become their canonical text when they are cast to a string."""


def frame_names(schema: RowSchema) -> dict[str, str]:
    """Return the name in frames for each column of a schema.

    Properties are renamed, because Spark treats a dot in a name as the access to a field of a
    structure, and ignores the letter case of names.
    """
    properties = [f"property_{number}" for number, _ in enumerate(schema.properties)]
    return dict(zip(schema.columns, (*ID_COLUMNS, *properties), strict=True))


def quoted(name: str) -> str:
    """Return a column's name in Spark's quotes, in which a dot has no special meaning."""
    return "`" + name.replace("`", "``") + "`"


def as_text(functions: Any, frame: Any, schema: RowSchema) -> tuple[Any, tuple[str, ...]]:
    """Return a frame as text without nulls, and the names of the columns that are left out.

    The columns of the result are those of the schema: see :func:`frame_names`.

    Raises:
        MissingColumnsError: The frame lacks the key or a property.
        InvalidCellError: A column is neither text nor integers.
        MalformedCsvError: An id column, or a column with the name or header of a property, occurs
            more than once.
    """
    found = places_by_header(schema, frame.columns)
    for column in ID_COLUMNS:
        if len(found.get(column, ())) > 1:
            raise repeated_column(column)
    names = [id_column(name) or name for name in frame.columns]
    schema.check_columns([*names, *found], fill=False)
    types = [field.dataType.simpleString() for field in frame.schema.fields]
    # Columns are selected by position, because names may repeat and Spark ignores letter case.
    renamed = frame.toDF(*(f"column_{place}" for place in range(len(types))))

    def text_of(column: str, place: int) -> Any:
        kind = types[place]
        is_integer = kind.startswith("decimal") and kind.endswith(",0)")
        if kind not in _TEXT_LIKE and not is_integer:
            raise InvalidCellError(column, f"is of type {kind}", "cast it to text at the source")
        return functions.coalesce(renamed[f"column_{place}"].cast("string"), functions.lit(""))

    cells: list[Any] = []
    for column, name in frame_names(schema).items():
        places = found.get(column, ())
        both = [text_of(column, place) for place in places]
        cell = both[0] if both else functions.lit("")
        if len(both) > 1:
            conflict = property_conflict([frame.columns[place] for place in places], None, "row")
            raised = _raised(functions, conflict)
            cell = functions.when(both[0] == both[1], cell).otherwise(raised)
        if column == "amplitude_id" and both:
            error = InvalidCellError(column, FLOAT_ID_RULE, FLOAT_ID_HINT)
            is_float = cell.rlike(f"^(?:{FLOAT_ID})$")
            cell = functions.when(is_float, _raised(functions, error)).otherwise(cell)
        cells.append(cell.alias(name))
    used = {place for places in found.values() for place in places}
    ignored = {name for place, name in enumerate(frame.columns) if place not in used}
    return renamed.select(*cells), tuple(sorted(ignored))


def _raised(functions: Any, error: CohortS3Error) -> Any:
    """Return a cell that raises an error of this library when Spark evaluates it."""
    return functions.raise_error(functions.lit(error_note(error))).cast("string")
