"""The number of rows with a value in each property column, counted in canonical CSV."""

from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import RowSchema
from amplitude_cohort_s3.format.filled import CountedCsv, count_filled

CELLS = st.text(alphabet='ab 0,"\n\r\té日', max_size=3)


@st.composite
def tables(draw):
    """Return a schema and rows of it, in which many cells are empty or need quotes."""
    properties = draw(st.integers(0, 4))
    cell = st.just("") | CELLS
    rows = draw(st.lists(st.tuples(st.just("1") | CELLS, *[cell] * (properties + 1)), max_size=20))
    return RowSchema(properties=[f"p{n}" for n in range(properties)]), rows


def expected(schema, rows):
    return {name: sum(1 for row in rows if row[n + 2]) for n, name in enumerate(schema.properties)}


@given(table=tables())
def test_each_value_is_counted_in_its_column(table):
    schema, rows = table
    lines = b"".join(schema.encode(rows))[len(schema.header_line) :]
    found = count_filled(lines, len(rows), len(schema.columns))
    assert dict(zip(schema.properties, found, strict=True)) == expected(schema, rows)


def test_the_counts_cover_all_chunks_of_a_large_file():
    schema = RowSchema(properties=("plan", "city", "note"))
    rows = [
        (str(n), "", "pro" if n % 3 else "", "Köln" if n % 5 else "", 'a "b"' if n % 7 else "")
        for n in range(70_000)
    ]
    counted = CountedCsv(schema, rows)
    chunks = list(counted)
    assert len(chunks) > 1
    assert b"".join(chunks) == b"".join(schema.encode(rows))
    assert (counted.rows, counted.filled) == (len(rows), expected(schema, rows))
