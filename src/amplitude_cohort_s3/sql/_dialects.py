r"""The syntax of each dialect, and its statement that loads one file into a table.

Each statement sets every option of the dialect's CSV reader, even if the value is the default
today, because the readers differ: some guess the format (DuckDB), have an escape character
(Snowflake, Hive), or read some text as NULL (``\N`` in Snowflake and Redshift). If NULL can't be
turned off in a reader, the statement makes empty text the mark of NULL, and ``Syntax.cell`` turns
NULL back into empty text.
"""

from collections.abc import Iterable
from typing import Literal
from urllib.parse import quote

from attrs import frozen

from ..errors import ConfigurationError
from ..format.csv_blocks import MAX_ROW_BYTES
from ._layout import Layout

Dialect = Literal["athena", "bigquery", "duckdb", "postgresql", "redshift", "snowflake"]
"""A dialect of SQL."""


@frozen(kw_only=True)
class Syntax:
    """The syntax of a dialect.

    Attributes:
        quote: The character around a name.
        text_type: The type of a column of text.
        escapes: True if a backslash in a literal escapes the next character.
        temporary: The word before TABLE for a table that other sessions do not see.
        transaction: The word after BEGIN and COMMIT.
        nulls: True if an empty cell may be NULL in the loaded table.
        bytewise: The clause after a column by which texts are ordered by their bytes.
        folds_case: True if two names that differ only in the case of letters are one name.
        skips_lines: True if the header is skipped as one line, so that it can't have a line end.
    """

    quote: str = '"'
    text_type: str = "TEXT"
    escapes: bool = False
    temporary: str = "TEMPORARY "
    transaction: str = ""
    nulls: bool = False
    bytewise: str = ""
    folds_case: bool = False
    skips_lines: bool = False

    def name(self, name: str) -> str:
        """Return a name in quotes."""
        if self.quote == "`" and not name.replace("_", "a").isalnum():
            raise fault(f"the dialect can't have the name {name!r}: use letters, digits and _ only")
        return f"{self.quote}{name.replace(self.quote, self.quote * 2)}{self.quote}"

    def names(self, columns: Iterable[str]) -> str:
        """Return the names in quotes, separated by commas."""
        return ", ".join(map(self.name, columns))

    def definitions(self, columns: Iterable[str]) -> str:
        """Return the definitions of columns of text, separated by commas."""
        return ", ".join(f"{self.name(column)} {self.text_type}" for column in columns)

    def literal(self, text: str) -> str:
        """Return a text as a literal."""
        if self.escapes:
            for char, escape in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r")):
                text = text.replace(char, escape)
            return f"'{text}'"
        return "'" + text.replace("'", "''") + "'"

    def cell(self, column: str) -> str:
        """Return the expression of a cell in a loaded row. An empty cell is text, not NULL."""
        return f"COALESCE({self.name(column)}, '')" if self.nulls else self.name(column)

    def check_columns(self, columns: Iterable[str]) -> None:
        """Raise unless a table can have these columns.

        Raises:
            ConfigurationError: Two names are the same name in the dialect, or a name has a line
                end and the dialect skips the header as one line.
        """
        seen: dict[str, str] = {}
        for column in columns:
            other = seen.setdefault(column.casefold() if self.folds_case else column, column)
            if other is not column:
                raise fault(
                    f"the dialect ignores the case of letters, so the columns {other!r} and "
                    f"{column!r} would be one: load the history with sql.apply"
                )
            if self.skips_lines and {"\n", "\r"} & set(column):
                raise fault(
                    f"the dialect skips one line as the header, and the name {column!r} has a "
                    "line end: load the history with sql.apply"
                )


SYNTAX: dict[Dialect, Syntax] = {
    # Athena's DDL is that of Hive, its queries are those of Trino: see ATHENA_QUERY.
    "athena": Syntax(
        quote="`", text_type="string", escapes=True, folds_case=True, skips_lines=True
    ),
    # BigQuery loads files only into the tables of a dataset, so the tables are not temporary.
    "bigquery": Syntax(
        quote="`",
        text_type="STRING",
        escapes=True,
        temporary="",
        transaction=" TRANSACTION",
        nulls=True,
        folds_case=True,
        skips_lines=True,
    ),
    "duckdb": Syntax(text_type="VARCHAR", folds_case=True),
    "postgresql": Syntax(bytewise=' COLLATE "C"'),
    "redshift": Syntax(
        text_type="VARCHAR(65535)", escapes=True, nulls=True, folds_case=True, skips_lines=True
    ),
    "snowflake": Syntax(text_type="VARCHAR", escapes=True, nulls=True, skips_lines=True),
}

