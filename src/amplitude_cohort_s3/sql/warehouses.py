"""SQL as text with which a warehouse loads a sync from S3 itself."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from attrs import frozen

from ..errors import ConfigurationError
from ..format.filename import DiffType
from ..history.history import CohortHistory, check_is_history
from ..log.listing import BucketSync

Dialect = Literal["athena", "bigquery", "duckdb", "postgresql", "redshift", "snowflake"]
"""A dialect of SQL."""


@frozen(kw_only=True)
class _Syntax:
    """The syntax of a dialect.

    Attributes:
        quote: The character around a name.
        text_type: The type of a column of text.
        escapes: True if a backslash in a literal escapes the next character.
        temporary: The word before TABLE for a table that other sessions do not see.
        transaction: The word after BEGIN and COMMIT.
    """

    quote: str = '"'
    text_type: str = "TEXT"
    escapes: bool = False
    temporary: str = "TEMPORARY "
    transaction: str = ""

    def name(self, name: str) -> str:
        """Return a name in quotes."""
        if self.quote == "`" and not name.replace("_", "a").isalnum():
            fault = f"the dialect can't have the name {name!r}: use letters, digits and _ only"
            raise ConfigurationError("statements", (fault,))
        return f"{self.quote}{name.replace(self.quote, self.quote * 2)}{self.quote}"

    def names(self, columns: Iterable[str]) -> str:
        """Return a list of names."""
        return ", ".join(map(self.name, columns))

    def definitions(self, columns: Iterable[str]) -> str:
        """Return a list of columns of text."""
        return ", ".join(f"{self.name(column)} {self.text_type}" for column in columns)

    def literal(self, text: str) -> str:
        """Return a literal of a text."""
        if self.escapes:
            text = text.replace("\\", "\\\\")
            return "'" + text.replace("'", "\\'") + "'"
        return "'" + text.replace("'", "''") + "'"


_SYNTAX: dict[str, _Syntax] = {
    "athena": _Syntax(quote="`", text_type="string"),
    # BigQuery loads files into the tables of a dataset only, so these are not temporary.
    "bigquery": _Syntax(
        quote="`", text_type="STRING", escapes=True, temporary="", transaction=" TRANSACTION"
    ),
    "duckdb": _Syntax(text_type="VARCHAR"),
    "postgresql": _Syntax(),
    "redshift": _Syntax(text_type="VARCHAR(65535)", escapes=True),
    "snowflake": _Syntax(text_type="VARCHAR", escapes=True),
}


def statements(
    history: CohortHistory,
    dialect: Dialect,
    *,
    sync: BucketSync | None = None,
    table: str = "cohort_members",
    stage: str = "cohort_stage",
    manifest_url: str = "s3://my-bucket/manifests/",
) -> tuple[str, ...]:
    """Return statements that keep a table of the members in a warehouse, to run in order.

    Without ``sync`` they create the table and fill it from the newest sync. With a sync they
    apply its changes to the table as the sync before left it. Both may be run again. For Athena,
    and for DuckDB without ``sync``, they create views over the files instead. The function opens
    no connection and does not need SQLAlchemy.

    Args:
        history: The history of the stream.
        dialect: The dialect of the warehouse. PostgreSQL's ``COPY`` reads a file from the client.
        sync: The sync whose changes to apply.
        table: The name of the table or view, without quotes.
        stage: For Snowflake, the name of the stage that is the bucket, without quotes.
        manifest_url: For Redshift, the folder with the :func:`manifests`.

    Returns:
        The statements without semicolons.

    Raises:
        ConfigurationError: The sync lacks a file, the dialect is unknown, or it can't have the
            name of a column.
        MalformedCsvError: A file that no record describes has no header.
        ArgumentTypeError: ``history`` is not a ``CohortHistory``.
    """
    check_is_history(history)
    if dialect not in get_args(Dialect):
        fault = f"dialect must be one of {', '.join(get_args(Dialect))}, not {dialect!r}"
        raise ConfigurationError("statements", (fault,))
    syntax = _SYNTAX[dialect]
    if dialect == "athena":
        return _athena_view(history, syntax, table)
    if dialect == "duckdb" and sync is None:
        return _duckdb_view(history, syntax, table)
    diff_types = _needed_files(sync)
    sync_to_load = _with_files(history, sync, diff_types)
    columns = {t: _columns(history, sync_to_load, t) for t in diff_types}
    all_columns = dict.fromkeys(name for names in columns.values() for name in names)
    target = syntax.name(table)
    made = [f"CREATE TABLE IF NOT EXISTS {target} ({syntax.definitions(all_columns)})"]
    for diff_type in diff_types:
        loaded = syntax.name(f"{table}_{diff_type.value}")
        definitions = syntax.definitions(columns[diff_type])
        url = sync_to_load.files[diff_type].url
        made += [
            f"DROP TABLE IF EXISTS {loaded}",
            f"CREATE {syntax.temporary}TABLE {loaded} ({definitions})",
            _load(dialect, loaded, columns[diff_type], url, stage, manifest_url),
        ]
    made.append(f"BEGIN{syntax.transaction}")
    if sync is None:
        made.append(f"DELETE FROM {target} WHERE 1 = 1")
    key = history.match_by
    for diff_type in (DiffType.EXISTING, DiffType.ENTERING):
        if diff_type in diff_types:
            made.append(_merge(syntax, table, diff_type, columns[diff_type], key))
    exiting = syntax.name(f"{table}_{DiffType.EXITING.value}")
    key = syntax.name(key)
    made.append(f"DELETE FROM {target} WHERE {key} IN (SELECT {key} FROM {exiting})")
    return (*made, f"COMMIT{syntax.transaction}")


def manifests(history: CohortHistory, *, sync: BucketSync | None = None) -> dict[str, str]:
    """Return the manifests that Redshift's ``COPY`` reads, by the names of their files.

    A ``COPY`` of a key loads every object whose key begins with it; a manifest names exactly one.

    Args:
        history: The history of the stream.
        sync: The sync whose changes to load, as for :func:`statements`.

    Raises:
        ConfigurationError: The sync lacks a file.
        ArgumentTypeError: ``history`` is not a ``CohortHistory``.
    """
    check_is_history(history)
    diff_types = _needed_files(sync)
    files = _with_files(history, sync, diff_types).files
    return {
        _manifest_name(files[t].url): json.dumps(
            {"entries": [{"url": files[t].url, "mandatory": True}]}, ensure_ascii=False
        )
        for t in diff_types
    }


def _needed_files(sync: BucketSync | None) -> tuple[DiffType, ...]:
    return tuple(DiffType) if sync is None else (DiffType.EXITING, DiffType.ENTERING)


def _with_files(
    history: CohortHistory, sync: BucketSync | None, needed: Iterable[DiffType]
) -> BucketSync:
    """Return the sync, or the newest complete one for None; raise if it lacks a file."""
    found = sync or next((one for one in reversed(history) if not one.missing), None)
    if found is None or set(needed) & set(found.missing):
        fault = "the sync lacks a file: pass another sync, or a history with a complete one"
        raise ConfigurationError("statements", (fault,))
    return found


def _columns(history: CohortHistory, sync: BucketSync, diff_type: DiffType) -> tuple[str, ...]:
    """Return the columns of a file in its own order, since warehouses load them by number."""
    return history.source(sync, diff_type).read_table().columns


def _merge(
    syntax: _Syntax, table: str, diff_type: DiffType, columns: Sequence[str], key: str
) -> str:
    target, loaded = syntax.name(table), syntax.name(f"{table}_{diff_type.value}")
    names = [syntax.name(column) for column in columns]
    matches = f"{target}.{syntax.name(key)} = s.{syntax.name(key)}"
    updates = ", ".join(f"{name} = s.{name}" for name in names if name != syntax.name(key))
    update = f"WHEN MATCHED THEN UPDATE SET {updates} " if updates else ""
    values = ", ".join(f"s.{name}" for name in names)
    return (
        f"MERGE INTO {target} USING {loaded} AS s ON {matches} "
        f"{update}"
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({values})"
    )


# --- Loading one file ------------------------------------------------------------------


def _load(
    dialect: str, table: str, columns: Sequence[str], url: str, stage: str, manifest_url: str
) -> str:
    """Return the statement that loads a file into a table; the table's name is quoted."""
    syntax = _SYNTAX[dialect]
    names = syntax.names(columns)
    match dialect:
        case "postgresql":
            return (
                f"COPY {table} ({names}) FROM STDIN "
                f"WITH (FORMAT csv, HEADER true, ENCODING 'UTF8', FORCE_NOT_NULL ({names}))"
            )
        case "duckdb":
            return f"INSERT INTO {table} SELECT * FROM {_read_csv(syntax, url, columns)}"
        case "redshift":
            manifest = syntax.literal(f"{manifest_url.rstrip('/')}/{_manifest_name(url)}")
            gzip = " GZIP" if url.endswith(".gz") else ""
            return (
                f"COPY {table} ({names}) FROM {manifest} "
                f"IAM_ROLE DEFAULT MANIFEST CSV IGNOREHEADER 1{gzip}"
            )
        case "snowflake":
            key = syntax.literal(url.partition("://")[2].partition("/")[2])
            return (
                f"COPY INTO {table} ({names}) FROM @{syntax.name(stage)} "
                f"FILES = ({key}) FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1 "
                "FIELD_OPTIONALLY_ENCLOSED_BY = '\"' EMPTY_FIELD_AS_NULL = FALSE "
                "NULL_IF = () ENCODING = 'UTF8') ON_ERROR = ABORT_STATEMENT FORCE = TRUE"
            )
        case _:
            return (
                f"LOAD DATA INTO {table} ({syntax.definitions(columns)}) FROM FILES ("
                f"format = 'CSV', uris = [{syntax.literal(url)}], skip_leading_rows = 1, "
                "allow_quoted_newlines = TRUE)"
            )


