"""All questions of a history have one answer, which is that of plain dicts of the members."""

import random
from datetime import datetime, timedelta

import pytest
from foreign_history import (
    ENTERING,
    EXISTING,
    EXITING,
    STREAM,
    ForeignHistory,
    key_of,
    random_history,
)
from random_history import TIMES, build, random_cohorts

from amplitude_cohort_s3 import (
    CohortHistory,
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    UserProperty,
    adopt,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import UnknownMembersError
from amplitude_cohort_s3.history import key_digests

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def stays_in(members: list[dict], times: list) -> list[tuple]:
    """Return the key, entry and exit of each stay, computed directly from the members."""
    stays = []
    for key in {key for one in members for key in one}:
        entered = None
        for number, one in enumerate(members):
            if key in one and entered is None:
                entered = number
            if key not in one and entered is not None:
                stays.append((key, times[entered], times[number]))
                entered = None
        if entered is not None:
            stays.append((key, times[entered], None))
    return sorted(stays, key=lambda stay: (stay[0].encode(), stay[1]))


def assert_one_answer(
    history: CohortHistory, members: list[dict], *, unknown_start: bool = False
) -> None:
    """Compare all questions with the members at each sync.

    With an unknown start, users at the first sync have no known entry.
    """
    times = [sync.synced_at for sync in history]
    index = history.columns.index(history.match_by)
    assert [{r[index] for r in history.members_at(s)} for s in history] == [
        set(one) for one in members
    ]
    expected = stays_in(members, times)
    found = list(history.intervals())
    if unknown_start:
        in_window = [one for one in found if one.exited != times[0]]
        # Users who left at the first sync were members before it.
        stays = [(s.row[index], s.entered or times[0], s.exited) for s in in_window]
    else:
        stays = [(s.row[index], s.entered, s.exited) for s in found]
    assert sorted(stays, key=str) == sorted(expected, key=str)
    for key in [*sorted({one[0] for one in expected})[:2], "nobody"]:
        assert history.member_history(key) == [one for one in found if one.row[index] == key]
    churn = history.churn()
    assert [one.members for one in churn] == [len(one) for one in members]
    events = list(history.events())
    replayed = set(members[0]) if members else set()
    for number, when in enumerate(times):
        entered, exited = (
            [
                e.row[e.columns.index(history.match_by)]
                for e in events
                if (e.synced_at, e.diff_type) == (when, t)
            ]
            for t in (ENTERING, EXITING)
        )
        assert len(entered) == len(set(entered)) == churn[number].entered
        assert len(exited) == len(set(exited)) == churn[number].exited
        if number:
            assert churn[number].members_before == len(members[number - 1])
            assert replayed.isdisjoint(entered)
            assert replayed >= set(exited)
            replayed = (replayed | set(entered)) - set(exited)
        assert replayed == set(members[number])


def read(bucket: ForeignHistory, **window) -> CohortHistory:
    return read_history(bucket.storage, STREAM, match_by=bucket.match_by, **window)


@pytest.fixture(params=["amplitude_id", "user_id"])
def match_by(request) -> str:
    return request.param


@pytest.fixture(params=[HOUR, DAY, 17 * HOUR], ids=["hourly", "daily", "irregular"])
def step(request) -> timedelta:
    return request.param


# --- Odd rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_odd_rows_of_foreign_files_count_once_or_not_at_all(seed, meaning, match_by, step):
    bucket = random_history(seed, meaning, match_by, step)
    history = read(bucket)
    assert_one_answer(history, bucket.members)
    for sync, members in zip(history, bucket.members, strict=True):
        assert sorted(history.members_at(sync)) == sorted(members.values())


@pytest.mark.parametrize("step", [DAY, 17 * HOUR])
def test_a_user_in_entering_and_in_exiting_is_not_a_member(step):
    ann, bob = "1,ann\n", "2,bob\n"
    files = [(ann, "", ann), (bob, bob, ann), (bob, "", ann + bob), (ann, ann, bob)]
    one, two = {"1": ("1", "ann")}, {"2": ("2", "bob")}
    members = [one, one, one | two, two]
    storage, times = MemoryStorage(), [TIMES[0] + number * step for number in range(4)]
    for when, contents in zip(times, files, strict=True):
        for diff_type, rows in zip(DiffType, contents, strict=True):
            storage.create(key_of(when, diff_type), f"amplitude_id,user_id\n{rows}".encode())
    bucket = ForeignHistory(storage, "amplitude_id", members, times)
    history = read(bucket)
    assert [list(history.members_at(s)) for s in history] == [list(one.values()) for one in members]
    assert [one.members for one in history.churn()] == [1, 1, 2, 1]
    if step != DAY:
        assert_one_answer(history, members)


# --- Lost files ----------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [(0,), (1,), (3,), (6,), (2, 3), (1, 3, 5), (0, 1, 4)])
def test_lost_syncs_without_a_log_are_derived_from_the_snapshots(lost, meaning, match_by, step):
    bucket = random_history(11, meaning, match_by, step)
    for number in reversed(lost):
        bucket = bucket.lose(number)
    history = read(bucket)
    assert_one_answer(history, bucket.members, unknown_start=0 in lost)


@pytest.mark.parametrize("lost", [(1, 2), (2,), (4,), (6,)])
def test_a_lost_sync_beside_a_lost_existing_is_derived_without_a_log(lost, meaning, match_by):
    bucket = random_history(5, meaning, match_by, HOUR)
    bucket.remove(5, EXISTING)
    for number in reversed(lost):
        bucket = bucket.lose(number)
    assert_one_answer(read(bucket), bucket.members)


@pytest.mark.parametrize("lost", [(1, 2), (4,)])
def test_if_the_place_of_a_lost_sync_is_unsure_the_changes_show_it(lost, meaning, match_by):
    bucket = random_history(5, meaning, match_by, 17 * HOUR)
    bucket.remove(5, EXISTING)
    for number in reversed(lost):
        bucket = bucket.lose(number)
    assert_one_answer(read(bucket), bucket.members)


@pytest.mark.parametrize("lacks", [(EXISTING,), (EXISTING, ENTERING), (EXISTING, EXITING)])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_members_that_the_changes_contradict_are_unknown(seed, number, lacks, meaning):
    """The sync after the one that lacks files is lost, so nothing leads to its members."""
    bucket = random_history(seed, meaning, "amplitude_id", 17 * HOUR)
    for diff_type in lacks:
        bucket.remove(number, diff_type)
    bucket = bucket.lose(number + 1)
    history = read(bucket)
    found = []
    for one in history:
        try:
            found.append({row[0]: row for row in history.members_at(one)})
        except UnknownMembersError:
            with pytest.raises(UnknownMembersError):
                history.churn()
            return
    assert_one_answer(history, found, unknown_start=not number)


@pytest.mark.parametrize("minutes", [(1015, 336, 636, 331), (20, 40, 45, 20)])
def test_a_lost_sync_of_an_irregular_history_is_never_taken_for_a_schedule(minutes, meaning):
    """Without the sync that is lost, one time between two syncs is about an hour or a day."""
    bucket = random_history(4, meaning, "user_id", DAY, syncs=5)
    times = [bucket.times[0]]
    for gap in minutes:
        times.append(times[-1] + timedelta(minutes=gap))
    for old, new in zip(bucket.times, times, strict=True):
        for diff_type in DiffType:
            data = bucket.storage.open(key_of(old, diff_type)).read()
            bucket.storage.delete(key_of(old, diff_type))
            bucket.storage.create(key_of(new, diff_type), data)
    moved = ForeignHistory(bucket.storage, "user_id", bucket.members, times).lose(1)
    assert_one_answer(read(moved), moved.members)


def test_members_are_compared_one_by_one_if_too_many_changed_for_a_digest(meaning, monkeypatch):
    monkeypatch.setattr(key_digests, "MAX_CHANGES", 0)
    bucket = random_history(7, meaning, "user_id", 17 * HOUR)
    assert not any(event.derived for event in read(bucket).events())
    bucket = bucket.lose(2)
    assert_one_answer(read(bucket), bucket.members)


def test_changes_across_a_lost_sync_are_marked_as_derived():
    bucket = random_history(2, ExistingMeaning.MEMBERS, "amplitude_id", DAY).lose(3)
    derived = {event.synced_at for event in read(bucket).events() if event.derived}
    assert derived == {bucket.times[3]}


@pytest.mark.parametrize("seed", range(12))
def test_members_are_right_or_unknown_if_files_beside_a_log_are_lost(seed, meaning):
    chosen = random.Random(seed)
    cohorts = random_cohorts(seed)
    storage, sync = build(cohorts, meaning, keep_log=True)
    for one in read_history(storage, sync.stream):
        whole = chosen.random() < 0.15
        for diff_type in DiffType:
            if whole or chosen.random() < 0.15:
                storage.delete(one.files[diff_type].key)
    history = read_history(storage, sync.stream)
    truth = [cohorts[TIMES.index(one.synced_at)] for one in history]
    known = []
    for one, members in zip(history, truth, strict=True):
        try:
            assert {row[0] for row in history.members_at(one)} == set(members)
            known.append(True)
        except UnknownMembersError:
            known.append(False)
    assert sum(known) >= len(known) // 2
    if all(known):
        assert_one_answer(history, truth, unknown_start=not history.has_known_start)
    else:
        for question in (history.churn, lambda: list(history.intervals())):
            with pytest.raises(UnknownMembersError, match="files are lost"):
                question()


def test_changes_after_a_lost_baseline_are_derived():
    bucket = random_history(3, ExistingMeaning.MEMBERS, "user_id", DAY)
    adopt(bucket.storage, STREAM, match_by="user_id")
    sync = CohortSync(
        destination=Destination(name="d", path="in", match_by="user_id"),
        project_id=1,
        cohort_id="a",
        user_properties=(UserProperty("plan"),),
    )
    members, newest = {"u3": ("3", "u3", "x")}, bucket.times[-1] + DAY
    sync_cohort(sync, list(members.values()), bucket.storage, synced_at=newest, guard=False)
    rest = bucket.lose(6)
    history = read(rest)
    assert_one_answer(history, [*rest.members, members])
    assert {event.synced_at for event in history.events() if event.derived} == {newest}


# --- A published history of memberships -----------------------------------------------------------

CONSTITUENTS = """\
ticker,start_date,end_date
ALFA,2019-03-01,
BETA,2019-03-01,2020-06-22
BETA,2021-09-20,2023-03-20
CHI,2019-03-01,2019-12-23
DELTA,2019-12-23,
ECHO,2020-06-22,2021-09-20
FAUN,2023-03-20,
"""
"""An index in the form in which the constituents of stock indices are published: a member of
the index is replaced at irregular times, and one of them returns."""


@pytest.mark.parametrize("lost", [(), (1,), (2, 3), (0, 4)])
def test_published_stays_come_back_from_the_lists_of_each_change(lost):
    published = [line.split(",") for line in CONSTITUENTS.splitlines()[1:]]
    dates = sorted({day for _, *days in published for day in days if day})
    times = [datetime.fromisoformat(f"{day}T16:00+00:00") for day in dates]
    storage, before, members = MemoryStorage(), set(), []
    for day, when in zip(dates, times, strict=True):
        now = {ticker for ticker, start, end in published if start <= day < (end or "9")}
        for diff_type, keys in zip(DiffType, (now - before, before - now, now), strict=True):
            lines = "".join(f"{key}\r\n" for key in keys)
            storage.create(key_of(when, diff_type), f"Amplitude_ID\r\n{lines}".encode())
        members.append({key: (key, "") for key in now})
        before = now
    bucket = ForeignHistory(storage, "amplitude_id", members, times)
    for number in reversed(lost):
        bucket = bucket.lose(number)
    assert_one_answer(read(bucket), bucket.members, unknown_start=0 in lost)
    if not lost:
        found = [
            (s.row[0], str(s.entered)[:10], str(s.exited or "")[:10])
            for s in read(bucket).intervals()
        ]
        assert found == [tuple(one) for one in published]
