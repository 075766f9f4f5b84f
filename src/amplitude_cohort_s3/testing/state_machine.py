"""A test of a storage with writers, readers, recoveries and crashes in random order.

After each step the storage is compared with a simple model. Hypothesis chooses the order of the
steps, and reports the shortest order that violates an invariant::

    class MyMachine(StreamMachine):
        def new_storage(self):
            return MyStorage(...)

    TestMyStorageInAnyOrder = MyMachine.TestCase
"""

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

from attrs import define, field
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ..errors import (
    CohortS3Error,
    ConcurrentSyncError,
    SyncTimeError,
    SyncVoidError,
    UnfinishedSyncError,
)
from ..format.filename import DiffType
from ..history.members import Members
from ..history.read import read_history
from ..log.records import SyncRecord
from ..storage import Storage
from ..sync.commit import SyncResult
from ..sync.head import read_head
from ..sync.recover import recover
from .faulty_storage import Death, Fault, FaultyStorage, When, unknown_outcome
from .invariants import assert_invariants
from .small_cohort import START, STREAM, ids_of, sync_ids

# Some of these numbers exceed the number of calls of any sync, so that some writers complete.
CALLS = st.integers(0, 24)
IDS = st.frozensets(st.integers(1, 5), max_size=4)
ERRORS: tuple[Callable[[str], BaseException], ...] = (Death, unknown_outcome)


