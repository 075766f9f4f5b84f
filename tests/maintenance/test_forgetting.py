"""Forgetting removes the subjects from all files, and leaves everything else as it was."""

import pickle

import pytest
from attrs import evolve
from forgetting import (
    COHORTS,
    LATER,
    RequiredMethodsOnly,
    all_bytes,
    all_members,
    clone,
    forget_ids,
    sync_all,
    without,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    adopt,
    forget,
    plan_forget,
    prune,
    read_history,
    recover,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    InvalidCellError,
    LogLimitError,
    MissingCapabilityError,
    MissingColumnsError,
    ObjectChangedError,
)
from amplitude_cohort_s3.history.findings import FindingKind
from amplitude_cohort_s3.log.sync_log import read_record
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import START, STREAM, SYNC, clock_at, moment, sync_ids


@pytest.mark.parametrize("meaning", ExistingMeaning)
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("own_log", [False, True])
def test_a_subject_is_removed_from_all_files_and_nothing_else_changes(
    meaning, compression, own_log
):
    storage, log = MemoryStorage(), MemoryStorage() if own_log else None
    sync_all(storage, COHORTS, meaning=meaning, log=log, compression=compression)
    before = assert_invariants(storage, STREAM, log)
    receipt = forget_ids(storage, 1, 5, log=log)
    assert receipt.people == 2
    assert all_members(storage, log) == without(COHORTS, 1, 5)
    assert b"user 1" not in all_bytes(storage, *([log] if log else []))
    assert b"user 5" not in all_bytes(storage, *([log] if log else []))
    history = read_history(storage, STREAM, log=log)
    assert history.verify() == ()
    for sync, ids in zip(history, without(COHORTS, 1, 5), strict=True):
        assert history.record(sync).members == len(ids)
    assert_invariants(storage, STREAM, log, earlier=before)
    # Files without the subject do not change.
    changed = {file.key for file in receipt.files}
    for key, sha256 in before.digests.items():
        assert key in changed or assert_invariants(storage, STREAM, log).digests[key] == sha256


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_the_next_sync_continues_the_amended_head(meaning):
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
    assert all_members(storage) == [*without(COHORTS, 3), {4, 6}]
    forget_ids(storage, 4, 3)
    assert all_members(storage) == [*without(COHORTS, 3, 4), {6}]
    assert read_history(storage, STREAM).verify() == ()
    state = assert_invariants(storage, STREAM)
    assert [a.number for a in state.amendments] == [5, 7]
    assert [a.earlier for a in state.amendments] == [None, 5]


