"""Interrupted forgetting, and forgetting at the same time as a sync.

A rerun of ``forget``, ``recover`` or the next sync completes an amendment that was begun.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from itertools import product

import pytest
from forgetting import (
    RequiredMethodsOnly,
    all_bytes,
    all_members,
    clone,
    forget_ids,
    sync_all,
    without,
)

from amplitude_cohort_s3 import (
    CohortS3Error,
    DiffType,
    ExistingMeaning,
    LocalStorage,
    MemoryStorage,
    Storage,
    forget,
    plan_forget,
    read_head,
    read_history,
    recover,
)
from amplitude_cohort_s3.errors import (
    ConcurrentSyncError,
    MissingCapabilityError,
    ObjectChangedError,
    SyncTimeTakenError,
    UnfinishedSyncError,
)
from amplitude_cohort_s3.history.findings import FindingKind
from amplitude_cohort_s3.log.amendments import Amendment
from amplitude_cohort_s3.log.keys import parse_log_key
from amplitude_cohort_s3.log.sync_log import read_record
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage, When
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import STREAM, clock_at, ids_of, moment, sync_ids

CUT = [{1, 2, 3}, {2, 3, 4}]
"""Two syncs: each further one would cost time and show nothing."""


def prepared(kind: str, tmp_path, number: int) -> Storage:
    if kind != "local":
        return clone(prepared_in_memory(has_log=kind == "memory"))
    storage = LocalStorage(tmp_path / str(number))
    sync_all(storage, CUT)
    return storage


@cache
def prepared_in_memory(*, has_log: bool) -> MemoryStorage:
    storage = MemoryStorage()
    sync_all(storage, CUT, log=None if has_log else MemoryStorage())
    return storage


def dies(at: int, when: When) -> Fault:
    return Fault(at=at, when=when)


def fails(at: int, when: When) -> Fault:
    return Fault(at=at, when=when, error=OSError, forever=False)


def forget_two(storage: Storage) -> None:
    forget_ids(storage, 1, 4)


def sync_more(storage: Storage) -> None:
    sync_ids(storage, {3, 6}, 91)


@pytest.mark.parametrize(
    ("kind", "fail"),
    [("memory", dies), ("memory", fails), ("local", dies), ("unlogged", dies)],
)
def test_after_a_failure_at_any_call_readers_are_right_and_a_rerun_completes_it(
    kind, fail: Callable[[int, When], Fault], tmp_path, record_property
):
    counting = Fault()
    storage = prepared(kind, tmp_path, 0)
    forget_two(FaultyStorage(storage, counting))
    moments: list[When] = ["after"] if kind == "local" else ["before", "midway", "after"]
    cases = list(product(range(len(counting.calls)), moments))
    for number, (at, when) in enumerate(cases, 1):
        storage = prepared(kind, tmp_path, number)
        with pytest.raises((Death, OSError, CohortS3Error)):
            forget_two(FaultyStorage(storage, fail(at, when)))
        history = read_history(storage, STREAM)
        for sync, ids in zip(history, CUT, strict=True):
            members = {int(row[0]) for row in history.members_at(sync)}
            assert ids - {1, 4} <= members <= ids
        if kind != "unlogged":
            earlier = assert_invariants(storage, STREAM)
            kinds = {finding.kind for finding in history.verify()}
            assert kinds <= {FindingKind.UNFINISHED_AMENDMENT}
            assert (kinds != set()) == (history.log.pending is not None)
        forget_two(storage)
        assert all_members(storage) == without(CUT, 1, 4)
        assert b"user 1" not in all_bytes(storage)
        assert b"user 4" not in all_bytes(storage)
        history = read_history(storage, STREAM)
        assert history.verify() == ()
        if kind != "unlogged":
            state = assert_invariants(storage, STREAM, earlier=earlier)
            assert len(state.amendments) == 1
    record_property("cases", len(cases))


@pytest.mark.parametrize("finish", [sync_more, lambda s: recover(s, STREAM)])
def test_the_next_process_completes_it_even_after_a_second_failure(finish, record_property):
    counting = Fault()
    forget_two(FaultyStorage(prepared("memory", None, 0), counting))
    decided = counting.calls.index("create")
    cases = 0
    for at in range(decided, len(counting.calls)):
        begun = prepared("memory", None, 0)
        with pytest.raises(Death):
            forget_two(FaultyStorage(begun, dies(at, "after")))
        again = Fault()
        storage = clone(begun)
        finish(FaultyStorage(storage, again))
        expected = all_members(storage)
        assert expected[:2] == without(CUT, 1, 4)
        for at_again in range(len(again.calls)):
            storage = clone(begun)
            with pytest.raises(Death):
                finish(FaultyStorage(storage, dies(at_again, "after")))
            finish(storage)
            assert all_members(storage) == expected
            assert_invariants(storage, STREAM)
            cases += 1
    record_property("cases", cases)


def test_read_head_and_plan_forget_are_refused_while_it_is_unfinished():
    counting = Fault()
    forget_two(FaultyStorage(prepared("memory", None, 0), counting))
    storage = prepared("memory", None, 0)
    with pytest.raises(Death):
        forget_two(FaultyStorage(storage, dies(counting.calls.index("replace"), "after")))
    with pytest.raises(UnfinishedSyncError):
        read_head(storage, STREAM)
    with pytest.raises(UnfinishedSyncError):
        plan_forget(storage, STREAM, [1])
    [finding] = read_history(storage, STREAM).verify()
    assert finding.kind is FindingKind.UNFINISHED_AMENDMENT
    with pytest.raises(MissingCapabilityError):
        sync_more(RequiredMethodsOnly(storage))
    assert recover(storage, STREAM).outcome == "amended"


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_files_whose_new_version_was_lost_stay_until_a_rerun(meaning):
    begun = MemoryStorage()
    sync_all(begun, CUT, meaning=meaning)
    counting = Fault()
    forget_two(FaultyStorage(clone(begun), counting))
    replaced = [n for n, call in enumerate(counting.calls) if call == "replace"]
    for at, lost in product(replaced, (0, 1, -1)):
        storage = clone(begun)
        with pytest.raises(Death):
            forget_two(FaultyStorage(storage, dies(at, "before")))
        amendment = read_record(storage.open, STREAM, len(CUT) + 1)
        assert isinstance(amendment, Amendment)
        # A rule of the bucket that aborts uploads, for example.
        storage.discard(list(amendment.replaced.values())[lost].staged)
        sync_more(storage)
        state = assert_invariants(storage, STREAM)
        assert state.published[-1].members == 2
        findings = read_history(storage, STREAM).verify()
        if lost % len(replaced) >= replaced.index(at):
            assert {f.kind for f in findings} == {FindingKind.UNFINISHED_AMENDMENT}
            assert "forget again" in str(findings[0])
        else:
            assert findings == ()
        forget_two(storage)
        assert all_members(storage) == [*without(CUT, 1, 4), {3, 6}]
        assert read_history(storage, STREAM).verify() == ()
        for record, ids in zip(assert_invariants(storage, STREAM).published, CUT, strict=False):
            assert record.members == len(ids - {1, 4})


class Overtaken(FaultyStorage):
    """A storage in which another process acts just before the first object is created."""

    def __init__(self, inner: MemoryStorage, act: Callable[[], None]) -> None:
        super().__init__(inner, Fault())
        self.act: Callable[[], None] | None = act

    def create(self, key, data, /):
        act, self.act = self.act, None
        if act is not None:
            act()
        return super().create(key, data)


def test_a_sync_that_began_earlier_can_not_restore_a_subject():
    """Its diff is against members who are forgotten meanwhile: it must not be published."""
    storage = prepared("memory", None, 0)
    with pytest.raises(ConcurrentSyncError):
        sync_more(Overtaken(storage, lambda: forget_two(storage)))
    assert not vars(storage)["_staged"]
    sync_more(storage)
    assert all_members(storage) == [*without(CUT, 1, 4), {3, 6}]
    assert read_history(storage, STREAM).verify() == ()
    assert b"user 4" not in all_bytes(storage)


def test_a_history_from_before_reads_the_files_from_after():
    storage = prepared("memory", None, 0)
    history = read_history(storage, STREAM)
    assert history.record(history[1]).members == 3
    forget_two(storage)
    assert ids_of(history.members_at(history[1])) == CUT[1] - {1, 4}
    overwritten = history[1].files[DiffType.EXISTING].key
    storage.delete(overwritten)
    storage.create(overwritten, b"amplitudeID,userID\n")
    with pytest.raises(ObjectChangedError):
        list(history.members_at(history[1]))


def test_a_repeated_run_with_a_forgotten_subject_is_refused():
    storage = prepared("memory", None, 0)
    forget_two(storage)
    with pytest.raises(SyncTimeTakenError):
        sync_ids(storage, CUT[1], 1)
    assert sync_ids(storage, CUT[1] - {1, 4}, 1).already_done


def test_read_head_still_opens_a_single_entry_of_the_log():
    storage = prepared("memory", None, 0)
    forget_two(storage)
    opened: list[str] = []
    inner = storage.open

    def watched(key):
        opened.append(key)
        return inner(key)

    storage.open = watched
    read_head(storage, STREAM)
    assert [parse_log_key(STREAM, key).is_outcome for key in opened] == [True]


def test_receipt_and_amendment_have_the_time_of_the_clock():
    storage = prepared("memory", None, 0)
    receipt = forget_two_at(storage, moment(77) + timedelta(seconds=3))
    assert receipt.forgotten_at == moment(77) + timedelta(seconds=3)
    amendment = read_record(storage.open, STREAM, receipt.number)
    assert amendment.requested_at == receipt.forgotten_at


def forget_two_at(storage, when):
    return forget(storage, STREAM, ["1", "4"], clock=clock_at(when))
