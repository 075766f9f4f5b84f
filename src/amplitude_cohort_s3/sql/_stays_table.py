"""The statements that read and change the tables of one stream."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from attrs import asdict, frozen
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from ..log.records import SyncRecord
from ._staging import StagedRows, changed_rows
from ._transactions import ClaimedError
from .report import AppliedSync
from .tables import CohortTables, Instant

_CELLS = ("amplitude_id", "user_id", "properties")
_COUNTS = ("entered", "exited", "members", "opened", "closed")


@frozen
class Stays:
    """The stays of one stream in ``cohort_membership``, and its rows in ``cohort_sync``."""

    connection: sa.Connection
    tables: CohortTables
    stream: str

    def applied_times(self) -> set[datetime]:
        """Return the times of the syncs that were applied."""
        log = self.tables.sync.c
        found = sa.select(log.synced_at).where(log.stream == self.stream)
        with self.connection.begin():
            return set(self.connection.scalars(found))

    def newest(self) -> sa.Row[Any] | None:
        """Return the row of the sync that was applied last."""
        log = self.tables.sync
        found = sa.select(log).where(log.c.stream == self.stream)
        return self.connection.execute(found.order_by(log.c.position.desc()).limit(1)).first()

    def claim(self, position: int, when: datetime, record: SyncRecord | None) -> None:
        """Insert the row of a sync with counts of 0, before any other change.

        Because of the primary key, only one of two runs can insert it.

        Raises:
            ClaimedError: Another run has inserted it.
        """
        row = {
            "stream": self.stream,
            "position": position,
            "synced_at": when,
            **dict.fromkeys(_COUNTS, 0),
            "writer": None if record is None else record.writer,
            "members_sha256": None if record is None else record.members_sha256,
        }
        try:
            self.connection.execute(sa.insert(self.tables.sync).values(row))
        except IntegrityError as error:
            raise ClaimedError from error

    def log(self, applied: AppliedSync) -> None:
        """Write the counts to the row of a sync."""
        log = self.tables.sync
        is_row = sa.and_(log.c.stream == self.stream, log.c.synced_at == applied.synced_at)
        counts = asdict(applied, filter=lambda attribute, _: attribute.name in _COUNTS)
        self.connection.execute(sa.update(log).where(is_row).values(counts))

    def begin(self, staged: StagedRows, entered: datetime | None) -> int:
        """Begin a stay for each row whose user has no open stay."""
        rows = sa.select(*staged.rows.c).where(~self._has_open_stay(staged))
        return self._add(rows, entered=entered, exited=None)

    def add_ended(self, staged: StagedRows, exited: datetime) -> int:
        """Add a stay of unknown beginning for each row."""
        return self._add(sa.select(*staged.rows.c), entered=None, exited=exited)

    def end(self, staged: StagedRows, exited: datetime) -> int:
        """End the open stay of each row."""
        return self._update(staged, exited=sa.literal(exited, Instant))

    def end_absent(self, staged: StagedRows, exited: datetime) -> int:
        """End the open stays that have no row."""
        has_row = sa.exists().where(staged.rows.c.member_key == self._stay.member_key)
        update = sa.update(self.tables.membership).where(self._is_open, ~has_row)
        return self._changed(update.values(exited=exited))

    def refresh(self, staged: StagedRows) -> int:
        """Copy the ids and properties of the rows to their open stays, if they differ."""
        rows, stay = staged.rows.c, self._stay
        differs = sa.or_(*(stay[n].is_distinct_from(rows[n]) for n in _CELLS))
        return self._update(staged, differs)

    def present(self, staged: StagedRows) -> int:
        """Return the number of rows with an open stay."""
        found = sa.select(sa.func.count()).select_from(staged.rows)
        return self.connection.execute(found.where(self._has_open_stay(staged))).scalar_one()

    def count(self) -> int:
        """Return the number of open stays."""
        found = sa.select(sa.func.count()).select_from(self.tables.membership)
        return self.connection.execute(found.where(self._is_open)).scalar_one()

    @property
    def _stay(self) -> ReadOnlyColumnCollection[str, sa.Column[Any]]:
        return self.tables.membership.c

    @property
    def _is_open(self) -> sa.ColumnElement[bool]:
        return sa.and_(self._stay.stream == self.stream, self._stay.exited.is_(None))

    def _has_open_stay(self, staged: StagedRows) -> sa.Exists:
        key = staged.rows.c.member_key
        return sa.exists().where(self._is_open, self._stay.member_key == key)

    def _add(
        self, rows: sa.Select[Any], *, entered: datetime | None, exited: datetime | None
    ) -> int:
        selected = rows.add_columns(
            sa.literal(self.stream, sa.Text),
            sa.literal(entered, Instant),
            sa.literal(exited, Instant),
        )
        names = ["member_key", *_CELLS, "stream", "entered", "exited"]
        return self._changed(sa.insert(self.tables.membership).from_select(names, selected))

    def _update(
        self, staged: StagedRows, *conditions: sa.ColumnElement[bool], **values: Any
    ) -> int:
        rows = staged.rows.c
        is_stay = self._stay.member_key == rows.member_key
        update = sa.update(self.tables.membership).where(self._is_open, is_stay, *conditions)
        return self._changed(update.values({n: rows[n] for n in _CELLS} | values))

    def _changed(self, statement: sa.Insert | sa.Update) -> int:
        done = self.connection.execute(statement, execution_options={"preserve_rowcount": True})
        return changed_rows(done)
