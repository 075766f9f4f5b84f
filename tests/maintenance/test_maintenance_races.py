"""``forget`` and ``prune`` while other processes write: an entry covers all that precede it.

In each test the other process acts just before each single call of a storage.
"""

from functools import cache

import pytest
from forgetting import all_members, clone, forget_ids, members_by_time, sync_all
from interleaving import calls_of, interrupted

from amplitude_cohort_s3 import MemoryStorage, forget, prune, read_head, read_history, recover
from amplitude_cohort_s3.errors import (
    ConcurrentSyncError,
    SyncTimeTakenError,
    UnfinishedSyncError,
)
from amplitude_cohort_s3.maintenance._retries import ATTEMPTS
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import STREAM, clock_at, moment, sync_ids

BEFORE = [{1, 2, 3}, {1, 2, 4}]
MEANWHILE = {1, 3, 6}


def prepared() -> MemoryStorage:
    return clone(_prepared())


@cache
def _prepared() -> MemoryStorage:  # once
    storage = MemoryStorage()
    sync_all(storage, BEFORE)
    return storage


def syncs(storage):
    sync_ids(storage, MEANWHILE, 50)


def syncs_twice(storage):
    sync_ids(storage, MEANWHILE, 50)
    sync_ids(storage, MEANWHILE | {7}, 51)


class Dying(FaultyStorage):
    """A storage whose process dies when it has recorded a sync and publishes nothing."""

    def publish(self, staged, /):
        raise Death(staged.key)


def dies_in_a_sync(storage, minute=50):
    with pytest.raises(Death):
        sync_ids(Dying(storage, Fault()), MEANWHILE, minute)


def forgets(storage):
    forget_ids(storage, 2)


def prunes(storage):
    prune(storage, STREAM, before=moment(1), keep="nothing", clock=clock_at(moment(90)))


def forget_one(storage):
    return forget_ids(storage, 1)


def prune_old(storage):
    return prune(storage, STREAM, before=moment(60), clock=clock_at(moment(90)))


OTHERS = [syncs, syncs_twice, dies_in_a_sync, forgets, prunes]


@pytest.mark.parametrize("other", OTHERS)
def test_an_amendment_covers_every_sync_before_it_in_the_log(other, record_property):
    calls = calls_of(forget_one, prepared())
    for at in range(len(calls)):
        storage = prepared()
        receipt = interrupted(forget_one, storage, at, other)
        recover(storage, STREAM)  # A sync that died after the entry is not finished by it.
        state = assert_invariants(storage, STREAM)
        own = next(a for a in state.amendments if a.number == receipt.number)
        history = read_history(storage, STREAM)
        for sync in history:
            record = history.record(sync)
            members = {int(row[0]) for row in history.members_at(sync)}
            assert record.members == len(members), calls[at]
            assert (1 in members) == (record.number > own.number and 1 in MEANWHILE)
        assert history.verify() == (), calls[at]
        assert history.log.pending is None
        # The next writer continues the head of the log.
        sync_ids(storage, {2, 9}, 95)
        assert assert_invariants(storage, STREAM).unfinished is None
        forget_one(storage)
        assert not any(1 in ids for ids in all_members(storage))
        assert not vars(storage)["_staged"]
    record_property("cases", len(calls))


def test_a_sync_that_is_published_during_the_search_is_searched_and_counted():
    """The listing of the data is taken before the sync, that of the log after it."""
    storage = prepared()
    at = calls_of(forget_one, prepared()).index("list_objects", 2) + 1
    receipt = interrupted(forget_one, storage, at, syncs)
    head = read_head(storage, STREAM).record
    assert head.members == head.files["existing"].rows == 2
    assert any("14:50" in file.key for file in receipt.files)
    # A scheduler repeats that sync, whose source now lacks the subject too.
    assert sync_ids(storage, MEANWHILE - {1}, 50).already_done
    with pytest.raises(SyncTimeTakenError):
        sync_ids(storage, MEANWHILE, 50)


@pytest.mark.parametrize("other", OTHERS)
def test_pruning_removes_no_file_that_a_writer_adds_meanwhile(other, record_property):
    calls = calls_of(prune_old, prepared())
    for at in range(len(calls)):
        storage = prepared()
        interrupted(prune_old, storage, at, other)
        sync_ids(storage, {2, 9}, 95)
        found = members_by_time(storage)
        assert found[moment(95)] == {2, 9}
        if other in (syncs, syncs_twice, dies_in_a_sync):
            assert found[moment(50)] == MEANWHILE
            assert [found[moment(n)] for n in range(2)] == BEFORE
        assert read_history(storage, STREAM).verify() == ()
        assert_invariants(storage, STREAM)
    record_property("cases", len(calls))


class Busy(FaultyStorage):
    """A storage into which others sync just before each record is created."""

    def __init__(self, inner):
        super().__init__(inner, Fault())
        self.minute = 50

    def create(self, key, data, /):
        self.minute += 1
        sync_ids(self.inner, {1, self.minute}, self.minute)
        return super().create(key, data)


def test_a_stream_that_is_written_too_often_is_left_as_it_is():
    storage = prepared()
    busy = Busy(storage)
    with pytest.raises(ConcurrentSyncError):
        forget(busy, STREAM, [1], clock=clock_at(moment(90)))
    assert busy.minute == 50 + ATTEMPTS
    assert len(read_history(storage, STREAM)) == len(BEFORE) + ATTEMPTS
    assert all(1 in ids for ids in all_members(storage))
    assert not vars(storage)["_staged"]
    assert assert_invariants(storage, STREAM).amendments == ()


def test_a_sync_that_dies_during_each_attempt_ends_in_an_error():
    storage = prepared()

    class Meeting(Busy):
        def list_objects(self, prefix="", /, *, start_after=None):
            if prefix == STREAM.data_prefix:
                self.minute += 1
                dies_in_a_sync(self.inner, self.minute)
            return FaultyStorage.list_objects(self, prefix, start_after=start_after)

    # Each listing of the data meets a new record without an outcome before the log is read
    # again. The recovery before the next attempt finishes it.
    with pytest.raises((UnfinishedSyncError, ConcurrentSyncError)):
        forget(Meeting(storage), STREAM, [1], clock=clock_at(moment(99)))
    assert assert_invariants(storage, STREAM).amendments == ()


def test_the_clock_is_read_for_each_attempt_and_the_people_once():
    storage, times = prepared(), iter([moment(80), moment(81)])
    ids = iter(["1"])
    calls = calls_of(forget_one, prepared())
    receipt = interrupted(
        lambda s: forget(s, STREAM, ids, clock=lambda: next(times)),
        storage,
        calls.index("create"),
        syncs,
    )
    assert receipt.forgotten_at == moment(81)
    assert receipt.people == 1
    assert not any(1 in found for found in all_members(storage))
