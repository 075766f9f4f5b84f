"""The text of a cell: from Python values, and quoted for CSV."""

import re
from collections.abc import Iterable

from ..errors import InvalidCellError, MalformedCsvError
from .columns import ID_COLUMNS


def to_text(value: object, column: str) -> str:
    """Return the text of a value. None and NaN are empty.

    Raises:
        InvalidCellError: There is more than one way to write the value, as for a float, a
            bool or a date, or it is not a scalar.
    """
    match value:
        case str():
            return str(value)
        case None:
            return ""
        case bool():
            hint = "write the text that the consumers expect, such as 'true'"
        case int():
            return str(value)
        case float() if value != value:  # noqa: PLR0124 -- NaN, as pandas marks a missing value
            return ""
        case float() if column in ID_COLUMNS:
            hint = "read it as text or as an integer at the source; it may already have lost digits"
        case float():
            hint = "format it as the text that the consumers expect, such as f'{value:.2f}'"
        case _ if hasattr(value, "isoformat"):
            hint = "format it, for example with .isoformat()"
        case _:
            hint = "convert it to text"
    raise InvalidCellError(column, f"is of type {type(value).__name__}", hint)


FLOAT_ID = r"[+-]?(?:[0-9]+[.][0-9]*|[.][0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?"
"""The pattern of ids that a program wrote after it had read them as floating-point numbers."""

is_float_id = re.compile(FLOAT_ID).fullmatch
"""Return a match if an id was a float once, else None."""

FLOAT_ID_RULE = "is the text of a floating-point number, such as 7.0 or 3e+17, which lost digits"
FLOAT_ID_HINT = (
    "read the ids as text at the source, for example with dtype=str in pandas, infer_schema=False "
    "in Polars or a cast to text in SQL"
)


def encode_text(cells: Iterable[str]) -> str:
    """Return the canonical line of some cells.

    A cell with a lone CR is quoted too, because some readers treat a CR as a line end.
    """
    return (
        ",".join(
            [
                '"' + cell.replace('"', '""') + '"'
                if '"' in cell or "," in cell or "\n" in cell or "\r" in cell
                else cell
                for cell in cells
            ]
        )
        + "\n"
    )


def broken_rule(text: str) -> str | None:
    """Return the reason why a text can't be written to a file, or None."""
    if "\0" in text:
        return "contains a NUL, which ends a text in many databases"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains half of a surrogate pair, which UTF-8 can't encode"
    return None


def merge_repeated(columns: Iterable[str], cells: Iterable[str], line: int) -> dict[str, str]:
    """Return the cell of each column. A repeated column must have equal cells.

    Raises:
        MalformedCsvError: A column occurs twice with different cells.
    """
    merged = dict[str, str]()
    for column, cell in zip(columns, cells, strict=True):
        if merged.setdefault(column, cell) != cell:
            raise MalformedCsvError(line, f"the column {column} occurs twice with different values")
    return merged
