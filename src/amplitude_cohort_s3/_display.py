"""Counts as text, and values as the tables of notebooks."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import cast


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "person", "people")
    ('1 row', '1,200 rows', '2 people')
    """
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


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
