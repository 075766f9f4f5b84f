"""Every storage call of a sync fails, before and after, and nothing is lost.

A run without failure is counted first; then the same run fails at its first call, at its
second, and so on to its last. After each failure the invariants hold for whoever looks,
and the same sync, run again, ends byte for byte where it would have ended without.
"""

from collections.abc import Callable
from itertools import count, product
from pathlib import Path

import pytest
from attrs import frozen
from cohorts import STREAM, content, ids_of, moment, sync_ids

from amplitude_cohort_s3 import (
    CohortS3Error,
    DiffType,
    LocalStorage,
    MemoryStorage,
    Storage,
    read_history,
    recover,
)
from amplitude_cohort_s3.errors import SyncTimeTakenError
from amplitude_cohort_s3.listing import parse_listing
from amplitude_cohort_s3.testing.faulty_storage import (
    Death,
    Fault,
    FaultyStorage,
    When,
    unknown_outcome,
)
from amplitude_cohort_s3.testing.invariants import StreamState, assert_invariants

FIRST, SECOND = [1, 2, 3], [2, 3, 4]


def failure(key: str) -> OSError:
    return OSError(f"injected at {key}")


def dies(at: int, when: When) -> Fault:
    """A process that is killed: nothing of it reaches a storage again."""
    return Fault(at=at, when=when)


def is_interrupted(at: int, when: When) -> Fault:
    """Ctrl-C: the code that cleans up runs, on a storage that works."""
    return Fault(at=at, when=when, forever=False)


def fails(at: int, when: When) -> Fault:
    return Fault(at=at, when=when, error=failure, forever=False)


def loses_the_answer(at: int, when: When) -> Fault:
    return Fault(at=at, when=when, error=unknown_outcome, forever=False)


def goes_down(at: int, when: When) -> Fault:
    """The store fails, and the code that cleans up fails too."""
    return Fault(at=at, when=when, error=failure)


FAILURES = [dies, is_interrupted, fails, loses_the_answer, goes_down]
MOMENTS: list[When] = ["before", "midway", "after"]


@frozen
class Place:
    """Where the data and the log are; the same storage, unless there is an own one for the log."""

    storage: Storage
    own_log: Storage | None

    def failing(self, fault: Fault) -> "Place":
        return Place(
            FaultyStorage(self.storage, fault),
            None if self.own_log is None else FaultyStorage(self.own_log, fault),
        )

    def sync(self, ids: list[int], minute: int) -> None:
        sync_ids(self.storage, ids, minute, log=self.own_log)

    def recover(self) -> None:
        recover(self.storage, STREAM, log=self.own_log)

    def check(self, earlier: StreamState | None = None) -> StreamState:
        return assert_invariants(self.storage, STREAM, self.own_log, earlier=earlier)

    def content(self) -> dict[str, bytes]:
        return content(self.storage, self.own_log)


@pytest.fixture(params=["memory", "memory, own log", "local", "local, own log"])
def new_place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Place]:
    """Makes an empty place for each case."""
    kind, _, own_log = request.param.partition(", ")
    if kind == "memory":
        return lambda: Place(MemoryStorage(), MemoryStorage() if own_log else None)
    # Power cuts have a test of their own; here each would cost 5 ms and show nothing.
    monkeypatch.setattr("os.fsync", lambda _: None)
    numbers = count()

    def new() -> Place:
        root = tmp_path / str(next(numbers))
        return Place(LocalStorage(root / "data"), LocalStorage(root / "log") if own_log else None)

    return new


Work = Callable[[Place], None]


def nothing(place: Place) -> None:
    pass


def first_sync(place: Place) -> None:
    place.sync(FIRST, 0)


def ordinary_sync(place: Place) -> None:
    place.sync(SECOND, 1)


def repeated_sync(place: Place) -> None:
    place.sync(FIRST, 0)


def calls_of(work: Work, place: Place) -> list[str]:
    fault = Fault()
    work(place.failing(fault))
    return fault.calls


def attempt(work: Work, place: Place, fault: Fault) -> bool:
    """Runs into the fault; whether it came out as what it is."""
    try:
        work(place.failing(fault))
    except (Death, OSError, CohortS3Error):
        return True
    return False


def check_rerun(
    place: Place, work: Work, expected: dict[str, bytes], earlier: StreamState | None = None
) -> None:
    """The same again ends where a run without a failure ends, and leaves nothing open."""
    found = place.check(earlier)
    work(place)
    assert place.content() == expected
    ended = place.check(found)
    assert ended.in_doubt is None
    assert len(ended.records) == len(ended.published)


