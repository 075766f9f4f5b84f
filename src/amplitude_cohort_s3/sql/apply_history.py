"""Apply the syncs of a history to the tables of a database, each sync in one transaction.

A sync is applied from its two small files: the rows of ``exiting`` end stays and the rows of
``entering`` begin stays. The snapshot (the members after the sync) is read only if these changes
are not enough or can't be trusted: see ``_SyncApplication._needs_snapshot``. With ``reconcile``,
the snapshot replaces changes that do not fit the tables.
"""

from time import perf_counter
from typing import Any

import sqlalchemy as sa
from attrs import evolve, frozen

from .._arguments import check_kind
from ..errors import TablesError
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..history.history import CohortHistory, check_is_history
from ..history.members import Members
from ..log.listing import BucketSync
from ..log.records import SyncRecord
from ..log.stream_events import Observer, StreamEvent, check_is_observer, report
from ._run_log import RunRows
from ._staging import StagedRows
from ._stays_table import Stays
from ._transactions import in_transaction, isolated, without_rows
from .report import AppliedSync, ApplyReport, OnApplied
from .tables import CohortTables, Instant, stream_name

_CHANGES = (DiffType.EXITING, DiffType.ENTERING)


def apply(
    history: CohortHistory,
    engine: sa.Engine,
    *,
    schema: str | None = None,
    reconcile: bool = False,
    refresh: bool = False,
    on_applied: OnApplied | None = None,
    observer: Observer | None = None,
) -> ApplyReport:
    """Apply the syncs of a history to the tables of a database.

    Missing tables are created: ``cohort_membership`` with one row per stay, ``cohort_sync`` with
    one row per applied sync, ``cohort_run`` with the run log of each stream (see
    ``CohortHistory.runs``), and the view ``cohort_current`` of the open stays. Many streams can
    share them. The run log is refreshed first, also if there is no new sync. Each sync is one
    transaction, so an interrupted run leaves complete syncs and the next run continues. Several
    runs may overlap: each sync is applied once.

    A stay has the properties that the user had on entering or, once it has ended, on leaving.
    ``entered`` is NULL if the user entered before the first known sync. The snapshot of a sync is
    read only if this is the first sync to be applied but not the first of the stream, for a
    repair, for a refresh, and to check a sync that no record of a log describes.

    Args:
        history: The history to apply.
        engine: An engine of SQLAlchemy 2. PostgreSQL with psycopg, SQLite and DuckDB are tested;
            for other dialects, only plain SQL is used.
        schema: The schema for the tables; None is the default schema of the database.
        reconcile: True to apply even a sync that does not fit the tables, and to make the tables
            agree with its snapshot.
        refresh: True to update the properties of all members to those of the newest sync.
        on_applied: SQL or a function to run in the transaction of each sync: see ``OnApplied``.
        observer: A function that is called with a ``StreamEvent`` after each sync.

    Returns:
        The syncs that were applied, and those that were not.

    Raises:
        MissingExtraError: SQLAlchemy is not installed, or pyarrow is not and the database is
            DuckDB.
        TablesError: A sync does not follow the last one that was applied, or its changes do not
            lead to its members.
        DatabaseRefusedError: The database refused a statement. SQLAlchemy errors that are raised
            in ``on_applied`` are also replaced by this error, because they may quote rows.
        ObjectChangedError, MalformedCsvError: A file is damaged.
        RecordFormatError: The log can't be read.
        ArgumentTypeError: ``history`` is not a ``CohortHistory``, or ``engine`` not an ``Engine``.

    >>> import sqlalchemy as sa
    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage
    >>> from amplitude_cohort_s3 import read_history, sync_cohort
    >>> storage = MemoryStorage()
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> _ = sync_cohort(sync, [("1", "ann"), ("2", "bob")], storage)
    >>> engine = sa.create_engine("sqlite://")
    >>> report = apply(read_history(storage, sync.stream), engine)
    >>> [(one.entered, one.exited, one.members) for one in report.applied]
    [(2, 0, 2)]
    >>> engine.dispose()
    """
    check_is_history(history)
    check_is_observer(observer)
    check_kind("engine", engine, sa.Engine, "pass sqlalchemy.create_engine(...)")
    tables = CohortTables.in_schema(schema)
    with engine.connect() as connected:
        connection = isolated(connected)
        in_transaction(connection, "tables", lambda: tables.create(connection))
        stays = Stays(connection, tables, stream_name(history.stream))
        RunRows(connection, tables, stays.stream).refresh(history)
        known = stays.applied_times()
        newest = max(known, default=None)
        old = [s.synced_at for s in history if newest is not None and s.synced_at <= newest]
        results = list[AppliedSync | None]()
        for sync in history[len(old) :]:
            began = perf_counter()
            application = _SyncApplication(
                stays=stays,
                history=history,
                sync=sync,
                refresh=refresh and sync is history[-1],
                on_applied=on_applied,
            )
            results.append(application.run(reconcile=reconcile))
            _report(history, results[-1], perf_counter() - began, observer)
    late = tuple(when for when in old if when not in known)
    applied = tuple(result for result in results if result is not None)
    skipped = len(history) - len(late) - len(applied)
    return ApplyReport(applied=applied, skipped=skipped, late=late)


