"""SQL that loads a sync into a warehouse, as text: warehouses read S3 themselves."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, get_args
from urllib.parse import unquote

from attrs import frozen

from ..errors import ConfigurationError
from ..format.filename import DiffType
from ..format.reader import read_table
from ..history.history import CohortHistory, check_is_history
from ..log.listing import BucketSync

Dialect = Literal["athena", "bigquery", "duckdb", "postgresql", "redshift", "snowflake"]
"""Whose SQL it is."""


@frozen(kw_only=True)
class _Words:
    """How a dialect says it.

    Attributes:
        quote: What stands around a name.
        text: Its type of text.
        escapes: Whether a backslash in a text escapes what follows.
        temporary: Before TABLE, for one that others do not see.
    """

    quote: str = '"'
    text: str = "TEXT"
    escapes: bool = False
    temporary: str = "TEMPORARY "

    def name(self, name: str) -> str:
        """A name, quoted."""
        if self.quote == "`" and not name.replace("_", "a").isalnum():
            fault = f"the dialect has no name for {name!r}: letters, digits and _ only"
            raise ConfigurationError("statements", (fault,))
        return f"{self.quote}{name.replace(self.quote, self.quote * 2)}{self.quote}"

    def literal(self, text: str) -> str:
        """A text."""
        if self.escapes:
            text = text.replace("\\", "\\\\")
            return "'" + text.replace("'", "\\'") + "'"
        return "'" + text.replace("'", "''") + "'"


_WORDS: dict[str, _Words] = {
    "athena": _Words(quote="`", text="string"),
    # BigQuery loads into tables of a data set only, so it gets ordinary ones.
    "bigquery": _Words(quote="`", text="STRING", escapes=True, temporary=""),
    "duckdb": _Words(text="VARCHAR"),
    "postgresql": _Words(),
    "redshift": _Words(text="VARCHAR(65535)", escapes=True),
    "snowflake": _Words(text="VARCHAR", escapes=True),
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
    """The statements by which a warehouse keeps a table of the members, to run in order.

    Without ``sync`` they make the table and fill it from the newest sync; with one they
    make its changes, which follow on those of the sync before. Both may be run again.
    For Athena and DuckDB without ``sync`` they make views over the files instead. Nothing
    is connected to, and SQLAlchemy is not needed.

    Args:
        history: Of one stream.
        dialect: Of the warehouse. PostgreSQL's ``COPY`` takes a file from the client.
        sync: Whose changes to make.
        table: The name of the table or view; it is quoted.
        stage: For Snowflake, the name of the stage that is the bucket; it is quoted.
        manifest_url: For Redshift, the folder into which you put the :func:`manifests`.

    Returns:
        Each without a semicolon.

    Raises:
        ConfigurationError: The sync lacks a file, the dialect is none of these, or it
            has no name for one of the columns.
        MalformedCsvError: A file that no record describes has no header.
        WrongArgumentError: ``history`` is none.
    """
    check_is_history(history)
    if dialect not in get_args(Dialect):
        fault = f"dialect must be one of {', '.join(get_args(Dialect))}, not {dialect!r}"
        raise ConfigurationError("statements", (fault,))
    words = _WORDS[dialect]
    if dialect == "athena" or (dialect == "duckdb" and sync is None):
        if dialect == "athena":
            return _athena(history, words, table)
        return _duckdb_view(history, words, table)
    wanted = (DiffType.EXITING, DiffType.ENTERING) if sync else tuple(DiffType)
    chosen = _whole(history, sync, wanted)
    columns = {t: _columns(history, chosen, t) for t in wanted}
    everything = list(dict.fromkeys(name for names in columns.values() for name in names))
    copy = _COPIES[dialect]
    options = {"stage": stage, "manifest_url": manifest_url}
    made = [_create(words, table, everything, "TABLE IF NOT EXISTS")]
    for diff_type in wanted:
        name = f"{table}_{diff_type.value}"
        made += [
            f"DROP TABLE IF EXISTS {words.name(name)}",
            _create(words, name, columns[diff_type], f"{words.temporary}TABLE"),
            copy(words, name, columns[diff_type], chosen.files[diff_type].url, options),
        ]
    made.append(_BEGIN.get(dialect, "BEGIN"))
    if sync is None:
        made.append(f"DELETE FROM {words.name(table)} WHERE 1 = 1")
    key = history.match_by
    for diff_type in (DiffType.EXISTING, DiffType.ENTERING):
        if diff_type in wanted:
            made.append(_merge(words, table, diff_type, columns[diff_type], key))
    made += [_delete(words, table, key), _COMMIT.get(dialect, "COMMIT")]
    return tuple(made)


def manifests(history: CohortHistory, *, sync: BucketSync | None = None) -> dict[str, str]:
    """The manifests that Redshift's ``COPY`` reads, by the names of their files.

    A ``COPY`` of a key takes every object whose key begins so; a manifest names exactly one.

    Args:
        history: Of one stream.
        sync: As for :func:`statements`.

    Raises:
        ConfigurationError: The sync lacks a file.
        WrongArgumentError: ``history`` is none.
    """
    check_is_history(history)
    wanted = (DiffType.EXITING, DiffType.ENTERING) if sync else tuple(DiffType)
    chosen = _whole(history, sync, wanted)
    return {
        _manifest_name(chosen.files[t].url): json.dumps(
            {"entries": [{"url": chosen.files[t].url, "mandatory": True}]}, ensure_ascii=False
        )
        for t in wanted
    }


def _whole(
    history: CohortHistory, sync: BucketSync | None, wanted: Iterable[DiffType]
) -> BucketSync:
    found = sync or next((one for one in reversed(history) if not one.missing), None)
    if found is None or set(wanted) & set(found.missing):
        fault = "the sync lacks a file: give the changes of another, or a history with a whole one"
        raise ConfigurationError("statements", (fault,))
    return found


def _columns(history: CohortHistory, sync: BucketSync, diff_type: DiffType) -> tuple[str, ...]:
    """The columns of a file in its own order, as a warehouse counts and does not name them."""
    source = history.source(sync, diff_type)
    return read_table(source.chunks(), canonical=source.canonical).columns


def _create(words: _Words, table: str, columns: Sequence[str], kind: str) -> str:
    listed = ", ".join(f"{words.name(column)} {words.text}" for column in columns)
    return f"CREATE {kind} {words.name(table)} ({listed})"


def _merge(words: _Words, table: str, diff_type: DiffType, columns: Sequence[str], key: str) -> str:
    quoted = [words.name(column) for column in columns]
    target, source = words.name(table), words.name(f"{table}_{diff_type.value}")
    matches = f"{target}.{words.name(key)} = s.{words.name(key)}"
    changed = [c for c in quoted if c != words.name(key)]
    updates = ", ".join(f"{column} = s.{column}" for column in changed)
    update = f"WHEN MATCHED THEN UPDATE SET {updates} " if changed else ""
    values = ", ".join(f"s.{column}" for column in quoted)
    return (
        f"MERGE INTO {target} USING {source} AS s ON {matches} "
        f"{update}"
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(quoted)}) VALUES ({values})"
    )


def _delete(words: _Words, table: str, key: str) -> str:
    name = words.name(key)
    leavers = words.name(f"{table}_{DiffType.EXITING.value}")
    return f"DELETE FROM {words.name(table)} WHERE {name} IN (SELECT {name} FROM {leavers})"


_BEGIN = {"bigquery": "BEGIN TRANSACTION"}
_COMMIT = {"bigquery": "COMMIT TRANSACTION"}


# --- Loading one file ------------------------------------------------------------------


def _copy_postgresql(
    words: _Words, table: str, columns: Sequence[str], _: str, __: dict[str, str]
) -> str:
    names = ", ".join(map(words.name, columns))
    return (
        f"COPY {words.name(table)} ({names}) FROM STDIN "
        f"WITH (FORMAT csv, HEADER true, ENCODING 'UTF8', FORCE_NOT_NULL ({names}))"
    )


def _copy_duckdb(
    words: _Words, table: str, columns: Sequence[str], url: str, _: dict[str, str]
) -> str:
    return f"INSERT INTO {words.name(table)} SELECT * FROM {_read_csv(words, [url], columns)}"


def _copy_redshift(
    words: _Words, table: str, columns: Sequence[str], url: str, options: dict[str, str]
) -> str:
    names = ", ".join(map(words.name, columns))
    manifest = options["manifest_url"].rstrip("/") + "/" + _manifest_name(url)
    gzip = " GZIP" if url.endswith(".gz") else ""
    return (
        f"COPY {words.name(table)} ({names}) FROM {words.literal(manifest)} "
        f"IAM_ROLE DEFAULT MANIFEST CSV IGNOREHEADER 1{gzip}"
    )


def _copy_snowflake(
    words: _Words, table: str, columns: Sequence[str], url: str, options: dict[str, str]
) -> str:
    names = ", ".join(map(words.name, columns))
    key = url.partition("://")[2].partition("/")[2]
    return (
        f"COPY INTO {words.name(table)} ({names}) FROM @{words.name(options['stage'])} "
        f"FILES = ({words.literal(key)}) FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1 "
        "FIELD_OPTIONALLY_ENCLOSED_BY = '\"' EMPTY_FIELD_AS_NULL = FALSE "
        "NULL_IF = () ENCODING = 'UTF8') ON_ERROR = ABORT_STATEMENT FORCE = TRUE"
    )


def _copy_bigquery(
    words: _Words, table: str, columns: Sequence[str], url: str, _: dict[str, str]
) -> str:
    listed = ", ".join(f"{words.name(column)} STRING" for column in columns)
    return (
        f"LOAD DATA INTO {words.name(table)} ({listed}) FROM FILES ("
        f"format = 'CSV', uris = [{words.literal(url)}], skip_leading_rows = 1, "
        "allow_quoted_newlines = TRUE)"
    )


_Copy = Callable[[_Words, str, Sequence[str], str, dict[str, str]], str]

_COPIES: dict[str, _Copy] = {
    "bigquery": _copy_bigquery,
    "duckdb": _copy_duckdb,
    "postgresql": _copy_postgresql,
    "redshift": _copy_redshift,
    "snowflake": _copy_snowflake,
}


def _manifest_name(url: str) -> str:
    return url.rpartition("/")[2] + ".manifest"


# --- Views over all files ----------------------------------------------------------------


def _read_csv(words: _Words, urls: Sequence[str], columns: Sequence[str]) -> str:
    # DuckDB takes the paths of local files, and not their URLs.
    paths = [unquote(u.removeprefix("file://")) if u.startswith("file://") else u for u in urls]
    files = ", ".join(map(words.literal, paths))
    types = ", ".join(f"{words.literal(column)}: 'VARCHAR'" for column in columns)
    required = ", ".join(map(words.literal, columns))
    return (
        f"read_csv([{files}], columns = {{{types}}}, force_not_null = [{required}], "
        "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', "
        "new_line = '\\n', parallel = false)"
    )


def _duckdb_view(history: CohortHistory, words: _Words, table: str) -> tuple[str, ...]:
    """A view over every file, each row with the sync and the kind of its file."""
    parts = [
        f"SELECT TIMESTAMPTZ {words.literal(sync.synced_at.isoformat())} AS synced_at, "
        f"{words.literal(diff_type.value)} AS diff_type, * "
        f"FROM {_read_csv(words, [info.url], _columns(history, sync, diff_type))}"
        for sync in history
        for diff_type, info in sync.files.items()
    ]
    if not parts:
        fault = "the history is empty: give one with a sync"
        raise ConfigurationError("statements", (fault,))
    return (f"CREATE OR REPLACE VIEW {words.name(table)} AS {' UNION ALL BY NAME '.join(parts)}",)


def _athena(history: CohortHistory, words: _Words, table: str) -> tuple[str, ...]:
    """A table over the whole folder, and a view that tells its files apart by their names."""
    sync = _whole(history, None, (DiffType.EXISTING,))
    url = sync.files[DiffType.EXISTING].url
    files = f"{table}_files"
    columns = _columns(history, sync, DiffType.EXISTING)
    listed = ", ".join(f"{words.name(column)} string" for column in columns)
    folder = url.rpartition("/")[0] + "/"
    stream = history.stream
    project = "" if stream.project_id is None else f"{stream.project_id}_"
    tail = "" if stream.routing_key is None else f"_{stream.routing_key}"
    pattern = (
        f"/{re.escape(project + stream.cohort_id)}_([0-9T:-]+Z?)_"
        f"(entering|exiting|existing){re.escape(tail)}[.]csv([.]gz)?$"
    )
    view = _Words()
    literal = view.literal(pattern)
    files_table = (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {words.name(files)} ({listed}) "
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' "
        "WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '\"', 'escapeChar' = '\"') "
        f"LOCATION {view.literal(folder)} TBLPROPERTIES ('skip.header.line.count' = '1')"
    )
    files_view = (
        f"CREATE OR REPLACE VIEW {view.name(table)} AS SELECT "
        f'regexp_extract("$path", {literal}, 1) AS synced_at, '
        f'regexp_extract("$path", {literal}, 2) AS diff_type, '
        f"{', '.join(map(view.name, columns))} FROM {view.name(files)} "
        f'WHERE regexp_like("$path", {literal})'
    )
    return files_table, files_view
