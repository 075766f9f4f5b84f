"""A refusal of a database becomes an error that quotes no row, and neither does its chain."""

import traceback
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from databases import log, new_url, stays
from histories import history_until

from amplitude_cohort_s3 import (
    CohortHistory,
    CohortSync,
    Destination,
    MemoryStorage,
    UserProperty,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import DatabaseRefusedError
from amplitude_cohort_s3.sql import apply
from amplitude_cohort_s3.testing.small_cohort import moment

SECRET = "hunter2"
SYNC = CohortSync(
    destination=Destination(name="d"),
    project_id=1,
    cohort_id="a",
    user_properties=(UserProperty("email"),),
)


def history_of(*cohorts: list[tuple[str, ...]]) -> CohortHistory:
    bucket = MemoryStorage()
    for number, members in enumerate(cohorts):
        sync_cohort(SYNC, members, bucket, synced_at=moment(number))
    return read_history(bucket, SYNC.stream)


def parts(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and each error that is its cause or its context."""
    todo, seen = [error], set[int]()
    while todo:
        one = todo.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += [e for e in (one.__cause__, one.__context__) if e is not None]


def check_quotes_nothing(error: BaseException) -> None:
    assert isinstance(error, DatabaseRefusedError)
    for one in parts(error):
        assert SECRET not in f"{one!s} {one!r} {one.args!r} {vars(one)!r}"
    assert SECRET not in "".join(traceback.format_exception(error))
    assert list(parts(error)) == [error]


def refused(history: CohortHistory, engine: sa.Engine, **options: object) -> DatabaseRefusedError:
    before = stays(engine), log(engine)
    with pytest.raises(DatabaseRefusedError) as caught:
        apply(history, engine, **options)
    check_quotes_nothing(caught.value)
    assert (stays(engine), log(engine)) == before
    return caught.value


def test_a_constraint_that_refuses_a_row_quotes_nothing(engine):
    """The messages of PostgreSQL and DuckDB have the values of the row."""
    more = [("1", "ann", ""), ("2", SECRET, ""), ("3", SECRET, "")]
    history = history_of([("1", "ann", "")], more)
    apply(history_until(history, 1), engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX one ON cohort_membership (user_id)")
    error = refused(history, engine)
    assert error.synced_at == moment(1)
    assert error.stream == "1_a"
    assert ("Unique" in error.kind) or ("Integrity" in error.kind) or ("Constraint" in error.kind)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX one")
    assert len(apply(history, engine).applied) == 1


@pytest.mark.servers
@pytest.mark.parametrize(
    ("driver", "kind", "code"),
    [
        ("psycopg", "psycopg.UntranslatableCharacter", "22P05"),
        ("psycopg2", "builtins.UnicodeEncodeError", None),
    ],
)
def test_an_encoding_that_lacks_a_character_quotes_nothing(driver, kind, code, postgresql):
    """The server refuses a line of COPY, and the driver a parameter of INSERT."""
    admin = sa.create_engine(postgresql.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE latin_{driver} ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'"
        )
    admin.dispose()
    engine = sa.create_engine(postgresql.url(f"latin_{driver}", driver))
    error = refused(history_of([("1", SECRET, f"{SECRET} €")]), engine)
    assert (error.kind, error.code) == (kind, code)
    engine.dispose()


@pytest.mark.servers
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_trigger_that_quotes_the_row_is_not_quoted(driver, tmp_path, request):
    engine = sa.create_engine(new_url(driver, tmp_path, request))
    history = history_of([("1", "ann", "")], [("1", "ann", ""), ("2", SECRET, "")])
    apply(history_until(history, 1), engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no %%', NEW USING DETAIL = NEW.user_id; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON cohort_membership "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    error = refused(history, engine)
    assert error.code == "P0001"
    engine.dispose()


def test_a_full_disk_quotes_nothing(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/full.sqlite")

    @sa.event.listens_for(engine, "connect")
    def limit(connection, _):
        connection.execute("PRAGMA temp_store = FILE")
        connection.execute("CREATE TEMP TABLE warm (x)")
        connection.execute("PRAGMA temp.max_page_count = 20")

    members = [(str(n), f"{SECRET}-{n}", f"{SECRET}{n}@example.com") for n in range(20000)]
    error = refused(history_of(members), engine)
    assert (error.kind, error.code) == ("sqlite3.OperationalError", "SQLITE_FULL")
    engine.dispose()


def test_sql_of_the_caller_that_fails_quotes_nothing(engine):
    history = history_of([("1", SECRET, "")])
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (user_id TEXT PRIMARY KEY)")
        connection.exec_driver_sql(f"INSERT INTO kept VALUES ('{SECRET}')")
    copy = "INSERT INTO kept SELECT user_id FROM cohort_current"
    refused(history, engine, on_applied=copy)

    def insert(connection: sa.Connection, _: object) -> None:
        connection.execute(sa.text("INSERT INTO kept VALUES (:user)"), {"user": SECRET})

    refused(history, engine, on_applied=insert)


def test_an_error_of_the_callers_own_function_is_raised_as_it_is(engine):
    def stop(*_: object) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        apply(history_of([("1", "ann", "")]), engine, on_applied=stop)


def test_a_damaged_file_is_not_an_error_of_the_database(engine):
    """DuckDB reads rows from a function of ours, and wraps the errors that it raises."""
    bucket = MemoryStorage()
    key = "1_a_2026-01-01T00:00_{}.csv"
    for name in ("entering", "exiting", "existing"):
        rows = f"1,{SECRET},x\n2,{SECRET}\n" if name == "entering" else ""
        bucket.create(key.format(name), f"amplitudeID,userID,email\n{rows}".encode())
    with pytest.raises(ValueError, match="the row has 2 cells") as caught:
        apply(read_history(bucket, SYNC.stream), engine)
    for one in parts(caught.value):
        assert SECRET not in f"{one!s} {one!r} {one.args!r}"
