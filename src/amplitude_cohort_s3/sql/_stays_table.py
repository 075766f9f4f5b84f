"""The table of stays."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from ..log.records import SyncRecord
from ._staging import StagedRows
from ._transactions import ClaimedError
from .report import AppliedSync
from .tables import CohortTables, Instant


@frozen
class Stays:
    """The tables of one stream, over one connection."""

    connection: sa.Connection
    tables: CohortTables
    stream: str

    def applied_times(self) -> set[datetime]:
        """The times of the syncs that were applied."""
        log = self.tables.sync.c
        found = sa.select(log.synced_at).where(log.stream == self.stream)
        with self.connection.begin():
            return set(self.connection.scalars(found))

    def newest(self) -> sa.Row[Any] | None:
        """The row of the sync that was applied last."""
        log = self.tables.sync
        found = sa.select(log).where(log.c.stream == self.stream)
        return self.connection.execute(found.order_by(log.c.position.desc()).limit(1)).first()

    def claim(self, position: int, when: datetime, record: SyncRecord | None) -> None:
        """Writes the row of a sync first: of two runs, the database lets one have its place."""
        row = {
            "stream": self.stream,
            "position": position,
            "synced_at": when,
            **dict.fromkeys(("entered", "exited", "members", "opened", "closed"), 0),
            "writer": None if record is None else record.writer,
            "members_sha256": None if record is None else record.members_sha256,
        }
        try:
            self.connection.execute(sa.insert(self.tables.sync).values(row))
        except IntegrityError as error:
            raise ClaimedError from error

    def log(self, applied: AppliedSync) -> None:
        """Completes the row."""
        log = self.tables.sync
        self.connection.execute(
            sa.update(log)
            .where(log.c.stream == self.stream, log.c.synced_at == applied.synced_at)
            .values(
                entered=applied.entered,
                exited=applied.exited,
                members=applied.members,
                opened=applied.opened,
                closed=applied.closed,
            )
        )

    def begin(self, staged: StagedRows, entered: datetime | None) -> int:
        """Begins a stay for each row whose user has none that is open."""
        rows = staged.rows.c
        is_in = sa.exists().where(self._is_open, self._stay.member_key == rows.member_key)
        return self._add(sa.select(*rows).where(~is_in), entered=entered, exited=None)

    def add_ended(self, staged: StagedRows, exited: datetime) -> int:
        """Adds a stay of unknown beginning for each row."""
        return self._add(sa.select(*staged.rows.c), entered=None, exited=exited)

    def end(self, staged: StagedRows, exited: datetime) -> int:
        """Ends the open stay of each row."""
        return self._update(staged, exited=sa.literal(exited, Instant))

    def end_absent(self, staged: StagedRows, exited: datetime) -> int:
        """Ends the open stays that have no row."""
        rows = staged.rows.c
        has_row = sa.exists().where(rows.member_key == self._stay.member_key)
        update = sa.update(self.tables.membership).where(self._is_open, ~has_row)
        return self._changed(update.values(exited=exited))

    def refresh(self, staged: StagedRows) -> int:
        """Gives open stays the ids and properties of their rows, where they differ."""
        rows, stay = staged.rows.c, self._stay
        differs = sa.or_(*(stay[n].is_distinct_from(rows[n]) for n in _CELLS))
        return self._update(staged, differs)

    def present(self, staged: StagedRows) -> int:
        """How many rows have an open stay."""
        rows = staged.rows.c
        is_in = sa.exists().where(self._is_open, self._stay.member_key == rows.member_key)
        found = sa.select(sa.func.count()).select_from(staged.rows).where(is_in)
        return self.connection.execute(found).scalar_one()

    def count(self) -> int:
        """How many stays are open."""
        return self.connection.execute(
            sa.select(sa.func.count()).select_from(self.tables.membership).where(self._is_open)
        ).scalar_one()

    @property
    def _stay(self) -> ReadOnlyColumnCollection[str, sa.Column[Any]]:
        return self.tables.membership.c

    @property
    def _is_open(self) -> sa.ColumnElement[bool]:
        return sa.and_(self._stay.stream == self.stream, self._stay.exited.is_(None))

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
        update = sa.update(self.tables.membership).where(
            self._is_open, self._stay.member_key == rows.member_key, *conditions
        )
        return self._changed(update.values({n: rows[n] for n in _CELLS} | values))

    def _changed(self, statement: sa.Insert | sa.Update) -> int:
        done = self.connection.execute(statement, execution_options={"preserve_rowcount": True})
        return done.rowcount


_CELLS = ("amplitude_id", "user_id", "properties")
