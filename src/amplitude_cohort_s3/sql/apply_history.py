"""Brings the tables in step with a history: one transaction for each sync."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from attrs import evolve, frozen

from ..diff.cohort_diff import diff_members
from ..errors import MembersMismatchError, SyncGapError
from ..format.filename import DiffType
from ..format.reader import read_table
from ..format.schema import RowSchema
from ..history.history import CohortHistory, check_is_history
from ..log.listing import BucketSync
from ..log.records import SyncRecord
from ._staging import StagedRows
from ._stays_table import Stays
from ._transactions import in_transaction, isolated
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
) -> ApplyReport:
    """Brings the tables of a database in step with a history.

    The tables are made where they are missing: ``cohort_membership`` with one row per
    stay, ``cohort_sync`` with one row per applied sync, and the view ``cohort_current``.
    Many streams share them. Each sync is one transaction, so that an interrupted run
    leaves whole syncs, and the next one continues. Several may run at once: the database
    lets one after the other.

    A stay has the properties with which the user entered and, once ended, those with
    which the user left. ``entered`` is NULL where that was before the first sync that is
    known. Only the small files are read, unless there is a reason to read the snapshot:
    at a first sync that is not the stream's first, for a repair, to refresh, and at every
    sync that no record of a log describes, to check that its files add up.

    Args:
        history: Of one stream.
        engine: Of SQLAlchemy 2. PostgreSQL with psycopg, SQLite and DuckDB are tried; other
            dialects get plain SQL.
        schema: The database's schema for the tables; by default its default one.
        reconcile: Whether a sync that does not follow on the tables is applied anyway,
            and the tables are then made to agree with its snapshot.
        refresh: Whether the properties of all members are those of the newest sync, and
            not only of those who entered.
        on_applied: Run for each sync in its transaction: a stored procedure, for one.

    Raises:
        MissingExtraError: SQLAlchemy is not installed; or for DuckDB, pyarrow.
        SyncGapError: A sync does not follow on the last one that was applied.
        MembersMismatchError: The changes of a sync do not lead to its members.
        DigestMismatchError, MalformedCsvError: A file is damaged.
        WrongArgumentError: ``history`` is none.

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
    tables = CohortTables.in_schema(schema)
    with engine.connect() as connected:
        connection = isolated(connected)
        in_transaction(connection, "tables", lambda: tables.create(connection))
        stays = Stays(connection, tables, stream_name(history.stream))
        known = stays.applied_times()
        newest = max(known, default=None)
        applied, skipped, late = list[AppliedSync](), 0, list[datetime]()
        for sync in history:
            if newest is not None and sync.synced_at <= newest:
                skipped += sync.synced_at in known
                late += [] if sync.synced_at in known else [sync.synced_at]
                continue
            one = _Application(
                stays=stays,
                history=history,
                sync=sync,
                refresh=refresh and sync is history[-1],
                on_applied=on_applied,
            )
            try:
                done = one.run()
            except (SyncGapError, MembersMismatchError) as error:
                if not reconcile:
                    raise
                # From the start, as what was done of it is rolled back.
                done = evolve(one, repair=error.reason).run()
            if done is None:
                skipped += 1
            else:
                applied.append(done)
    return ApplyReport(applied=tuple(applied), skipped=skipped, late=tuple(late))


