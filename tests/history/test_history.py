"""Histories: what was synced comes back, from our buckets and from ones without a log."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    UserProperty,
    detect_existing_meaning,
    list_streams,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import NoSyncYetError
from amplitude_cohort_s3.history import Stay
from amplitude_cohort_s3.history.findings import FindingKind

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = [START + timedelta(hours=n) for n in range(12)]


def random_cohorts(seed: int) -> list[dict[str, tuple[str, str, str]]]:
    chosen = random.Random(seed)
    cohorts = []
    for n in range(len(TIMES)):
        keys = chosen.sample(range(40), chosen.randint(5, 30))
        cohorts.append({str(k): (str(k), f"u{k}", f'plan,"{n % 3}\n') for k in keys})
    return cohorts


def build(cohorts, meaning: ExistingMeaning, *, keep_log: bool) -> tuple[MemoryStorage, CohortSync]:
    storage, log = MemoryStorage(), MemoryStorage()
    sync = CohortSync(
        destination=Destination(name="d", path="p", existing=meaning),
        project_id=1,
        cohort_id="abc",
        user_properties=(UserProperty("plan"),),
    )
    for when, members in zip(TIMES, cohorts, strict=True):
        sync_cohort(
            sync,
            list(members.values()),
            storage,
            synced_at=when,
            max_exits=100,
            log=storage if keep_log else log,
        )
    return storage, sync


def expected_stays(cohorts) -> list[tuple[str, datetime, datetime | None]]:
    stays = []
    for key in {k for members in cohorts for k in members}:
        entered = None
        for when, members in zip(TIMES, cohorts, strict=True):
            if key in members and entered is None:
                entered = when
            elif key not in members and entered is not None:
                stays.append((key, entered, when))
                entered = None
        if entered is not None:
            stays.append((key, entered, None))
    return sorted(stays, key=lambda stay: (stay[0].encode(), stay[1]))


def told(stays: list[Stay]) -> list[tuple[str, datetime | None, datetime | None]]:
    return [(stay.row[0], stay.entered, stay.exited) for stay in stays]


@pytest.fixture(params=list(ExistingMeaning), ids=lambda meaning: meaning.value)
def meaning(request) -> ExistingMeaning:
    return request.param


@pytest.fixture(params=[True, False], ids=["log", "no log"])
def keep_log(request) -> bool:
    return request.param


@pytest.fixture(params=range(3))
def cohorts(request):
    return random_cohorts(request.param)


def test_everything_that_was_synced_comes_back(cohorts, meaning, keep_log):
    storage, sync = build(cohorts, meaning, keep_log=keep_log)
    history = read_history(storage, sync.stream)
    assert [one.synced_at for one in history] == TIMES
    assert history.unpublished == ()
    for one, members in zip(history, cohorts, strict=True):
        assert sorted(history.members_at(one)) == sorted(members.values())
    assert told(list(history.intervals())) == expected_stays(cohorts)
    assert history.verify() == ()
    for one, (before, now) in zip(history.churn()[1:], pairwise(cohorts), strict=True):
        assert one.members == len(now)
        assert (one.entered, one.exited) == (len(now.keys() - before), len(before.keys() - now))
        assert one.entry_rate == len(now.keys() - before) / len(now)
        assert one.exit_rate == len(before.keys() - now) / len(before)
    key = expected_stays(cohorts)[0][0]
    assert told(history.member_history(key)) == [s for s in expected_stays(cohorts) if s[0] == key]


def test_no_file_is_read_until_it_is_asked_for(cohorts):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    opened: list[str] = []

    class Watched(MemoryStorage):
        def open(self, key, /):
            opened.append(key)
            return storage.open(key)

        def list_objects(self, prefix="", /, *, start_after=None):
            return storage.list_objects(prefix, start_after=start_after)

    history = read_history(Watched(), sync.stream, match_by="amplitude_id")
    assert len(history) == len(TIMES)
    assert opened == []
    list(history.members_at(TIMES[3]))
    assert [key for key in opened if key.endswith(".csv")] == [
        history[3].files[DiffType.EXISTING].key
    ]


def test_between_two_syncs_the_earlier_one_holds(cohorts, meaning):
    storage, sync = build(cohorts, meaning, keep_log=True)
    history = read_history(storage, sync.stream)
    just_before = TIMES[5] - timedelta(seconds=1)
    assert sorted(history.members_at(just_before)) == sorted(cohorts[4].values())
    with pytest.raises(NoSyncYetError, match="ask for a later time"):
        history.members_at(START - timedelta(seconds=1))


def test_the_meaning_of_existing_shows_in_the_data(cohorts, meaning, keep_log):
    storage, sync = build(cohorts, meaning, keep_log=keep_log)
    assert detect_existing_meaning(read_history(storage, sync.stream)) == {meaning}


@pytest.mark.parametrize("kept", [0, 5, 11])
def test_one_snapshot_and_the_changes_are_enough(cohorts, keep_log, kept):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=keep_log)
    for number, one in enumerate(read_history(storage, sync.stream)):
        if number != kept:
            storage.delete(one.files[DiffType.EXISTING].key)
    history = read_history(storage, sync.stream)
    assert len(history) == len(TIMES)
    assert told(list(history.intervals())) == expected_stays(cohorts)
    for one, members in zip(history, cohorts, strict=True):
        assert {row[0] for row in history.members_at(one)} == set(members)


@pytest.mark.parametrize("lost", [DiffType.ENTERING, DiffType.EXITING])
def test_a_lost_change_is_derived_from_its_neighbours_and_reported(cohorts, lost):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    history = read_history(storage, sync.stream)
    storage.delete(history[4].files[lost].key)
    history = read_history(storage, sync.stream)
    assert told(list(history.intervals())) == expected_stays(cohorts)
    assert [f.kind for f in history.verify()] == [FindingKind.MISSING_FILE]


def edit(storage: MemoryStorage, key: str, change) -> None:
    data = storage.open(key).read()
    storage.delete(key)
    storage.create(key, change(data))


def test_an_edited_file_is_found(cohorts, keep_log):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=keep_log)
    history = read_history(storage, sync.stream)
    key = history[4].files[DiffType.EXISTING].key
    edit(storage, key, lambda data: data.replace(b"amplitudeID,userID,plan\n", b"", 0) + b"99,z,\n")
    kinds = {f.kind for f in read_history(storage, sync.stream).verify()}
    expected = FindingKind.EDITED_FILE if keep_log else FindingKind.UNEXPLAINED_MEMBER
    assert expected in kinds


def test_strangers_are_skipped_with_a_reason(cohorts):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    storage.create("p/1_abc_notes.txt", b"")
    storage.create("p/1_abc_2026-01-01T00:00_entering_other.csv", b"")
    reasons = {s.key: s.reason for s in read_history(storage, sync.stream).skipped}
    assert "time must begin" in reasons["p/1_abc_notes.txt"]
    assert "another stream" in reasons["p/1_abc_2026-01-01T00:00_entering_other.csv"]


def test_a_bucket_shows_its_streams(cohorts):
    storage, sync = build(cohorts, ExistingMeaning.MEMBERS, keep_log=True)
    storage.create("q/r/7_zz_2026-01-01T00-00_entering_a_b.csv", b"")
    ours, other = list_streams(storage)
    assert (ours.stream, ours.syncs, ours.files, ours.has_log) == (sync.stream, 12, 36, True)
    assert (ours.first, ours.last) == (TIMES[0], TIMES[-1])
    assert (other.stream.path, other.stream.routing_key, other.has_log) == ("q/r", "a_b", False)
    assert [one.stream for one in list_streams(storage, "q")] == [other.stream]


def test_a_sync_that_is_published_between_the_listings_is_whole():
    storage, sync = build(random_cohorts(0), ExistingMeaning.MEMBERS, keep_log=True)
    last = TIMES[-1].isoformat()[:16]

    class Late(MemoryStorage):
        """Its first listing of the data was made before the last file was published."""

        listings = 0
        open = storage.open

        def list_objects(self, prefix="", /, *, start_after=None):
            self.listings += 1
            hidden = f"{last}_existing" if self.listings == 1 else "nothing"
            listing = storage.list_objects(prefix, start_after=start_after)
            return (info for info in listing if hidden not in info.key)

    history = read_history(Late(), sync.stream)
    assert [one.missing for one in history] == [()] * len(TIMES)