def _manifest_name(url: str) -> str:
    return url.rpartition("/")[2] + ".manifest"


def _read_csv(syntax: _Syntax, url: str, columns: Sequence[str]) -> str:
    # DuckDB reads the paths of local files, and not their URLs.
    path = url.removeprefix("file://")
    types = ", ".join(f"{syntax.literal(column)}: 'VARCHAR'" for column in columns)
    return (
        f"read_csv([{syntax.literal(path)}], columns = {{{types}}}, "
        f"force_not_null = [{', '.join(map(syntax.literal, columns))}], "
        "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', "
        "new_line = '\\n', parallel = false)"
    )


# --- Views over all files ----------------------------------------------------------------


def _duckdb_view(history: CohortHistory, syntax: _Syntax, table: str) -> tuple[str, ...]:
    """Return a view over all files, each row with the time and the kind of its file."""
    parts = [
        f"SELECT TIMESTAMPTZ {syntax.literal(sync.synced_at.isoformat())} AS synced_at, "
        f"{syntax.literal(diff_type.value)} AS diff_type, * "
        f"FROM {_read_csv(syntax, info.url, _columns(history, sync, diff_type))}"
        for sync in history
        for diff_type, info in sync.files.items()
    ]
    if not parts:
        fault = "the history is empty: pass one with a sync"
        raise ConfigurationError("statements", (fault,))
    return (f"CREATE OR REPLACE VIEW {syntax.name(table)} AS {' UNION ALL BY NAME '.join(parts)}",)


