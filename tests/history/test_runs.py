"""The run log has one row for each sync, with the numbers of its record and of the history."""

import json
from contextlib import suppress
from datetime import UTC, timedelta

import attrs
import pytest
from forgetting import LATER, forget_ids, sync_all
from hypothesis import given, settings
from hypothesis import strategies as st
from random_history import TIMES, build, random_cohorts

from amplitude_cohort_s3 import (
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    adopt,
    prune,
    read_history,
    recover,
    run_due,
)
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    NaiveDatetimeError,
    NoSyncYetError,
    RecordFormatError,
)
from amplitude_cohort_s3.history.runs import RUN_COLUMNS
from amplitude_cohort_s3.log import SyncRecord
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.small_cohort import SYNC, moment, rows, sync_ids

ENTERING, EXITING, EXISTING = DiffType
IDS = st.frozensets(st.integers(1, 6), max_size=5)


def read(storage, **window):
    return read_history(storage, SYNC.stream, **window)


def lose_staged(storage):
    """Discard a staged file of an unfinished sync, so that it will be void."""
    unfinished = read(storage).log.unfinished
    if isinstance(unfinished, SyncRecord):
        storage.discard(unfinished.files[EXISTING].staged)


def unrecorded(storage):
    """Remove the log, as if another program had written the bucket."""
    for info in list(storage.list_objects(SYNC.stream.log_prefix)):
        storage.delete(info.key)


def numbers(row):
    return (row.synced_at, row.members, row.entered, row.exited, row.members_before)


@settings(max_examples=min(60, settings().max_examples))
@given(st.lists(st.tuples(IDS, st.none() | st.integers(0, 24), st.booleans()), max_size=6))
def test_the_run_log_of_any_writers_agrees_with_the_history(steps):
    storage = MemoryStorage()
    expected = {}
    for minute, (ids, at, loses) in enumerate(steps):
        number = read(storage).log.last_ended + 1
        finishes = read(storage).log.is_unfinished
        with suppress(Death):
            sync_ids(FaultyStorage(storage, Fault(at=at)), ids, minute)
        expected[moment(minute)] = number + finishes, int(finishes)
        if loses:
            lose_staged(storage)
    history = read(storage)
    runs = history.runs()
    # All files of a sync without an outcome may be visible; then the history has it already.
    in_history = {sync.synced_at for sync in history}
    visible = [run for run in runs if run.synced_at in in_history]
    assert list(map(numbers, visible)) == list(map(numbers, history.churn()))
    assert {run.outcome for run in visible} <= {"published", "unfinished"}
    assert [run.number for run in runs] == list(range(1, len(runs) + 1))
    assert [run.synced_at for run in runs] == sorted(run.synced_at for run in runs)
    for run in runs:
        record = history.log.record(run.number)
        assert (run.number, run.recovered) == expected[run.synced_at]
        assert (run.recovered, run.writer) == (record.recovered, record.writer)
        assert run.bytes == sum(file.staged.size for file in record.files.values())
        assert (run.skipped, run.collapsed) == (record.skipped, record.collapsed)
        assert json.loads(run.source) == record.source
    unpublished = {one.synced_at: one.state.value for one in history.unpublished}
    words = {"void": "void", "unfinished": "unfinished"}
    others = [run for run in runs if run.outcome != "published"]
    assert {run.synced_at: words[run.outcome] for run in others} == unpublished


@pytest.mark.parametrize("seed", range(3))
def test_a_window_has_the_runs_in_it(seed, meaning):
    storage, sync = build(random_cohorts(seed), meaning, keep_log=True)
    runs = read_history(storage, sync.stream).runs()
    windowed = read_history(storage, sync.stream, since=TIMES[3], until=TIMES[6]).runs()
    assert windowed.syncs == runs[3:7].syncs
    assert list(map(numbers, windowed)) == list(
        map(numbers, read_history(storage, sync.stream).churn()[3:7])
    )


