"""Recovery of unfinished syncs, and what one writer does about another's."""

import pytest
from syncs import (
    AT,
    EXITING,
    HOUR,
    MINUTE,
    NEW,
    OLD,
    STREAM,
    abandon,
    assert_refused,
    contents,
    data_files,
    make_void,
    members_now,
    plan_and_diff,
    run_sync,
    staged_objects,
)

from amplitude_cohort_s3 import (
    DiffType,
    MemoryStorage,
    read_head,
    read_history,
    recover,
)
from amplitude_cohort_s3.errors import (
    ConcurrentSyncError,
    ObjectExistsError,
    SyncTimeTakenError,
    UnfinishedSyncError,
)
from amplitude_cohort_s3.log import SyncState
from amplitude_cohort_s3.log.keys import record_key
from amplitude_cohort_s3.sync import commit
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.invariants import assert_invariants


def test_recover_changes_nothing_if_nothing_is_unfinished(storage):
    assert recover(storage, STREAM).outcome == "nothing"
    run_sync(storage, OLD)
    before = contents(storage)
    assert recover(storage, STREAM).outcome == "nothing"
    assert contents(storage) == before


def test_recover_publishes_an_unfinished_sync(storage):
    abandon(storage, OLD)
    with pytest.raises(UnfinishedSyncError):
        read_head(storage, STREAM)
    assert [s.state for s in read_history(storage, STREAM).unpublished] == [SyncState.UNFINISHED]
    report = recover(storage, STREAM)
    assert (report.outcome, report.record.synced_at) == ("published", AT)
    assert members_now(storage) == OLD


def test_recover_makes_a_sync_void_if_a_staged_file_was_lost(storage):
    run_sync(storage, OLD)
    abandon(storage, NEW, AT + HOUR)
    with storage.open(record_key(STREAM, 2)) as file:
        data = file.read()
    record = type(run_sync(MemoryStorage(), OLD).record).from_bytes(data, key="k")
    storage.discard(record.files[EXITING].staged)
    assert recover(storage, STREAM).outcome == "void"
    assert len(data_files(storage)) == 3
    assert not staged_objects(storage)
    assert members_now(storage) == OLD
    history = read_history(storage, STREAM)
    assert [s.state for s in history.unpublished] == [SyncState.VOID]
    assert run_sync(storage, NEW, AT + HOUR).record.number == 3


def test_a_sync_is_void_only_after_its_staged_files_are_discarded():
    def with_a_lost_file():
        storage = MemoryStorage()
        run_sync(storage, OLD)
        abandon(storage, NEW, AT + HOUR)
        storage.discard(read_history(storage, STREAM).log.unfinished.files[EXITING].staged)
        return storage

    counting = Fault()
    recover(FaultyStorage(with_a_lost_file(), counting), STREAM)
    for at in range(len(counting.calls)):
        storage = with_a_lost_file()
        with pytest.raises(Death):
            recover(FaultyStorage(storage, Fault(at=at, when="after")), STREAM)
        assert_invariants(storage, STREAM)
        recover(storage, STREAM)
        assert not staged_objects(storage)


@pytest.mark.parametrize("first", [True, False])
def test_of_two_writers_one_succeeds_and_the_other_leaves_nothing(storage, first):
    if not first:
        run_sync(storage, OLD[:1])
    plan, diff = plan_and_diff(storage, OLD, AT + HOUR)
    winner = run_sync(storage, NEW, AT + MINUTE)
    with diff:
        error = assert_refused(storage, ConcurrentSyncError, lambda: commit(plan, diff, storage))
    assert (error.record_key, error.winner) == (winner.record.key, AT + MINUTE)


def test_two_writers_of_the_same_sync_return_the_same_record(storage):
    plan, diff = plan_and_diff(storage, OLD, AT)
    winner = run_sync(storage, OLD, AT)
    before = contents(storage)
    with diff:
        result = commit(plan, diff, storage)
    assert (result.record, result.already_done) == (winner.record, True)
    assert contents(storage) == before
    assert not staged_objects(storage)


def test_the_slower_writer_finishes_the_sync_of_a_faster_one_that_died(storage):
    plan, diff = plan_and_diff(storage, OLD, AT)
    abandon(storage, NEW, AT + MINUTE)
    with diff, pytest.raises(ConcurrentSyncError):
        commit(plan, diff, storage)
    assert members_now(storage) == NEW


def test_a_void_sync_of_another_writer_does_not_prevent_a_commit(storage):
    plan, diff = plan_and_diff(storage, OLD, AT)
    make_void(storage, NEW, AT + MINUTE)
    with diff:
        assert commit(plan, diff, storage).record.number == 2
    assert members_now(storage) == OLD


def test_files_of_a_void_sync_with_a_later_time_do_not_prevent_further_syncs(storage):
    run_sync(storage, OLD)
    make_void(storage, NEW, AT + HOUR)
    for n in range(1, 4):
        assert run_sync(storage, NEW, AT + n * MINUTE).record.number == n + 2
    with pytest.raises(SyncTimeTakenError):
        run_sync(storage, OLD, AT + HOUR)
    assert run_sync(storage, OLD, AT + 2 * HOUR).record.number == 6


def test_a_writer_recognises_its_own_record_if_the_store_says_it_exists():
    """If a client repeats a create whose answer was lost, the store reports the key as taken."""
    storage = MemoryStorage()
    counted = Fault()
    run_sync(FaultyStorage(MemoryStorage(), counted), OLD)
    at = counted.calls.index("create")
    repeats = Fault(at=at, when="after", error=ObjectExistsError, forever=False)
    result = run_sync(FaultyStorage(storage, repeats), OLD)
    assert repeats.happened
    assert not result.already_done
    assert read_head(storage, STREAM).record == result.record


def test_a_void_sync_that_is_run_again_fulfils_the_invariants(storage):
    """The second run writes the same bytes under the same keys as the void one."""
    abandon(storage, OLD)
    unfinished = read_history(storage, STREAM).log.unfinished
    storage.discard(unfinished.files[DiffType.EXISTING].staged)
    assert recover(storage, STREAM).outcome == "void"
    assert_invariants(storage, STREAM)
    run_sync(storage, OLD)
    assert len(assert_invariants(storage, STREAM).published) == 1
