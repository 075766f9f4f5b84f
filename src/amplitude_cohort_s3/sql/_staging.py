"""The rows of one file in a temporary table, loaded by the fastest way of each database.

PostgreSQL loads the bytes of the file unchanged (``COPY``), DuckDB loads them as Arrow, and the
rows are inserted into any other database in batches (``INSERT``). The names of properties are
never names in SQL: they are keys of a JSON object and are passed as values.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import sqlalchemy as sa
from attrs import field, frozen
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.exc import DBAPIError

from ..format.columns import Row
from ..format.schema import RowSchema
from ..history.line_batches import csv_reader
from ..history.members import Members
from .tables import PROPERTIES

_BATCH_ROWS = 5000
_INSERTED = ("member_key", "amplitude_id", "user_id", "properties")

_quoted = json.JSONEncoder(ensure_ascii=False).encode


def changed_rows(done: sa.CursorResult[Any]) -> int:
    """Return the number of rows that an insert or update has changed.

    Before version 2 of DuckDB, the ``rowcount`` is -1, and the number is the only row. SQLAlchemy
    expects no rows of an insert, so they are read from its cursor.
    """
    if done.rowcount >= 0:
        return done.rowcount
    cursor: Any = done.context.cursor
    return int(cursor.fetchone()[0])


@frozen(kw_only=True)
class StagedRows:
    """A temporary table for the rows of one file.

    Attributes:
        members: The rows to load; in canonical form, each key once.
        rows: The query of the loaded rows: ``member_key``, the ids, and ``properties`` in the
            type of the column of ``cohort_membership``.
    """

    members: Members
    rows: sa.Subquery = field(repr=False)
    _table: sa.Table = field(repr=False, alias="table")

    @classmethod
    def create(cls, connection: sa.Connection, name: str, members: Members) -> "StagedRows":
        """Create an empty table that lasts as long as the transaction, or until ``drop``."""
        schema, dialect = members.schema, connection.dialect
        by_cell = _loads_cells(dialect)
        names = [f"c{n}" for n in range(len(schema.columns))] if by_cell else _INSERTED
        table = sa.Table(
            f"amplitude_cohort_s3_{name}",
            sa.MetaData(),
            *(sa.Column(column, sa.Text, nullable=False) for column in names),
            prefixes=["TEMPORARY"],
            # DuckDB's dialect is derived from PostgreSQL's, so the clause would appear in it too.
            postgresql_on_commit="DROP" if dialect.name == "postgresql" else None,
        )
        connection.execute(sa.schema.CreateTable(table))
        columns = list(table.c)
        if by_cell:
            key, *ids = columns[schema.key_index], columns[0], columns[1]
            properties = _json_object(dialect, schema.properties, columns[2:])
        else:
            key, *ids = columns[:3]
            properties = sa.cast(columns[3], PROPERTIES)
        selected = zip((key, *ids, properties), _INSERTED, strict=True)
        rows = sa.select(*(column.label(label) for column, label in selected)).subquery(name)
        return cls(members=members, rows=rows, table=table)

    def drop(self, connection: sa.Connection) -> None:
        """Drop the table, unless the database drops it at the end of the transaction."""
        if connection.dialect.name != "postgresql":
            connection.execute(sa.schema.DropTable(self._table))

    def load(self, connection: sa.Connection) -> int:
        """Fill the table, and return the number of rows.

        Raises:
            MissingExtraError: The database is DuckDB, and pyarrow is not installed.
        """
        chunks = self.members.csv_source(self.members.schema).chunks()
        match connection.dialect.name, connection.dialect.driver:
            case "postgresql", "psycopg":
                return self._copy(connection, chunks)
            case "duckdb", _:
                return self._append_arrow(connection, chunks)
            case _:
                return self._insert(connection, chunks)

    def _copy(self, connection: sa.Connection, chunks: Iterable[bytes]) -> int:
        # Without FORCE_NOT_NULL an empty cell without quotes would be NULL.
        names = ", ".join(self._table.c.keys())
        command = (
            f"COPY {self._table.name} FROM STDIN "
            f"WITH (FORMAT csv, HEADER true, ENCODING 'UTF8', FORCE_NOT_NULL ({names}))"
        )
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            with cursor.copy(command) as copy:
                for chunk in chunks:
                    copy.write(chunk)
            return int(cursor.rowcount)

    def _append_arrow(self, connection: sa.Connection, chunks: Iterable[bytes]) -> int:
        failed = list[Exception]()

        def watched() -> Iterator[bytes]:
            try:
                yield from chunks
            except Exception as error:
                failed.append(error)
                raise

        table = csv_reader(watched(), self.members.schema.columns)
        driver: Any = connection.connection.driver_connection
        view = f"{self._table.name}_rows"
        driver.register(view, table)
        rows = 0
        try:
            command = f"INSERT INTO {self._table.name} SELECT * FROM {view}"
            rows = changed_rows(connection.exec_driver_sql(command))
        except DBAPIError:
            if not failed:
                raise
        if failed:  # DuckDB raises its own error, which contains the text of ours.
            raise failed[0]
        driver.unregister(view)
        return rows

    def _insert(self, connection: sa.Connection, chunks: Iterable[bytes]) -> int:
        statement = sa.insert(self._table)
        compiled = statement.compile(dialect=connection.dialect, column_keys=list(_INSERTED))
        schema = self.members.schema
        rows = _rows_to_insert(schema, schema.decode(chunks, canonical=True))
        count = 0
        while batch := list(islice(rows, _BATCH_ROWS)):
            if compiled.positional:
                # Text needs no conversion, and a dictionary for each row would take twice the time.
                connection.exec_driver_sql(compiled.string, batch)
            else:
                named = [dict[str, str](zip(_INSERTED, row, strict=True)) for row in batch]
                connection.execute(statement, named)
            count += len(batch)
        return count


def _rows_to_insert(schema: RowSchema, rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows with their properties as JSON, which is joined here because that is faster."""
    key = schema.key_index
    heads = [f"{', ' if n else ''}{_quoted(name)}: " for n, name in enumerate(schema.properties)]
    for row in rows:
        cells = zip(heads, row[2:], strict=True)
        yield row[key], row[0], row[1], f"{{{''.join([h + _quoted(c) for h, c in cells])}}}"


def _loads_cells(dialect: sa.Dialect) -> bool:
    """Return whether the database loads the cells of a file and makes the JSON from them."""
    return dialect.name == "duckdb" or (dialect.name, dialect.driver) == ("postgresql", "psycopg")


def _json_object(
    dialect: sa.Dialect, names: tuple[str, ...], cells: list[sa.Column[Any]]
) -> sa.ColumnElement[Any]:
    literals = [sa.literal(name, sa.Text) for name in names]
    if dialect.name == "postgresql":
        if not names:
            return sa.cast(sa.literal("{}", sa.Text), PROPERTIES)
        # It receives two arrays, because PostgreSQL functions accept at most 100 arguments.
        return sa.func.jsonb_object(array(literals), array(cells), type_=PROPERTIES)
    pairs = chain.from_iterable(zip(literals, cells, strict=True))
    return sa.func.json_object(*pairs, type_=PROPERTIES)
