"""The text of one cell: from Python values, and quoted for CSV."""

from collections.abc import Iterable

from ..errors import UnsupportedValueError
from .columns import ID_COLUMNS


def to_text(value: object, column: str) -> str:
    """A cell as text, where there is one faithful text.

    Raises:
        UnsupportedValueError: The value is a float, a bool, a date or no scalar.
    """
    match value:
        case str():
            return str(value)
        case None:
            return ""
        case bool():
            cure = "write the text that the consumers expect, such as 'true'"
        case int():
            return str(value)
        case float() if value != value:  # noqa: PLR0124 -- NaN, as pandas marks a missing value
            return ""
        case float() if column in ID_COLUMNS:
            cure = "an id may already have lost digits; read it as text or integer at the source"
        case float():
            cure = "format it as the text that the consumers expect, such as f'{value:.2f}'"
        case _ if hasattr(value, "isoformat"):
            cure = "format it, for example with .isoformat()"
        case _:
            cure = "convert it to text"
    raise UnsupportedValueError(column, type(value).__name__, cure)


def encode_text(cells: Iterable[str]) -> str:
    """One canonical line; a lone CR is quoted too, since readers take it for a line end."""
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
    """By which rule a text can't stand in a file, or None."""
    if "\0" in text:
        return "holds a NUL, which ends a text for many databases"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which UTF-8 can't write"
    return None
