"""SQL statements, as text, by which a warehouse itself loads a sync from S3."""

import json
from collections.abc import Iterable
from typing import get_args

from ..format.columns import ID_COLUMNS
from ..format.filename import DiffType
from ..history.history import CohortHistory, check_is_history
from ..history.members import needed_files
from ..log.listing import BucketSync
from ._dialects import SYNTAX, Dialect, Syntax, fault, load, manifest_name
from ._layout import Layout, stored_layout
from ._views import athena_view, duckdb_view


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

    Without ``sync``, the statements create the table and fill it from the newest sync. With
    ``sync``, they apply its changes to the table, which must contain the members of the sync
    before. Both kinds may be run again. For Athena, and for DuckDB without ``sync``, the
    statements instead create a view with each row of each file of the history. The function opens
    no connection and does not need SQLAlchemy. It opens only files that no record describes, to
    read their headers.

    The statements for DuckDB and PostgreSQL are tested in these databases, and those for Athena
    with Hive's CSV reader. The statements for Athena, BigQuery, Redshift and Snowflake follow the
    documentation of these warehouses, and have never been run there.

    Args:
        history: The history of the stream.
        dialect: The dialect of the warehouse. PostgreSQL's ``COPY`` reads a file from the client.
        sync: The sync whose changes to apply.
        table: The name of the table or view, without quotes.
        stage: For Snowflake, the name of a stage of the whole bucket, without quotes.
        manifest_url: For Redshift, the folder with the :func:`manifests`.

    Returns:
        The statements without semicolons.

    Raises:
        ConfigurationError: The dialect is unknown; the sync lacks a file; the dialect does not
            allow the name of a column or a file; a file lacks the column that members are
            matched by; or its columns can't be loaded by their position.
        MalformedCsvError: A file that no record describes has no header.
        ArgumentTypeError: ``history`` is not a ``CohortHistory``.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage
    >>> from amplitude_cohort_s3 import read_history, sync_cohort
    >>> storage = MemoryStorage()
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> _ = sync_cohort(sync, [("1", "ann")], storage)
    >>> made = statements(read_history(storage, sync.stream), "postgresql")
    >>> [text.split("(")[0] for text in made][:2]
    ['CREATE TABLE IF NOT EXISTS "cohort_members" ', 'DROP TABLE IF EXISTS "cohort_members_existing"']
    """  # noqa: E501 -- the result of an example
    check_is_history(history)
    if dialect not in get_args(Dialect):
        raise fault(f"dialect must be one of {', '.join(get_args(Dialect))}, not {dialect!r}")
    if dialect == "athena":
        return athena_view(history, table)
    if dialect == "duckdb" and sync is None:
        return duckdb_view(history, table)
    syntax, key = SYNTAX[dialect], history.match_by
    layouts = _layouts(history, sync)
    for layout in layouts.values():
        if key not in layout.columns:
            raise fault(f"the file {layout.url} has no column {key}, by which members are matched")
    columns = _ordered(name for layout in layouts.values() for name in layout.columns)
    syntax.check_columns(columns)
    target = syntax.name(table)
    made = [f"CREATE TABLE IF NOT EXISTS {target} ({syntax.definitions(columns)})"]
    for diff_type, layout in layouts.items():
        loaded, definitions = _loaded(table, diff_type), syntax.definitions(layout.columns)
        made += [
            f"DROP TABLE IF EXISTS {syntax.name(loaded)}",
            f"CREATE {syntax.temporary}TABLE {syntax.name(loaded)} ({definitions})",
            load(dialect, loaded, layout, stage, manifest_url),
        ]
    members = _members(syntax, table, layouts, columns, key)
    return (
        *made,
        f"BEGIN{syntax.transaction}",
        f"DELETE FROM {target} WHERE {_is_replaced(syntax, table, layouts, key, sync)}",
        f"INSERT INTO {target} ({syntax.names(columns)}) {members}",
        f"COMMIT{syntax.transaction}",
    )


def manifests(history: CohortHistory, *, sync: BucketSync | None = None) -> dict[str, str]:
    """Return the manifests that Redshift's ``COPY`` reads, by the names of their files.

    A ``COPY`` of a key loads every object whose key begins with it. A manifest names one object.

    Args:
        history: The history of the stream.
        sync: The sync whose changes to load, as for :func:`statements`.

    Raises:
        ConfigurationError: The sync lacks a file.
        ArgumentTypeError: ``history`` is not a ``CohortHistory``.

    >>> from datetime import UTC, datetime
    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage
    >>> from amplitude_cohort_s3 import read_history, sync_cohort
    >>> storage = MemoryStorage()
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> when = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
    >>> _ = sync_cohort(sync, [("1", "ann")], storage, synced_at=when)
    >>> list(manifests(read_history(storage, sync.stream)))
    ['1_a_2026-11-23T14=3A05_existing.csv.manifest']
    """
    check_is_history(history)
    found, diff_types = _files_to_load(history, sync)
    urls = [found.files[t].url for t in diff_types]
    return {
        manifest_name(url): json.dumps(
            {"entries": [{"url": url, "mandatory": True}]}, ensure_ascii=False
        )
        for url in urls
    }


def _files_to_load(
    history: CohortHistory, sync: BucketSync | None
) -> tuple[BucketSync, tuple[DiffType, ...]]:
    """Return the sync to load (the newest usable one for None), and the types of its files."""
    if sync is not None:
        missing = [t.value for t in (DiffType.ENTERING, DiffType.EXITING) if t in sync.missing]
        if missing:
            raise fault(
                f"the sync of {sync.synced_at.isoformat()} lacks its file {' and '.join(missing)}: "
                "leave out sync to load the members of the newest complete one"
            )
        return sync, (DiffType.EXITING, DiffType.ENTERING)
    for newest in reversed(history):
        needed = needed_files(history.record(newest))
        if set(needed).isdisjoint(newest.missing):
            return newest, needed
    raise fault(
        "no sync of the history has the files that show all members: pass a history with such a "
        "sync, such as one without since"
    )


def _layouts(history: CohortHistory, sync: BucketSync | None) -> dict[DiffType, Layout]:
    found, diff_types = _files_to_load(history, sync)
    return {t: stored_layout(history, found, t) for t in diff_types}


def _ordered(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns once each, the ids first."""
    unique = dict.fromkeys(columns)
    ids = [column for column in ID_COLUMNS if column in unique]
    return (*ids, *(column for column in unique if column not in ID_COLUMNS))


