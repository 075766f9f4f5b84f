"""DuckDB and PostgreSQL read from any file the rows that the library reads."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa
from databases import new_url
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warehouse_files import (
    COLUMNS,
    SPELLINGS,
    WITH_LINE_ENDS,
    Spelling,
    foreign_history,
    history_in,
    library_members,
    library_rows,
    needed,
    own_history,
    put,
)

from amplitude_cohort_s3 import CohortHistory, LocalStorage
from amplitude_cohort_s3.format.cells import is_float_id
from amplitude_cohort_s3.sql import statements
from amplitude_cohort_s3.testing import strategies

AFTER = (*WITH_LINE_ENDS[5:], ("new\\", "a\nb", "", '"'))


class DuckDb:
    """A database in memory."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()

    def close(self) -> None:
        self.connection.close()

    def run(self, history: CohortHistory, sync=None) -> None:
        # The whole newest sync is a view of DuckDB, so the table starts with the first sync.
        if sync is None:
            self.connection.execute("DROP TABLE IF EXISTS cohort_members")
        for one in history if sync is None else [sync]:
            for text in statements(history, "duckdb", sync=one):
                self.connection.execute(text)

    def members(self) -> list[tuple]:
        found = self.connection.execute(f"SELECT {', '.join(COLUMNS)} FROM cohort_members")
        return sorted(found.fetchall())

    def view(self, history: CohortHistory) -> list[tuple]:
        for text in statements(history, "duckdb", table="files"):
            self.connection.execute(text)
        # The module would need pytz for a time with a zone.
        minute = "extract(minute FROM synced_at)::INT"
        found = self.connection.execute(f"SELECT {minute}, * EXCLUDE (synced_at) FROM files")
        names = [column[0] for column in found.description]
        order = [names.index(name) for name in ("diff_type", *COLUMNS)]
        return sorted((row[0], *(row[i] for i in order)) for row in found.fetchall())


class Postgres:
    """A connection that sends the files which COPY reads."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url)
        self.raw = self.engine.raw_connection()
        self.driver = self.raw.driver_connection
        self.driver.autocommit = True

    def close(self) -> None:
        self.raw.close()
        self.engine.dispose()

    def run(self, history: CohortHistory, sync=None) -> None:
        for text in statements(history, "postgresql", sync=sync):
            if not text.startswith("COPY"):
                self.driver.execute(text)
                continue
            with self.driver.cursor().copy(text) as copy:
                for chunk in history.source(sync or history[-1], needed(text)).chunks():
                    copy.write(chunk)

    def members(self) -> list[tuple]:
        cursor = self.driver.execute(f"SELECT {', '.join(COLUMNS)} FROM cohort_members")
        return sorted(cursor.fetchall())


@pytest.fixture(params=["duckdb", pytest.param("postgresql", marks=pytest.mark.servers)])
def warehouse(request, tmp_path) -> Iterator[DuckDb | Postgres]:
    if request.param == "duckdb":
        opened = DuckDb()
    else:
        opened = Postgres(new_url("psycopg", tmp_path, request))
    yield opened
    opened.close()


def check(warehouse: DuckDb | Postgres, history: CohortHistory) -> None:
    """Compare the table after the newest sync, and after each sync in turn."""
    warehouse.run(history)
    assert warehouse.members() == library_members(history)
    if isinstance(warehouse, DuckDb):
        assert warehouse.view(history) == library_rows(history)
    for number, sync in enumerate(history):
        for _ in range(2):  # running them again changes nothing
            warehouse.run(history, sync)
            assert len(warehouse.members()) >= len(library_members(history, number))
    assert warehouse.members() == library_members(history)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_databases_read_the_rows_of_our_files(warehouse, compressed, tmp_path):
    check(warehouse, own_history(tmp_path / "b", WITH_LINE_ENDS, AFTER, compressed=compressed))


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda s: s.name)
def test_databases_read_the_rows_of_files_of_other_programs(warehouse, spelling, tmp_path):
    check(warehouse, foreign_history(tmp_path / "b", spelling, WITH_LINE_ENDS, AFTER))


def test_a_row_longer_than_two_million_bytes_is_read(warehouse, tmp_path):
    """DuckDB's limit is 2,000,000 bytes if no other is given."""
    history = own_history(tmp_path / "b", [("1", "ann", "x" * 5_000_000, ""), ("2", "", "", "")])
    check(warehouse, history)


