"""Transactions that wait for other writers."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")


_PAUSE = 0.05
"""Seconds between two attempts, where a database refuses instead of letting wait."""


class ClaimedError(Exception):
    """Another run has just applied the same sync."""


def isolated(connection: sa.Connection) -> sa.Connection:
    """With transactions that see what those before them committed."""
    match connection.dialect.name:
        case "postgresql":
            return connection.execution_options(isolation_level="READ COMMITTED")
        case "sqlite":
            # The module sqlite3 would begin transactions of its own, which do not hold
            # statements that make tables; so we begin ours ourselves.
            return connection.execution_options(isolation_level="AUTOCOMMIT")
        case _:
            return connection


def in_transaction(connection: sa.Connection, subject: str, work: Callable[[], T]) -> T:
    """Does work in one transaction, after those that others have begun on the same subject."""
    while True:
        try:
            with connection.begin():
                wait_for_others(connection, subject)
                return work()
        except ClaimedError:
            pass
        except DBAPIError as error:
            if not _is_conflict(error):
                raise
        time.sleep(_PAUSE)


def wait_for_others(connection: sa.Connection, subject: str) -> None:
    match connection.dialect.name:
        case "postgresql":
            number = sa.func.hashtextextended(f"amplitude_cohort_s3 {subject}", 0)
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
        case "sqlite":
            driver: Any = connection.connection.driver_connection
            if not driver.in_transaction:  # by a listener of the caller's engine
                connection.exec_driver_sql("BEGIN IMMEDIATE")
        case _:
            pass  # The place in the log decides.


def _is_conflict(error: DBAPIError) -> bool:
    """Whether another transaction was in the way, so that the same may work later."""
    busy = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (_SQLITE_BUSY, _SQLITE_LOCKED)
    return busy or type(error.orig).__name__ == "TransactionException"  # DuckDB's


_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6
