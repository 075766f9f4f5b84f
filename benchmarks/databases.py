"""Applying a history to databases, against the scripts that one would write instead.

    python benchmarks/databases.py [--small] [--runs 3]

A cohort of 1,000,000 members is loaded, then 100,000 enter and 50,000 exit. PostgreSQL: a
script of psycopg that does the same by ``COPY``; DuckDB: SQL over the files. Neither checks
anything. Each measurement is a process of its own; the candidates take turns, and the
ratio is that of the medians. Then the peak memory, at this size and at three times it;
DuckDB runs in our process, with a memory limit of 24 MB.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

from amplitude_cohort_s3 import (
    CohortHistory,
    CohortSync,
    Destination,
    DiffType,
    LocalStorage,
    UserProperty,
    read_history,
    sync_cohort,
)

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "sql"))

SYNC = CohortSync(
    destination=Destination(name="bench", path="cohorts"),
    project_id=123,
    cohort_id="26umsb5",
    user_properties=(UserProperty("country"), UserProperty("plan")),
)
START = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = (START, START + timedelta(days=1))
STREAM = "cohorts/123_26umsb5"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a hundredth of the size, for CI")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("CANDIDATE", "BUCKET", "URL"))
    arguments = parser.parse_args()
    if arguments.one:
        candidate, bucket, url = arguments.one
        run_one(CANDIDATES[candidate], bucket, url)
        return
    size = 10_000 if arguments.small else 1_000_000
    runs = 1 if arguments.small else arguments.runs
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bucket = write_bucket(folder / "bucket", size)
        new_url = databases_in(folder, stack)
        for ours, theirs in PAIRS:
            compare(ours, theirs, bucket, new_url, runs)
        for members in (size, 3 * size):
            larger = bucket if members == size else write_bucket(folder / "larger", members)
            for name in ("postgresql", "sqlite", "duckdb, 24 MB"):
                peak = measure(name, larger, new_url(name))["peak"]
                print(f"{name}: {members:,} members, peak memory {peak:.0f} MB")


def write_bucket(folder: Path, members: int) -> str:
    storage = LocalStorage(folder)
    for when, first, last in zip(
        TIMES, (0, members // 20), (members, members * 11 // 10), strict=True
    ):
        sync_cohort(SYNC, rows(range(first, last)), storage, synced_at=when)
    return str(folder)


def rows(users: range) -> Iterator[tuple[str, ...]]:
    for n in users:
        mixed = n * 2654435761 % 10**9
        country, plan = ("DE", "US", "FR")[mixed % 3], ("free", "pro")[mixed // 3 % 2]
        yield str(300_000_000_000 + n), f"user{mixed}@example.com", country, plan


def databases_in(folder: Path, stack: ExitStack) -> Callable[[str], str]:
    """Return the URL of a new, empty database for a candidate."""
    import databases
    import sqlalchemy as sa

    server = stack.enter_context(databases.postgresql())
    made = iter(range(10**6))

    def new_url(candidate: str) -> str:
        name = f"bench{next(made)}"
        if not candidate.startswith("postgresql"):
            kind = "sqlite" if candidate.startswith("sqlite") else "duckdb"
            return f"{kind}:///{folder}/{name}.{kind}"
        admin = sa.create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
            connection.exec_driver_sql("CHECKPOINT")
        admin.dispose()
        return server.url(name)

    return new_url


def compare(ours: str, theirs: str, bucket: str, new_url: Callable[[str], str], runs: int) -> None:
    measured: dict[str, list[list[float]]] = {ours: [], theirs: []}
    for _ in range(runs):
        for name, walls in measured.items():
            walls.append(measure(name, bucket, new_url(name))["walls"])
    for number, what in enumerate(("first load", "changes")):
        medians = [statistics.median(run[number] for run in measured[n]) for n in (ours, theirs)]
        print(
            f"{ours}, {what}: {medians[0]:.2f} s, {theirs}: {medians[1]:.2f} s, "
            f"ratio {medians[0] / medians[1]:.2f}"
        )


def measure(candidate: str, bucket: str, url: str) -> dict:
    command = [sys.executable, __file__, "--one", candidate, bucket, url]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def run_one(apply_sync: Callable[[CohortHistory, int, str], int], bucket: str, url: str) -> None:
    history = read_history(LocalStorage(bucket), SYNC.stream)
    for module in ("duckdb", "psycopg", "amplitude_cohort_s3.sql.apply_history"):
        import_module(module)  # not what is measured
    walls = []
    for number in range(len(history)):
        begun = time.perf_counter()
        members = apply_sync(history, number, url)
        walls.append(time.perf_counter() - begun)
        expected = history.record(history[number]).members
        if members != expected:
            sys.exit(f"{members} members, not {expected}")
    # Not getrusage: its peak counts the process that started this one, too.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"walls": walls, "peak": peak}))


# --- The candidates --------------------------------------------------------------------


def ours(history: CohortHistory, number: int, url: str, **options: object) -> int:
    import sqlalchemy as sa
    from attrs import evolve

    from amplitude_cohort_s3.sql import apply

    engine = sa.create_engine(url, **options)
    report = apply(evolve(history, syncs=history.syncs[: number + 1]), engine)
    engine.dispose()
    return report.applied[0].members


def ours_in_little_memory(history: CohortHistory, number: int, url: str) -> int:
    config = {"memory_limit": "24MB", "threads": "1"}
    return ours(history, number, url, connect_args={"config": config})


def psycopg_script(history: CohortHistory, number: int, url: str) -> int:
    import psycopg

    sync = history[number]
    with psycopg.connect(url.replace("+psycopg", "")) as connection, connection.cursor() as cursor:
        if number == 0:
            cursor.execute(
                "CREATE TABLE cohort_membership (stream text NOT NULL, member_key text NOT NULL,"
                " amplitude_id text NOT NULL, user_id text NOT NULL, properties jsonb NOT NULL,"
                " entered timestamptz, exited timestamptz)"
            )
            cursor.execute(
                "CREATE UNIQUE INDEX cohort_membership_open ON cohort_membership"
                " (stream, member_key) WHERE exited IS NULL"
            )
            cursor.execute(
                "CREATE TABLE cohort_sync (stream text, synced_at timestamptz, members bigint,"
                " PRIMARY KEY (stream, synced_at))"
            )
        for diff_type in (DiffType.EXITING, DiffType.ENTERING):
            name = diff_type.value
            cursor.execute(
                f"CREATE TEMPORARY TABLE {name} (amplitude_id text, user_id text, country text,"
                " plan text) ON COMMIT DROP"
            )
            command = (
                f"COPY {name} FROM STDIN WITH (FORMAT csv, HEADER,"
                " FORCE_NOT_NULL (amplitude_id, user_id, country, plan))"
            )
            path = file_path(history, number, diff_type)
            with path.open("rb") as file, cursor.copy(command) as copy:
                while chunk := file.read(1 << 20):
                    copy.write(chunk)
        cursor.execute(
            "UPDATE cohort_membership m SET exited = %s, user_id = e.user_id,"
            " properties = jsonb_build_object('country', e.country, 'plan', e.plan)"
            " FROM exiting e WHERE m.stream = %s AND m.member_key = e.amplitude_id"
            " AND m.exited IS NULL",
            (sync.synced_at, STREAM),
        )
        cursor.execute(
            "INSERT INTO cohort_membership SELECT %s, amplitude_id, amplitude_id, user_id,"
            " jsonb_build_object('country', country, 'plan', plan), %s, NULL FROM entering",
            (STREAM, sync.synced_at),
        )
        cursor.execute(
            "INSERT INTO cohort_sync SELECT %s, %s, count(*) FROM cohort_membership"
            " WHERE stream = %s AND exited IS NULL RETURNING members",
            (STREAM, sync.synced_at, STREAM),
        )
        return cursor.fetchone()[0]


def duckdb_script(history: CohortHistory, number: int, url: str) -> int:
    import duckdb

    def rows_of(diff_type: DiffType) -> str:
        path = file_path(history, number, diff_type)
        return (
            f"(SELECT *, json_object('country', country, 'plan', plan) AS properties FROM"
            f" read_csv('{path}', all_varchar = true, header = true, auto_detect = false,"
            " columns = {'amplitude_id': 'VARCHAR', 'user_id': 'VARCHAR', 'country': 'VARCHAR',"
            " 'plan': 'VARCHAR'}, force_not_null = ['amplitude_id', 'user_id', 'country', 'plan']))"
        )

    when = f"TIMESTAMPTZ '{history[number].synced_at.isoformat()}'"
    with duckdb.connect(url.removeprefix("duckdb:///")) as connection:
        connection.execute("BEGIN")
        if number == 0:
            connection.execute(
                "CREATE TABLE cohort_membership (stream text NOT NULL, member_key text NOT NULL,"
                " amplitude_id text NOT NULL, user_id text NOT NULL, properties JSON NOT NULL,"
                " entered timestamptz, exited timestamptz)"
            )
            connection.execute(
                "CREATE TABLE cohort_sync (stream text, synced_at timestamptz, members bigint,"
                " PRIMARY KEY (stream, synced_at))"
            )
        connection.execute(
            f"UPDATE cohort_membership m SET exited = {when}, user_id = e.user_id,"
            f" properties = e.properties FROM {rows_of(DiffType.EXITING)} e"
            f" WHERE m.stream = '{STREAM}' AND m.member_key = e.amplitude_id AND m.exited IS NULL"
        )
        connection.execute(
            f"INSERT INTO cohort_membership SELECT '{STREAM}', amplitude_id, amplitude_id,"
            f" user_id, properties, {when}, NULL FROM {rows_of(DiffType.ENTERING)}"
        )
        count = (
            "INSERT INTO cohort_sync SELECT $1, $2, count(*) FROM cohort_membership"
            " WHERE stream = $1 AND exited IS NULL RETURNING members"
        )
        members = connection.execute(count, [STREAM, history[number].synced_at]).fetchone()[0]
        connection.execute("COMMIT")
        return members


def file_path(history: CohortHistory, number: int, diff_type: DiffType) -> Path:
    return Path(unquote(history[number].files[diff_type].url.removeprefix("file://")))


CANDIDATES = {
    "postgresql": ours,
    "postgresql by a script": psycopg_script,
    "duckdb": ours,
    "duckdb by a script": duckdb_script,
    "duckdb, 24 MB": ours_in_little_memory,
    "sqlite": ours,
}
PAIRS = (("postgresql", "postgresql by a script"), ("duckdb", "duckdb by a script"))


if __name__ == "__main__":
    main()
