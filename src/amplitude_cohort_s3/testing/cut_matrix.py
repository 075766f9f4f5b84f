"""Every storage call of a sync fails, before, midway and after, and nothing is lost.

A run without failure is counted first; then the same run fails at its first call, at its
second, and so on to its last. After each failure the invariants hold for whoever looks,
and the same sync, run again, ends byte for byte where it would have ended without::

    class TestMyStorageCut(CutMatrix):
        @pytest.fixture
        def new_storage(self, tmp_path):
            numbers = itertools.count()
            return lambda: MyStorage(tmp_path / str(next(numbers)))
"""

from collections.abc import Callable
from itertools import product
from typing import ClassVar

import pytest
from attrs import frozen

from ..errors import CohortS3Error, SyncTimeTakenError
from ..format.filename import DiffType
from ..history.read import read_history
from ..log.listing import StreamFile, parse_listing
from ..storage import Storage
from ..sync.recover import recover
from .faulty_storage import Death, Fault, FaultyStorage, When, unknown_outcome
from .invariants import StreamState, assert_invariants
from .small_cohort import STREAM, content, ids_of, moment, sync_ids

FIRST, SECOND = [1, 2, 3], [2, 3, 4]


def dies(at: int, when: When) -> Fault:
    """A process that is killed: nothing of it reaches a storage again."""
    return Fault(at=at, when=when)


def is_interrupted(at: int, when: When) -> Fault:
    """Ctrl-C: the code that cleans up runs, on a storage that works."""
    return Fault(at=at, when=when, forever=False)


def fails(at: int, when: When) -> Fault:
    """One call fails, with an error that says nothing."""
    return Fault(at=at, when=when, error=_failure, forever=False)


def loses_the_answer(at: int, when: When) -> Fault:
    """One call fails, and says that it may have happened."""
    return Fault(at=at, when=when, error=unknown_outcome, forever=False)


def goes_down(at: int, when: When) -> Fault:
    """The store fails, and the code that cleans up fails too."""
    return Fault(at=at, when=when, error=_failure)


def _failure(key: str) -> OSError:
    return OSError(f"injected at {key}")


MakeFault = Callable[[int, When], Fault]
RecordProperty = Callable[[str, object], None]


@frozen
class Place:
    """Where the data and the log are; the same storage, unless there is an own one for the log."""

    storage: Storage
    own_log: Storage | None

    def failing(self, fault: Fault) -> "Place":
        """The same place as a process sees it that meets the fault."""
        return Place(
            FaultyStorage(self.storage, fault),
            None if self.own_log is None else FaultyStorage(self.own_log, fault),
        )

    def sync(self, ids: list[int], minute: int) -> None:
        """One sync of these members."""
        sync_ids(self.storage, ids, minute, log=self.own_log)

    def recover(self) -> None:
        """Finishes what was left."""
        recover(self.storage, STREAM, log=self.own_log)

    def check(self, earlier: StreamState | None = None) -> StreamState:
        """Asserts the invariants."""
        return assert_invariants(self.storage, STREAM, self.own_log, earlier=earlier)

    def content(self) -> dict[str, bytes]:
        """All that is visible."""
        return content(self.storage, self.own_log)


Work = Callable[[Place], None]


def _nothing(place: Place) -> None:
    pass


def _first_sync(place: Place) -> None:
    place.sync(FIRST, 0)


def _ordinary_sync(place: Place) -> None:
    place.sync(SECOND, 1)


def _repeated_sync(place: Place) -> None:
    place.sync(FIRST, 0)