def _athena_view(history: CohortHistory, ddl: _Syntax, table: str) -> tuple[str, ...]:
    """Return a table over the whole folder, and a view that selects files by their names."""
    sync = _with_files(history, None, (DiffType.EXISTING,))
    folder = sync.files[DiffType.EXISTING].url.rpartition("/")[0] + "/"
    columns = _columns(history, sync, DiffType.EXISTING)
    files = f"{table}_files"
    stream = history.stream
    project = "" if stream.project_id is None else f"{stream.project_id}_"
    routing_key = "" if stream.routing_key is None else f"_{stream.routing_key}"
    view = _Syntax()  # Athena's queries are Trino's SQL, its DDL is Hive's
    pattern = view.literal(
        f"/{re.escape(project + stream.cohort_id)}_([0-9T:-]+Z?)_"
        f"(entering|exiting|existing){re.escape(routing_key)}[.]csv([.]gz)?$"
    )
    files_table = (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {ddl.name(files)} ({ddl.definitions(columns)}) "
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' "
        "WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '\"', 'escapeChar' = '\"') "
        f"LOCATION {view.literal(folder)} TBLPROPERTIES ('skip.header.line.count' = '1')"
    )
    files_view = (
        f"CREATE OR REPLACE VIEW {view.name(table)} AS SELECT "
        f'regexp_extract("$path", {pattern}, 1) AS synced_at, '
        f'regexp_extract("$path", {pattern}, 2) AS diff_type, '
        f"{view.names(columns)} FROM {view.name(files)} "
        f'WHERE regexp_like("$path", {pattern})'
    )
    return files_table, files_view
