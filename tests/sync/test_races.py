"""Threads and processes that sync one stream: one writes each record, others leave nothing."""

import multiprocessing
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
from syncs import staged_objects

from amplitude_cohort_s3 import (
    LocalStorage,
    MemoryStorage,
    Storage,
    diff_members,
    read_head,
    read_history,
    recover,
)
from amplitude_cohort_s3.errors import ConcurrentSyncError
from amplitude_cohort_s3.sync import commit, plan_sync
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import STREAM, SYNC, ids_of, moment, rows, sync_ids

WRITERS = 6
ROUNDS = 8


def attempt(storage: Storage, ids: set[int], minute: int | None) -> str:
    try:
        done = sync_ids(storage, ids, minute)
    except ConcurrentSyncError:
        return "too late"
    return "already done" if done.already_done else f"won {done.record.number}"


def check(storage: Storage, said: list[str], rounds: int) -> None:
    state = assert_invariants(storage, STREAM)
    won = Counter(one for one in said if one.startswith("won"))
    assert won == Counter(f"won {n}" for n in range(1, rounds + 1)), said
    assert len(state.published) == rounds
    assert state.unfinished is None
    assert staged_objects(storage) == []


def test_each_record_is_written_by_one_of_the_racing_threads(storage, record_property):
    said = list[str]()
    for number in range(ROUNDS):
        barrier = Barrier(WRITERS)

        def race(writer: int, number: int = number, barrier: Barrier = barrier) -> str:
            # All writers have read the same head before one of them commits.
            head = read_head(storage, STREAM)
            members = rows({writer, 100 + number})
            before = head.members() if head else ()
            with diff_members(before, members, schema=SYNC.schema) as diff:
                plan = plan_sync(SYNC, diff, synced_at=moment(number * 10 + writer), previous=head)
                barrier.wait()
                try:
                    return f"won {commit(plan, diff, storage).record.number}"
                except ConcurrentSyncError:
                    return "too late"

        with ThreadPoolExecutor(WRITERS) as pool:
            said += pool.map(race, range(WRITERS))
    check(storage, said, ROUNDS)
    assert said.count("too late") == ROUNDS * (WRITERS - 1)
    record_property("cases", len(said))


def test_racing_threads_with_the_same_sync_all_succeed(storage):
    for number in range(ROUNDS):
        with ThreadPoolExecutor(WRITERS) as pool:
            said = list(pool.map(lambda _, n=number: attempt(storage, {1, n}, n), range(WRITERS)))
        assert said.count(f"won {number + 1}") == 1
        assert said.count("already done") == WRITERS - 1
    assert staged_objects(storage) == []
    assert_invariants(storage, STREAM)


def test_racing_recoveries_agree(storage):
    """Recover a sync whose writer died, and one that lost a staged file too."""
    for number in range(ROUNDS):
        counted = Fault()
        sync_ids(FaultyStorage(MemoryStorage(), counted), {number}, number)
        fault = Fault(at=counted.calls.index("publish") + number % 3)
        with pytest.raises(Death):
            sync_ids(FaultyStorage(storage, fault), {number}, number)
        record = assert_invariants(storage, STREAM).unfinished
        assert record is not None
        if number % 2:
            storage.discard(list(record.files.values())[-1].staged)
        with ThreadPoolExecutor(WRITERS) as pool:
            told = {
                report.outcome
                for report in pool.map(lambda _: recover(storage, STREAM), range(WRITERS))
            }
        assert len(told - {"nothing"}) == 1
        assert_invariants(storage, STREAM)
        assert staged_objects(storage) == []


def sync_often(root: Path, writer: int) -> list[str]:
    storage = LocalStorage(root)
    # Each writer has its own members, so that no two syncs are the same. The default times are a
    # minute apart: with more than 15 syncs the head would be too far ahead of the clocks.
    return [attempt(storage, {writer * 1000 + number, 7}, None) for number in range(3)]


def test_each_record_is_written_by_one_of_the_racing_processes(tmp_path, record_property):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        said = pool.map(partial(sync_often, tmp_path / "root"), range(4))
    flat = [one for per_writer in said for one in per_writer]
    won = [one for one in flat if one.startswith("won")]
    check(LocalStorage(tmp_path / "root"), flat, len(won))
    history = read_history(LocalStorage(tmp_path / "root"), STREAM)
    assert all(len(ids_of(history.members_at(sync))) == 2 for sync in history)
    record_property("cases", len(flat))
