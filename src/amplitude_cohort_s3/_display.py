"""Counts as text, short reprs, and values as the tables of notebooks."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from html import escape
from typing import cast

import attrs


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "person", "people")
    ('1 row', '1,200 rows', '2 people')
    """
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def short_repr(value: attrs.AttrsInstance) -> str:
    """Return the repr of a value without the fields that have their default.

    A class uses it as its ``__repr__``, together with ``@frozen(repr=False)``.

    >>> from amplitude_cohort_s3 import Destination
    >>> Destination("warehouse", path="cohorts", existing="stayed")
    Destination(name='warehouse', path='cohorts', existing='stayed')
    """
    shown = list[str]()
    for field in attrs.fields(type(value)):
        found = getattr(value, field.name)
        default = field.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default = type(found)()
        if field.repr is False or found == default:
            continue
        text = field.repr(found) if callable(field.repr) else _shown(found)
        shown.append(f"{field.name}={text}")
    return f"{type(value).__name__}({', '.join(shown)})"


def _shown(value: object) -> str:
    match value:
        case datetime():
            return f"<{value.isoformat()}>"
        case Enum():
            return repr(value.value)
        case _:
            return repr(value)


def html_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    notes: Iterable[str] = (),
) -> str:
    """Return a small HTML table with every text escaped, without styles and ids.

    Args:
        title: The caption.
        columns: The names of the columns.
        rows: The values. Integers are grouped by thousands and aligned to the right. The
            elements of a tuple appear below each other. No value may show a user, because
            notebooks get shared.
        notes: Lines below the caption.

    >>> html_table("a < b", ["n"], [[1200]])
    '<table><caption>a &lt; b</caption><thead><tr><th>n</th></tr></thead><tbody>\
<tr><td align="right">1,200</td></tr></tbody></table>'
    """
    head = "".join([f"<th>{escape(column)}</th>" for column in columns])
    body = "".join(["<tr>" + "".join(map(_html_value, row)) + "</tr>" for row in rows])
    caption = "<br>".join(map(escape, (title, *notes)))
    return (
        f"<table><caption>{caption}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def html_columns(title: str, columns: Sequence[str]) -> str:
    """Return the HTML of a table of users: its columns, and how to see its rows."""
    hint = (
        "Rows are hidden because notebooks get shared. "
        "Use .to_pandas(), .to_polars(), .to_arrow() or .to_duckdb() to see them."
    )
    return html_table(f"{title}. {hint}", columns, ())


def _html_value(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td align="right">{value:,}</td>'
    lines = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return f"<td>{'<br>'.join(escape(str(line)) for line in lines)}</td>"