def test_a_recovered_sync_counts_once_and_a_repeated_run_is_still_recognised():
    storage = MemoryStorage()
    sync_ids(storage, {1, 2}, 0)
    died = Fault()
    sync_ids(FaultyStorage(MemoryStorage(), died), {1, 2}, 0)
    at = len(died.calls) - 1  # the outcome
    probe = Fault(at=at)
    with pytest.raises(Death):
        sync_ids(FaultyStorage(storage, probe), {2, 3}, 1)
    assert read(storage).runs()[-1].outcome == "unfinished"
    assert sync_ids(storage, {3, 4}, 2).record.recovered == 1
    again = sync_ids(storage, {3, 4}, 2)
    assert again.already_done
    assert again.record.recovered == 1
    assert [run.recovered for run in read(storage).runs()] == [0, 0, 1]


def test_run_due_counts_what_it_finishes_before_it_asks_whether_the_sync_is_due():
    storage = MemoryStorage()
    hourly = attrs.evolve(SYNC, cadence="hourly")
    sync_ids(storage, {1}, 0)
    calls = Fault()
    sync_ids(FaultyStorage(MemoryStorage(), calls), {1}, 0)
    with pytest.raises(Death):
        sync_ids(FaultyStorage(storage, Fault(at=len(calls.calls) - 1)), {2}, 1)
    (result,) = run_due([(hourly, rows({3}))], storage, moment(120))
    assert len(result.result.recoveries) == 1
    assert read(storage).runs()[-1].recovered == 1


def test_after_users_were_forgotten_the_amended_counts_are_shown(meaning):
    storage = MemoryStorage()
    sync_all(storage, [{1, 2, 3}, {2, 4}, {1, 3, 4}, {1, 2}, {3}], meaning=meaning)
    forget_ids(storage, 3)
    history = read(storage)
    assert list(map(numbers, history.runs())) == list(map(numbers, history.churn()))
    assert [run.members for run in history.runs()] == [2, 2, 2, 2, 0]


def test_a_pruned_sync_keeps_its_row_and_its_bytes():
    storage = MemoryStorage()
    sync_all(storage, [{1, 2, 3}, {2, 4}, {1, 3, 4}])
    before = read(storage).runs()
    prune(storage, SYNC.stream, before=moment(2), keep="nothing", clock=LATER)
    history = read(storage)
    assert history.runs() == before
    assert len(history) < len(before)


def test_without_a_log_the_listing_is_shown():
    storage = MemoryStorage()
    sync_all(storage, [{1, 2, 3}, {2, 4}])
    recorded = read(storage).runs()
    files = read(storage)[0].files
    unrecorded(storage)
    storage.delete(files[ENTERING].key)
    first, second = read(storage).runs()
    assert second == type(second)(synced_at=moment(1), outcome="published", bytes=recorded[1].bytes)
    assert (first.outcome, first.number, first.members, first.source) == (
        *("incomplete", None, None, None),
    )
    assert first.bytes == sum(files[t].size for t in (EXITING, EXISTING))


def test_syncs_before_an_adopted_one_are_shown_as_the_listing_has_them():
    storage = MemoryStorage()
    sync_all(storage, [{1, 2, 3}, {2, 4}])
    recorded = read(storage).runs()
    unrecorded(storage)
    adopt(storage, SYNC.stream, clock=LATER)
    runs = read(storage).runs()
    assert [(run.number, run.outcome) for run in runs] == [(None, "published"), (1, "adopted")]
    assert [run.bytes for run in runs] == [run.bytes for run in recorded]
    assert (runs[1].members, runs[1].members_before) == (2, None)


def test_a_damaged_log_is_an_error():
    storage = MemoryStorage()
    sync_all(storage, [{1}, {2}])
    key = read(storage).log.outcome(1).head.key.replace(".json", ".end.json")
    storage.delete(key)
    storage.create(key, b"{}")
    with pytest.raises(RecordFormatError):
        read(storage).runs()


