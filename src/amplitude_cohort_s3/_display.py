"""Counts as text, short reprs, and values as the tables of notebooks."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from html import escape
from itertools import repeat
from typing import cast

import attrs


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "person", "people")
    ('1 row', '1,200 rows', '2 people')
    """
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def newest_of(shown: int, number: int, noun: str) -> str:
    """Return how many of some things are shown, if only the newest ones are.

    >>> newest_of(28, 28, "sync"), newest_of(10, 28, "sync")
    ('28 syncs', 'newest 10 of 28 syncs')
    """
    everything = counted(number, noun)
    return everything if shown == number else f"newest {shown:,} of {everything}"


def short_repr(self: object) -> str:
    """Return the repr of an attrs value without the fields that have their default.

    A class uses it as its ``__repr__``, together with ``@frozen(repr=False)``.

    >>> from amplitude_cohort_s3 import Destination
    >>> Destination("warehouse", path="cohorts", existing="stayed")
    Destination(name='warehouse', path='cohorts', existing='stayed')
    """
    shown = list[str]()
    for field in attrs.fields(cast("type[attrs.AttrsInstance]", type(self))):
        found = getattr(self, field.name)
        default = field.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default = type(found)()
        if field.repr is False or found == default:
            continue
        text = field.repr(found) if callable(field.repr) else _shown(found)
        shown.append(f"{field.name}={text}")
    return f"{type(self).__name__}({', '.join(shown)})"


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
    """Return a small HTML table with every text escaped.

    Only the alignment is a style: Jupyter aligns all cells to the right by default.

    Args:
        title: The caption.
        columns: The names of the columns.
        rows: The values. Integers are grouped by thousands and aligned to the right, texts to
            the left. The elements of a tuple appear below each other. No value may show a
            user, because notebooks get shared.
        notes: Lines below the caption.

    >>> html_table("a < b", ["n"], [[1200]])
    '<table><caption style="text-align: left">a &lt; b</caption><thead><tr>\
<th style="text-align: right">n</th></tr></thead><tbody><tr>\
<td style="text-align: right">1,200</td></tr></tbody></table>'
    """
    caption = "<br>".join(map(escape, (title, *notes)))
    if not columns:  # A table without columns would be as narrow as a word.
        return f"<p>{caption}</p>"
    lines = [tuple(row) for row in rows]
    numeric = _numeric_columns(len(columns), lines)
    head = "".join(map(_html_cell, repeat("th"), columns, numeric))
    body = "".join(
        ["<tr>" + "".join(map(_html_cell, repeat("td"), line, numeric)) + "</tr>" for line in lines]
    )
    return (
        f'<table><caption style="text-align: left">{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def html_columns(title: str, columns: Sequence[str]) -> str:
    """Return the HTML of a table of users: its columns, and how to see its rows."""
    hint = (
        "Rows are hidden because notebooks get shared. "
        "Use .head(), .to_pandas(), .to_polars(), .to_arrow() or .to_duckdb() to see them."
    )
    return html_table(f"{title}. {hint}", columns, ())


def text_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of aligned text.

    Args:
        columns: The names of the columns.
        rows: The values. Integers are grouped by thousands and aligned to the right. Times have
            no time zone, and None is ``-``.

    >>> print(text_table(["cohort", "syncs"], [["26umsb5", 1200], ["a", 7]]))
    cohort   syncs
    26umsb5  1,200
    a            7
    """
    lines = [tuple(row) for row in rows]
    numeric = _numeric_columns(len(columns), lines)
    texts = [list(columns), *(list(map(_text, line)) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    aligned = (
        [
            text.rjust(width) if is_numeric else text.ljust(width)
            for text, width, is_numeric in zip(line, widths, numeric, strict=True)
        ]
        for line in texts
    )
    return "\n".join("  ".join(line).rstrip() for line in aligned)


def _numeric_columns(number: int, lines: Iterable[tuple[object, ...]]) -> list[bool]:
    """Return for each column whether it has a number; a column may lack some of its values."""
    numeric = [False] * number
    for line in lines:
        for place, value in enumerate(line):
            numeric[place] |= _is_number(value)
    return numeric


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: object) -> str:
    if value is None:
        return "-"  # It is not known.
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"  # All times that the library stores are in UTC.
    return f"{value:,}" if _is_number(value) else str(value)


def _html_cell(tag: str, value: object, is_numeric: bool) -> str:  # noqa: FBT001 -- for map()
    lines = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    text = "<br>".join(escape(_text(line)) for line in lines)
    return f'<{tag} style="text-align: {"right" if is_numeric else "left"}">{text}</{tag}>'