def _report(
    history: CohortHistory, applied: AppliedSync | None, seconds: float, observer: Observer | None
) -> None:
    if applied is None:
        return
    facts = {name: getattr(applied, name) for name in ("members", "entered", "exited")}
    if applied.repaired is not None:
        facts |= {"opened": applied.opened, "closed": applied.closed}
    event = StreamEvent(
        kind="applied",
        stream=history.stream,
        synced_at=applied.synced_at,
        facts=facts,
        seconds=seconds,
    )
    report(event, observer)


@frozen(kw_only=True)
class _SyncApplication:
    """One sync to apply.

    Attributes:
        stays: The stays to change.
        history: The history of the sync.
        sync: The sync.
        refresh: True to update the properties of all members.
        on_applied: The caller's SQL or function.
        repair: The reason why the snapshot replaces the changes; None if they are applied.
    """

    stays: Stays
    history: CohortHistory
    sync: BucketSync
    refresh: bool
    on_applied: OnApplied | None
    repair: str | None = None

    def run(self, *, reconcile: bool) -> AppliedSync | None:
        """Apply the sync; return None if another run has applied it in the meantime."""
        try:
            return self._apply_whole()
        except TablesError as error:
            if not reconcile:
                raise
            # The transaction was rolled back, so the repair starts from the state before it.
            repair = evolve(self, repair=error.reason)
        return repair._apply_whole()  # noqa: SLF001 -- of this class

    def _apply_whole(self) -> AppliedSync | None:
        """Apply the sync in one transaction."""
        connection, stream = self.stays.connection, self.stays.stream
        return without_rows(
            connection,
            stream,
            self.sync.synced_at,
            lambda: in_transaction(connection, stream, self._apply),
        )

    def _apply(self) -> AppliedSync | None:
        stays, connection, when = self.stays, self.stays.connection, self.sync.synced_at
        last = stays.newest()
        if last is not None and last.synced_at >= when:
            return None
        record = self.history.record(self.sync)
        gap = None if last is None else self._gap(record, last)
        if gap is not None and self.repair is None:
            raise TablesError(stays.stream, when, gap)

        # All tables are created first, because some databases commit when one is created.
        staged = {
            name: StagedRows.create(connection, name, members)
            for name, members in self._files(record, is_first=last is None).items()
        }
        stays.claim(1 if last is None else last.position + 1, when, record)
        loaded = {name: rows.load(connection) for name, rows in staged.items()}
        applied = self._change(staged, loaded, is_first=last is None)
        if record is not None and not record.adopted:
            self._expect("members", record.members, applied.members)
        elif "snapshot" in loaded:
            self._expect("members", loaded["snapshot"], applied.members)
        stays.log(applied)
        self._run_on_applied(applied)
        for rows in staged.values():
            rows.drop(connection)
        return applied

    def _gap(self, record: SyncRecord | None, last: sa.Row[Any]) -> str | None:
        """Return the reason why the sync does not follow the last applied one, or None."""
        missing = [t.value for t in _CHANGES if t in self.sync.missing]
        if missing:
            return f"it lacks its file{'s' * (len(missing) > 1)} {' and '.join(missing)}"
        if record is None or record.adopted or last.writer is None:
            return None  # Without two records, the comparison of the members reveals a gap.
        if record.previous is None:
            return "its record begins the stream, and earlier syncs were applied"
        # Compare the writers: the digest of a record changes when members are forgotten.
        number = record.previous.number
        if self.history.log.record(number).writer != last.writer:
            return f"the sync before it, record {number}, is not the last applied one"
        return None

    def _files(self, record: SyncRecord | None, *, is_first: bool) -> dict[str, Members]:
        """Return the rows of the files to load, by the names of their tables."""
        files = {t.value: self._rows(t, record) for t in _CHANGES if t in self.sync.files}
        if self._needs_snapshot(record, is_first=is_first):
            files["snapshot"] = self.history.members_at(self.sync)
        return files

    def _needs_snapshot(self, record: SyncRecord | None, *, is_first: bool) -> bool:
        if self.repair is not None or self.refresh:
            return True
        if record is None or record.adopted:
            return is_first or DiffType.EXISTING in self.sync.files
        return is_first and record.previous is not None

    def _rows(self, diff_type: DiffType, record: SyncRecord | None) -> Members:
        """Return the rows of one file in canonical form."""
        source = self.history.source(self.sync, diff_type)
        if record is not None and source.canonical:
            schema = record.schema
        else:
            properties = source.read_table().properties
            schema = RowSchema(properties=properties, key=self.history.match_by)
        sources = {DiffType.EXISTING: source}
        return Members(schema=schema, sources=sources, work_dir=self.history.work_dir)

    def _change(
        self, staged: dict[str, StagedRows], loaded: dict[str, int], *, is_first: bool
    ) -> AppliedSync:
        """End and begin stays, and count them."""
        stays, when = self.stays, self.sync.synced_at
        entered = exited = opened = closed = 0
        if "exiting" in staged:
            # A user who leaves at the first sync was a member before it.
            end = stays.add_ended if is_first else stays.end
            exited = end(staged["exiting"], when)
            self._expect("exiting", loaded["exiting"], exited)
        if "entering" in staged:
            entered = stays.begin(staged["entering"], when)
            self._expect("entering", loaded["entering"], entered)
        if "snapshot" in staged:
            snapshot = staged["snapshot"]
            if self.repair is not None:
                closed = stays.end_absent(snapshot, when)
            if self.repair is not None or is_first:
                opened = stays.begin(snapshot, None if is_first else when)
            self._expect("existing", loaded["snapshot"], stays.present(snapshot))
            if self.refresh:
                stays.refresh(snapshot)
        return AppliedSync(
            stream=stays.stream,
            synced_at=when,
            entered=entered,
            exited=exited,
            members=stays.count(),
            opened=opened,
            closed=closed,
            repaired=self.repair,
        )

    def _expect(self, subject: str, expected: int, found: int) -> None:
        is_repaired = self.repair is not None and subject in ("entering", "exiting")
        if expected != found and not is_repaired:
            reason = f"{subject}: {expected:,} expected, {found:,} found"
            raise TablesError(self.stays.stream, self.sync.synced_at, reason)

    def _run_on_applied(self, applied: AppliedSync) -> None:
        if callable(self.on_applied):
            self.on_applied(self.stays.connection, applied)
        elif self.on_applied is not None:
            statement = sa.text(self.on_applied)
            parameters: dict[str, sa.BindParameter[Any]] = {
                "stream": sa.bindparam("stream", applied.stream, sa.Text),
                "synced_at": sa.bindparam("synced_at", applied.synced_at, Instant),
            }
            named = [parameters[n] for n in statement.compile().params if n in parameters]
            self.stays.connection.execute(statement.bindparams(*named))
