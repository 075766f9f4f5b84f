"""A test of a storage in which each call of a sync fails in turn, and nothing may be lost.

The storage calls of a run without failure are counted first. Then the run is repeated for each
call in a fresh storage, and fails before, midway in or after that call. After each failure the
invariants must hold, and when the same sync is run again, the storage must have the same bytes as
after a run without failure::

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
from .faulty_storage import Death, Fault, When, unknown_outcome, with_fault
from .invariants import StreamState, assert_invariants
from .small_cohort import STREAM, content, ids_of, moment, sync_ids

FIRST, SECOND = [1, 2, 3], [2, 3, 4]


def dies(at: int, when: When) -> Fault:
    """Return the fault of a process that is killed, so that no later call reaches a storage."""
    return Fault(at=at, when=when)


def is_interrupted(at: int, when: When) -> Fault:
    """Return the fault of Ctrl-C, after which the cleanup runs and its calls succeed."""
    return Fault(at=at, when=when, forever=False)


def fails(at: int, when: When) -> Fault:
    """Return the fault of one call that fails with an error of the store."""
    return Fault(at=at, when=when, error=_failure, forever=False)


def loses_the_answer(at: int, when: When) -> Fault:
    """Return the fault of one call whose response is lost."""
    return Fault(at=at, when=when, error=unknown_outcome, forever=False)


def goes_down(at: int, when: When) -> Fault:
    """Return the fault of a store that is down, so that the calls of the cleanup fail too."""
    return Fault(at=at, when=when, error=_failure)


def _failure(key: str) -> OSError:
    return OSError(f"injected at {key}")


MakeFault = Callable[[int, When], Fault]
RecordProperty = Callable[[str, object], None]


@frozen
class StreamStorages:
    """The storages of a stream.

    Attributes:
        data: The storage of the data.
        log: The storage of the log, or None if the data and the log share one.
    """

    data: Storage
    log: Storage | None

    def failing(self, fault: Fault) -> "StreamStorages":
        """Return the same storages with a fault."""
        return StreamStorages(
            with_fault(self.data, fault),
            None if self.log is None else with_fault(self.log, fault),
        )

    def sync(self, ids: list[int], minute: int) -> None:
        """Sync these members."""
        sync_ids(self.data, ids, minute, log=self.log)

    def recover(self) -> None:
        """Recover an unfinished sync, if there is one."""
        recover(self.data, STREAM, log=self.log)

    def check(self, earlier: StreamState | None = None) -> StreamState:
        """Assert the invariants, and return the state of the stream."""
        return assert_invariants(self.data, STREAM, self.log, earlier=earlier)

    def content(self) -> dict[str, bytes]:
        """Return the bytes of all visible objects."""
        return content(self.data, self.log)


Work = Callable[[StreamStorages], None]


def _nothing(storages: StreamStorages) -> None:
    pass


def _first_sync(storages: StreamStorages) -> None:
    storages.sync(FIRST, 0)


def _ordinary_sync(storages: StreamStorages) -> None:
    storages.sync(SECOND, 1)


class CutMatrix:
    """The tests that a sync that fails at any call of a storage loses nothing.

    A subclass defines the fixture ``new_storage``: a function that makes a fresh, empty storage.
    The function is called several hundred times, so a subclass for a slow store may set fewer
    failures and moments.

    Attributes:
        failures: The kinds of failures.
        moments: The moments at which a call fails.
        own_log: The storages of the log to test: False means the storage of the data, True a
            separate one.
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
        """Return a function that makes a fresh, empty storage."""
        raise NotImplementedError("override the fixture `new_storage` in your subclass")

    @pytest.fixture
    def makers(self, new_storage: Callable[[], Storage]) -> list[Callable[[], StreamStorages]]:
        """Return a function that makes empty storages, for each item of ``own_log``."""

        def maker(own_log: bool) -> Callable[[], StreamStorages]:  # noqa: FBT001
            return lambda: StreamStorages(new_storage(), new_storage() if own_log else None)

        return [maker(own_log) for own_log in self.own_log]

    @pytest.mark.parametrize(
        ("prepare", "work"),
        [(_nothing, _first_sync), (_first_sync, _ordinary_sync), (_first_sync, _first_sync)],
        ids=["first sync", "ordinary sync", "repeated sync"],
    )
    def test_a_sync_that_fails_at_any_call_loses_nothing(
        self,
        makers: list[Callable[[], StreamStorages]],
        prepare: Work,
        work: Work,
        record_property: RecordProperty,
    ) -> None:
        cases = 0
        for make in makers:
            calls, expected = _run_without_failure(make, prepare, work)
            for fail, at, when in product(self.failures, range(len(calls)), self.moments):
                storages = make()
                prepare(storages)
                earlier = storages.check()
                raised = attempt(work, storages, fail(at, when))
                assert raised, f"{calls[at]} failed, but the sync did not raise"
                check_rerun(storages, work, expected, earlier)
                cases += 1
        record_property("cases", cases)

    @pytest.mark.parametrize(
        "work", [_ordinary_sync, StreamStorages.recover], ids=["by a sync", "by recover()"]
    )
    def test_a_recovery_that_fails_at_any_call_loses_nothing(
        self,
        makers: list[Callable[[], StreamStorages]],
        work: Work,
        record_property: RecordProperty,
    ) -> None:
        cases = 0
        for make in makers:
            calls, expected = _run_without_failure(make, _first_sync, _ordinary_sync)
            # Before the record is created, there is nothing to recover. A death before a call
            # leaves the same state as a death after the previous call.
            for at in range(calls.index("create"), len(calls)):
                again = calls_of(work, _cut_at(make, at))
                for at_again in range(len(again)):
                    storages = _cut_at(make, at)
                    assert attempt(work, storages, dies(at_again, "after"))
                    check_rerun(storages, _ordinary_sync, expected)
                    cases += 1
        record_property("cases", cases)

    def test_after_any_failure_a_reader_sees_the_old_state_or_the_new(
        self, makers: list[Callable[[], StreamStorages]], record_property: RecordProperty
    ) -> None:
        """Test readers of the history, and readers that wait for the file ``existing``."""
        cases = 0
        for make in makers:
            calls, _ = _run_without_failure(make, _first_sync, _ordinary_sync)
            seen = set[tuple[frozenset[int], ...]]()
            for at, when in product(range(len(calls)), self.moments):
                storages = _cut_at(make, at, when)
                history = read_history(storages.data, STREAM, log=storages.log)
                seen.add(tuple(frozenset(ids_of(history.members_at(sync))) for sync in history))
                visible = {
                    item.name.diff_type
                    for item in parse_listing(
                        STREAM, storages.data.list_objects(STREAM.data_prefix)
                    )
                    if isinstance(item, StreamFile) and item.name.synced_at == moment(1)
                }
                assert DiffType.EXISTING not in visible or visible == set(DiffType)
                cases += 1
            old, new = frozenset(FIRST), frozenset(SECOND)
            assert seen == {(old,), (old, new)}
        record_property("cases", cases)

    @pytest.mark.parametrize("damage", ["cut short", "flipped"])
    def test_damaged_data_is_detected_or_does_not_matter(
        self,
        makers: list[Callable[[], StreamStorages]],
        damage: When,
        record_property: RecordProperty,
    ) -> None:
        cases = 0
        for make in makers:
            calls, expected = _run_without_failure(make, _first_sync, _ordinary_sync)
            detected = 0
            for at in range(len(calls)):
                storages = make()
                _first_sync(storages)
                earlier = storages.check()
                detected += attempt(
                    _ordinary_sync, storages, Fault(at=at, when=damage, forever=False)
                )
                check_rerun(storages, _ordinary_sync, expected, earlier)
            assert detected == calls.count("open")
            cases += detected
        record_property("cases", cases)

    def test_after_a_void_first_sync_only_the_time_of_its_files_is_occupied(
        self, makers: list[Callable[[], StreamStorages]]
    ) -> None:
        """Test the state in which files are visible, but the stream has no head."""
        for make, number in product(makers, range(2)):
            storages = make()
            calls = calls_of(_first_sync, make())
            attempt(_first_sync, storages, dies(calls.index("publish") + number, "after"))
            unfinished = storages.check().unfinished
            assert unfinished is not None
            staged = unfinished.files[DiffType.EXISTING].staged
            assert staged is not None
            storages.data.discard(staged)
            storages.recover()
            with pytest.raises(SyncTimeTakenError) as caught:
                _first_sync(storages)
            assert caught.value.next_free == moment(1)
            done = sync_ids(storages.data, SECOND, None, log=storages.log)
            assert done.record.synced_at == moment(1)
            assert len(storages.check().published) == 1


