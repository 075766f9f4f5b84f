"""Applying a history to databases, compared with scripts of psycopg and DuckDB.

    python benchmarks/databases.py [--small] [--only PART] [--runs 3] [--folder DIR] [--table FILE]

A cohort of 1,000,000 members is loaded into an empty database; then 100,000 enter and 50,000
exit. The scripts in ``scripts/`` do the same with ``COPY`` and with SQL over the files, and check
nothing. The measurement begins after the imports; the ratio is of wall time, because the
database works in a process of its own. ``memory`` shows the peak memory at this size and at
three times it; DuckDB, which runs in our process, has a memory limit of 24 MB.
"""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from attrs import evolve
from measuring import VARIANTS, Candidate, Comparison, Row, Setting, Watch, main, run
from sample_data import START, cohort, drawn_ids, write_members

from amplitude_cohort_s3 import LocalStorage, read_history, sync_cohort

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "sql"))

SYNCS = ("first load", "changes")


# --- The candidates: each runs in a process of its own ---------------------------------------


def apply_with_library(
    watch: Watch, *, kind: str, bucket: str, place: str, number: int, in_little_memory: bool
) -> Any:
    """Apply the first sync or the second one, which needs the first."""
    import sqlalchemy as sa

    from amplitude_cohort_s3.sql import apply

    history = read_history(LocalStorage(bucket), cohort().stream)
    url = new_database(kind, place)
    limits = {"config": {"memory_limit": "64MB", "threads": "1"}} if in_little_memory else {}
    engine = sa.create_engine(url, connect_args=limits)

    def one(index: int) -> None:
        apply(evolve(history, syncs=history.syncs[: index + 1]), engine)

    for earlier in range(number):
        one(earlier)
    with watch:
        one(number)
    engine.dispose()
    return contents(url)


def apply_with_script(watch: Watch, kind: str, bucket: str, place: str, number: int) -> Any:
    """Do the same with the script for the database."""
    script = import_module(f"scripts.{'psycopg' if kind == 'postgresql' else kind}_apply")
    history = read_history(LocalStorage(bucket), cohort().stream)
    url = new_database(kind, place)
    target = url.replace("+psycopg", "").removeprefix("duckdb:///")

    def one(index: int) -> None:
        files = {
            diff_type.value: Path(unquote(info.url.removeprefix("file://")))
            for diff_type, info in history[index].files.items()
        }
        script.apply_sync(target, files, history[index].synced_at, is_first=index == 0)

    for earlier in range(number):
        one(earlier)
    with watch:
        one(number)
    return contents(url)


def new_database(kind: str, place: str) -> str:
    """Return the URL of a new, empty database, after the imports that it needs.

    Args:
        kind: ``postgresql``, ``duckdb`` or ``sqlite``.
        place: The URL of the server, or a folder.
    """
    import sqlalchemy as sa

    name = f"bench{uuid.uuid4().hex}"
    if kind != "postgresql":
        url = f"{kind}:///{place}/{name}.{kind}"
        sa.create_engine(url).dialect.import_dbapi()
        return url
    admin = sa.create_engine(f"{place}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        connection.exec_driver_sql("CHECKPOINT")
    admin.dispose()
    return f"{place}/{name}"


def contents(url: str) -> list[Any]:
    """Return the numbers of all stays and of ended stays, and the first and the last user."""
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    with engine.connect() as connection:
        query = "SELECT count(*), count(exited), min(member_key), max(member_key)"
        found = connection.exec_driver_sql(f"{query} FROM cohort_membership").one()
    engine.dispose()
    return list(found)


CANDIDATES = (apply_with_library, apply_with_script)


# --- The parts -------------------------------------------------------------------------------


def bucket_of(setting: Setting, factor: int = 1) -> Path:
    """Return a bucket with two syncs, which is made unless it exists."""
    rows = factor * (10_000 if setting.small else 1_000_000)
    bucket = setting.folder / f"databases-{rows}"
    if not bucket.exists():
        unfinished, file = bucket.with_suffix(".unfinished"), bucket.with_suffix(".csv")
        ids = drawn_ids(rows + rows // 10)
        for number, members in enumerate((ids[:rows], ids[rows // 20 :])):
            write_members(file, members)
            when = START + timedelta(days=number)
            sync_cohort(cohort(), file, LocalStorage(unfinished), synced_at=when)
        file.unlink()
        unfinished.rename(bucket)
    return bucket


@contextmanager
def place_of(kind: str, setting: Setting) -> Iterator[str]:
    """Start the server, if the database has one, and yield the place for new databases."""
    if kind != "postgresql":
        yield str(setting.folder)
        return
    import databases

    with databases.postgresql() as server:
        yield server.url("").rstrip("/")


def against_script(setting: Setting) -> Iterator[Row]:
    """Compare PostgreSQL and DuckDB with the scripts."""
    for kind in ("postgresql", "duckdb"):
        with place_of(kind, setting) as place:
            for number, what in enumerate(SYNCS):
                options = {"kind": kind, "bucket": bucket_of(setting), "place": place}
                options |= {"number": number}
                measure = f"{kind}, {what}"
                compared = Comparison(
                    measure,
                    Candidate("apply_with_library", options | {"in_little_memory": False}),
                    Candidate("apply_with_script", options),
                    runs=setting.runs,
                )
                yield Row(f"{measure} / a script, wall", compared.ratios("wall"))


def memory(setting: Setting) -> Iterator[Row]:
    """Measure the peak memory."""
    for kind in ("postgresql", "sqlite", "duckdb"):
        with place_of(kind, setting) as place:
            for factor in (1,) if setting.small else (1, 3):
                options = {"kind": kind, "bucket": bucket_of(setting, factor), "place": place}
                options |= {"number": 1, "in_little_memory": kind == "duckdb"}
                candidate = Candidate("apply_with_library", options)
                peaks = {variant: run(candidate, variant).mb for variant in VARIANTS}
                size = f"{factor} x {10_000 if setting.small else 1_000_000:,} members"
                yield Row(f"{kind}, {size}, peak memory", peaks, unit="MB")


PARTS = {"scripts": against_script, "memory": memory}


if __name__ == "__main__":
    main("Databases", __doc__, PARTS, CANDIDATES)
