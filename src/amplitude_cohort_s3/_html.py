"""Values as text and as the tables of notebooks."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from html import escape
from typing import cast


class Report(ABC):
    """A value that prints as lines and that a notebook shows as a table.

    Reports are stored and sent around, so they show counts, times and keys, but no users.
    """

    __slots__ = ()

    @abstractmethod
    def _report(self) -> tuple[str, Sequence[str], Sequence[Sequence[object]]]:
        """Return the title, the names of the columns, and the cells of each row."""

    def __str__(self) -> str:
        """Return the title, then one line for each row, in aligned columns."""
        title, _, rows = self._report()
        cells = [[f"{c:,}" if _is_count(c) else str(c) for c in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                text.rjust(width) if _is_count(cell) else text.ljust(width)
                for text, cell, width in zip(texts, row, widths, strict=True)
            ).rstrip()
            for texts, row in zip(cells, rows, strict=True)
        ]
        return "\n".join([title, *lines])

    def _repr_html_(self) -> str:
        return html_table(*self._report())


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a small HTML table with every text escaped, without styles and ids.

    Args:
        title: The caption.
        columns: The names of the columns.
        rows: The cells. Integers are grouped by thousands and aligned to the right. The
            elements of a tuple appear below each other. No cell may show a user, because
            notebooks are stored and sent around.

    >>> html_table("a < b", ["n"], [[1200]])
    '<table><caption>a &lt; b</caption><thead><tr><th>n</th></tr></thead><tbody>\
<tr><td align="right">1,200</td></tr></tbody></table>'
    """
    head = "".join([f"<th>{escape(column)}</th>" for column in columns])
    body = "".join(["<tr>" + "".join(map(_html_cell, row)) + "</tr>" for row in rows])
    return (
        f"<table><caption>{escape(title)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def html_columns(title: str, columns: Sequence[str]) -> str:
    """Return the HTML of a table of users: its columns, and how to see its rows."""
    hint = (
        "Rows are hidden because notebooks get shared. "
        "Use .to_pandas(), .to_polars(), .to_arrow() or .to_duckdb() to see them."
    )
    return html_table(f"{title}. {hint}", columns, ())


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _html_cell(value: object) -> str:
    if _is_count(value):
        return f'<td align="right">{value:,}</td>'
    lines = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return f"<td>{'<br>'.join(escape(str(line)) for line in lines)}</td>"
