"""SQL text for warehouses: parsed in its dialect, and run in DuckDB and PostgreSQL."""

import json
from typing import get_args

import duckdb
import pytest
import sqlalchemy as sa
import sqlglot
from databases import new_url
from sqlglot import exp

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    LocalStorage,
    UserProperty,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import ConfigurationError
from amplitude_cohort_s3.sql import manifests, statements
from amplitude_cohort_s3.sql.warehouses import Dialect
from amplitude_cohort_s3.testing.small_cohort import moment

COHORTS = (
    {"1": ("1", "ann", "a,b"), "2": ("2", "", ""), "3": ("3", "x\n\\.\ny", "'")},
    {"2": ("2", "", "q"), "3": ("3", "x", '"'), "4": ("4", "o'hara\\", "\r")},
    {"1": ("1", "", ""), "4": ("4", "o'hara\\", "\r")},
)


def history_in(folder, *, name="plan", meaning=ExistingMeaning.MEMBERS):
    sync = CohortSync(
        destination=Destination(name="d", path="it's", existing=meaning),
        project_id=1,
        cohort_id="a",
        routing_key="it's\\ a.key",
        user_properties=(UserProperty(name),),
    )
    storage = LocalStorage(folder)
    for number, members in enumerate(COHORTS):
        rows = list(members.values())
        sync_cohort(sync, rows, storage, synced_at=moment(number), guard=False)
    return read_history(storage, sync.stream)


def all_statements(history, dialect):
    yield statements(history, dialect)
    if dialect != "athena":
        table = "my_table" if dialect == "bigquery" else "my table"
        yield statements(history, dialect, sync=history[1], table=table)


@pytest.mark.parametrize("dialect", get_args(Dialect))
def test_each_statement_is_valid_in_its_dialect(dialect, tmp_path):
    for made in all_statements(history_in(tmp_path), dialect):
        for text in made:
            parsed = sqlglot.parse(text, read=dialect.replace("postgresql", "postgres"))
            assert len(parsed) == 1
            assert parsed[0] is not None
            if not text.startswith(("LOAD", "COPY", "BEGIN")):
                assert not isinstance(parsed[0], exp.Command), text


@pytest.mark.parametrize("dialect", ["duckdb", "postgresql", "redshift", "snowflake"])
def test_hostile_names_are_quoted(dialect, tmp_path):
    name = 'x"; DROP TABLE a; --\\'
    history = history_in(tmp_path, name=name)
    made = statements(history, dialect, sync=history[1])
    insert = next(text for text in made if text.startswith('INSERT INTO "cohort_members"'))
    parsed = sqlglot.parse_one(insert, read=dialect.replace("postgresql", "postgres"))
    assert name in {identifier.name for identifier in parsed.find_all(exp.Identifier)}


@pytest.mark.parametrize("dialect", ["athena", "bigquery"])
def test_a_name_that_the_dialect_does_not_allow_is_an_error(dialect, tmp_path):
    with pytest.raises(ConfigurationError, match="letters, digits and _ only"):
        statements(history_in(tmp_path, name="a b"), dialect)


def test_redshift_loads_exactly_the_files_of_the_manifests(tmp_path):
    history = history_in(tmp_path)
    made = statements(history, "redshift", sync=history[1], manifest_url="s3://b/m")
    found = manifests(history, sync=history[1])
    urls = {entry["url"] for text in found.values() for entry in json.loads(text)["entries"]}
    assert urls == {history[1].files[t].url for t in (DiffType.ENTERING, DiffType.EXITING)}
    copies = [text for text in made if text.startswith("COPY")]
    assert len(copies) == len(found) == 2
    for name in found:
        assert any(f"'s3://b/m/{name}'" in text for text in copies)


def test_a_missing_file_or_an_unknown_dialect_is_an_error(tmp_path):
    history = history_in(tmp_path)
    LocalStorage(tmp_path).delete(history[1].files[DiffType.ENTERING].key)
    history = read_history(LocalStorage(tmp_path), history.stream)
    with pytest.raises(ConfigurationError, match="lacks its file entering: leave out sync"):
        statements(history, "snowflake", sync=history[1])
    with pytest.raises(ConfigurationError, match="must be one of"):
        statements(history, "oracle")  # type: ignore[arg-type]


# --- Run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("meaning", list(ExistingMeaning), ids=lambda m: m.value)
def test_duckdb_runs_the_statements(tmp_path, meaning):
    history = history_in(tmp_path, meaning=meaning)
    with duckdb.connect() as connection:
        for number, sync in enumerate(history):
            made = statements(history, "duckdb", sync=sync, table='the "table"')
            for _ in range(2):  # running them again changes nothing
                for text in made:
                    connection.execute(text)
                rows = connection.execute('FROM "the ""table"""').fetchall()
                assert {row[0] for row in rows} == set(COHORTS[number])
        for text in statements(history, "duckdb", table="files"):
            connection.execute(text)
        rows = connection.execute(
            "SELECT amplitude_id, user_id, plan FROM files"
            " WHERE diff_type = 'entering' AND synced_at = ?",
            [moment(0)],
        ).fetchall()
        assert sorted(rows) == sorted(COHORTS[0].values())


@pytest.mark.servers
@pytest.mark.parametrize("meaning", list(ExistingMeaning), ids=lambda m: m.value)
def test_postgresql_runs_the_statements(tmp_path, meaning, request):
    history = history_in(tmp_path / "bucket", meaning=meaning)
    engine = sa.create_engine(new_url("psycopg", tmp_path, request))
    driver = engine.raw_connection().driver_connection
    driver.autocommit = True

    def run(made, sync):
        for text in made:
            if not text.startswith("COPY"):
                driver.execute(text)
                continue
            diff_type = next(t for t in DiffType if f'_{t.value}"' in text)
            with driver.cursor().copy(text) as copy:
                for chunk in history.source(sync, diff_type).chunks():
                    copy.write(chunk)

    def rows():
        return sorted(driver.execute('SELECT * FROM "cohort_members"').fetchall())

    for number, sync in enumerate(history):
        for _ in range(2):
            run(statements(history, "postgresql", sync=sync), sync)
            assert [row[0] for row in rows()] == sorted(COHORTS[number])
    run(statements(history, "postgresql"), history[-1])
    assert rows() == sorted(COHORTS[-1].values())
    driver.close()
    engine.dispose()