class StreamMachine(RuleBasedStateMachine):
    """The test of a storage with random orders of steps. A subclass defines ``new_storage``.

    The model consists of the list of published member sets, and of the member sets of writers
    that have not completed. Each of the latter may still be published.
    """

    def __init__(self) -> None:
        super().__init__()
        self.storage = self.new_storage()
        self.published = list[frozenset[int]]()
        self.attempted = list[frozenset[int]]()
        self.asleep = list[_Sleeper]()
        self.minute = 0
        self.records: tuple[SyncRecord, ...] = ()
        self.state = assert_invariants(self.storage, STREAM)

    def new_storage(self) -> Storage:
        """Return a fresh, empty storage."""
        raise NotImplementedError("override new_storage() in your subclass")

    # --- Steps ---------------------------------------------------------------

    @rule(ids=IDS)
    def a_sync_runs_to_its_end(self, ids: frozenset[int]) -> None:
        """Run a sync, which must complete from every state."""
        self._sync(self.storage, ids)
        self._look()
        assert self.published[-1] == ids

    @rule(
        ids=IDS,
        at=CALLS,
        when=st.sampled_from(["before", "midway", "after"]),
        error=st.sampled_from(ERRORS),
        forever=st.booleans(),
    )
    def a_sync_is_cut(
        self,
        *,
        ids: frozenset[int],
        at: int,
        when: When,
        error: Callable[[str], BaseException],
        forever: bool,
    ) -> None:
        """Run a sync that fails at a call. Then all later calls fail too, or the sync cleans up."""
        fault = Fault(at=at, when=when, error=error, forever=forever)
        try:
            self._sync(FaultyStorage(self.storage, fault), ids)
        except (Death, CohortS3Error):
            self._look()
        else:
            self._look()
            assert self.published[-1] == ids

    @rule(ids=IDS, at=CALLS)
    def a_writer_falls_asleep(self, ids: frozenset[int], at: int) -> None:
        """Start a writer that waits before one of its calls while others work."""
        pause = _Pause(at=at)
        self.asleep.append(
            _Sleeper(lambda: self._sync(FaultyStorage(self.storage, pause), ids), pause)
        )
        self._look()

    @precondition(lambda self: self.asleep)
    @rule(data=st.data())
    def a_sleeping_writer_goes_on(self, data: st.DataObject) -> None:
        """Let a waiting writer continue. Others may have finished its sync meanwhile."""
        sleeper = self.asleep.pop(data.draw(st.integers(0, len(self.asleep) - 1)))
        result = sleeper.wake_up()
        self._look()
        assert result is None or result.record in self.state.published

    @rule()
    def somebody_recovers(self) -> None:
        """Recover twice; the second recovery has nothing to do."""
        recover(self.storage, STREAM)
        self._look()
        assert recover(self.storage, STREAM).outcome == "nothing"

    @precondition(lambda self: self.state.unfinished is not None)
    @rule(diff_type=st.sampled_from(DiffType))
    def an_upload_is_aborted(self, diff_type: DiffType) -> None:
        """Discard a staged file of an unfinished sync, as a rule of the bucket may do."""
        record = self.state.unfinished
        staged = None if record is None else record.files[diff_type].staged
        assert staged is not None
        self.storage.discard(staged)
        self._look()

    @precondition(lambda self: self.published and self.state.unfinished is None)
    @rule()
    def a_scheduler_repeats_the_last_sync(self) -> None:
        """Repeat the newest sync, which is already done."""
        last = self.state.published[-1]
        minute = int((last.synced_at - START).total_seconds() // 60)
        again = sync_ids(self.storage, self.published[-1], minute, now=max(minute, self.minute))
        assert (again.record, again.already_done) == (last, True)
        self._look()

    # --- Invariants --------------------------------------------------------------

    @invariant()
    def readers_agree_with_the_model(self) -> None:
        """Assert that the head and the history contain the published member sets."""
        history = read_history(self.storage, STREAM)
        found = [ids_of(history.members_at(sync)) for sync in history]
        # The history also has a sync whose files are visible, but whose outcome is not written
        # yet.
        unfinished = found[len(self.published) :]
        assert found[: len(self.published)] == self.published
        assert unfinished == [] or (len(unfinished) == 1 and unfinished[0] in self.attempted)
        with suppress(UnfinishedSyncError):
            head = read_head(self.storage, STREAM)
            assert ([ids_of(head.members())] if head else []) == self.published[-1:]

    def teardown(self) -> None:
        """Let the waiting writers continue, and complete one more sync."""
        for sleeper in self.asleep:
            sleeper.wake_up()
        self._look()
        self.a_sync_runs_to_its_end(frozenset({1, 9}))

    # --- Helpers -------------------------------------------------------------------

    def _sync(self, storage: Storage, ids: frozenset[int]) -> SyncResult:
        self.minute += 1
        self.attempted.append(ids)
        return sync_ids(storage, ids, None, now=self.minute)

    def _look(self) -> None:
        """Assert the invariants, and add newly published syncs to the model."""
        self.state = assert_invariants(self.storage, STREAM, earlier=self.state)
        records = self.state.published
        assert records[: len(self.records)] == self.records, "a published sync changed"
        for record in records[len(self.records) :]:
            found = frozenset(ids_of(Members.of_record(record, self.storage.open)))
            assert found in self.attempted, f"no writer synced {set(found)}"
            self.attempted.remove(found)
            self.published.append(found)
        self.records = records


@define(kw_only=True, eq=False)
class _Pause(Fault):
    """A fault at which a call waits instead of failing."""

    asleep: Event = field(factory=Event, init=False)
    go_on: Event = field(factory=Event, init=False)

    def begin(self, name: str, key: str) -> When | None:  # noqa: ARG002
        with self._lock:
            number = len(self.calls)
            self.calls.append(name)
        if number == self.at:
            self.asleep.set()
            self.go_on.wait()
        return None


def _is_overtaken(error: BaseException) -> bool:
    """Return whether an error is normal for a writer that slept while others worked.

    Another writer was faster, the staged files were discarded, or the newest sync is now later
    than the time of the writer's clock.
    """
    if isinstance(error, SyncTimeError):
        return error.problem == "clock"
    return isinstance(error, ConcurrentSyncError | SyncVoidError)


class _Sleeper:
    """A writer in a thread that runs only while the test waits for it."""

    def __init__(self, work: Callable[[], SyncResult], pause: _Pause) -> None:
        self._work = work
        self._pause = pause
        self._result: SyncResult | None = None
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()
        pause.asleep.wait()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 -- it is raised by wake_up()
            if not _is_overtaken(error):
                self._error = error
        self._pause.asleep.set()

    def wake_up(self) -> SyncResult | None:
        """Let the writer continue; return its result, or None if others overtook it."""
        self._pause.go_on.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result