ATHENA_QUERY = Syntax(text_type="VARCHAR", folds_case=True)


def fault(text: str) -> ConfigurationError:
    """Return the error for an argument or a file for which there are no statements."""
    return ConfigurationError("statements", (text,))


def load(dialect: Dialect, table: str, layout: Layout, stage: str, manifest_url: str) -> str:
    """Return the statement that loads a file into a table with the file's columns.

    Args:
        dialect: The dialect; not Athena, which loads no files.
        table: The name of the table, without quotes.
        layout: The file.
        stage: For Snowflake, the name of the stage.
        manifest_url: For Redshift, the folder with the manifests.

    Raises:
        ConfigurationError: The dialect can't load the file.
    """
    syntax = SYNTAX[dialect]
    target = f"{syntax.name(table)} ({syntax.names(layout.columns)})"
    match dialect:
        case "postgresql":
            return f"COPY {target} FROM STDIN WITH ({_postgresql_options(syntax, layout)})"
        case "duckdb":
            return f"INSERT INTO {target} SELECT * FROM {read_csv(layout)}"
        case "redshift":
            folder = manifest_url.rstrip("/")
            manifest = syntax.literal(f"{folder}/{manifest_name(layout.url)}")
            return f"COPY {target} FROM {manifest} {_redshift_options(layout)}"
        case "snowflake":
            key = syntax.literal(layout.url.partition("://")[2].partition("/")[2])
            return (
                f"COPY INTO {target} FROM @{syntax.name(stage)} FILES = ({key}) "
                f"{_snowflake_options(layout)}"
            )
        case _:
            definitions = syntax.definitions(layout.columns)
            return (
                f"LOAD DATA INTO {syntax.name(table)} ({definitions}) "
                f"FROM FILES ({_bigquery_options(syntax, layout)})"
            )


def _postgresql_options(syntax: Syntax, layout: Layout) -> str:
    if len(layout.columns) == 1:
        # Before version 18, a line "\." ends the data, and COPY loads the rows before it.
        raise fault(
            f"PostgreSQL can't load a file with one column, {layout.url}: a row may end it: "
            "load it with sql.apply"
        )
    return (
        "FORMAT csv, HEADER true, ENCODING 'UTF8', DELIMITER ',', QUOTE '\"', ESCAPE '\"', "
        f"NULL '', FORCE_NOT_NULL ({syntax.names(layout.columns)})"
    )


def _redshift_options(layout: Layout) -> str:
    # The keywords that change or skip data (TRIMBLANKS, FILLRECORD, ACCEPTINVCHARS,
    # TRUNCATECOLUMNS, IGNOREBLANKLINES, ...) have no opposite: each is off unless it is named.
    return (
        "IAM_ROLE DEFAULT MANIFEST FORMAT AS CSV QUOTE AS '\"' DELIMITER AS ',' "
        "ENCODING AS UTF8 IGNOREHEADER AS 1 NULL AS '' MAXERROR AS 0"
        f"{' GZIP' if layout.compression == 'gzip' else ''}"
    )


def _snowflake_options(layout: Layout) -> str:
    compression = "NONE" if layout.compression is None else "GZIP"
    line_end = SYNTAX["snowflake"].literal(layout.line_end)
    return (
        f"FILE_FORMAT = (TYPE = CSV COMPRESSION = {compression} RECORD_DELIMITER = {line_end} "
        "FIELD_DELIMITER = ',' MULTI_LINE = TRUE PARSE_HEADER = FALSE SKIP_HEADER = 1 "
        "SKIP_BLANK_LINES = FALSE ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE "
        "TRIM_SPACE = FALSE FIELD_OPTIONALLY_ENCLOSED_BY = '\"' NULL_IF = () "
        "ERROR_ON_COLUMN_COUNT_MISMATCH = TRUE REPLACE_INVALID_CHARACTERS = FALSE "
        "EMPTY_FIELD_AS_NULL = FALSE SKIP_BYTE_ORDER_MARK = TRUE ENCODING = 'UTF8') "
        "ON_ERROR = ABORT_STATEMENT TRUNCATECOLUMNS = FALSE FORCE = TRUE"
    )


