"""Pruning: the kept files are enough, pruned ones are not missed, and cuts lose nothing."""

from itertools import product

import pytest
from forgetting import COHORTS as FOUR_COHORTS
from forgetting import LATER, RequiredMethodsOnly, clone, members_by_time, sync_all
from hypothesis import given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    Storage,
    adopt,
    forget,
    plan_prune,
    prune,
    read_history,
    recover,
)
from amplitude_cohort_s3.errors import MissingCapabilityError, NaiveDatetimeError
from amplitude_cohort_s3.history.findings import FindingKind
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import STREAM, SYNC, moment, sync_ids

COHORTS = [*FOUR_COHORTS, {1, 5}]


def expected(cohorts, first=0):
    return {moment(n): ids for n, ids in enumerate(cohorts) if n >= first}


def stays(storage: Storage):
    history = read_history(storage, STREAM)
    return [(stay.row, stay.entered, stay.exited) for stay in history.intervals()]


@pytest.mark.parametrize("meaning", ExistingMeaning)
@pytest.mark.parametrize("logged", [True, False])
def test_pruning_old_snapshots_changes_no_answer(meaning, logged):
    storage = MemoryStorage()
    sync_all(storage, COHORTS, meaning=meaning, log=None if logged else MemoryStorage())
    before = stays(storage), read_history(storage, STREAM).events().to_list()
    receipt = prune(storage, STREAM, before=moment(60), clock=LATER)
    assert [info.key for info in receipt.plan.files] == [
        STREAM.name(moment(n), DiffType.EXISTING, SYNC.name_style).key(STREAM.path)
        for n in range(4)
    ]
    assert members_by_time(storage) == expected(COHORTS)
    assert (stays(storage), read_history(storage, STREAM).events().to_list()) == before
    findings = read_history(storage, STREAM).verify()
    if logged:
        assert findings == ()
        assert_invariants(storage, STREAM)
        sync_ids(storage, {1, 7}, 95)
        assert members_by_time(storage)[moment(95)] == {1, 7}
    else:
        assert {(f.kind, f.count) for f in findings} == {(FindingKind.MISSING_FILE, 1)}
        assert len(findings) == 4
    assert prune(storage, STREAM, before=moment(4)).plan.files == ()


@pytest.mark.parametrize("cut", range(7))
def test_keep_nothing_removes_all_syncs_before_a_time(cut):
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    when = moment(cut) if cut else moment(0).replace(year=2020)
    receipt = prune(storage, STREAM, before=when, keep="nothing", clock=LATER)
    first = min(cut, 4)
    assert len(receipt.plan.files) == 3 * first
    assert receipt.plan.replays_from == moment(first)
    assert members_by_time(storage) == expected(COHORTS, first)
    assert read_history(storage, STREAM).verify() == ()
    assert_invariants(storage, STREAM)
    sync_ids(storage, {1, 7}, 95)
    assert members_by_time(storage) == {**expected(COHORTS, first), moment(95): {1, 7}}


@settings(max_examples=min(25, settings().max_examples))
@given(
    cohorts=st.lists(st.sets(st.integers(1, 5)), min_size=2, max_size=6),
    steps=st.lists(
        st.tuples(st.integers(0, 7), st.sampled_from(["changes", "nothing"])), max_size=3
    ),
    meaning=st.sampled_from(ExistingMeaning),
)
def test_pruning_can_be_repeated_in_any_way(cohorts, steps, meaning):
    storage = MemoryStorage()
    sync_all(storage, [ids | {7} for ids in cohorts], meaning=meaning)
    first = 0
    for cut, keep in steps:
        plan = plan_prune(storage, STREAM, before=moment(cut), keep=keep)
        assert prune(storage, STREAM, before=moment(cut), keep=keep, clock=LATER).plan == plan
        first = max(first, read_history(storage, STREAM)[0].synced_at.minute)
        assert members_by_time(storage) == expected([ids | {7} for ids in cohorts], first)
        assert read_history(storage, STREAM).verify() == ()
        assert not read_history(storage, STREAM)[-1].missing
        assert_invariants(storage, STREAM)


def test_syncs_older_than_the_log_are_pruned_too():
    storage = MemoryStorage()
    sync_all(storage, COHORTS, log=MemoryStorage())
    adopt(storage, STREAM, clock=LATER)
    assert prune(storage, STREAM, before=moment(60), clock=LATER).number == 2
    assert members_by_time(storage) == expected(COHORTS)
    assert read_history(storage, STREAM).verify() == ()
    prune(storage, STREAM, before=moment(60), keep="nothing", clock=LATER)
    assert members_by_time(storage) == expected(COHORTS, 4)
    assert_invariants(storage, STREAM)


