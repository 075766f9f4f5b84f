"""PostgreSQL on 127.0.0.1 for the tests, and functions that read tables of any database."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from attrs import frozen


class MissingServerError(Exception):
    """Raised if a server is not installed. The text names the package to install."""


@frozen
class PostgreSQL:
    """A running server."""

    port: int

    def url(self, database: str, driver: str = "psycopg") -> str:
        return f"postgresql+{driver}://postgres@127.0.0.1:{self.port}/{database}"


@contextlib.contextmanager
def postgresql() -> Generator[PostgreSQL]:
    """Start a server with an empty cluster, not as root, which PostgreSQL refuses."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *_on_path("postgres")]
    if not found:
        raise MissingServerError("apt-get install --no-install-recommends postgresql")
    bin_ = max(found)
    with tempfile.TemporaryDirectory(prefix="cohort-pg-") as folder:
        data = Path(folder) / "data"
        options = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            options = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        made = [bin_ / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        made += ["--locale=C.UTF-8", "--no-sync"]
        with (Path(folder) / "initdb.out").open("wb") as output:
            subprocess.run(made, check=True, stdout=output, stderr=output, cwd=folder, **options)
        port = _free_port()
        command = [bin_ / "postgres", "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
        command += ["-c", "fsync=off", "-c", "max_connections=50"]
        with (Path(folder) / "postgres.out").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, **options)
            try:
                _wait(port)
                yield PostgreSQL(port)
            finally:
                process.send_signal(signal.SIGQUIT)  # immediate: the files are not needed any more
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _on_path(binary: str) -> Iterator[Path]:
    found = shutil.which(binary)
    if found is not None:
        yield Path(found).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    engine = sa.create_engine(PostgreSQL(port).url("postgres"), poolclass=sa.NullPool)
    deadline = time.monotonic() + 60
    while True:
        try:
            with engine.connect():
                return
        except sa.exc.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def new_url(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """Return the URL of a new, empty database."""
    name = f"t{uuid.uuid4().hex}"
    if kind == "sqlite":
        return f"sqlite:///{folder}/{name}.sqlite"
    if kind == "duckdb":
        return f"duckdb:///{folder}/{name}.duckdb"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    admin = sa.create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    admin.dispose()
    return server.url(name, kind)


KINDS = [
    pytest.param("psycopg", marks=pytest.mark.servers),
    pytest.param("psycopg2", marks=pytest.mark.servers),  # loads rows by INSERT
    "sqlite",
    "duckdb",
]


# --- The content of the tables, the same for all databases --------------------------------


def stays(engine: sa.Engine, stream: str | None = None) -> list[tuple]:
    """Return key, ids, properties, entered and exited of all stays, in order."""
    rows = _rows(engine, "cohort_membership", stream)
    return sorted(
        (
            row["member_key"],
            row["amplitude_id"],
            row["user_id"],
            tuple(sorted(as_object(row["properties"]).items())),
            instant(row["entered"]),
            instant(row["exited"]),
        )
        for row in rows
    )


def log(engine: sa.Engine, stream: str | None = None) -> list[tuple]:
    rows = [
        tuple(instant(value) for value in row.values())
        for row in _rows(engine, "cohort_sync", stream)
    ]
    return sorted(rows, key=lambda row: row[:2])


def current(engine: sa.Engine) -> list[tuple[str, ...]]:
    rows = _rows(engine, "cohort_current", None)
    return sorted((row["member_key"], row["amplitude_id"], row["user_id"]) for row in rows)


def as_object(value: object) -> dict[str, str]:
    return json.loads(value) if isinstance(value, str) else value


def instant(value: object) -> object:
    """Return a time as sortable text, whatever type the database returns; '' for NULL."""
    if value is None:
        return ""
    text = str(value)
    if hasattr(value, "isoformat") or (len(text) >= 19 and text[4] == "-" and text[13] == ":"):
        return text[:19].replace("T", " ")
    return value


def _rows(engine: sa.Engine, table: str, stream: str | None) -> list[sa.RowMapping]:
    where = "" if stream is None else " WHERE stream = :stream"
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TIME ZONE 'UTC'")
        if not sa.inspect(connection).has_table(table):
            return []
        statement = sa.text(f"SELECT * FROM {table}{where}")
        found = connection.execute(statement, {"stream": stream} if stream else {})
        return list(found.mappings())