def _loaded(table: str, diff_type: DiffType) -> str:
    return f"{table}_{diff_type.value}"


def _is_replaced(
    syntax: Syntax, table: str, layouts: Iterable[DiffType], key: str, sync: BucketSync | None
) -> str:
    """Return the condition of the rows that are deleted before the members are inserted."""
    if sync is None:
        return "1 = 1"  # BigQuery requires a condition.
    name = syntax.name(key)
    keys = [f"SELECT {name} FROM {syntax.name(_loaded(table, t))}" for t in layouts]
    return f"{name} IN ({' UNION ALL '.join(keys)})"


def _members(
    syntax: Syntax,
    table: str,
    layouts: dict[DiffType, Layout],
    columns: tuple[str, ...],
    key: str,
) -> str:
    """Return the query of ``(entering | existing) - exiting``, one row for each key.

    Files in canonical form have each key once. In other files, the first row of a key in byte
    order counts, and rows without a key are not members, as everywhere in the library.
    """
    loaded = {t: layout for t, layout in layouts.items() if t is not DiffType.EXITING}
    selects = [
        "SELECT "
        + ", ".join(
            f"{syntax.cell(column) if column in layout.columns else syntax.literal('')} "
            f"AS {syntax.name(column)}"
            for column in columns
        )
        + f" FROM {syntax.name(_loaded(table, diff_type))}"
        for diff_type, layout in loaded.items()
    ]
    names, key_name = syntax.names(columns), syntax.name(key)
    query = f"SELECT {names} FROM ({' UNION ALL '.join(selects)}) AS loaded"
    conditions = list[str]()
    if DiffType.EXITING in layouts:
        exiting = syntax.name(_loaded(table, DiffType.EXITING))
        is_same = f"exiting.{key_name} = loaded.{key_name}"
        conditions.append(f"NOT EXISTS (SELECT 1 FROM {exiting} AS exiting WHERE {is_same})")
    if all(layout.canonical for layout in loaded.values()):
        return query + "".join(f" WHERE {condition}" for condition in conditions)
    conditions.append(f"{key_name} <> ''")
    order = ", ".join(f"{syntax.name(column)}{syntax.bytewise}" for column in columns)
    number = f"ROW_NUMBER() OVER (PARTITION BY {key_name} ORDER BY {order}) AS place"
    return (
        f"SELECT {names} FROM (SELECT {names}, {number} "
        f"FROM ({query} WHERE {' AND '.join(conditions)}) AS members) AS numbered WHERE place = 1"
    )