def calls_of(work: Work, storages: StreamStorages) -> list[str]:
    """Return the names of the storage calls of a run without failure."""
    fault = Fault()
    work(storages.failing(fault))
    return fault.calls


def _run_without_failure(
    make: Callable[[], StreamStorages], prepare: Work, work: Work
) -> tuple[list[str], dict[str, bytes]]:
    """Return the storage calls of a run without failure, and the bytes of all objects after it."""
    storages = make()
    prepare(storages)
    return calls_of(work, storages), storages.content()


def attempt(work: Work, storages: StreamStorages, fault: Fault) -> bool:
    """Run with a fault, and return whether an error was raised."""
    try:
        work(storages.failing(fault))
    except (Death, OSError, CohortS3Error):
        return True
    return False


def check_rerun(
    storages: StreamStorages,
    work: Work,
    expected: dict[str, bytes],
    earlier: StreamState | None = None,
) -> None:
    """Run again, and assert that the objects are as expected and nothing is unfinished."""
    found = storages.check(earlier)
    work(storages)
    assert storages.content() == expected
    ended = storages.check(found)
    assert ended.unfinished is None
    assert len(ended.records) == len(ended.published)


def _cut_at(make: Callable[[], StreamStorages], at: int, when: When = "after") -> StreamStorages:
    """Return storages whose second sync died at a call."""
    storages = make()
    _first_sync(storages)
    attempt(_ordinary_sync, storages, dies(at, when))
    return storages
