"""A history returns exactly what was synced, from our buckets and from those without a log."""

from datetime import timedelta
from itertools import pairwise

import pytest
from random_history import START, TIMES, as_tuples, build, expected_stays

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    detect_existing_meaning,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import NaiveDatetimeError, NoSyncYetError
from amplitude_cohort_s3.history.findings import FindingKind

ENTERING, EXITING, EXISTING = DiffType


def test_everything_that_was_synced_comes_back(cohorts, meaning, keep_log):
    storage, sync = build(cohorts, meaning, keep_log=keep_log)
    history = read_history(storage, sync.stream)
    assert [one.synced_at for one in history] == TIMES
    assert history.unpublished == ()
    for one, members in zip(history, cohorts, strict=True):
        assert sorted(history.members_at(one)) == sorted(members.values())
    assert as_tuples(list(history.intervals())) == expected_stays(cohorts)
    assert history.verify() == ()
    for one, (before, now) in zip(history.churn()[1:], pairwise(cohorts), strict=True):
        assert one.members == len(now)
        assert (one.entered, one.exited) == (len(now.keys() - before), len(before.keys() - now))
        assert one.entry_rate == len(now.keys() - before) / len(now)
        assert one.exit_rate == len(before.keys() - now) / len(before)
    key = expected_stays(cohorts)[0][0]
    of_one_user = [stay for stay in expected_stays(cohorts) if stay[0] == key]
    assert as_tuples(history.member_history(key)) == of_one_user


# --- Members at a time -----------------------------------------------------------------


def test_between_two_syncs_the_members_are_those_of_the_earlier_one(cohorts, meaning):
    storage, sync = build(cohorts, meaning, keep_log=True)
    history = read_history(storage, sync.stream)
    just_before = TIMES[5] - timedelta(seconds=1)
    assert sorted(history.members_at(just_before)) == sorted(cohorts[4].values())
    long_after = TIMES[-1] + timedelta(days=365)
    assert sorted(history.members_at(long_after)) == sorted(cohorts[-1].values())


def test_members_before_the_first_sync_are_unknown(cohorts):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    history = read_history(storage, sync.stream)
    with pytest.raises(NoSyncYetError, match="Pass a later time"):
        history.members_at(START - timedelta(seconds=1))
    with pytest.raises(NaiveDatetimeError):
        history.members_at(START.replace(tzinfo=None))
    with pytest.raises(NoSyncYetError):
        read_history(MemoryStorage(), sync.stream).members_at(START)


def test_a_sync_of_another_history_is_refused(cohorts):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    history = read_history(storage, sync.stream)
    other = read_history(*_unsorted_bucket([("1", "ann")]))
    for method in (history.members_at, history.sync_at):
        with pytest.raises(ValueError, match="not in this history"):
            method(other[0])


def test_the_sync_at_a_time_is_the_newest_that_is_not_after_it(cohorts):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    history = read_history(storage, sync.stream)
    assert history.sync_at(TIMES[5] - timedelta(seconds=1)) == history[4]
    assert history.sync_at(TIMES[5]) == history.sync_at(history[5]) == history[5]
    assert history.sync_at() == history.sync_at(TIMES[-1] + timedelta(days=365)) == history[-1]
    with pytest.raises(NoSyncYetError, match="Pass a later time"):
        history.sync_at(START - timedelta(seconds=1))
    with pytest.raises(NoSyncYetError):
        read_history(MemoryStorage(), sync.stream).sync_at()


def test_events_show_who_entered_and_exited_at_each_sync(storage):
    sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    ann, bob, dee = ("1", "ann"), ("2", "bob"), ("4", "dee")
    for when, members in zip(TIMES, [[ann, bob], [bob, dee], [ann, bob]], strict=False):
        sync_cohort(sync, members, storage, synced_at=when)
    history = read_history(storage, sync.stream)
    assert history.record(history[-1]).number == 3
    assert [one.synced_at for one in history[:2]] == TIMES[:2]
    events = [(event.synced_at, event.diff_type, event.row) for event in history.events()]
    assert events == [
        (TIMES[0], ENTERING, ann),
        (TIMES[0], ENTERING, bob),
        (TIMES[1], ENTERING, dee),
        (TIMES[1], EXITING, ann),
        (TIMES[2], ENTERING, ann),
        (TIMES[2], EXITING, dee),
    ]
    assert "ann" not in repr(next(iter(history.events())))