class CutMatrix:
    """The exhaustive proof that no cut loses anything, for any Storage.

    The subclass gives the fixture ``new_storage``: a function that makes a fresh, empty
    storage each time it is called, some hundreds of times. A slow store may be proven
    with fewer kinds of failures.

    Attributes:
        failures: The kinds of failures.
        moments: Where in a call they happen.
        own_log: Whether the log is in the storage of the data, in one of its own, or
            both in turn.
    """

    failures: ClassVar[tuple[MakeFault, ...]] = (
        dies,
        is_interrupted,
        fails,
        loses_the_answer,
        goes_down,
    )
    moments: ClassVar[tuple[When, ...]] = ("before", "midway", "after")
    own_log: ClassVar[tuple[bool, ...]] = (False, True)

    @pytest.fixture
    def new_storage(self) -> Callable[[], Storage]:
        """Makes fresh, empty storages."""
        raise NotImplementedError("override the fixture `new_storage` in your subclass")

    @pytest.fixture
    def new_places(self, new_storage: Callable[[], Storage]) -> list[Callable[[], Place]]:
        """Makes an empty place for each case: one maker for each place of the log."""

        def maker(own_log: bool) -> Callable[[], Place]:  # noqa: FBT001
            return lambda: Place(new_storage(), new_storage() if own_log else None)

        return [maker(own_log) for own_log in self.own_log]

    @pytest.mark.parametrize(
        ("prepare", "work"),
        [(_nothing, _first_sync), (_first_sync, _ordinary_sync), (_first_sync, _repeated_sync)],
        ids=["first sync", "ordinary sync", "repeated sync"],
    )
    def test_a_sync_that_fails_at_any_call_loses_nothing(
        self,
        new_places: list[Callable[[], Place]],
        prepare: Work,
        work: Work,
        record_property: RecordProperty,
    ) -> None:
        cases = 0
        for new_place in new_places:
            place = new_place()
            prepare(place)
            calls = calls_of(work, place)
            expected = place.content()
            for fail, at, when in product(self.failures, range(len(calls)), self.moments):
                place = new_place()
                prepare(place)
                earlier = place.check()
                heard = attempt(work, place, fail(at, when))
                assert heard, f"{calls[at]} failed, and nobody heard of it"
                check_rerun(place, work, expected, earlier)
                cases += 1
        record_property("cases", cases)

    @pytest.mark.parametrize(
        "work", [_ordinary_sync, Place.recover], ids=["by a sync", "by recover()"]
    )
    def test_a_recovery_that_fails_at_any_call_loses_nothing(
        self,
        new_places: list[Callable[[], Place]],
        work: Work,
        record_property: RecordProperty,
    ) -> None:
        cases = 0
        for new_place in new_places:
            place = new_place()
            _first_sync(place)
            calls = calls_of(_ordinary_sync, place)
            expected = place.content()
            # Before the record is created nothing is decided, and a rerun is a first run. A
            # death before a call leaves what one after the call before it left.
            for at in range(calls.index("create"), len(calls)):
                again = calls_of(work, _cut_at(new_place, at))
                for at_again in range(len(again)):
                    place = _cut_at(new_place, at)
                    assert attempt(work, place, dies(at_again, "after"))
                    check_rerun(place, _ordinary_sync, expected)
                    cases += 1
        record_property("cases", cases)

    def test_after_any_cut_a_reader_sees_the_old_state_or_the_new(
        self, new_places: list[Callable[[], Place]], record_property: RecordProperty
    ) -> None:
        """By the history, and by looking for whole sets of files, without the log."""
        cases = 0
        for new_place in new_places:
            place = new_place()
            _first_sync(place)
            calls = calls_of(_ordinary_sync, place)
            seen = set[tuple[frozenset[int], ...]]()
            for at, when in product(range(len(calls)), self.moments):
                place = _cut_at(new_place, at, when)
                history = read_history(place.storage, STREAM, log=place.own_log)
                seen.add(tuple(frozenset(ids_of(history.members_at(sync))) for sync in history))
                visible = {
                    item.name.diff_type
                    for item in parse_listing(
                        STREAM, place.storage.list_objects(STREAM.data_prefix)
                    )
                    if isinstance(item, StreamFile) and item.name.synced_at == moment(1)
                }
                assert DiffType.EXISTING not in visible or visible == set(DiffType)
                cases += 1
            old, new = frozenset(FIRST), frozenset(SECOND)
            assert seen == {(old,), (old, new)}
        record_property("cases", cases)

    @pytest.mark.parametrize("lie", ["cut short", "flipped"])
    def test_a_read_that_lies_is_found_out_or_does_not_matter(
        self,
        new_places: list[Callable[[], Place]],
        lie: When,
        record_property: RecordProperty,
    ) -> None:
        cases = 0
        for new_place in new_places:
            place = new_place()
            _first_sync(place)
            calls = calls_of(_ordinary_sync, place)
            expected = place.content()
            heard = 0
            for at in range(len(calls)):
                place = new_place()
                _first_sync(place)
                earlier = place.check()
                heard += attempt(_ordinary_sync, place, Fault(at=at, when=lie, forever=False))
                check_rerun(place, _ordinary_sync, expected, earlier)
            assert heard == calls.count("open")
            cases += heard
        record_property("cases", cases)

    def test_a_void_first_sync_does_not_block_the_minute_that_it_left_files_in(
        self, new_places: list[Callable[[], Place]]
    ) -> None:
        """There is no head yet that could tell of them."""
        for new_place, number in product(new_places, range(2)):
            place = new_place()
            calls = calls_of(_first_sync, new_place())
            attempt(_first_sync, place, dies(calls.index("publish") + number, "after"))
            in_doubt = place.check().in_doubt
            assert in_doubt is not None
            staged = in_doubt.files[DiffType.EXISTING].staged
            assert staged is not None
            place.storage.discard(staged)
            place.recover()
            with pytest.raises(SyncTimeTakenError) as caught:
                _first_sync(place)
            assert caught.value.next_free == moment(1)
            done = sync_ids(place.storage, SECOND, None, log=place.own_log)
            assert done.record.synced_at == moment(1)
            assert len(place.check().published) == 1


def calls_of(work: Work, place: Place) -> list[str]:
    """The storage calls of a run without failure."""
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


def _cut_at(new_place: Callable[[], Place], at: int, when: When = "after") -> Place:
    """A place whose second sync died at a call."""
    place = new_place()
    _first_sync(place)
    attempt(_ordinary_sync, place, dies(at, when))
    return place
