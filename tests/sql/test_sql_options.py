"""The options that each statement sets, because the default could read other rows.

One table has every option with the default in the warehouse's own documentation. The statements of
BigQuery, Redshift and Snowflake are compared with it, because they do not run here. fakesnow runs
Snowflake's other statements, and parses its COPY.
"""

import re
import warnings
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp
from warehouse_files import (
    SPELLINGS,
    WITH_LINE_ENDS,
    foreign_history,
    history_in,
    own_history,
)

from amplitude_cohort_s3.sql import statements

SNOWFLAKE = "https://docs.snowflake.com/en/sql-reference/sql/copy-into-table"
REDSHIFT_FORMAT = "https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-format.html"
REDSHIFT_CONVERSION = (
    "https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-conversion.html"
)
REDSHIFT_LOAD = "https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-load.html"
BIGQUERY = "https://cloud.google.com/bigquery/docs/reference/standard-sql/load-statements"
BIGQUERY_CSV = "https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-csv"

# Each option: the warehouse, our text, its documented default, why we give it, and the source.
OPTIONS = [
    ("snowflake", "TYPE = CSV", "CSV", "format", SNOWFLAKE),
    ("snowflake", "COMPRESSION = NONE", "AUTO", "guessed", SNOWFLAKE),
    ("snowflake", "RECORD_DELIMITER = '\\n'", "newline", "line end", SNOWFLAKE),
    ("snowflake", "FIELD_DELIMITER = ','", "','", "delimiter", SNOWFLAKE),
    ("snowflake", "MULTI_LINE = TRUE", "TRUE", "line end in a cell", SNOWFLAKE),
    ("snowflake", "PARSE_HEADER = FALSE", "FALSE", "by position", SNOWFLAKE),
    ("snowflake", "SKIP_HEADER = 1", "0", "the header is a row", SNOWFLAKE),
    ("snowflake", "SKIP_BLANK_LINES = FALSE", "FALSE", "also in a cell", SNOWFLAKE),
    ("snowflake", "ESCAPE = NONE", "NONE", "backslash in quotes", SNOWFLAKE),
    ("snowflake", "ESCAPE_UNENCLOSED_FIELD = NONE", "'\\\\'", "loses backslashes", SNOWFLAKE),
    ("snowflake", "TRIM_SPACE = FALSE", "FALSE", "blanks around a cell", SNOWFLAKE),
    ("snowflake", "FIELD_OPTIONALLY_ENCLOSED_BY = '\"'", "NONE", "quotes", SNOWFLAKE),
    ("snowflake", "NULL_IF = ()", "('\\\\N')", "\\N becomes NULL", SNOWFLAKE),
    ("snowflake", "ERROR_ON_COLUMN_COUNT_MISMATCH = TRUE", "TRUE", "ragged rows", SNOWFLAKE),
    ("snowflake", "REPLACE_INVALID_CHARACTERS = FALSE", "FALSE", "bad UTF-8", SNOWFLAKE),
    ("snowflake", "EMPTY_FIELD_AS_NULL = FALSE", "TRUE", "empty becomes NULL", SNOWFLAKE),
    ("snowflake", "SKIP_BYTE_ORDER_MARK = TRUE", "TRUE", "BOM", SNOWFLAKE),
    ("snowflake", "ENCODING = 'UTF8'", "UTF8", "encoding", SNOWFLAKE),
    ("snowflake", "ON_ERROR = ABORT_STATEMENT", "ABORT_STATEMENT", "bad rows", SNOWFLAKE),
    ("snowflake", "TRUNCATECOLUMNS = FALSE", "FALSE", "long cells", SNOWFLAKE),
    ("snowflake", "FORCE = TRUE", "FALSE", "a loaded file is skipped", SNOWFLAKE),
    ("redshift", "MANIFEST", "none", "a key is a prefix", REDSHIFT_LOAD),
    ("redshift", "FORMAT AS CSV", "text with |", "quotes and line ends", REDSHIFT_FORMAT),
    ("redshift", "QUOTE AS '\"'", "'\"'", "quotes", REDSHIFT_FORMAT),
    ("redshift", "DELIMITER AS ','", "','", "delimiter", REDSHIFT_FORMAT),
    ("redshift", "ENCODING AS UTF8", "UTF8", "encoding", REDSHIFT_CONVERSION),
    ("redshift", "IGNOREHEADER AS 1", "0", "the header is a row", REDSHIFT_CONVERSION),
    ("redshift", "NULL AS ''", "'\\N'", "\\N becomes NULL", REDSHIFT_CONVERSION),
    ("redshift", "MAXERROR AS 0", "0", "bad rows are skipped", REDSHIFT_LOAD),
    ("bigquery", "format = 'CSV'", "none", "format", BIGQUERY),
    ("bigquery", "field_delimiter = ','", "','", "delimiter", BIGQUERY),
    ("bigquery", "quote = '\"'", "'\"'", "quotes", BIGQUERY),
    ("bigquery", "encoding = 'UTF-8'", "UTF-8", "encoding", BIGQUERY),
    ("bigquery", "skip_leading_rows = 1", "0", "the header is a row", BIGQUERY),
    ("bigquery", "source_column_match = 'POSITION'", "POSITION with a schema", "", BIGQUERY),
    ("bigquery", "null_marker = ''", "''", "an empty cell is NULL", BIGQUERY),
    ("bigquery", "allow_quoted_newlines = TRUE", "FALSE", "line end in a cell", BIGQUERY),
    ("bigquery", "allow_jagged_rows = FALSE", "FALSE", "ragged rows", BIGQUERY),
    ("bigquery", "ignore_unknown_values = FALSE", "FALSE", "ragged rows", BIGQUERY),
    ("bigquery", "max_bad_records = 0", "0", "bad rows are skipped", BIGQUERY),
    (
        "bigquery",
        "preserve_ascii_control_characters = TRUE",
        "FALSE",
        "control characters",
        BIGQUERY_CSV,
    ),
]