@pytest.mark.parametrize("fail", FAILURES)
@pytest.mark.parametrize(
    ("prepare", "work"),
    [(nothing, first_sync), (first_sync, ordinary_sync), (first_sync, repeated_sync)],
)
def test_a_sync_that_fails_at_any_call_loses_nothing(
    new_place: Callable[[], Place],
    prepare: Work,
    work: Work,
    fail: Callable[[int, When], Fault],
    record_property: Callable[[str, object], None],
) -> None:
    place = new_place()
    prepare(place)
    calls = calls_of(work, place)
    expected = place.content()
    for at, when in product(range(len(calls)), MOMENTS):
        place = new_place()
        prepare(place)
        earlier = place.check()
        assert attempt(work, place, fail(at, when)), f"{calls[at]} failed, and nobody heard of it"
        check_rerun(place, work, expected, earlier)
    record_property("cases", len(calls) * len(MOMENTS))


@pytest.mark.parametrize("work", [ordinary_sync, Place.recover])
def test_a_recovery_that_fails_at_any_call_loses_nothing(
    new_place: Callable[[], Place],
    work: Work,
    record_property: Callable[[str, object], None],
) -> None:
    place = new_place()
    first_sync(place)
    calls = calls_of(ordinary_sync, place)
    expected = place.content()
    cases = 0
    # Before the record is created nothing is decided, and a rerun is a first run. A death
    # before a call leaves what one after the call before it left, so one of them is enough.
    for at in range(calls.index("create"), len(calls)):
        place = new_place()
        first_sync(place)
        attempt(ordinary_sync, place, dies(at, "after"))
        again = calls_of(work, place)
        for at_again in range(len(again)):
            place = new_place()
            first_sync(place)
            attempt(ordinary_sync, place, dies(at, "after"))
            assert attempt(work, place, dies(at_again, "after"))
            check_rerun(place, ordinary_sync, expected)
            cases += 1
    record_property("cases", cases)


def test_after_any_cut_a_reader_sees_the_old_state_or_the_new(
    new_place: Callable[[], Place], record_property: Callable[[str, object], None]
) -> None:
    """By the history, and by looking for whole sets of files, without the log."""
    place = new_place()
    first_sync(place)
    calls = calls_of(ordinary_sync, place)
    seen = set[tuple[frozenset[int], ...]]()
    for at, when in product(range(len(calls)), MOMENTS):
        place = new_place()
        first_sync(place)
        attempt(ordinary_sync, place, dies(at, when))
        history = read_history(place.storage, STREAM, log=place.own_log)
        seen.add(tuple(frozenset(ids_of(history.members_at(sync))) for sync in history))
        visible = {
            item.name.diff_type
            for item in parse_listing(STREAM, place.storage.list_objects(STREAM.data_prefix))
            if item.name.synced_at == moment(1)
        }
        assert DiffType.EXISTING not in visible or visible == set(DiffType)
    old, new = frozenset(FIRST), frozenset(SECOND)
    assert seen == {(old,), (old, new)}
    record_property("cases", len(calls) * len(MOMENTS))


@pytest.mark.parametrize("lie", ["cut short", "flipped"])
def test_a_read_that_lies_is_found_out_or_does_not_matter(
    new_place: Callable[[], Place], lie: When, record_property: Callable[[str, object], None]
) -> None:
    place = new_place()
    first_sync(place)
    calls = calls_of(ordinary_sync, place)
    expected = place.content()
    heard = 0
    for at in range(len(calls)):
        place = new_place()
        first_sync(place)
        earlier = place.check()
        heard += attempt(ordinary_sync, place, Fault(at=at, when=lie, forever=False))
        check_rerun(place, ordinary_sync, expected, earlier)
    assert heard == calls.count("open")
    record_property("cases", calls.count("open"))


def test_a_void_first_sync_does_not_block_the_minute_that_it_left_files_in(new_place):
    """There is no head yet that could tell of them."""
    place = new_place()
    calls = calls_of(first_sync, place)
    for number in range(2):
        place = new_place()
        attempt(first_sync, place, dies(calls.index("publish") + number, "after"))
        in_doubt = place.check().in_doubt
        place.storage.discard(in_doubt.files[DiffType.EXISTING].staged)
        place.recover()
        with pytest.raises(SyncTimeTakenError) as caught:
            first_sync(place)
        assert caught.value.next_free == moment(1)
        done = sync_ids(place.storage, SECOND, None, log=place.own_log)
        assert done.record.synced_at == moment(1)
        assert len(place.check().published) == 1
