"""Blocks that are read as a whole, which is faster, and blocks that are read row by row."""

from hypothesis import example, given
from hypothesis import strategies as st

from amplitude_cohort_s3 import RowSchema
from amplitude_cohort_s3.errors import MalformedCsvError
from amplitude_cohort_s3.format.cells import encode_text
from amplitude_cohort_s3.format.reader import read_table

HEADER = "amplitudeID,userID,plan"
ROWS = [
    "1,a,x\n",
    '"1","a","x"\n',
    "1,a,x\r\n",
    '"1","a","x"\r\n',
    '1,"a, ""b""",x\n',
    '1,"a\nb",x\n',
]
ROW_PIECES = [*ROWS, "z", "\n", "\r", '"', ",", '","', '"\n"', '""', "\r\n", "amplitude_id,b,c\n"]


@given(
    st.lists(st.sampled_from(ROWS), min_size=1, max_size=6),
    st.lists(st.sampled_from(ROW_PIECES), max_size=2),
    st.integers(0, 40),
    st.sampled_from([HEADER, "plan,amplitudeID,userID"]),
)
@example(['"1","a","x"\n'] * 2, ["z"], 3, HEADER)
@example(['"1","a","x"\n'] * 2, ["z"], 4, HEADER)
@example(['"1","a","x"\n'] * 2, ["z"], 11, HEADER)
@example(['"1","a","x"\n'] * 2, ["z"], 12, HEADER)
@example(['"1","a","x"\n'] * 2, ["z"], 0, HEADER)
@example(["1,a,x\r\n"] * 2, ["z"], 6, HEADER)
def test_a_block_read_as_a_whole_has_the_rows_and_errors_of_one_read_row_by_row(
    rows, pieces, place, header
):
    text = "".join(rows)
    data = f"{header}\n{text[:place]}{''.join(pieces)}{text[place:]}".encode()
    schema = RowSchema(properties=("plan",))

    def read(rows_of):
        table = read_table([data])
        try:
            return [row for block in table.blocks for row in rows_of(table, block)]
        except MalformedCsvError as error:
            return str(error)

    expected = read(lambda table, block: [row for _, row in table.reader.numbered(block)])
    assert read(lambda table, block: table.reader.rows(block)) == expected
    selected = read(lambda table, block: [r for _, r in schema.line_reader(table).numbered(block)])
    assert read(lambda table, block: schema.line_reader(table).rows(block)) == selected
    lines = read(lambda table, block: schema.line_reader(table).lines(block).lines)
    canonical = [encode_text(row)[:-1] for row in selected]
    assert lines == (selected if isinstance(selected, str) else canonical)