# --- Files in any order, as Amplitude may write them -------------------------------------


def _unsorted_bucket(existing, entering=(), exiting=()):
    """A bucket without a log, whose one sync has files with rows in the given order."""
    storage = MemoryStorage()
    sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    for diff_type, rows in zip(DiffType, (entering, exiting, existing), strict=True):
        key = sync.stream.name(START, diff_type, sync.name_style).key("")
        storage.create(key, b"".join(sync.schema.encode(rows)))
    return storage, sync.stream


def test_members_of_unsorted_files_come_in_the_order_of_the_key_and_once():
    existing = [("3", "cy"), ("10", "kim"), ("2", "bob"), ("3", "ada")]
    bucket = _unsorted_bucket(existing, entering=[("2", "bob")], exiting=[("1", "ann")])
    members = read_history(*bucket).members_at(START)
    assert list(members) == list(members) == [("10", "kim"), ("2", "bob"), ("3", "ada")]


def test_rows_without_a_key_are_not_members_for_any_question():
    bucket = _unsorted_bucket([("", "bob"), ("1", "ann")], [("", "bob")], exiting=[("", "cy")])
    anonymous = _unsorted_bucket([("2", ""), ("3", ""), ("1", "ann")], [("3", "")], [("4", "")])
    for storage, stream, match_by in ((*bucket, "amplitude_id"), (*anonymous, "user_id")):
        history = read_history(storage, stream, match_by=match_by)
        assert list(history.members_at(START)) == [("1", "ann")]
        assert [stay.row for stay in history.intervals()] == [("1", "ann")]
        assert list(history.events()) == history.member_history("") == []
        assert [(one.members, one.entered, one.exited) for one in history.churn()] == [(1, 0, 0)]


# --- Missing files -----------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 5, 11])
def test_one_snapshot_and_the_changes_are_enough(cohorts, keep_log, kept):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=keep_log)
    for number, one in enumerate(read_history(storage, sync.stream)):
        if number != kept:
            storage.delete(one.files[EXISTING].key)
    history = read_history(storage, sync.stream)
    assert len(history) == len(TIMES)
    assert as_tuples(list(history.intervals())) == expected_stays(cohorts)
    for one, members in zip(history, cohorts, strict=True):
        assert {row[0] for row in history.members_at(one)} == set(members)


@pytest.mark.parametrize("lost", [ENTERING, EXITING])
def test_lost_changes_are_computed_from_the_members_around_them_and_reported(cohorts, lost):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    history = read_history(storage, sync.stream)
    storage.delete(history[4].files[lost].key)
    history = read_history(storage, sync.stream)
    assert as_tuples(list(history.intervals())) == expected_stays(cohorts)
    assert [f.kind for f in history.verify()] == [FindingKind.MISSING_FILE]


def test_an_edited_file_is_found(cohorts, keep_log):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=keep_log)
    history = read_history(storage, sync.stream)
    key = history[4].files[EXISTING].key
    data = storage.open(key).read()
    storage.delete(key)
    storage.create(key, data + b"99,z,\n")
    kinds = {f.kind for f in read_history(storage, sync.stream).verify()}
    expected = FindingKind.EDITED_FILE if keep_log else FindingKind.UNEXPLAINED_MEMBER
    assert expected in kinds


def test_the_meaning_of_existing_is_detected_from_the_files(cohorts, meaning, keep_log):
    storage, sync = build(cohorts, meaning, keep_log=keep_log)
    assert detect_existing_meaning(read_history(storage, sync.stream)) == {meaning}