@pytest.mark.parametrize("rows", [[], [("1", "", "", "")]], ids=["no row", "one row"])
@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda s: s.name)
def test_files_with_one_row_or_none_are_read(warehouse, spelling, rows, tmp_path):
    check(warehouse, foreign_history(tmp_path / "b", spelling, rows))


def test_rows_without_a_key_and_repeated_rows_are_counted_as_the_library_does(warehouse, tmp_path):
    spelling = Spelling("crlf", "\r\n")
    rows = [("1", "b", "", "2"), ("1", "b", "", "2"), ("2", "z", "", ""), ("2", "a", "", "")]
    data, none = spelling.write(rows), spelling.write([])
    put(tmp_path / "b", 0, data, none, data)
    history = history_in(tmp_path / "b")
    warehouse.run(history)
    assert warehouse.members() == library_members(history)
    # Anonymous users, if members are matched by their user id.
    rows = [("1", "", "p", ""), ("2", "ann", "q", ""), ("3", "", "r", "")]
    data = spelling.write(rows)
    put(tmp_path / "c", 0, data, none, data)
    history = history_in(tmp_path / "c", match_by="user_id")
    warehouse.run(history)
    assert warehouse.members() == library_members(history) == [("2", "ann", "q", "")]


def test_a_column_that_a_file_of_a_sync_lacks_is_empty(warehouse, tmp_path):
    """A column that a file lacks is empty for its rows, and none is shifted."""
    storage = LocalStorage(tmp_path / "b")
    files = {
        "entering": b"note,userID,amplitudeID\r\nn,ann,1\r\n",
        "exiting": b"amplitudeID,userID\r\n3,cy\r\n",
        "existing": b'"amplitudeID","plan","userID"\r\n"1","p","ann"\r\n"2","p","bob"\r\n',
    }
    for name, data in files.items():
        storage.create(f"in/1_a_2026-11-23T14-00_{name}.csv", data)
    history = history_in(tmp_path / "b")
    if isinstance(warehouse, DuckDb):
        assert warehouse.view(history) == library_rows(history)
    else:
        warehouse.run(history)
        assert warehouse.members() == library_members(history)


# --- Any rows ------------------------------------------------------------------------------


CELLS = strategies.cells() | st.sampled_from(("\\.", "\\N", "NULL", "\\", '"\\', "\t", "#", " x "))


@st.composite
def files(draw: st.DrawFn) -> tuple[Spelling, list[tuple[str, ...]]]:
    ids = CELLS.filter(lambda cell: cell and not is_float_id(cell))
    keys = draw(st.lists(ids, max_size=6, unique=True))
    rows = [(key, draw(CELLS), draw(CELLS), draw(CELLS)) for key in keys]
    spelling = Spelling(
        "any",
        draw(st.sampled_from(("\n", "\r\n"))),
        all_quoted=draw(st.booleans()),
        bom=draw(st.booleans()),
        compressed=draw(st.booleans()),
        ends=draw(st.booleans()),
        order=tuple(draw(st.permutations(range(4)))),
    )
    return spelling, rows


numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("any")


@settings(
    max_examples=min(30, settings().max_examples),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(file=files())
def test_any_rows_in_any_spelling_are_read(warehouse, folder, file):
    spelling, rows = file
    history = foreign_history(folder / str(next(numbers)), spelling, rows)
    warehouse.run(history)
    assert warehouse.members() == library_members(history)
    own = own_history(folder / str(next(numbers)), rows, compressed=spelling.compressed)
    warehouse.run(own)
    assert warehouse.members() == library_members(own) == sorted(rows)
