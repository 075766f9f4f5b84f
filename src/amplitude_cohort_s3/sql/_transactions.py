"""Transactions that wait for other writers of the same tables.

A run waits for an advisory lock in PostgreSQL, and for the lock on the file in SQLite. In other
databases, two runs can begin the same sync. There the primary key of ``cohort_sync`` decides: the
second insert of a position fails, and that run starts again.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from ..errors import DatabaseRefusedError

T = TypeVar("T")

_PAUSE_SECONDS = 0.05
_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6


class ClaimedError(Exception):
    """Raised if another run has just applied the same sync."""


def isolated(connection: sa.Connection) -> sa.Connection:
    """Return the connection with transactions that see what earlier ones have committed."""
    match connection.dialect.name:
        case "postgresql":
            return connection.execution_options(isolation_level="READ COMMITTED")
        case "sqlite":
            # The module sqlite3 does not begin a transaction for CREATE TABLE, so we begin ours.
            return connection.execution_options(isolation_level="AUTOCOMMIT")
        case _:
            return connection


def in_transaction(connection: sa.Connection, subject: str, work: Callable[[], T]) -> T:
    """Run a function in a transaction, after other transactions on the same subject have ended."""
    while True:
        try:
            with connection.begin():
                _wait_for_others(connection, subject)
                return work()
        except ClaimedError:
            pass
        except DBAPIError as error:
            if not _is_conflict(error):
                raise
        time.sleep(_PAUSE_SECONDS)


def without_rows(
    connection: sa.Connection, stream: str, synced_at: datetime, work: Callable[[], T]
) -> T:
    """Run a function, and replace a database error by an error that quotes no row.

    SQLAlchemy quotes the parameters of a failed statement. Drivers quote the line of a ``COPY``,
    the values that break a constraint, and the message of a trigger. A ``UnicodeError`` of a
    driver contains the text that it can't encode.

    Raises:
        DatabaseRefusedError: SQLAlchemy or the driver raised an error.
    """
    driver: Any = connection.dialect.dbapi
    try:
        return work()
    except (SQLAlchemyError, driver.Error, UnicodeError) as error:
        original = error.orig if isinstance(error, StatementError) and error.orig else error
        refused = DatabaseRefusedError(stream, synced_at, _class_of(original), _code_of(original))
    # Raised after the except clause, so that the original error is not its context.
    raise refused


def _class_of(error: BaseException) -> str:
    package = type(error).__module__.partition(".")[0].lstrip("_")
    return f"{package}.{type(error).__name__}"


def _code_of(error: BaseException) -> str | None:
    """Return the code of a database error: a name, an SQLSTATE or a number."""
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(error, name, None)
        if isinstance(code, str):
            return code
    first = error.args[0] if error.args else None
    return str(first) if isinstance(first, int) else None


def _wait_for_others(connection: sa.Connection, subject: str) -> None:
    if connection.dialect.name == "postgresql":
        number = sa.func.hashtextextended(f"amplitude_cohort_s3 {subject}", 0)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
    elif connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:  # a listener of the caller's engine may have begun one
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_conflict(error: DBAPIError) -> bool:
    """Return whether another transaction was in the way, so that a retry may succeed."""
    busy = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (_SQLITE_BUSY, _SQLITE_LOCKED)
    return busy or type(error.orig).__name__ == "TransactionException"  # DuckDB's
