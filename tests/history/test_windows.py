"""A window of a history: the syncs that are read, the questions, and the cost."""

from datetime import timedelta

import pytest
from foreign_history import EXISTING, STREAM, key_of, random_history
from random_history import TIMES, build
from test_one_answer import DAY, HOUR, assert_one_answer
from test_read_history import Watched

from amplitude_cohort_s3 import ExistingMeaning, MemoryStorage, read_history
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    ConfigurationError,
    NaiveDatetimeError,
    NoSyncYetError,
    UnknownMembersError,
)

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(("first", "last"), [(0, 11), (3, 7), (4, 4), (0, 6), (6, 11)])
def test_a_window_is_the_history_of_its_syncs(cohorts, meaning, keep_log, first, last):
    storage, sync = build(cohorts, meaning, keep_log=keep_log)
    history = read_history(storage, sync.stream, since=TIMES[first], until=TIMES[last])
    assert [one.synced_at for one in history] == TIMES[first : last + 1]
    assert_one_answer(history, cohorts[first : last + 1], unknown_start=first > 0)
    assert history.verify() == ()


@pytest.mark.parametrize("seed", range(3))
def test_events_of_adjacent_windows_are_those_of_the_whole(seed, meaning):
    bucket = random_history(seed, meaning, "user_id", DAY)

    def events(**window):
        return list(read_history(bucket.storage, STREAM, match_by="user_id", **window).events())

    middle = bucket.times[3]
    assert events(until=middle) + events(since=middle + MINUTE) == events()


def test_members_outside_of_the_window_are_unknown(cohorts):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    since, until = TIMES[3] - MINUTE, TIMES[6] + MINUTE
    history = read_history(storage, sync.stream, since=since, until=until)
    assert {row[0] for row in history.members_at(until)} == set(cohorts[6])
    with pytest.raises(UnknownMembersError, match=r"until=.*later until"):
        history.members_at(until + MINUTE)
    for early in (since, since - HOUR):
        with pytest.raises(UnknownMembersError, match=r"since=.*earlier since"):
            history.members_at(early)
    empty = read_history(storage, sync.stream, since=since, until=since)
    assert not empty
    assert not list(empty.intervals()) + list(empty.events()) + list(empty.churn())


def test_without_a_time_the_members_are_those_at_the_newest_sync(cohorts, keep_log):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=keep_log)
    history = read_history(storage, sync)
    assert list(history.members_at()) == list(history.members_at(history[-1]))
    assert {row["amplitude_id"] for row in history.members_at()} == set(cohorts[-1])
    # The newest sync that was read, whatever the time is.
    part = read_history(storage, sync, until=TIMES[6] + MINUTE)
    assert {row["amplitude_id"] for row in part.members_at()} == set(cohorts[6])
    with pytest.raises(UnknownMembersError, match=r"since=.*earlier since"):
        read_history(storage, sync, since=TIMES[-1] + MINUTE).members_at()
    with pytest.raises(NoSyncYetError, match="no complete sync"):
        read_history(MemoryStorage(), sync).members_at()


def test_a_window_without_a_snapshot_says_that_the_members_are_unknown(cohorts):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    for one in read_history(storage, sync.stream)[3:8]:
        storage.delete(one.files[EXISTING].key)
    history = read_history(storage, sync.stream, since=TIMES[3], until=TIMES[7])
    with pytest.raises(UnknownMembersError, match="files are lost"):
        history.members_at(TIMES[5])
    with pytest.raises(UnknownMembersError, match="files are lost"):
        history.churn()
    assert all(event.synced_at >= TIMES[3] for event in history.events())


@pytest.mark.parametrize("window", [{"since": TIMES[5]}, {"until": TIMES[5]}])
def test_files_outside_of_the_window_are_not_opened(cohorts, keep_log, window):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=keep_log)
    watched = Watched(storage)
    history = read_history(watched, sync.stream, **window)
    history.churn()
    assert list(history.events())
    assert list(history.intervals())
    assert history.unpublished == history.verify() == ()
    allowed = {info.key for one in history for info in one.files.values()}
    assert {key for key in watched.opened if key.endswith(".csv")} <= allowed


def test_a_window_needs_times_with_a_zone_in_their_order(cohorts):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    with pytest.raises(NaiveDatetimeError):
        read_history(storage, sync.stream, since=TIMES[0].replace(tzinfo=None))
    with pytest.raises(ArgumentTypeError):
        read_history(storage, sync.stream, until="2026-01-01")
    with pytest.raises(ConfigurationError, match="since must not be after until"):
        read_history(storage, sync.stream, since=TIMES[1], until=TIMES[0])


# --- The cost of events -------------------------------------------------------------------------


@pytest.mark.parametrize("step", [HOUR, DAY], ids=["hourly", "daily"])
def test_events_of_a_schedule_never_open_existing(meaning, step):
    bucket = random_history(3, meaning, "amplitude_id", step)
    watched = Watched(bucket.storage)
    history = read_history(watched, STREAM)
    assert list(history.events())
    assert history.events().to_arrow().num_rows
    assert not [key for key in watched.opened if "existing" in key]


def test_events_open_existing_only_around_a_sync_that_may_be_lost():
    bucket = random_history(3, ExistingMeaning.MEMBERS, "amplitude_id", DAY).lose(3)
    watched = Watched(bucket.storage)
    assert any(event.derived for event in read_history(watched, STREAM).events())
    opened = {key for key in watched.opened if "existing" in key}
    assert opened == {key_of(bucket.times[number], EXISTING) for number in (2, 3)}
