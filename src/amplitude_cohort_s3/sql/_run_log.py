"""The rows of one stream in the table of its run log, ``cohort_run``.

Records never change, so each refresh reads only those that are newer than the rows. It reads all
records only after ``forget``, which changes the counts of earlier syncs. A stream without a log has
one row for each listed sync, which needs no read.
"""

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from ..history.history import CohortHistory
from ..history.runs import RUN_COLUMNS, SyncRun, runs_of
from ..history.window import Window
from ._transactions import in_transaction, without_rows
from .tables import CohortTables


@frozen
class RunRows:
    """The rows of one stream in ``cohort_run``."""

    connection: Connection
    tables: CohortTables
    stream: str

    def refresh(self, history: CohortHistory) -> None:
        """Make the rows equal to the run log of a history, in one transaction.

        Rows of syncs outside the window of the history stay as they are. If the rows are newer
        than the history, nothing is changed.

        Raises:
            RecordFormatError: The log can't be read.
            DatabaseRefusedError: The database refused a statement.
        """
        history.check_log()
        with self.connection.begin():
            newest = self._newest()
        log = history.log
        if newest > log.last_ended:
            return
        is_amended = log.head is not None and (log.head.amendment or 0) > newest
        after = 0 if is_amended else newest
        runs = runs_of(log, history.window, after=after) if after else list(history.runs())
        if not runs:
            return

        def write() -> None:
            if self._newest() == newest:  # Otherwise another run was faster.
                self._write(runs, history.window, after)

        def write_in_transaction() -> None:
            try:
                in_transaction(self.connection, self.stream, write)
            except IntegrityError:
                # Some databases do not wait for another run. Then it has inserted these rows.
                with self.connection.begin():
                    if self._newest() == newest:
                        raise

        without_rows(self.connection, self.stream, runs[-1].synced_at, write_in_transaction)

    def _newest(self) -> int:
        """Return the number of the newest row whose sync has ended, or 0."""
        run = self.tables.run.c
        found = select(func.max(run.number)).where(
            run.stream == self.stream, run.outcome != "unfinished"
        )
        return self.connection.execute(found).scalar() or 0

    def _write(self, runs: list[SyncRun], window: Window, after: int) -> None:
        """Replace the rows in a window, with numbers after one, that differ from some runs."""
        table = self.tables.run
        is_replaced = self._is_replaced(window, after)
        rows = select(*(table.c[name] for name in RUN_COLUMNS)).where(is_replaced)
        stored = {tuple(row) for row in self.connection.execute(rows)}
        wanted = {tuple(run) for run in runs}
        if gone := stored - wanted:
            is_row = and_(
                table.c.stream == self.stream,
                table.c.synced_at == bindparam("of_synced_at"),
                table.c.number.is_not_distinct_from(bindparam("of_number")),
            )
            keys = (dict(zip(RUN_COLUMNS, row, strict=True)) for row in gone)
            self.connection.execute(
                delete(table).where(is_row),
                [{"of_synced_at": k["synced_at"], "of_number": k["number"]} for k in keys],
            )
        if new := [run for run in runs if tuple(run) not in stored]:
            values = (dict(zip(RUN_COLUMNS, run, strict=True)) for run in new)
            rows_of_stream = [{"stream": self.stream, **row} for row in values]
            self.connection.execute(insert(table), rows_of_stream)

    def _is_replaced(self, window: Window, after: int) -> ColumnElement[bool]:
        run = self.tables.run.c
        conditions: list[ColumnElement[bool]] = [run.stream == self.stream]
        if after:
            conditions.append(run.number > after)
        if window.since is not None:
            conditions.append(run.synced_at >= window.since)
        if window.until is not None:
            conditions.append(run.synced_at <= window.until)
        return and_(*conditions)
