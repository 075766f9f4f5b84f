"""Forgetting: nobody who was forgotten is left, and everything else is as it was.

The same runs are cut before and after every storage call: a rerun of ``forget``, or the
next sync, completes what was begun.
"""

import gzip
import pickle
from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortS3Error,
    DiffType,
    ExistingMeaning,
    LocalStorage,
    MemoryStorage,
    Storage,
    adopt,
    forget,
    plan_forget,
    read_head,
    read_history,
    recover,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    ConcurrentSyncError,
    InvalidCellError,
    LogLimitError,
    MissingCapabilityError,
    MissingColumnsError,
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
from amplitude_cohort_s3.testing.small_cohort import START, STREAM, SYNC, clock_at, moment, sync_ids

COHORTS = [{1, 2, 3}, {2, 3, 4}, {1, 3, 4}, {3, 4, 5}]
LATER = clock_at(moment(90))


def sync_all(
    storage: Storage,
    cohorts: list[set[int]],
    *,
    meaning: ExistingMeaning = ExistingMeaning.MEMBERS,
    log: Storage | None = None,
    compression=None,
) -> None:
    destination = evolve(SYNC.destination, existing=meaning, compression=compression)
    for minute, ids in enumerate(cohorts):
        rows = [(str(n), f"user {n}") for n in ids]
        sync_cohort(
            evolve(SYNC, destination=destination),
            rows,
            storage,
            synced_at=moment(minute),
            clock=clock_at(moment(minute)),
            log=log,
        )


def told(storage: Storage, log: Storage | None = None) -> list[set[int]]:
    history = read_history(storage, STREAM, log=log)
    return [{int(row[0]) for row in history.members_at(sync)} for sync in history]


def without(cohorts: list[set[int]], *gone: int) -> list[set[int]]:
    return [ids - set(gone) for ids in cohorts]


def everything(*storages: Storage) -> bytes:
    """All stored bytes, unpacked."""
    data = b""
    for storage in storages:
        for info in storage.list_objects():
            with storage.open(info.key) as stream:
                stored = stream.read()
            data += gzip.decompress(stored) if info.key.endswith(".gz") else stored
    return data


def forget_ids(storage: Storage, *ids: int, log: Storage | None = None):
    return forget(storage, STREAM, ids, log=log, clock=LATER)


@pytest.mark.parametrize("meaning", ExistingMeaning)
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("own_log", [False, True])
def test_a_person_is_in_no_file_any_more_and_the_rest_is_as_it_was(meaning, compression, own_log):
    storage, log = MemoryStorage(), MemoryStorage() if own_log else None
    sync_all(storage, COHORTS, meaning=meaning, log=log, compression=compression)
    before = assert_invariants(storage, STREAM, log)
    receipt = forget_ids(storage, 1, 5, log=log)
    assert receipt.people == 2
    assert told(storage, log) == without(COHORTS, 1, 5)
    assert b"user 1" not in everything(storage, *([log] if log else []))
    assert b"user 5" not in everything(storage, *([log] if log else []))
    history = read_history(storage, STREAM, log=log)
    assert history.verify() == ()
    for sync, ids in zip(history, without(COHORTS, 1, 5), strict=True):
        assert history.record(sync).members == len(ids)
    assert_invariants(storage, STREAM, log, earlier=before)
    # What it is not about is not touched.
    changed = {file.key for file in receipt.files}
    for key, sha256 in before.digests.items():
        assert key in changed or assert_invariants(storage, STREAM, log).digests[key] == sha256


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_syncs_go_on_from_the_amended_head(meaning):
    storage = MemoryStorage()
    sync_all(storage, COHORTS, meaning=meaning)
    forget_ids(storage, 3)
    destination = evolve(SYNC.destination, existing=meaning)
    result = sync_cohort(
        evolve(SYNC, destination=destination),
        [("4", "user 4"), ("6", "user 6")],
        storage,
        synced_at=moment(30),
        clock=clock_at(moment(30)),
    )
    files = result.record.files
    assert (files[DiffType.ENTERING].rows, files[DiffType.EXITING].rows) == (1, 1)
    assert told(storage) == [*without(COHORTS, 3), {4, 6}]
    forget_ids(storage, 4, 3)
    assert told(storage) == [*without(COHORTS, 3, 4), {6}]
    assert read_history(storage, STREAM).verify() == ()
    state = assert_invariants(storage, STREAM)
    assert [a.number for a in state.amendments] == [5, 7]
    assert [a.earlier for a in state.amendments] == [None, 5]