@frozen(kw_only=True)
class _Application:
    """One sync that is to be applied.

    Attributes:
        stays: Where to.
        history: Whose sync.
        sync: Which.
        refresh: Whether all properties are to be those of its snapshot.
        on_applied: The caller's.
        repair: Why its snapshot has the last word; None where its changes have.
    """

    stays: "Stays"
    history: CohortHistory
    sync: BucketSync
    refresh: bool
    on_applied: OnApplied | None
    repair: str | None = None

    def run(self) -> AppliedSync | None:
        """Applies it; None if another run did in the meantime."""
        return in_transaction(self.stays.connection, self.stays.stream, self._apply)

    def _apply(self) -> AppliedSync | None:
        stays, connection, when = self.stays, self.stays.connection, self.sync.synced_at
        last = stays.newest()
        if last is not None and last.synced_at >= when:
            return None
        record = self.history.record(self.sync)
        gap = None if last is None else self._gap(record, last)
        if gap is not None and self.repair is None:
            raise SyncGapError(stays.stream, when, gap)

        files = self._files(record, is_first=last is None)
        # Before anything is written, as some databases commit where a table is made.
        staged = {
            name: StagedRows.create(connection, name, schema) for name, (schema, _) in files.items()
        }
        stays.claim(1 if last is None else last.position + 1, when, record)
        loaded = {
            name: staged[name].load(connection, chunks) for name, (_, chunks) in files.items()
        }
        applied = self._change(staged, loaded, is_first=last is None)
        expected = applied.members
        if record is not None and not record.adopted:
            expected = record.members
        elif "snapshot" in loaded:
            expected = loaded["snapshot"]
        self._expect("members", expected, applied.members)
        stays.log(applied)
        self._run_hook(applied)
        for one in staged.values():
            one.drop(connection)
        return applied

    def _gap(self, record: SyncRecord | None, last: sa.Row[Any]) -> str | None:
        """Why the sync does not follow on the one that was applied last; None if it does."""
        missing = [t.value for t in _CHANGES if t in self.sync.missing]
        if missing:
            return f"it lacks its file {' and '.join(missing)}"
        if record is None or record.adopted or last.writer is None:
            return None  # What files alone tell is told by their members.
        if record.previous is None:
            return "its record begins the stream, and earlier syncs were applied"
        # By its writer, as the digest of a record changes when people are forgotten.
        number = record.previous.number
        if self.history.log.record(number).writer != last.writer:
            return f"the sync before it, record {number}, is not the last applied one"
        return None

    def _files(
        self, record: SyncRecord | None, *, is_first: bool
    ) -> dict[str, tuple[RowSchema, Iterator[bytes]]]:
        """The files that are needed, each as canonical bytes of a schema."""
        files = {t.value: self._changed(t, record) for t in _CHANGES if t in self.sync.files}
        unchecked = record is None or record.adopted
        if (
            self.repair is not None
            or self.refresh
            or (is_first and (record is None or record.adopted or record.previous is not None))
            or (unchecked and DiffType.EXISTING in self.sync.files)
        ):
            members = self.history.members_at(self.sync)
            files["snapshot"] = members.schema, members.csv_source(members.schema).chunks()
        return files

    def _changed(
        self, diff_type: DiffType, record: SyncRecord | None
    ) -> tuple[RowSchema, Iterator[bytes]]:
        source = self.history.source(self.sync, diff_type)
        if record is not None and source.canonical:
            return record.schema, source.chunks()
        properties = read_table(source.chunks()).properties
        schema = RowSchema(properties=properties, key=self.history.match_by)

        def canonical() -> Iterator[bytes]:
            rows = schema.decode(source.chunks())
            with diff_members(
                (),
                rows,
                schema=schema,
                duplicates="keep_smallest",
                work_dir=self.history.work_dir,
            ) as diff:
                yield from diff.entering.chunks()

        return schema, canonical()

    def _change(
        self, staged: dict[str, StagedRows], loaded: dict[str, int], *, is_first: bool
    ) -> AppliedSync:
        """Ends and begins stays, and counts them."""
        stays, when = self.stays, self.sync.synced_at
        entered = exited = opened = closed = 0
        if "exiting" in staged:
            # Who leaves at the first sync was there before it.
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

    def _expect(self, what: str, expected: int, found: int) -> None:
        repairable = what in ("entering", "exiting")
        if expected != found and not (repairable and self.repair is not None):
            raise MembersMismatchError(
                self.stays.stream, self.sync.synced_at, what, expected, found
            )

    def _run_hook(self, applied: AppliedSync) -> None:
        connection = self.stays.connection
        if callable(self.on_applied):
            self.on_applied(connection, applied)
        elif self.on_applied is not None:
            statement = sa.text(self.on_applied)
            offered: dict[str, sa.BindParameter[Any]] = {
                "stream": sa.bindparam("stream", applied.stream, sa.Text),
                "synced_at": sa.bindparam("synced_at", applied.synced_at, Instant),
            }
            named = [offered[n] for n in statement.compile().params if n in offered]
            connection.execute(statement.bindparams(*named))
