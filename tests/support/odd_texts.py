"""Texts that a careless reader would change, as members and as tables."""

from typing import Any

from hypothesis import strategies as st

from amplitude_cohort_s3 import DiffType, Members, RowSchema
from amplitude_cohort_s3.history.line_batches import BATCH_BYTES
from amplitude_cohort_s3.sources.protocol import CsvSource

CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
SCHEMA = RowSchema(properties=("plan", "note"))
ODD_ROWS = [
    ("18446744073709551617", "007", "1e5", "NA"),
    ("2", "", "null", "NaN"),
    ("3", "nan", "None", "true"),
    ("4", "2026-11-23", "1.0", " x "),
    ("5", 'a "b", c', "line\nend", "cr\rlf\r\n"),
    ("6", "é 😀 \u2028", "=1+1", "\t'"),
    ("7", "", "", ""),
]


def members_of(rows: list[tuple[str, ...]], schema: RowSchema = SCHEMA) -> Members:
    data = b"".join(schema.encode(rows))
    parts = [data[i : i + BATCH_BYTES] for i in range(0, len(data), BATCH_BYTES)]
    source = CsvSource(chunks=lambda: iter(parts), canonical=True)
    return Members(schema=schema, rows=len(rows), sources={DiffType.EXISTING: source})


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table.to_pylist()]
