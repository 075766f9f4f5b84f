"""The table of the run logs: each apply makes it equal to the run log of the history."""

from contextlib import suppress
from datetime import datetime

import pytest
import sqlalchemy as sa
from attrs import evolve
from forgetting import forget_ids
from histories import bucket_of, delete, history_until

from amplitude_cohort_s3 import DiffType, MemoryStorage, adopt, read_history, recover
from amplitude_cohort_s3.errors import DatabaseRefusedError, TablesError
from amplitude_cohort_s3.history.runs import RUN_COLUMNS
from amplitude_cohort_s3.sql import apply
from amplitude_cohort_s3.sql.tables import CohortTables, stream_name
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment, sync_ids


def stored(engine: sa.Engine) -> list[tuple]:
    """Return the rows of the run log, in the order of ``history.runs()``."""
    table = CohortTables.in_schema(None).run
    order = (table.c.synced_at, sa.func.coalesce(table.c.number, 0))
    found = sa.select(*(table.c[name] for name in RUN_COLUMNS)).order_by(*order)
    with engine.connect() as connection:
        streams = set(connection.scalars(sa.select(table.c.stream)))
        assert streams <= {stream_name(STREAM)}
        return [tuple(row) for row in connection.execute(found)]


def expected(history) -> list[tuple]:
    return [tuple(run) for run in history.runs()]


def interrupted(storage: MemoryStorage, ids: set[int], minute: int, *, calls_left: int) -> None:
    """Begin a sync whose writer dies before its last calls."""
    fault = Fault()
    sync_ids(FaultyStorage(MemoryStorage(), fault), ids, minute)
    with suppress(Death):
        sync_ids(FaultyStorage(storage, Fault(at=len(fault.calls) - calls_left)), ids, minute)


@pytest.mark.parametrize("has_log", [True, False])
def test_each_apply_makes_the_table_equal_to_the_run_log(engine, has_log):
    storage = MemoryStorage()
    log = storage if has_log else MemoryStorage()
    for number, ids in enumerate(({1, 2}, {2, 3}, {3})):
        sync_ids(storage, ids, number, log=log)
    for _ in range(2):
        history = read_history(storage, STREAM)
        apply(history, engine)
        assert stored(engine) == expected(history) != []
    sync_ids(storage, {4, 5}, 3, log=log)
    history = read_history(storage, STREAM)
    apply(history, engine)
    assert stored(engine) == expected(history)


def test_void_and_unfinished_syncs_are_rows_and_change_once_they_have_ended(engine):
    storage = bucket_of(({1, 2}, {2, 3}))
    interrupted(storage, {4}, 2, calls_left=2)
    history = read_history(storage, STREAM)
    apply(history, engine)
    assert [row[3] for row in stored(engine)] == ["published", "published", "unfinished"]
    storage.discard(history.log.unfinished.files[DiffType.EXISTING].staged)
    assert recover(storage, STREAM).outcome == "void"
    interrupted(storage, {4}, 3, calls_left=1)
    sync_ids(storage, {5}, 4)
    history = read_history(storage, STREAM)
    apply(history, engine)
    assert stored(engine) == expected(history)
    outcomes = ["published", "published", "void", "published", "published"]
    assert [row[3] for row in stored(engine)] == outcomes
    assert [run.recovered for run in history.runs()] == [0, 0, 0, 0, 1]


def test_only_new_records_are_read_until_someone_is_forgotten(engine):
    storage = bucket_of()
    apply(read_history(storage, STREAM), engine)
    sync_ids(storage, {1, 2}, 6)
    history = read_history(storage, STREAM)
    read = list[str]()

    def open_object(key: str):
        read.append(key)
        return storage.open(key)

    log = evolve(history.log, open=open_object, outcomes={})
    apply(evolve(history, log=log), engine)
    assert stored(engine) == expected(history)
    # The record of the new sync is found by a binary search.
    assert {int(key.split("-")[1][:8]) for key in read} <= {4, 6, 7}
    forget_ids(storage, 2)
    history = read_history(storage, STREAM)
    with suppress(TablesError):  # The tables still have the person who was forgotten.
        apply(history, engine)
    assert stored(engine) == expected(history)


def test_it_is_refreshed_even_if_the_syncs_do_not_fit_the_tables(engine):
    storage = bucket_of()
    apply(history_until(read_history(storage, STREAM), 2), engine)
    delete(storage, 3, DiffType.ENTERING)
    sync_ids(storage, {1, 2}, 6)
    history = read_history(storage, STREAM)
    with pytest.raises(TablesError):
        apply(history, engine)
    assert stored(engine) == expected(history)


def test_an_older_history_changes_nothing_and_a_window_only_its_rows(engine):
    storage = bucket_of(({1}, {2}))
    older = [read_history(storage, STREAM)]
    interrupted(storage, {3}, 2, calls_left=1)
    older.append(read_history(storage, STREAM))
    assert older[-1].log.is_unfinished
    sync_ids(storage, {4}, 3)
    apply(read_history(storage, STREAM), engine)
    rows = stored(engine)
    for history in older:
        apply(history, engine)
        assert stored(engine) == rows
    sync_ids(storage, {5}, 4)
    windowed = read_history(storage, STREAM, since=moment(4))
    apply(windowed, engine)
    assert stored(engine)[:4] == rows
    assert stored(engine)[4:] == expected(windowed)


def test_an_adopted_sync_gets_its_number(engine):
    storage = bucket_of(({1}, {2}), has_log=False)
    apply(read_history(storage, STREAM), engine)
    assert [row[0] for row in stored(engine)] == [None, None]
    adopt(storage, STREAM)
    history = read_history(storage, STREAM)
    apply(history, engine)
    assert stored(engine) == expected(history)
    assert [row[0] for row in stored(engine)] == [None, 1]


def test_times_and_nulls_come_back_as_they_are(engine):
    storage = bucket_of(({1},), has_log=False)
    apply(read_history(storage, STREAM), engine)
    (row,) = stored(engine)
    values = dict(zip(RUN_COLUMNS, row, strict=True))
    assert isinstance(values["synced_at"], datetime)
    assert values["synced_at"] == moment(0)
    assert values["writer"] is None
    assert values["bytes"] > 0


def test_a_refused_row_is_an_error_and_changes_nothing(engine):
    storage = bucket_of(({1}, {2, 3}))
    apply(read_history(storage, STREAM), engine)
    rows = stored(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX one ON cohort_run (stream, members)")
    sync_ids(storage, {3}, 2)
    with pytest.raises(DatabaseRefusedError):
        apply(read_history(storage, STREAM), engine)
    assert stored(engine) == rows