def _bigquery_options(syntax: Syntax, layout: Layout) -> str:
    if "*" in layout.url:
        raise fault(
            f"BigQuery reads * in the name of a file as a wildcard: copy {layout.url} to a name "
            "without it"
        )
    check_compression(layout)
    return (
        f"format = 'CSV', uris = [{syntax.literal(layout.url)}], field_delimiter = ',', "
        "quote = '\"', encoding = 'UTF-8', skip_leading_rows = 1, "
        "source_column_match = 'POSITION', null_marker = '', allow_quoted_newlines = TRUE, "
        "allow_jagged_rows = FALSE, ignore_unknown_values = FALSE, max_bad_records = 0, "
        "preserve_ascii_control_characters = TRUE"
    )


def check_compression(layout: Layout) -> None:
    """Raise unless a file's name shows its compression, because a reader relies on the name.

    Raises:
        ConfigurationError: It is gzip without the extension ``.gz``, or the other way round.
    """
    if not layout.is_named_by_its_compression:
        found, ending, other = "is compressed with gzip", "does not end", "that does"
        if layout.compression is None:
            found, ending, other = "is not compressed", "ends", "that does not"
        raise fault(
            f"the file {layout.url} {found}, but its name {ending} in .gz: "
            f"copy it to a name {other}"
        )


def manifest_name(url: str) -> str:
    """Return the name of a file's manifest, which has only letters, digits and ``._~=-``.

    These characters are enough to distinguish all files, and none of them has a meaning in SQL or
    in a URL.

    >>> manifest_name("s3://bucket/cohorts/1_a_2026-11-23T14:05_exiting_it's.csv")
    '1_a_2026-11-23T14=3A05_exiting_it=27s.csv.manifest'
    """
    return quote(url.rpartition("/")[2], safe="").replace("%", "=") + ".manifest"


def read_csv(layout: Layout) -> str:
    """Return DuckDB's function that reads one file, all columns as text.

    Raises:
        ConfigurationError: DuckDB can't name the file.
    """
    syntax = SYNTAX["duckdb"]
    types = ", ".join(f"{syntax.literal(column)}: 'VARCHAR'" for column in layout.columns)
    not_null = ", ".join(map(syntax.literal, layout.columns))
    # The option new_line is left out: DuckDB reads LF and CRLF without it, and refuses a mixture.
    # With it and strict_mode, or with another line end than the file's, it returns no rows.
    return (
        f"read_csv([{syntax.literal(_duckdb_pattern(layout.url))}], columns = {{{types}}}, "
        f"force_not_null = [{not_null}], auto_detect = false, header = true, skip = 0, "
        f"delim = ',', quote = '\"', escape = '\"', comment = '', "
        f"nullstr = '', encoding = 'utf-8', compression = '{layout.compression or 'none'}', "
        f"max_line_size = {MAX_ROW_BYTES}, strict_mode = true, null_padding = false, "
        "ignore_errors = false, store_rejects = false, hive_partitioning = false, "
        "union_by_name = false, filename = false, normalize_names = false, parallel = false)"
    )


def _duckdb_pattern(url: str) -> str:
    """Return the pattern that matches one file. DuckDB reads paths of local files, not URLs."""
    is_local = url.startswith("file://")
    path = url.removeprefix("file://") if is_local else url
    is_wild = not {"*", "?", "["}.isdisjoint(path)
    if ("\\" in path and (is_wild or not is_local)) or ("?" in path and not is_local):
        # A backslash separates folders in a pattern, and ? begins the parameters of a URL.
        raise fault(
            f"DuckDB can't read a file whose name has this backslash or ?: copy {url} to a name "
            "without it"
        )
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)
