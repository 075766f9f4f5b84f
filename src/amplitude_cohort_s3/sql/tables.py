"""The tables that contain histories. Several streams share them."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from ..format.named_rows import ColumnType
from ..history.runs import RUN_COLUMNS
from ..log.stream import CohortStream


class Instant(TypeDecorator[datetime]):
    """A time in UTC, even in databases whose times have no zone, such as SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002, D102
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


PROPERTIES: sa.types.TypeEngine[Any] = (
    sa.Text().with_variant(JSONB(), "postgresql").with_variant(sa.JSON(), "duckdb")
)
"""A JSON object: ``jsonb`` in PostgreSQL, ``JSON`` in DuckDB, text elsewhere."""


@frozen(kw_only=True)
class CohortTables:
    """The three tables and the view.

    Attributes:
        membership: The table of stays, open ones and ended ones.
        sync: The table of the syncs that were applied.
        run: The table of the run log: see ``SyncRun``.
        current: The view of the open stays.
    """

    membership: sa.Table
    sync: sa.Table
    run: sa.Table
    current: sa.Table

    @classmethod
    def in_schema(cls, schema: str | None) -> "CohortTables":
        """Return the tables of a schema of the database; None is its default schema."""
        metadata = sa.MetaData(schema=schema)
        membership = sa.Table(
            "cohort_membership",
            metadata,
            *(
                sa.Column(name, sa.Text, nullable=False)
                for name in ("stream", "member_key", "amplitude_id", "user_id")
            ),
            sa.Column("properties", PROPERTIES, nullable=False),
            sa.Column("entered", Instant),
            sa.Column("exited", Instant),
        )
        is_open = membership.c.exited.is_(None)
        # A user has at most one open stay. DuckDB has no partial indexes, and joins fast without.
        sa.Index(
            "cohort_membership_open",
            membership.c.stream,
            membership.c.member_key,
            unique=True,
            postgresql_where=is_open,
            sqlite_where=is_open,
        ).ddl_if(callable_=_has_partial_indexes)
        sync = sa.Table(
            "cohort_sync",
            metadata,
            sa.Column("stream", sa.Text, primary_key=True),
            sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("synced_at", Instant, nullable=False),
            *(
                sa.Column(name, sa.BigInteger, nullable=False)
                for name in ("entered", "exited", "members", "opened", "closed")
            ),
            sa.Column("writer", sa.Text),
            sa.Column("members_sha256", sa.Text),
        )
        # It has its own MetaData, because create_all would create it as a table.
        current = sa.Table(
            "cohort_current",
            sa.MetaData(schema=schema),
            *(sa.Column(c.name, c.type) for c in membership.c if c.name != "exited"),
        )
        return cls(membership=membership, sync=sync, run=_run_table(metadata), current=current)

    def create(self, connection: sa.Connection) -> None:
        """Create the tables and the view that do not exist yet."""
        self.sync.metadata.create_all(connection)
        if sa.inspect(connection).has_table(self.current.name, schema=self.current.schema):
            return
        stays = self.membership.c
        selected = sa.select(*(stays[c.name] for c in self.current.c)).where(stays.exited.is_(None))
        name = connection.dialect.identifier_preparer.format_table(self.current)
        text = selected.compile(dialect=connection.dialect).string
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {text}")


def _run_table(metadata: sa.MetaData) -> sa.Table:
    types: dict[ColumnType, sa.types.TypeEngine[Any]] = {
        "integer": sa.BigInteger(),
        "timestamp": Instant(),
        "text": sa.Text(),
    }
    known = ("synced_at", "outcome", "bytes")  # of each sync, also without a record
    return sa.Table(
        "cohort_run",
        metadata,
        sa.Column("stream", sa.Text, nullable=False),
        *(
            sa.Column(name, types[kind], nullable=name not in known)
            for name, kind in RUN_COLUMNS.items()
        ),
        # A sync without a record has no number, so this can't be the primary key.
        sa.UniqueConstraint("stream", "synced_at", "number"),
    )


def _has_partial_indexes(*_: object, dialect: sa.Dialect, **__: object) -> bool:
    return dialect.name in ("postgresql", "sqlite")


def stream_name(stream: CohortStream) -> str:
    """Return the name of a stream in the tables. Different streams have different names.

    >>> stream_name(CohortStream(project_id=123, cohort_id="26umsb5", path="cohorts"))
    'cohorts/123_26umsb5'
    """
    name = stream.log_prefix.removesuffix("/").rpartition("/")[2]
    return f"{stream.path}/{name}" if stream.path else name
