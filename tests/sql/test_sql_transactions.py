"""Each sync is applied in one transaction: crashes, concurrent runs and on_applied."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from databases import log, new_url, stays
from histories import COHORTS, expected_times, history_of, history_until, keys, times

from amplitude_cohort_s3 import CohortHistory
from amplitude_cohort_s3.sql import AppliedSync, apply
from amplitude_cohort_s3.testing.small_cohort import moment


class CrashError(Exception):
    pass


def test_a_crash_before_or_after_any_statement_leaves_complete_syncs(
    engine, tmp_path, record_property
):
    history = history_of(COHORTS[:2])
    whole = [[], *states(history, tmp_path)]
    left: list[int] = []  # the number of statements before the crash, if there is one

    @sa.event.listens_for(engine, "before_cursor_execute")
    @sa.event.listens_for(engine, "after_cursor_execute")
    def crash(*_):
        if left:
            left[0] -= 1
            if left[0] < 0:
                raise CrashError

    cases = applied = passed = 0
    ended = False
    while not ended:
        left[:] = [passed]
        try:
            apply(history, engine)
            ended = True
        except CrashError:
            cases += 1
        left.clear()
        before, applied = applied, len(log(engine))
        assert stays(engine) == whole[applied]
        assert applied >= before
        passed = 0 if applied > before else passed + 1
    assert applied == len(history)
    assert cases > 50
    record_property("cases", cases)


def states(history: CohortHistory, folder: Path) -> list[list[tuple]]:
    """Return the tables after each sync of an uninterrupted run."""
    engine = sa.create_engine(f"sqlite:///{folder}/expected.sqlite")
    found = []
    for number in range(1, len(history) + 1):
        apply(history_until(history, number), engine)
        found.append(stays(engine))
    engine.dispose()
    return found


def test_concurrent_runs_apply_each_sync_once(engine):
    history = history_of()
    start = threading.Barrier(4)

    def run(_: int) -> list[AppliedSync]:
        start.wait()
        return list(apply(history, engine).applied)

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(run, range(4)))
    applied = sorted(one.synced_at for report in reports for one in report)
    assert applied == [sync.synced_at for sync in history]
    assert times(engine) == expected_times(history)
    assert len(log(engine)) == len(history)


# --- on_applied -----------------------------------------------------------------------------


def test_on_applied_runs_sql_in_the_transaction_of_each_sync(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE seen (stream TEXT, members INTEGER)")
    hook = (
        "INSERT INTO seen SELECT :stream, count(*) FROM cohort_current "
        "WHERE ':x' <> 'y' AND stream = :stream"
    )
    apply(history_of(), engine, on_applied=hook.replace(":x", "x"))
    with engine.connect() as connection:
        found = list(connection.execute(sa.text("SELECT stream, members FROM seen")))
    assert found == [("cohorts/1_a", len(ids)) for ids in COHORTS]


def test_on_applied_runs_a_function_in_the_transaction_which_can_stop_it(engine):
    seen = []

    def hook(connection: sa.Connection, applied: AppliedSync) -> None:
        rows = connection.execute(sa.text("SELECT count(*) FROM cohort_current")).scalar()
        seen.append((applied.synced_at, rows))
        if len(seen) == 3:
            raise CrashError

    history = history_of()
    with pytest.raises(CrashError):
        apply(history, engine, on_applied=hook)
    assert seen == [(moment(n), len(COHORTS[n])) for n in range(3)]
    assert len(log(engine)) == 2
    assert keys(engine) == COHORTS[1]
    apply(history, engine, on_applied=hook)
    assert keys(engine) == COHORTS[-1]


@pytest.mark.servers
def test_on_applied_calls_a_stored_procedure_for_each_sync(postgresql, tmp_path, request):
    engine = sa.create_engine(new_url("psycopg", tmp_path, request))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE calls (stream text, synced_at timestamptz)")
        connection.exec_driver_sql(
            "CREATE PROCEDURE on_cohort(s text, t timestamptz) LANGUAGE sql"
            " AS $$ INSERT INTO calls VALUES (s, t) $$"
        )
    history = history_of()
    apply(history, engine, on_applied="CALL on_cohort(:stream, :synced_at)")
    with engine.connect() as connection:
        calls = list(connection.execute(sa.text("SELECT * FROM calls ORDER BY synced_at")))
    assert calls == [("cohorts/1_a", sync.synced_at) for sync in history]
    engine.dispose()