@settings(max_examples=min(25, settings().max_examples))
@given(
    cohorts=st.lists(st.sets(st.integers(1, 6)), min_size=1, max_size=5),
    gone=st.lists(st.sets(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=3),
    meaning=st.sampled_from(ExistingMeaning),
)
def test_the_result_is_as_if_the_subjects_had_never_been_members(cohorts, gone, meaning):
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


def test_neither_log_nor_receipt_contains_a_subject():
    storage, log = MemoryStorage(), MemoryStorage()
    sync_all(storage, [{1, 2, 31415926}], log=log)
    plan = plan_forget(storage, STREAM, ["user 31415926"], by="user_id", log=log)
    receipt = forget(storage, STREAM, ["user 31415926"], by="user_id", log=log, clock=LATER)
    texts = [repr(plan), str(plan), plan._repr_html_(), repr(receipt), str(receipt)]
    for text in [*texts, pickle.dumps(receipt).decode("latin-1"), all_bytes(log).decode()]:
        assert "31415926" not in text
    assert plan.people == receipt.people == 1
    assert (plan.files_read, len(plan.files)) == (3, 2)
    assert plan.files == receipt.files
    assert "Older versions" in str(receipt)


def test_a_plan_and_forgetting_unknown_subjects_change_nothing():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    before = assert_invariants(storage, STREAM).digests
    plan_forget(storage, STREAM, [1])
    assert forget_ids(storage, 99).number is None
    assert forget_ids(storage).files == ()
    assert forget(storage, STREAM, [""], by="user_id").files == ()
    assert assert_invariants(storage, STREAM).digests == before


def test_forgetting_by_another_column_removes_all_rows_of_the_subject():
    storage = MemoryStorage()
    # Anonymous at first: the user id came later.
    for minute, rows in enumerate([[("1", ""), ("2", "")], [("1", "ann"), ("2", "")], [("2", "")]]):
        now = moment(minute)
        sync_cohort(SYNC, rows, storage, synced_at=now, clock=clock_at(now))
    receipt = forget(storage, STREAM, ["ann"], by="user_id", clock=LATER)
    assert receipt.people == 1
    assert all_members(storage) == [{2}, {2}, {2}]
    assert read_history(storage, STREAM).verify() == ()
    with pytest.raises(MissingColumnsError, match="mail"):
        forget(storage, STREAM, ["ann"], by="mail")


def test_a_single_text_or_a_float_is_refused():
    with pytest.raises(ArgumentTypeError, match="list of ids"):
        forget(MemoryStorage(), STREAM, "12")
    with pytest.raises(InvalidCellError):
        forget(MemoryStorage(), STREAM, [1.5])


def test_a_storage_without_replace_is_refused_before_any_change():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    before = all_bytes(storage)
    for run in (plan_forget, forget):
        with pytest.raises(
            MissingCapabilityError, match="RequiredMethodsOnly has no method replace"
        ):
            run(RequiredMethodsOnly(storage), STREAM, [1])
    assert all_bytes(storage) == before


def test_an_edited_file_is_refused():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    key = read_history(storage, STREAM)[1].files[DiffType.EXISTING].key
    storage.delete(key)
    storage.create(key, b"amplitudeID,userID\n1,\n")
    with pytest.raises(ObjectChangedError):
        forget_ids(storage, 1)


def test_an_amendment_too_long_for_one_entry_is_refused_before_any_change(monkeypatch):
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    before = all_bytes(storage)
    monkeypatch.setattr("amplitude_cohort_s3.sync.amend.MAX_ENTRY_BYTES", 2000)
    with pytest.raises(LogLimitError, match="Prune old syncs first"):
        forget_ids(storage, 3)
    assert all_bytes(storage) == before
    assert not vars(storage)["_staged"]


def test_files_of_a_void_sync_are_rewritten_too():
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
    assert b"user 1" not in all_bytes(storage)
    assert [f.kind for f in read_history(storage, STREAM).verify()] == [FindingKind.LEFTOVER]
    sync_ids(storage, {3, 6}, 3)
    assert all_members(storage) == [*without(COHORTS[:2], 1), {3, 6}]


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
def test_files_that_amplitude_wrote_are_rewritten_too(adopted):
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
        assert all_members(storage) == [{2}, {2}]
        assert_invariants(storage, STREAM)


def test_an_empty_id_matches_nobody():
    """Members without a user id have an empty cell, and so has an empty line of a list of ids."""
    storage = MemoryStorage()
    members = [("1", ""), ("2", "bob"), ("3", "")]
    sync_cohort(SYNC, members, storage, synced_at=START, clock=clock_at(START))
    before = read_history(storage, STREAM).members_at(START).to_list()
    for ids in ([""], ["", "nobody"], [" ".strip()]):
        assert forget(storage, STREAM, ids, by="user_id").people == 0
    assert read_history(storage, STREAM).members_at(START).to_list() == before
    receipt = forget(storage, STREAM, ["", "bob"], by="user_id")
    assert receipt.people == 1
    assert [row[0] for row in read_history(storage, STREAM).members_at(START)] == ["1", "3"]


def test_forgetting_a_subject_without_a_key_removes_nobody_else():
    """A foreign file may have rows without the key by which members are matched."""
    storage = MemoryStorage()
    sync_all(storage, [{1, 2}])
    key = STREAM.name(START.replace(year=2020), DiffType.EXISTING, SYNC.name_style).key("cohorts")
    storage.create(key, b"amplitude_id,user_id\n,ann\n,zoe\n")
    assert forget(storage, STREAM, ["ann"], by="user_id").people == 0
    assert b"ann" not in all_bytes(storage)
    assert b"zoe" in all_bytes(storage)


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_the_count_before_a_sync_is_right_even_if_the_sync_before_is_pruned(meaning):
    cohorts = [{1, 2, 3}, {1, 2, 3, 4}, {2, 3, 4}, {2, 3, 4, 5}]
    storage = MemoryStorage()
    sync_all(storage, cohorts, meaning=meaning)
    prune(storage, STREAM, before=moment(1), keep="nothing", clock=LATER)
    history = read_history(storage, STREAM)
    first = history[0]
    assert history.has_gap_before(first) or history.record(first).previous is not None
    forget_ids(storage, 1, 2)
    history = read_history(storage, STREAM)
    for sync in history:
        number = sync.synced_at.minute
        record = history.record(sync)
        assert record.members == len(cohorts[number] - {1, 2})
        assert record.members_before == len(cohorts[number - 1] - {1, 2})
    assert history.verify() == ()
