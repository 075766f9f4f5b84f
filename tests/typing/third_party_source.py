"""A source of members as someone else would write it from the documentation: a SQL query.

It inherits from nothing of the library. Type checkers prove here that it fits the
protocol; `tests/testing/test_third_party.py` syncs from it.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from amplitude_cohort_s3 import CohortSync, CsvSource, MemoryStorage, RowSchema, sync_cohort
from amplitude_cohort_s3.sources import SupportsCsv


class QuerySource:
    """The members are the rows of a query, which is run at each reading."""

    def __init__(self, database: Path, query: str) -> None:
        self._database = database
        self._query = query

    def csv_source(self, schema: RowSchema) -> CsvSource:
        def chunks() -> Iterator[bytes]:
            connection = sqlite3.connect(self._database)
            try:
                cursor = connection.execute(self._query)
                names = [column[0] for column in cursor.description]
                members = (dict(zip(names, row, strict=True)) for row in cursor)
                yield from schema.encode(schema.row(member) for member in members)
            finally:
                connection.close()

        return CsvSource(chunks=chunks, unit="row", origin={"database": self._database.name})


SOURCE: SupportsCsv = QuerySource(Path("members.db"), "SELECT * FROM members")


def used_like_any_other(sync: CohortSync, source: QuerySource) -> None:
    sync_cohort(sync, source, MemoryStorage())
