"""The text of a cell: from Python values, and quoted for CSV."""

import re
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from operator import index
from typing import cast
from uuid import UUID

from ..errors import InvalidCellError
from .columns import ID_COLUMNS

_COMMON = {str, int, type(None)}


def to_text(value: object, column: str) -> str:
    """Return the text of a value, by the one rule for rows, data frames and files.

    A text is written as it is, and an integer in decimal digits. Members of an enum that are also
    texts or integers count as such, and so do NumPy's integers and a ``Decimal`` without decimal
    places. A ``UUID`` is written in its standard form. None, NaN, NaT and NA become an empty
    text.

    Args:
        value: The value.
        column: The name of its column, for errors.

    Raises:
        InvalidCellError: There is more than one way to write the value, as for a float, a
            bool, a date or bytes, or it is not a scalar.

    >>> to_text(42, "plan"), to_text(None, "plan"), to_text("007", "plan")
    ('42', '', '007')
    """
    if isinstance(value, str):
        return str.__str__(value)  # str() of an enum is the name of its class and member
    if value is None:
        return ""
    text = _number_text(value, column)
    if text is not None:
        return text
    if isinstance(value, UUID):
        return UUID.__str__(value)
    if _is_missing(value):
        return ""
    raise InvalidCellError(column, f"is of type {type(value).__name__}", _hint(value, column))


def to_texts(values: Sequence[object], column: str) -> Sequence[str]:
    """Return the text of each value of a column: :func:`to_text`, but faster for many values.

    Raises:
        InvalidCellError: As :func:`to_text`.
    """
    kinds = set(map(type, values))
    if kinds == {str}:
        return cast("Sequence[str]", values)
    if kinds <= _COMMON:
        try:
            return ["" if value is None else str(value) for value in values]
        except ValueError:  # an integer of more digits than Python converts
            pass
    return [to_text(value, column) for value in values]


_MAX_EXPONENT = 1000
"""The limit of the exponent of a ``Decimal``: without it, a few characters could become
gigabytes."""


def _number_text(value: object, column: str) -> str | None:
    """Return the digits of an integer, or None if the value is not an integer."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, Decimal):
            is_whole = value.as_tuple().exponent in range(_MAX_EXPONENT)
            return int.__repr__(int(value)) if is_whole else None
        # NumPy registers its integers as Integral, but also timedelta64, which has no __index__.
        return int.__repr__(index(value)) if isinstance(value, Integral) else None
    except TypeError:
        return None
    except ValueError:
        rule = f"has more than {sys.get_int_max_str_digits():,} digits"
        raise InvalidCellError(column, rule, "remove it before the sync") from None


def _is_missing(value: object) -> bool:
    """Return whether a value is NaN, NaT or NA: no other value differs from itself."""
    try:
        differs: object = value != value  # noqa: PLR0124
    except Exception:  # noqa: BLE001 -- the value can have any class
        return False
    if type(differs).__name__ in _BOOLEANS:
        return bool(differs)
    return differs is value  # NA of pandas: each comparison with it is NA


_BOOLEANS = {"bool", "bool_"}
"""The names of Python's and NumPy's classes of booleans."""


def _hint(value: object, column: str) -> str:
    match value:
        case _ if type(value).__name__ in _BOOLEANS:
            return "write the text that the consumers expect, such as 'true'"
        case float() | Real() | Decimal() if column in ID_COLUMNS:
            return "read it as text or as an integer at the source; it may already have lost digits"
        case float() | Real() | Decimal():
            return "format it as the text that the consumers expect, such as f'{value:.2f}'"
        case bytes() | bytearray() | memoryview():
            return "decode it, for example with .decode()"
        case Enum():
            return "pass its .value or its .name"
        case _ if hasattr(value, "isoformat"):
            return "format it, for example with .isoformat()"
        case _:
            return "convert it to text"


FLOAT_ID = r"[+-]?(?:[0-9]+[.][0-9]*|[.][0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?"
"""The pattern of ids that a program wrote after it had read them as floating-point numbers."""

is_float_id = re.compile(FLOAT_ID).fullmatch
"""Return a match if an id has the form of a floating-point number, else None."""

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


def encode_lines(lines: Sequence[str]) -> bytes:
    r"""Return lines without their line ends as they are in a file.

    >>> encode_lines(["1,ann", "2,bob"])
    b'1,ann\n2,bob\n'
    """
    return ("\n".join(lines) + "\n").encode() if lines else b""


def broken_rule(text: str) -> str | None:
    """Return the reason why a text can't be written to a file, or None."""
    if "\0" in text:
        return "contains a NUL, which ends a text in many databases"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains half of a surrogate pair, which UTF-8 can't encode"
    return None
