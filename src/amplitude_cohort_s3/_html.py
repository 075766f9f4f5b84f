"""Values as notebooks show them."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import cast


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A small table for a ``_repr_html_``: every text escaped, no style, no ids.

    Args:
        title: The caption.
        columns: The heads of the columns.
        rows: The cells; integers are grouped by thousands and set to the right, those of
            a tuple stand below each other. Counts, times and keys: a notebook is stored
            and sent around, so no users.

    >>> html_table("a < b", ["n"], [[1200]])
    '<table><caption>a &lt; b</caption><thead><tr><th>n</th></tr></thead><tbody>\
<tr><td align="right">1,200</td></tr></tbody></table>'
    """
    head = "".join([f"<th>{escape(column)}</th>" for column in columns])
    body = "".join(["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows])
    return (
        f"<table><caption>{escape(title)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def html_columns(title: str, columns: Sequence[str]) -> str:
    """A table of users as a ``_repr_html_``: its columns, and how to see what is in it.

    Args:
        title: What the rows are.
        columns: The heads of the columns.
    """
    ways = ".to_pandas(), .to_polars(), .to_arrow() or .to_duckdb()"
    return html_table(f"{title}; not shown here: take {ways}, or iterate", columns, ())


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td align="right">{value:,}</td>'
    lines = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return f"<td>{'<br>'.join(escape(str(line)) for line in lines)}</td>"