@settings(max_examples=25)
@given(
    cohorts=st.lists(st.sets(st.integers(1, 6)), min_size=1, max_size=5),
    gone=st.lists(st.sets(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=3),
    meaning=st.sampled_from(ExistingMeaning),
)
def test_forgetting_is_as_if_they_had_never_been_there(cohorts, gone, meaning):
    storage, never = MemoryStorage(), MemoryStorage()
    cohorts = [ids | {7} for ids in cohorts]
    sync_all(storage, cohorts, meaning=meaning)
    for ids in gone:
        forget_ids(storage, *ids)
    sync_all(never, without(cohorts, *set().union(*gone)), meaning=meaning)
    history, expected = read_history(storage, STREAM), read_history(never, STREAM)
    for one, other in zip(history, expected, strict=True):
        for diff_type in DiffType:
            assert list(history.rows(one, diff_type)) == list(expected.rows(other, diff_type))
        ours, theirs = history.record(one), expected.record(other)
        for name in ("members", "members_before", "members_sha256", "identity"):
            assert getattr(ours, name) == getattr(theirs, name)
    assert history.verify() == ()
    assert_invariants(storage, STREAM)


def test_the_log_and_the_receipt_name_nobody():
    storage, log = MemoryStorage(), MemoryStorage()
    sync_all(storage, [{1, 2, 31415926}], log=log)
    plan = plan_forget(storage, STREAM, ["user 31415926"], by="user_id", log=log)
    receipt = forget(storage, STREAM, ["user 31415926"], by="user_id", log=log, clock=LATER)
    texts = [repr(plan), str(plan), plan._repr_html_(), repr(receipt), str(receipt)]
    for text in [*texts, pickle.dumps(receipt).decode("latin-1"), everything(log).decode()]:
        assert "31415926" not in text
    assert plan.people == receipt.people == 1
    assert (plan.files_read, len(plan.files)) == (3, 2)
    assert plan.files == receipt.files
    assert "Older versions" in str(receipt)


def test_a_plan_touches_nothing_and_nothing_to_do_does_nothing():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    before = assert_invariants(storage, STREAM).digests
    plan_forget(storage, STREAM, [1])
    assert forget_ids(storage, 99).number is None
    assert forget_ids(storage).files == ()
    assert forget(storage, STREAM, [""], by="user_id").files == ()
    assert assert_invariants(storage, STREAM).digests == before


def test_by_another_column_all_rows_of_the_person_go():
    storage = MemoryStorage()
    # Anonymous at first: the user id came later.
    for minute, rows in enumerate([[("1", ""), ("2", "")], [("1", "ann"), ("2", "")], [("2", "")]]):
        now = moment(minute)
        sync_cohort(SYNC, rows, storage, synced_at=now, clock=clock_at(now))
    receipt = forget(storage, STREAM, ["ann"], by="user_id", clock=LATER)
    assert receipt.people == 1
    assert told(storage) == [{2}, {2}, {2}]
    assert read_history(storage, STREAM).verify() == ()
    with pytest.raises(MissingColumnsError, match="mail"):
        forget(storage, STREAM, ["ann"], by="mail")


def test_one_text_is_not_taken_for_its_letters():
    with pytest.raises(ArgumentTypeError, match="list of ids"):
        forget(MemoryStorage(), STREAM, "12")
    with pytest.raises(InvalidCellError):
        forget(MemoryStorage(), STREAM, [1.5])


class OnlySeven:
    """A Storage without the optional verbs."""

    def __init__(self, inner):
        for verb in ("list_objects", "open", "create", "stage", "inspect", "publish", "discard"):
            setattr(self, verb, getattr(inner, verb))


def test_a_storage_that_can_not_replace_is_refused_before_anything_happens():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    before = everything(storage)
    for run in (plan_forget, forget):
        with pytest.raises(MissingCapabilityError, match="OnlySeven has no method replace"):
            run(OnlySeven(storage), STREAM, [1])
    assert everything(storage) == before


def test_an_edited_file_is_not_blessed():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    key = read_history(storage, STREAM)[1].files[DiffType.EXISTING].key
    storage.delete(key)
    storage.create(key, b"amplitudeID,userID\n1,\n")
    with pytest.raises(ObjectChangedError):
        forget_ids(storage, 1)


def test_what_one_entry_of_the_log_can_not_hold_is_refused_before_anything_happens(monkeypatch):
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    before = everything(storage)
    monkeypatch.setattr("amplitude_cohort_s3.sync.amend.MAX_ENTRY_BYTES", 2000)
    with pytest.raises(LogLimitError, match="Prune old syncs first"):
        forget_ids(storage, 3)
    assert everything(storage) == before
    assert not vars(storage)["_staged"]


def test_files_that_a_void_sync_left_are_rewritten_too():
    storage = MemoryStorage()
    sync_all(storage, COHORTS[:2])
    calls = Fault()
    sync_ids(FaultyStorage(clone(storage), calls), {1, 3}, 2)
    fault = Fault(at=calls.calls.index("publish"), when="after")
    with pytest.raises(Death):
        sync_ids(FaultyStorage(storage, fault), {1, 3}, 2)
    record = read_record(storage.open, STREAM, 3)
    storage.discard(record.files[DiffType.EXISTING].staged)
    assert recover(storage, STREAM).outcome == "void"
    forget_ids(storage, 1)
    assert b"user 1" not in everything(storage)
    assert [f.kind for f in read_history(storage, STREAM).verify()] == [FindingKind.LEFTOVER]
    sync_ids(storage, {3, 6}, 3)
    assert told(storage) == [*without(COHORTS[:2], 1), {3, 6}]


def clone(storage: MemoryStorage) -> MemoryStorage:
    copied = MemoryStorage()
    for name in ("_visible", "_staged"):
        vars(copied)[name].update(vars(storage)[name])
    return copied


# --- Buckets without a log -------------------------------------------------------------------


FOREIGN = {
    "entering": '\ufeff"amplitude_id","user_id","amplitude_id","a plan"\r\n"1","x,y","1","b"\r\n',
    "exiting": '"amplitude_id","user_id","amplitude_id","a plan"\r\n',
    "existing": "a plan,userID, amplitudeID\nq,user 2,2\n,,1\n",
}


def foreign_bucket() -> MemoryStorage:
    storage = MemoryStorage()
    for word, text in FOREIGN.items():
        storage.create(f"cohorts/1_a_{START:%Y-%m-%dT%H-%M}_{word}.csv", text.encode())
    return storage


@pytest.mark.parametrize("adopted", [False, True])
def test_a_bucket_that_amplitude_wrote_can_forget_too(adopted):
    storage = foreign_bucket()
    if adopted:
        adopt(storage, STREAM, clock=LATER)
    receipt = forget_ids(storage, 1)
    assert (receipt.people, len(receipt.files)) == (1, 2)
    assert (receipt.number is not None) == adopted
    texts = [storage.open(info.key).read().decode() for info in storage.list_objects("cohorts/1")]
    assert texts == [
        "amplitude_id,user_id,a plan\n",
        "amplitudeID,userID,a plan\n2,user 2,q\n",
        FOREIGN["exiting"],
    ]
    history = read_history(storage, STREAM)
    assert list(history.members_at(START)) == [("2", "user 2", "q")]
    assert history.verify() == ()
    assert forget_ids(storage, 1).files == ()
    if adopted:
        sync_ids(storage, {2}, 100)
        assert told(storage) == [{2}, {2}]
        assert_invariants(storage, STREAM)


# --- Cuts ------------------------------------------------------------------------------------


CUT = [{1, 2, 3}, {2, 3, 4}]
"""Two syncs: each further one would cost time and show nothing."""


def prepared(kind: str, tmp_path, number: int) -> Storage:
    storage = MemoryStorage() if kind != "local" else LocalStorage(tmp_path / str(number))
    if kind == "unlogged":
        sync_all(storage, CUT, log=MemoryStorage())
    else:
        sync_all(storage, CUT)
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
def test_a_cut_anywhere_is_explained_to_readers_and_completed_by_a_rerun(
    kind, fail: Callable[[int, When], Fault], tmp_path, monkeypatch, record_property
):
    monkeypatch.setattr("os.fsync", lambda _: None)
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
            assert kinds <= {FindingKind.UNFINISHED}
            assert (kinds != set()) == (history.log.pending is not None)
        forget_two(storage)
        assert told(storage) == without(CUT, 1, 4)
        assert b"user 1" not in everything(storage)
        assert b"user 4" not in everything(storage)
        history = read_history(storage, STREAM)
        assert history.verify() == ()
        if kind != "unlogged":
            state = assert_invariants(storage, STREAM, earlier=earlier)
            assert len(state.amendments) == 1
    record_property("cases", len(cases))


@pytest.mark.parametrize("finish", [sync_more, lambda s: recover(s, STREAM)])
def test_whoever_comes_next_finishes_it_even_if_cut_again(finish, record_property):
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
        expected = told(storage)
        assert expected[:2] == without(CUT, 1, 4)
        for at_again in range(len(again.calls)):
            storage = clone(begun)
            with pytest.raises(Death):
                finish(FaultyStorage(storage, dies(at_again, "after")))
            finish(storage)
            assert told(storage) == expected
            assert_invariants(storage, STREAM)
            cases += 1
    record_property("cases", cases)


def test_while_it_is_unfinished_a_head_and_a_plan_are_refused():
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
    assert finding.kind is FindingKind.UNFINISHED
    with pytest.raises(MissingCapabilityError):
        sync_more(OnlySeven(storage))
    assert recover(storage, STREAM).outcome == "amended"


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_new_files_that_were_lost_leave_the_old_ones_and_a_rerun_does_the_rest(meaning):
    def prepared() -> MemoryStorage:
        storage = MemoryStorage()
        sync_all(storage, CUT, meaning=meaning)
        return storage

    counting = Fault()
    forget_two(FaultyStorage(prepared(), counting))
    replaced = [n for n, call in enumerate(counting.calls) if call == "replace"]
    for at, lost in product(replaced, (0, 1, -1)):
        storage = prepared()
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
            assert {f.kind for f in findings} == {FindingKind.UNFINISHED}
            assert "forget again" in str(findings[0])
        else:
            assert findings == ()
        forget_two(storage)
        assert told(storage) == [*without(CUT, 1, 4), {3, 6}]
        assert read_history(storage, STREAM).verify() == ()
        for record, ids in zip(assert_invariants(storage, STREAM).published, CUT, strict=False):
            assert record.members == len(ids - {1, 4})


# --- Races -----------------------------------------------------------------------------------


class Interrupted(MemoryStorage):
    """Lets somebody else act just before the nth creation of an object."""

    def __init__(self, inner: MemoryStorage, act: Callable[[], None]) -> None:
        super().__init__()
        vars(self).update(vars(inner))
        self.act: Callable[[], None] | None = act

    def create(self, key, data, /):
        act, self.act = self.act, None
        if act is not None:
            act()
        return super().create(key, data)


def test_a_sync_that_came_first_is_not_amended_and_nothing_is_left_staged():
    storage = prepared("memory", None, 0)
    with pytest.raises(ConcurrentSyncError):
        forget_two(Interrupted(storage, lambda: sync_more(storage)))
    assert told(storage) == [*CUT, {3, 6}]
    assert not vars(storage)["_staged"]
    forget_two(storage)
    assert told(storage) == [*without(CUT, 1, 4), {3, 6}]


def test_a_sync_that_began_before_does_not_bring_them_back():
    """Its diff is against members who are forgotten meanwhile: it must not be published."""
    storage = prepared("memory", None, 0)
    with pytest.raises(ConcurrentSyncError):
        sync_more(Interrupted(storage, lambda: forget_two(storage)))
    assert not vars(storage)["_staged"]
    sync_more(storage)
    assert told(storage) == [*without(CUT, 1, 4), {3, 6}]
    assert read_history(storage, STREAM).verify() == ()
    assert b"user 4" not in everything(storage)


def test_a_history_that_was_read_before_says_what_to_do():
    storage = prepared("memory", None, 0)
    history = read_history(storage, STREAM)
    assert history.record(history[1]).members == 3
    forget_two(storage)
    with pytest.raises(ObjectChangedError, match="read the history again"):
        list(history.members_at(history[1]))


def test_an_old_run_that_is_retried_does_not_count_as_done():
    storage = prepared("memory", None, 0)
    forget_two(storage)
    with pytest.raises(SyncTimeTakenError):
        sync_ids(storage, CUT[1], 1)
    assert sync_ids(storage, CUT[1] - {1, 4}, 1).already_done


def test_the_log_stays_one_listing_and_one_read_for_a_sync():
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


def test_times_are_of_the_clock():
    storage = prepared("memory", None, 0)
    receipt = forget_two_at(storage, moment(77) + timedelta(seconds=3))
    assert receipt.forgotten_at == moment(77) + timedelta(seconds=3)
    amendment = read_record(storage.open, STREAM, receipt.number)
    assert amendment.requested_at == receipt.forgotten_at


def forget_two_at(storage, when):
    return forget(storage, STREAM, ["1", "4"], clock=clock_at(when))
