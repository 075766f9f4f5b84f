"""Views over the files of a history, each row with the time and the type of its file.

A view reads exactly the files of the history. A column that a file does not have is empty in the
rows of this file.
"""

import re
from collections.abc import Iterable

from attrs import frozen

from ..format.filename import DiffType
from ..history.history import CohortHistory
from ._dialects import ATHENA_QUERY, SYNTAX, Syntax, check_compression, fault, read_csv
from ._layout import Layout, stored_layout

_FILE_COLUMNS = ("synced_at", "diff_type")

_ATHENA_QUERY_BYTES = 262_144
"""The size limit of a query in Athena."""


@frozen
class _File:
    synced_at: str
    diff_type: DiffType
    layout: Layout


def duckdb_view(history: CohortHistory, table: str) -> tuple[str, ...]:
    """Return the statement that creates a view in DuckDB."""
    syntax, files = SYNTAX["duckdb"], _files(history)
    columns = _view_columns(syntax, files)
    parts = [
        f"SELECT TIMESTAMPTZ {syntax.literal(file.synced_at)} AS synced_at, "
        f"{syntax.literal(file.diff_type.value)} AS diff_type, "
        f"{_cells(syntax, columns, file.layout.columns)} FROM {read_csv(file.layout)}"
        for file in files
    ]
    return (f"CREATE OR REPLACE VIEW {syntax.name(table)} AS {' UNION ALL '.join(parts)}",)


def athena_view(history: CohortHistory, table: str) -> tuple[str, ...]:
    """Return statements for a table over the folder and for a view of the history's files.

    Hive's reader splits a file at every line end, even in quotes, and returns NULL for cells
    that a line does not have. The query of the view fails on such a line. The escape character
    is set to NUL, which no file contains. The default would be the backslash, even if a quote is
    set as the escape character.
    """
    ddl, query, files = SYNTAX["athena"], ATHENA_QUERY, _files(history)
    columns = _view_columns(query, files)
    ddl.names(columns)  # Athena's views have the same rule for names.
    folder = _athena_folder(files)
    # The cells are numbered, because files may have different columns.
    width = 1 + max(len(file.layout.columns) for file in files)
    cells = [f"c{number}" for number in range(width)]
    stored = f"{table}_files"
    files_table = (
        f"CREATE EXTERNAL TABLE {ddl.name(stored)} ({ddl.definitions(cells)}) "
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' "
        "WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '\"', "
        "'escapeChar' = '\\0') "
        f"STORED AS TEXTFILE LOCATION {ddl.literal(folder)} "
        "TBLPROPERTIES ('skip.header.line.count' = '1')"
    )
    pattern = query.literal(_athena_pattern(history))
    selects = [
        f'SELECT regexp_extract("$path", {pattern}, 1) AS synced_at, '
        f'regexp_extract("$path", {pattern}, 2) AS diff_type, '
        f"{_cells(query, columns, group, cells)} FROM {query.name(stored)} "
        f'WHERE "$path" IN ({", ".join(query.literal(url) for url in urls)}) '
        f"AND {_is_whole(cells, len(group))}"
        for group, urls in _by_columns(files).items()
    ]
    view = f"CREATE OR REPLACE VIEW {query.name(table)} AS {' UNION ALL '.join(selects)}"
    if len(view.encode()) > _ATHENA_QUERY_BYTES:
        raise fault(
            f"Athena accepts a view of {_ATHENA_QUERY_BYTES:,} bytes, and this one has "
            f"{len(view.encode()):,}: pass a shorter history"
        )
    return f"DROP TABLE IF EXISTS {ddl.name(stored)}", files_table, view


def _files(history: CohortHistory) -> list[_File]:
    files = [
        _File(sync.synced_at.isoformat(), diff_type, stored_layout(history, sync, diff_type))
        for sync in history
        for diff_type in sync.files
    ]
    if not files:
        raise fault("the history is empty: pass one with a sync")
    return files


def _view_columns(syntax: Syntax, files: Iterable[_File]) -> tuple[str, ...]:
    """Return the columns of all files, in the order in which they first appear."""
    columns = dict.fromkeys(column for file in files for column in file.layout.columns)
    syntax.check_columns([*_FILE_COLUMNS, *columns])
    return tuple(columns)


def _cells(
    syntax: Syntax, columns: Iterable[str], of_file: tuple[str, ...], cells: Iterable[str] = ()
) -> str:
    """Return the SELECT list of the view for files with the columns ``of_file``."""
    names = dict(zip(of_file, cells or of_file, strict=False))
    return ", ".join(
        f"{syntax.name(names[column]) if column in names else syntax.literal('')} "
        f"AS {syntax.name(column)}"
        for column in columns
    )


# --- Athena ------------------------------------------------------------------------------


def _athena_folder(files: list[_File]) -> str:
    folder = files[0].layout.url.rpartition("/")[0] + "/"
    if not set("*?[]{}").isdisjoint(folder):
        raise fault(f"Athena can't read a folder whose name has a wildcard: {folder}")
    for file in files:
        SYNTAX["athena"].check_columns(file.layout.columns)
        check_compression(file.layout)
    return folder


def _athena_pattern(history: CohortHistory) -> str:
    """Return the pattern of a path whose groups are the time and the type in the file name."""
    stream = history.stream
    project = "" if stream.project_id is None else f"{stream.project_id}_"
    routing_key = "" if stream.routing_key is None else f"_{stream.routing_key}"
    types = "|".join(t.value for t in DiffType)
    return (
        f"/{re.escape(project + stream.cohort_id)}_([0-9T:_-]+Z?)_({types})"
        f"{re.escape(routing_key)}[.]csv([.]gz)?$"
    )


def _by_columns(files: Iterable[_File]) -> dict[tuple[str, ...], list[str]]:
    groups = dict[tuple[str, ...], list[str]]()
    for file in files:
        groups.setdefault(file.layout.columns, []).append(file.layout.url)
    return groups


def _is_whole(cells: list[str], width: int) -> str:
    """Return a condition that is true for a row of the right width, and fails for others."""
    name = ATHENA_QUERY.name
    message = ATHENA_QUERY.literal("a blank line, a line end in a cell or a missing cell in ")
    return (
        f"CASE WHEN {name(cells[width - 1])} IS NOT NULL AND {name(cells[width])} IS NULL "
        f'THEN TRUE ELSE CAST({message} || "$path" AS BOOLEAN) END'
    )