# Words that would change or skip data; they have no opposite, so they must be left out.
REDSHIFT_LEFT_OUT = {
    "ACCEPTINVCHARS",
    "BLANKSASNULL",
    "EMPTYASNULL",
    "ESCAPE",
    "FILLRECORD",
    "IGNOREALLERRORS",
    "IGNOREBLANKLINES",
    "REMOVEQUOTES",
    "TRIMBLANKS",
    "TRUNCATECOLUMNS",
    "GZIP",
}


def loads(dialect: str, folder: Path, **options: object) -> list[str]:
    """Return the statements that load the files of the library, in any of its dialects."""
    made = statements(own_history(folder, WITH_LINE_ENDS, **options), dialect)
    found = [text for text in made if text.startswith(("COPY", "LOAD"))]
    assert found
    return found


@pytest.mark.parametrize("dialect", ["snowflake", "redshift", "bigquery"])
def test_every_option_is_given_once(dialect, tmp_path):
    texts = [text for name, text, *_ in OPTIONS if name == dialect]
    for load in loads(dialect, tmp_path):
        for text in texts:
            assert len(re.findall(rf"(?<![\w]){re.escape(text)}(?!\w)", load)) == 1, text
    assert all(source.startswith("https://") for *_, source in OPTIONS)


@pytest.mark.parametrize("dialect", ["snowflake", "bigquery"])
def test_no_other_option_is_given(dialect, tmp_path):
    given = {text.split(" =")[0] for name, text, *_ in OPTIONS if name == dialect}
    for load in loads(dialect, tmp_path):
        names = set(re.findall(r"(\w+) = ", load))
        assert names - given <= {"FILES", "FILE_FORMAT", "uris"}


def test_words_of_redshift_that_change_data_are_left_out(tmp_path):
    for load in loads("redshift", tmp_path):
        assert not REDSHIFT_LEFT_OUT & set(load.split())


@pytest.mark.parametrize(
    ("dialect", "text"),
    [("snowflake", "COMPRESSION = GZIP"), ("redshift", " GZIP"), ("duckdb", "'gzip'")],
)
def test_compression_is_given_by_the_content(dialect, text, tmp_path):
    history = own_history(tmp_path / "own", WITH_LINE_ENDS, compressed=True)
    made = statements(history, dialect, sync=history[0])
    assert sum(text in one for one in made) == 2
    # A gzip file with the name of a plain one.
    crlf = next(s for s in SPELLINGS if s.name == "crlf_gzip")
    history = foreign_history(tmp_path / "foreign", crlf, [("1", "", "", "")])
    for info in history[0].files.values():
        path = tmp_path / "foreign" / info.key
        path.rename(path.with_suffix(""))
    history = history_in(tmp_path / "foreign")
    assert sum(text in one for one in statements(history, dialect, sync=history[0])) == 2


def test_the_line_end_of_snowflake_is_that_of_the_file(tmp_path):
    crlf = next(s for s in SPELLINGS if s.name == "crlf_quoted")
    history = foreign_history(tmp_path, crlf, [("1", "", "", "")])
    loads = [text for text in statements(history, "snowflake") if text.startswith("COPY")]
    assert len(loads) == 3
    assert all("RECORD_DELIMITER = '\\r\\n'" in text for text in loads)


@pytest.mark.parametrize("dialect", ["bigquery", "redshift", "snowflake"])
def test_an_empty_cell_is_never_null_even_if_the_reader_returns_null(dialect, tmp_path):
    history = own_history(tmp_path, WITH_LINE_ENDS)
    for sync in (None, history[0]):
        insert = next(t for t in statements(history, dialect, sync=sync) if "COALESCE" in t)
        assert insert.startswith("INSERT")
        assert insert.count("COALESCE(") >= 4


def test_snowflakes_statements_run_in_fakesnow(tmp_path):
    """fakesnow does not know all options, so COPY is parsed, and rows are inserted instead."""
    fakesnow = pytest.importorskip("fakesnow")
    connector = pytest.importorskip("snowflake.connector")
    rows = [row[:4] for row in WITH_LINE_ENDS]
    history = own_history(tmp_path, rows, rows[2:])
    with warnings.catch_warnings(), fakesnow.patch():
        warnings.simplefilter("ignore")
        cursor = connector.connect(database="d", schema="s").cursor()
        for number, sync in enumerate((None, history[1], history[1])):
            for text in statements(history, "snowflake", sync=sync):
                if not text.startswith("COPY"):
                    cursor.execute(text)
                    continue
                copy = sqlglot.parse_one(text, read="snowflake")
                assert isinstance(copy, exp.Copy)
                table = copy.this.find(exp.Table).name
                if table.endswith("existing"):
                    cursor.executemany(f'INSERT INTO "{table}" VALUES (%s, %s, %s, %s)', rows[2:])
            cursor.execute('SELECT * FROM "cohort_members"')
            found = sorted(tuple(row) for row in cursor.fetchall())
            assert found == sorted(rows[2:]), number