def test_the_table_is_printed_and_is_a_data_frame():
    storage = MemoryStorage()
    sync_ids(storage, {1, 2}, 0)
    sync_ids(storage, {2}, 1)
    unrecorded(storage)
    adopt(storage, SYNC.stream, clock=LATER)
    sync_ids(storage, {2}, 2)
    runs = read(storage).runs()
    lines = str(runs).splitlines()
    assert len(lines) == 4
    assert lines[0].split() == [*RUN_COLUMNS][:-2]
    assert lines[1].split()[:5] == ["-", "2026-11-23", "14:00:00", "-", "published"]
    assert "writer" not in str(runs)
    assert "runs: 3 syncs" in runs._repr_html_()
    long = type(runs)([*runs] * 50)
    assert "newest 100 of 150 syncs" in long._repr_html_()
    assert repr(runs) == f"RunTable(syncs=<3: {', '.join(RUN_COLUMNS)}>)"
    assert runs.columns == tuple(RUN_COLUMNS)
    for frame in (runs.to_arrow().to_pylist(), runs.to_polars().to_dicts()):
        assert [tuple(row.values()) for row in frame] == [tuple(run) for run in runs]
    assert len(runs.to_pandas()) == 3
    assert runs[-1]["outcome"] == "published"
    assert not read(MemoryStorage()).runs()


# --- Overdue ---------------------------------------------------------------------------------


def test_the_newest_sync_decides_whether_the_next_one_is_overdue(meaning):
    storage = MemoryStorage()
    sync_all(storage, [{1}, {2}], meaning=meaning)  # at 14:00 and 14:01
    for history in (read(storage), read(storage, since=moment(1))):
        assert history.overdue(moment(119), "hourly") is None
        assert history.overdue(moment(120), "hourly") == timedelta(0)
        assert history.overdue(moment(135), "hourly") == timedelta(minutes=15)
        assert history.overdue(moment(60 * 24 + 9 * 60), "daily") is None
        assert history.overdue(moment(60 * 24 + 11 * 60), "daily") == timedelta(hours=1)
        assert history.overdue(moment(10**6), "one-time") is None


def test_the_time_of_the_request_counts_as_in_run_due():
    storage = MemoryStorage()
    sync_ids(storage, {1}, None, now=59)
    sync_ids(storage, {2}, None, now=59)
    history = read(storage)
    assert history[-1].synced_at == moment(60)  # the next free minute, in the next hour
    assert history.overdue(moment(121), "hourly") == timedelta(minutes=1)
    unrecorded(storage)
    assert read(storage).overdue(moment(121), "hourly") is None


def test_overdue_refuses_an_empty_history_a_naive_time_and_an_unknown_cadence():
    empty, storage = read(MemoryStorage()), MemoryStorage()
    for cadence in ("one-time", "hourly", "daily"):
        with pytest.raises(NoSyncYetError):
            empty.overdue(moment(0), cadence)
    sync_ids(storage, {1}, 0)
    with pytest.raises(NaiveDatetimeError):
        read(storage).overdue(moment(0).replace(tzinfo=None), "daily")
    with pytest.raises(ConfigurationError, match="'weekly'"):
        read(storage).overdue(moment(0), "weekly")
    with pytest.raises(ConfigurationError, match="list"):
        read(storage).overdue(moment(0).astimezone(UTC), [("1", "ann")])


def test_a_void_or_unfinished_sync_is_not_a_sync():
    storage = MemoryStorage()
    sync_ids(storage, {1}, 0)
    calls = Fault()
    sync_ids(FaultyStorage(MemoryStorage(), calls), {1}, 0)
    with pytest.raises(Death):
        sync_ids(FaultyStorage(storage, Fault(at=len(calls.calls) - 2)), {2}, 60)
    assert read(storage).overdue(moment(121), "hourly") == timedelta(minutes=1)
    lose_staged(storage)
    assert recover(storage, SYNC).outcome in ("void", "published")


def test_meanings_do_not_change_the_numbers():
    tables = []
    for meaning in ExistingMeaning:
        storage = MemoryStorage()
        sync_all(storage, [{1, 2}, {2, 3}, set()], meaning=meaning)
        tables.append([numbers(run) for run in read(storage).runs()])
    assert tables[0] == tables[1] == tables[2]