def test_a_lost_file_is_still_reported():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    files = read_history(storage, STREAM)[1].files
    prune(storage, STREAM, before=moment(1), clock=LATER)
    for info in files.values():
        storage.delete(info.key)
    findings = read_history(storage, STREAM).verify()
    assert {(f.kind, f.key) for f in findings} == {
        (FindingKind.MISSING_FILE, info.key) for info in files.values()
    }


def test_a_snapshot_that_replaces_a_lost_file_is_kept():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    history = read_history(storage, STREAM)
    storage.delete(history[2].files[DiffType.ENTERING].key)
    plan = plan_prune(storage, STREAM, before=moment(60))
    assert [info.key for info in plan.files] == [
        history[n].files[DiffType.EXISTING].key for n in (0, 3)
    ]
    before = stays(storage)
    prune(storage, STREAM, before=moment(60), clock=LATER)
    assert stays(storage) == before
    assert members_by_time(storage) == expected(COHORTS)


def test_pruning_and_forgetting_can_follow_each_other():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    forget(storage, STREAM, [1], clock=LATER)
    prune(storage, STREAM, before=moment(3), clock=LATER)
    forget(storage, STREAM, [4], clock=LATER)
    prune(storage, STREAM, before=moment(2), keep="nothing", clock=LATER)
    left = [ids - {1, 4} for ids in COHORTS]
    # The history begins with the newest sync up to the time whose own files are enough.
    assert members_by_time(storage) == expected(left)
    assert read_history(storage, STREAM).verify() == ()
    assert_invariants(storage, STREAM)


def test_a_storage_without_delete_and_a_naive_time_are_refused():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)

    for run in (plan_prune, prune):
        with pytest.raises(
            MissingCapabilityError, match="RequiredMethodsOnly has no method delete"
        ):
            run(RequiredMethodsOnly(storage), STREAM, before=moment(9))
        with pytest.raises(NaiveDatetimeError):
            run(storage, STREAM, before=moment(9).replace(tzinfo=None))


def test_a_plan_shows_files_and_sizes_and_changes_nothing():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    plan = plan_prune(storage, STREAM, before=moment(2))
    assert plan.size == sum(info.size for info in plan.files) > 0
    assert "prune 2 files" in str(plan)
    assert plan.files[0].key in plan._repr_html_()
    assert members_by_time(storage) == expected(COHORTS)
    assert len(list(storage.list_objects("cohorts/1"))) == 15


@pytest.mark.parametrize("keep", ["changes", "nothing"])
@pytest.mark.parametrize(
    ("logged", "finish"), [(True, "rerun"), (True, "sync"), (True, "recover"), (False, "rerun")]
)
def test_pruning_that_fails_at_any_call_is_completed(keep, logged, finish, record_property):
    prepared = MemoryStorage()
    sync_all(prepared, COHORTS, log=None if logged else MemoryStorage())

    def run(storage: Storage) -> None:
        prune(storage, STREAM, before=moment(3), keep=keep, clock=LATER)

    counting = Fault()
    storage = clone(prepared)
    run(FaultyStorage(storage, counting))
    after = {info.key for info in storage.list_objects()}
    first = 3 if keep == "nothing" else 0
    for at, when in product(range(len(counting.calls)), ("before", "after")):
        storage = clone(prepared)
        with pytest.raises(Death):
            run(FaultyStorage(storage, Fault(at=at, when=when)))
        history = read_history(storage, STREAM)
        kinds = {f.kind for f in history.verify()}
        if logged:
            assert kinds <= {FindingKind.UNFINISHED_AMENDMENT}
            assert_invariants(storage, STREAM)
        late = {
            sync: ids for sync, ids in members_by_time(storage).items() if sync >= moment(first)
        }
        assert late == expected(COHORTS, first)
        if finish == "recover":
            recover(storage, STREAM)
            if read_history(storage, STREAM).log.amendments:
                assert {info.key for info in storage.list_objects()} == after
            continue
        if finish == "sync":
            sync_ids(storage, {1, 7}, 95)
            assert members_by_time(storage)[moment(95)] == {1, 7}
            run(storage)
        else:
            run(storage)
            assert {info.key for info in storage.list_objects()} == after
        assert not logged or read_history(storage, STREAM).verify() == ()
    record_property("cases", 2 * len(counting.calls))
