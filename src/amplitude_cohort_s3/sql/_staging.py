"""Rows of one file in a temporary table, by the fastest way that a database has.

PostgreSQL takes the bytes of the file as they are (``COPY``), DuckDB takes them as Arrow;
every other database gets batches of ``INSERT``. Property columns never become names in
SQL: they are keys of a JSON object, and travel as values.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import sqlalchemy as sa
from attrs import field, frozen
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.exc import DBAPIError

from ..format.columns import Row
from ..format.schema import RowSchema
from ..history.tables import csv_reader
from .tables import PROPERTIES

_BATCH_ROWS = 5000

_PREFIX = "amplitude_cohort_s3_"


@frozen(kw_only=True)
class StagedRows:
    """A temporary table for the rows of one file.

    Attributes:
        schema: The columns of the rows.
        rows: What to select from: ``member_key``, the ids, and ``properties`` as a
            column of ``cohort_membership``.
    """

    schema: RowSchema
    rows: sa.Subquery = field(repr=False)
    _table: sa.Table = field(repr=False, alias="table")

    @classmethod
    def create(cls, connection: sa.Connection, name: str, schema: RowSchema) -> "StagedRows":
        """An empty one.

        Args:
            connection: It lives as long as this one's transaction, or until it is dropped.
            name: One of its own within the transaction.
            schema: The columns of the rows.
        """
        takes_cells = _takes_cells(connection.dialect)
        names = [f"c{n}" for n in range(len(schema.columns))] if takes_cells else _LOADED
        table = sa.Table(
            _PREFIX + name,
            sa.MetaData(),
            *(sa.Column(column, sa.Text, nullable=False) for column in names),
            prefixes=["TEMPORARY"],
            # DuckDB's dialect is derived from PostgreSQL's, and would say it too.
            postgresql_on_commit="DROP" if connection.dialect.name == "postgresql" else None,
        )
        connection.execute(sa.schema.CreateTable(table))
        if takes_cells:
            cells = [table.c[name] for name in names]
            key, ids, values = cells[schema.key_index], cells[:2], cells[2:]
            properties = _json_object(connection.dialect, schema.properties, values)
        else:
            key, ids = table.c.member_key, [table.c.amplitude_id, table.c.user_id]
            properties = sa.cast(table.c.properties, PROPERTIES)
        selected = sa.select(
            key.label("member_key"),
            ids[0].label("amplitude_id"),
            ids[1].label("user_id"),
            properties.label("properties"),
        )
        return cls(schema=schema, rows=selected.subquery(name), table=table)

    def drop(self, connection: sa.Connection) -> None:
        """Drops it, where the end of the transaction does not."""
        if connection.dialect.name != "postgresql":
            connection.execute(sa.schema.DropTable(self._table))

    def load(self, connection: sa.Connection, chunks: Iterable[bytes]) -> int:
        """Fills it, and says with how many rows.

        Args:
            connection: The one that it was created with.
            chunks: A file of the schema in its canonical form.

        Raises:
            MissingExtraError: The database is DuckDB, and pyarrow is not installed.
        """
        match connection.dialect.name, connection.dialect.driver:
            case "postgresql", "psycopg":
                return self._copy(connection, chunks)
            case "duckdb", _:
                return self._append_arrow(connection, chunks)
            case _:
                return self._insert(connection, chunks)

    def _copy(self, connection: sa.Connection, chunks: Iterable[bytes]) -> int:
        # Unquoted empty cells would be NULL.
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

        table = csv_reader(watched(), self.schema.columns)
        driver: Any = connection.connection.driver_connection
        given = f"{self._table.name}_given"
        driver.register(given, table)
        command = f"INSERT INTO {self._table.name} SELECT * FROM {given}"
        try:
            rows = connection.exec_driver_sql(command).rowcount
        except DBAPIError as error:
            if failed:  # DuckDB passes on its text only
                raise failed[0] from error
            raise
        driver.unregister(given)
        return rows

    def _insert(self, connection: sa.Connection, chunks: Iterable[bytes]) -> int:
        statement = sa.insert(self._table)
        compiled = statement.compile(dialect=connection.dialect, column_keys=list(_LOADED))
        rows = _loaded_rows(self.schema, self.schema.decode(chunks, canonical=True))
        count = 0
        while batch := list(islice(rows, _BATCH_ROWS)):
            if compiled.positional:
                # Text needs no conversion; a dictionary for each row takes twice the time.
                connection.exec_driver_sql(compiled.string, batch)
            else:
                named = [dict[str, str](zip(_LOADED, row, strict=True)) for row in batch]
                connection.execute(statement, named)
            count += len(batch)
        return count


_quoted = json.JSONEncoder(ensure_ascii=False).encode

_LOADED: tuple[str, ...] = ("member_key", "amplitude_id", "user_id", "properties")


def _loaded_rows(schema: RowSchema, rows: Iterable[Row]) -> Iterator[Row]:
    key = schema.key_index
    heads = [f"{', ' if n else ''}{_quoted(name)}: " for n, name in enumerate(schema.properties)]
    for row in rows:
        cells = zip(heads, row[2:], strict=True)
        yield row[key], row[0], row[1], f"{{{''.join([h + _quoted(c) for h, c in cells])}}}"


def _takes_cells(dialect: sa.Dialect) -> bool:
    """Whether the cells of a file are loaded as they are, and made JSON by the database."""
    return dialect.name == "duckdb" or (dialect.name, dialect.driver) == ("postgresql", "psycopg")


def _json_object(
    dialect: sa.Dialect, names: tuple[str, ...], cells: list[sa.Column[str]]
) -> sa.ColumnElement[Any]:
    literals = [sa.literal(name, sa.Text) for name in names]
    if dialect.name == "postgresql":
        if not names:
            return sa.cast(sa.literal("{}", sa.Text), PROPERTIES)
        # Of two arrays, as functions of PostgreSQL take no more than 100 arguments.
        return sa.func.jsonb_object(array(literals), array(cells), type_=PROPERTIES)
    pairs: Iterator[sa.ColumnElement[str]] = (
        part for pair in zip(literals, cells, strict=True) for part in pair
    )
    return sa.func.json_object(*pairs, type_=PROPERTIES)
