"""The progress of whole calls: their steps, and that a callback that raises leaves nothing."""

import threading
from itertools import count, groupby

import pytest
from syncs import AT, HOUR, NEW, NOW, OLD, STREAM, SYNC, contents, run_sync, staged_objects

from amplitude_cohort_s3 import (
    LocalStorage,
    MemoryStorage,
    forget,
    plan_forget,
    prepare_sync,
    read_history,
    run_due,
)
from amplitude_cohort_s3.diff import PartitionEngine
from amplitude_cohort_s3.sync import early_staging, rebuild_history

PEOPLE = [(f"{n:06}", f"user {n:06}") for n in range(5000)]
ENGINE = PartitionEngine(range_bytes=16 << 10)


@pytest.fixture(params=["memory", "local"])
def storage(request, tmp_path):
    return MemoryStorage() if request.param == "memory" else LocalStorage(tmp_path / "bucket")


@pytest.fixture
def large_files(monkeypatch):
    """Let the staging of a file begin early, although it is small."""
    monkeypatch.setattr(early_staging, "EARLY_BYTES", 20_000)
    monkeypatch.setattr(early_staging, "CHUNK_BYTES", 4096)


def steps_of(events):
    """Return the last event of each step, in their order; none of them goes back."""
    last = {}
    for step, group in groupby(events, key=lambda event: event.step):
        found = list(group)
        counts = [event.done for event in found]
        assert counts[0] == 0
        assert counts == sorted(counts)
        assert step not in last
        last[step] = found[-1]
        assert last[step].done == last[step].total
    return last


class StopError(Exception):
    """The error of a callback."""


def stopping_at(number):
    """Return a callback that raises at one of its calls."""
    calls = count()

    def callback(_):
        if next(calls) == number:
            raise StopError

    return callback


@pytest.mark.usefixtures("large_files")
def test_a_sync_reports_reading_comparing_and_storing(storage):
    events = []
    result = run_sync(storage, PEOPLE, progress=events.append, engine=ENGINE)
    last = steps_of(events)
    assert [*last] == ["read", "compare", "store"]
    assert last["read"].total == last["compare"].total == len(PEOPLE)
    assert last["store"].total == sum(file.size for file in result.record.files.values())


@pytest.mark.usefixtures("large_files")
def test_a_callback_is_called_in_the_thread_of_the_call():
    threads = set()
    storage = MemoryStorage()
    run_sync(storage, PEOPLE, engine=ENGINE, progress=lambda _: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}


def test_a_prepared_sync_reports_its_commit(storage):
    events = []
    with prepare_sync(
        SYNC, OLD, storage, synced_at=AT, clock=lambda: NOW, progress=events.append
    ) as prepared:
        assert [*steps_of(events)] == ["read", "compare"]
        prepared.commit()
        assert [*steps_of(events)] == ["read", "compare", "store"]
    dry, count_before = [], len(events)
    run_sync(storage, NEW, AT + HOUR, dry_run=True, progress=dry.append)
    assert [*steps_of(dry)] == ["read", "compare"]
    assert len(events) == count_before


def test_a_run_and_a_rebuild_report_each_sync(storage):
    events = []
    run_due([(SYNC, OLD)], storage, AT, progress=events.append)
    assert [*steps_of(events)] == ["read", "compare", "store"]
    events.clear()
    rebuild_history(storage, STREAM, SYNC, MemoryStorage(), progress=events.append)
    assert [*steps_of(events)] == ["read", "compare", "store"]


def test_verify_and_forget_report_the_bytes_that_they_read(storage):
    run_sync(storage, OLD)
    run_sync(storage, NEW, AT + HOUR)
    events = []
    assert read_history(storage, STREAM).verify(progress=events.append) == ()
    (verified,) = steps_of(events).values()
    assert (verified.step, verified.unit) == ("verify", "bytes")
    size = sum(info.size for info in storage.list_objects() if "_syncs/" not in info.key)
    events.clear()
    plan_forget(storage, STREAM, ["1"], progress=events.append)
    assert steps_of(events)["search"].total == size
    events.clear()
    forget(storage, STREAM, ["ann"], by="user_id", progress=events.append)
    last = steps_of(events)
    assert [*last] == ["search", "rewrite"]
    assert last["search"].total == 2 * size  # for the keys of these ids, and then for their rows
    assert 0 < last["rewrite"].total <= size


def test_verify_reports_while_it_reads_one_large_file(monkeypatch):
    storage = MemoryStorage()
    run_sync(storage, [(f"{n:07}", "x" * 100) for n in range(30_000)])
    monkeypatch.setattr("amplitude_cohort_s3.diff.progress.INTERVAL", 0)
    events = []
    assert read_history(storage, STREAM).verify(progress=events.append) == ()
    assert len(events) > 10


@pytest.mark.usefixtures("large_files")
def test_a_sync_whose_callback_raises_leaves_nothing(storage, tmp_path):
    run_sync(storage, PEOPLE[:10])
    before = contents(storage)
    for number in count():
        try:
            run_sync(
                storage,
                PEOPLE,
                AT + HOUR,
                engine=ENGINE,
                guard=False,
                progress=stopping_at(number),
            )
        except StopError:
            assert contents(storage) == before
            assert staged_objects(storage) == []
        else:
            break
    assert number >= 6  # the beginning and the end of three steps
    assert len(contents(storage)) == len(before) + 5
    assert read_history(storage, STREAM).verify() == ()


def test_a_verification_whose_callback_raises_ends_with_its_error(storage):
    run_sync(storage, OLD)
    for number in range(2):
        with pytest.raises(StopError):
            read_history(storage, STREAM).verify(progress=stopping_at(number))
    assert read_history(storage, STREAM).verify() == ()


def test_nobody_is_forgotten_in_part_if_the_callback_raises(storage):
    run_sync(storage, OLD)
    run_sync(storage, NEW, AT + HOUR)
    before = contents(storage)
    for number in count():
        try:
            forget(storage, STREAM, ["2"], clock=lambda: NOW, progress=stopping_at(number))
        except StopError:
            assert contents(storage) == before
            assert staged_objects(storage) == []
        else:
            break
    assert number >= 4
    assert plan_forget(storage, STREAM, ["2"]).files == ()


def test_a_sync_in_a_run_fails_with_the_error_of_the_callback(storage):
    report = run_due([(SYNC, OLD)], storage, AT, progress=stopping_at(0))
    assert [type(one.error) for one in report] == [StopError]
    assert contents(storage) == {}
