"""A model of the commit protocol, small enough to explore all its states.

Each of several writers tries one sync. At any moment any of them may do its next step, or
stop for ever. The explored runs therefore include a crash between any two steps, a slow
writer that continues after others finished its sync, and a request that arrives long after
its sender gave up. Five disturbances are modelled explicitly: the answer to a ``create`` gets
lost, a rule of the bucket aborts an upload, the store refuses an object from everybody, another
tool creates a file under a name of the stream, and old syncs are pruned. Other processes
abandon an unfinished entry, or forget a person: they search all files and add an amendment.

A sync has two files instead of three, because only the order matters: ``existing`` comes last.

A process is a chain of phases. Each phase is a generator that yields operations on the world
and returns the next phase. The state of a process is the name of its phase, the arguments, and
the answers in this phase so far. These are values, so that equal states are explored once.
"""

from collections.abc import Callable, Generator, Iterator
from functools import cache
from typing import Any, NamedTuple

FILES = 2
FREE, FOREIGN = -1, -2
FORGETTER = -3
"""The writer of an amendment."""

NONE = 0
"""The number of the record before the first."""

RULES = {
    "recover before planning": "an unfinished record is finished before the next sync is planned",
    "create before publish": "nothing is visible before its record exists",
    "create once": "a record is created only if there is none",
    "unknown is not lost": "after a lost answer to create, nothing is discarded",
    "losers discard": "a writer that finds another record under its number discards its files",
    "same head": "a writer continues after a void record only if the head is unchanged",
    "publish once": "a file is published only if its name is free",
    "existing last": "existing is published after its companions",
    "taken is lost": "a file whose name is occupied counts as not published",
    "discard before void": "staged files are discarded before their sync is void",
    "discard revokes": "a discarded upload can't be completed by anyone",
    "look again": "after discarding, the files are inspected again",
    "one outcome key": "published and void are written to one key",
    "obey the outcome": "a process adopts an outcome that exists",
    "data, then log": "readers list the data first and the log second",
    "refused is lost": "a file that the store refuses from everybody counts as not published",
    "abandon revokes": "an entry is abandoned only after its staged files are discarded",
    "settled search": "forget searches a listing during which the log did not change",
}
"""The rules of the protocol. Without any one of them an invariant is violated."""


class InvariantError(AssertionError):
    """An invariant does not hold."""


class World(NamedTuple):
    """The stored objects, and the disturbances that may still happen.

    A record is its writer and the number of the head that it continues. An outcome is
    ``""``, ``"P"``, ``"V"``, or ``"A"`` of an amendment, which changes the head. A handle
    (writer * FILES + file) is ``-`` before it is staged, ``s`` staged, ``r`` staged but refused
    by the store, ``p`` published, ``g`` gone. ``covered`` are the writers whose files the
    amendment has searched. A name (time * FILES + file) is free,
    foreign, or has the handle of its file.
    """

    records: tuple[tuple[int, int], ...]
    outcomes: tuple[str, ...]
    handles: str
    names: tuple[int, ...]
    aborts: int
    foreign_files: int
    prunings: int
    refusals: int = 0
    disturbed: bool = False
    covered: frozenset[int] = frozenset()

    def head_before(self, number: int) -> int:
        """Return the number of the newest published record, or amendment, before a number."""
        return next((n for n in range(number - 1, 0, -1) if self._is_head(n)), NONE)

    def _is_head(self, number: int) -> bool:
        return "P" in self.outcomes[number - 1] or "A" in self.outcomes[number - 1]

    def newest_writer(self, number: int) -> int:
        """Return the writer of the newest published sync up to a number."""
        return next(
            (self.records[n - 1][0] for n in range(number, 0, -1) if "P" in self.outcomes[n - 1]),
            -1,
        )


Local = tuple[str, tuple[Any, ...], tuple[Any, ...]]
"""A process: its phase, the arguments of the phase, and the answers so far."""
Operation = tuple[Any, ...]
Phase = Generator[Operation, Any, tuple[Any, ...]]


class Model:
    """The protocol, with some writers.

    Args:
        times: The time of each writer's sync. Syncs with equal times have equal file names.
        without: The rule that is left out.
        aborts: The number of uploads that a rule of the bucket may abort.
        foreign_files: The number of files that another tool may create.
        prunings: The number of old syncs that may be pruned.
        refusals: The number of uploads that the store may refuse to complete.
        readers: The number of processes that only read.
        others: The first phases of further processes: ``"abandon"`` or ``"forget"``.
    """

    def __init__(
        self,
        times: tuple[int, ...],
        *,
        without: str = "",
        aborts: int = 0,
        foreign_files: int = 0,
        prunings: int = 0,
        refusals: int = 0,
        readers: int = 0,
        others: tuple[str, ...] = (),
    ) -> None:
        # One more writer, with the latest time, runs alone at the end, and must succeed.
        self.times = (*times, max(times) + 1)
        self.without = without
        self.others = ("read",) * readers + others
        self.empty = World(
            records=(),
            outcomes=(),
            handles="-" * FILES * len(self.times),
            names=(FREE,) * FILES * (max(self.times) + 1),
            aborts=aborts,
            foreign_files=foreign_files,
            prunings=prunings,
            refusals=refusals,
        )
        self.phases: dict[str, Callable[..., Phase]] = {
            "plan": self.plan,
            "stage": self.stage,
            "publish early": self.publish_early,
            "create": self.create,
            "lost": self.lost,
            "after": self.after,
            "inspect": self.inspect,
            "publish": self.publish,
            "discard": self.discard,
            "judge": self.judge,
            "conclude": self.conclude,
            "read": self.read,
            "abandon": self.abandon,
            "forget": self.forget,
            "amend": self.amend,
        }
        self.advance = cache(self._advance)

    def handles(self, writer: int) -> list[int]:
        """Return the handles of a writer, in the order of publication."""
        handles = list(range(writer * FILES, (writer + 1) * FILES))
        return handles[::-1] if self.without == "existing last" else handles

    def name(self, handle: int) -> int:
        """Return the name of a handle's file."""
        writer, file = divmod(handle, FILES)
        return self.times[writer] * FILES + file

    # --- The phases of a process -----------------------------------------------------------

    def plan(self, me: int) -> Phase:
        newest, outcome, head, head_writer = yield ("head",)
        if newest and not outcome and self.without != "recover before planning":
            return "inspect", newest, ("plan", me)
        if head and self.times[head_writer] >= self.times[me]:
            return "end", "refused"
        return "stage", me, newest + 1, head

    def stage(self, me: int, number: int, head: int) -> Phase:
        for handle in self.handles(me):
            yield "stage", handle
        phase = "publish early" if self.without == "create before publish" else "create"
        return phase, me, number, head

    def publish_early(self, me: int, number: int, head: int) -> Phase:
        for handle in self.handles(me):
            yield "publish", handle
        return "create", me, number, head

    def create(self, me: int, number: int, head: int) -> Phase:
        other = yield "create", number, me, head
        if other == "answer lost":
            if self.without == "unknown is not lost":
                return "lost", me
            return "end", "unknown"
        if other == me:
            return "inspect", number, ("end", "done", number)
        return "after", me, number, head

    def after(self, me: int, number: int, head: int) -> Phase:
        """Go on after another writer created the record of this number."""
        outcome, ended_head = yield "outcome", number
        if not outcome:
            return "inspect", number, ("after", me, number, head)
        if outcome == "V" and (ended_head == head or self.without == "same head"):
            return "create", me, number + 1, head
        if self.without == "same head":
            return "create", me, number + 1, head
        if self.without == "losers discard":
            return "end", "lost", me
        return "lost", me

    def lost(self, me: int) -> Phase:
        for handle in self.handles(me):
            yield "discard", handle
        return "end", "lost", me

    def inspect(self, number: int, then: Local) -> Phase:
        writer = yield "record", number
        if writer == FORGETTER:
            return "conclude", number, "A", then
        states = set[str]()
        for handle in self.handles(writer):
            states.add((yield "inspect", handle))
        lost = {"gone"} if self.without == "taken is lost" else {"gone", "taken"}
        return "discard" if states & lost else "publish", number, writer, then

    def publish(self, number: int, writer: int, then: Local) -> Phase:
        for handle in self.handles(writer):
            answer = yield "publish", handle
            if answer == "exists" and self.without == "taken is lost":
                return "end", "error"
            if answer == "refused" and self.without == "refused is lost":
                return "end", "error"
            if answer != "ok":
                return "discard", number, writer, then
        return "conclude", number, "P", then

    def discard(self, number: int, writer: int, then: Local) -> Phase:
        if self.without != "discard before void":
            for handle in self.handles(writer):
                yield "discard", handle
        if self.without == "look again":
            return "conclude", number, "V", then
        return "judge", number, writer, then

    def judge(self, number: int, writer: int, then: Local) -> Phase:
        published = True
        for handle in self.handles(writer):
            published &= (yield "inspect", handle) == "published"
        return "conclude", number, "P" if published else "V", then

    def conclude(self, number: int, verdict: str, then: tuple[Any, ...]) -> Phase:
        stands = yield "conclude", number, verdict
        if self.without == "obey the outcome":
            stands = verdict
        return (*then, stands) if then[:2] == ("end", "done") else then

    def read(self) -> Phase:
        first, second = "data", "log"
        if self.without == "data, then log":
            first, second = second, first
        answers = dict[str, frozenset[int]]()
        for operation in (first, second):
            answers[operation] = yield (operation,)
        return "end", "read", answers["data"], answers["log"]

    def abandon(self) -> Phase:
        """Give up the newest entry if it is unfinished, although nothing of it may be lost."""
        newest, outcome, *_ = yield ("abandon",)
        if not newest or outcome:
            return "end", "nothing"
        writer = yield "record", newest
        if writer == FORGETTER:
            return "conclude", newest, "A", ("end", "abandoned")
        if self.without == "abandon revokes":
            return "conclude", newest, "V", ("end", "abandoned")
        return "discard", newest, writer, ("end", "abandoned")

    def forget(self) -> Phase:
        """Search all files, and again if the log has changed meanwhile."""
        if self.without == "settled search":
            found = yield ("data",)
            newest, outcome, head, _ = yield ("head",)
        else:
            newest, outcome, head, _ = yield ("head",)
            found = yield ("data",)
            again = yield ("head",)
            if not outcome or again[:2] != (newest, outcome):
                outcome = again[1]
                return (
                    ("inspect", again[0], ("forget",)) if again[0] and not outcome else ("forget",)
                )
        if newest and not outcome:
            return "inspect", newest, ("forget",)
        if not head:
            return "end", "nothing"
        return "amend", newest + 1, head, found

    def amend(self, number: int, head: int, found: frozenset[int]) -> Phase:
        other = yield "create", number, FORGETTER, head, found
        if other == "answer lost":
            return "end", "unknown"
        if other == FORGETTER:
            return "conclude", number, "A", ("end", "forgotten")
        return ("forget",)

    def _advance(self, local: Local) -> tuple[Local, Operation | None]:
        """Run a process up to its next operation, or None if it has ended."""
        while local[0] != "end":
            name, arguments, answers = local
            phase = self.phases[name](*arguments)
            try:
                operation = next(phase)
                for answer in answers:
                    operation = phase.send(answer)
            except StopIteration as stop:
                local = (stop.value[0], stop.value[1:], ())
            else:
                return local, operation
        return local, None

    # --- The operations ------------------------------------------------------

    def apply(  # noqa: PLR0915 -- a case for each operation
        self, world: World, operation: Operation
    ) -> Iterator[tuple[World, Any]]:
        """Yield each possible world after an operation, with the answer to the process."""
        match operation:
            case ("head",):
                newest = len(world.records)
                head = world.head_before(newest + 1)
                outcome = world.outcomes[-1] if newest else ""
                yield world, (newest, outcome, head, world.newest_writer(newest))
            case ("abandon",):
                newest = len(world.records)
                outcome = world.outcomes[-1] if newest else ""
                yield world._replace(disturbed=True), (newest, outcome)
            case ("record", number):
                yield world, world.records[number - 1][0]
            case ("outcome", number):
                yield world, (world.outcomes[number - 1], world.head_before(number))
            case ("stage", handle):
                yield _staged(world, handle), None
            case ("create", number, me, head, *found):
                if number <= len(world.records) and self.without != "create once":
                    # The same bytes already there are a success.
                    yield world, world.records[number - 1][0]
                    return
                records = (*world.records[: number - 1], (me, head), *world.records[number:])
                outcomes = world.outcomes + ("",) * (len(records) - len(world.outcomes))
                covered = found[0] if found else world.covered
                created = world._replace(records=records, outcomes=outcomes, covered=covered)
                yield created, me
                yield created, "answer lost"
                yield world, "answer lost"
            case ("conclude", number, verdict):
                there = world.outcomes[number - 1]
                if there and self.without != "one outcome key":
                    yield world, there
                    return
                both = "".join(sorted({*there, verdict}))
                outcomes = _put(world.outcomes, number - 1, both)
                yield world._replace(outcomes=outcomes), verdict
            case ("inspect", handle):
                holder = world.names[self.name(handle)]
                if holder == handle:
                    yield world, "published"
                elif world.handles[handle] in "sr":
                    yield world, "staged"
                    if holder != FREE:  # A store may look at the name first, or not.
                        yield world, "taken"
                else:
                    yield world, "gone" if holder == FREE else "taken"
            case ("publish", handle):
                name = self.name(handle)
                holder = world.names[name]
                revoked = world.handles[handle] == "g" and self.without != "discard revokes"
                if holder == handle:
                    yield world, "ok"
                elif holder != FREE and self.without != "publish once":
                    yield world, "exists"
                elif revoked or world.handles[handle] == "p":
                    yield world, "gone"
                elif world.handles[handle] == "r":
                    yield world, "refused"
                else:
                    names = _put(world.names, name, handle)
                    yield (
                        world._replace(names=names, handles=_set(world.handles, handle, "p")),
                        "ok",
                    )
            case ("discard", handle):
                gone = world.handles[handle] in "sr"
                handles = _set(world.handles, handle, "g") if gone else world.handles
                yield world._replace(handles=handles), None
            case ("data",):
                holders = (world.names[n] for n in range(FILES - 1, len(world.names), FILES))
                yield world, frozenset(h // FILES for h in holders if h >= 0)
            case ("log",):
                yield world, frozenset(writer for writer, _ in world.records)
            case _:
                raise NotImplementedError(operation)

    def disturb(self, world: World) -> Iterator[World]:
        """Yield the worlds after each possible disturbance."""
        if world.aborts:
            for handle, state in enumerate(world.handles):
                if state == "s":
                    yield world._replace(
                        handles=_set(world.handles, handle, "g"),
                        aborts=world.aborts - 1,
                        disturbed=True,
                    )
        if world.refusals:
            for handle, state in enumerate(world.handles):
                if state == "s":
                    yield world._replace(
                        handles=_set(world.handles, handle, "r"),
                        refusals=world.refusals - 1,
                        disturbed=True,
                    )
        if world.foreign_files:
            for name, holder in enumerate(world.names[: -FILES or None]):
                if holder == FREE:
                    yield world._replace(
                        names=_put(world.names, name, FOREIGN),
                        foreign_files=world.foreign_files - 1,
                        disturbed=True,
                    )
        for name, holder in enumerate(world.names):
            if holder == FOREIGN:  # Foreign files may disappear at any time.
                yield world._replace(names=_put(world.names, name, FREE))
        if world.prunings:
            head = world.head_before(len(world.records) + 1)
            for number, (writer, _) in enumerate(world.records[: max(head - 1, 0)], 1):
                if world.outcomes[number - 1] == "P":
                    held = {h for h in self.handles(writer) if h in world.names}
                    if held:
                        names = tuple(FREE if h in held else h for h in world.names)
                        yield world._replace(names=names, prunings=world.prunings - 1)

    # --- The invariants ---------------------------------------------------------------

    def check(self, world: World) -> None:
        """Assert the invariants of the stored objects."""
        head = NONE
        recorded = dict[int, int]()
        for number, (writer, previous) in enumerate(world.records, 1):
            outcome = world.outcomes[number - 1]
            _assert(previous == head, "a record continues another head")
            _assert(bool(outcome) or number == len(world.records), "an older record has no outcome")
            _assert(outcome in ("", "P", "V", "A"), "a sync is published and void")
            _assert(writer not in recorded, "a writer is recorded twice")
            recorded[writer] = number
            if writer == FORGETTER:
                self._check_amendment(world, number, outcome)
                head = number if outcome else head
            if outcome == "P":
                before = world.newest_writer(number - 1)
                _assert(
                    before < 0 or self.times[before] < self.times[writer], "times do not increase"
                )
                head = number
        for number, (writer, _) in enumerate(world.records, 1):
            if writer == FORGETTER:
                continue
            outcome = world.outcomes[number - 1]
            handles = range(writer * FILES, (writer + 1) * FILES)
            visible = [world.names[self.name(h)] == h for h in handles]
            if outcome == "P":
                pruned = world.prunings < self.empty.prunings and number < head and not any(visible)
                _assert(all(visible) or pruned, "a published file is not visible")
            if outcome == "V":
                _assert(not visible[-1], "existing of a void sync is visible")
                states = {world.handles[h] for h in handles}
                _assert(not states & set("sr"), "a void sync can be published")
                _assert(world.disturbed, "a sync is void though nothing disturbed it")
            _assert(not visible[-1] or all(visible), "existing is visible without a companion")
        for holder in world.names:
            _assert(holder < 0 or holder // FILES in recorded, "a file is visible without a record")

    def _check_amendment(self, world: World, number: int, outcome: str) -> None:
        """Assert that an amendment has searched the files of every sync before it in the log."""
        _assert(outcome in ("", "A"), "an amendment has the outcome of a sync")
        for earlier in range(1, number):
            writer = world.records[earlier - 1][0]
            if world.outcomes[earlier - 1] == "P" and world.prunings == self.empty.prunings:
                _assert(writer in world.covered, "an amendment does not cover a sync before it")

    def check_end(self, world: World, result: tuple[Any, ...]) -> None:
        """Assert that the result of a process is true."""
        match result:
            case ("done", number, verdict):
                _assert(world.outcomes[number - 1] == verdict, "a writer returns another outcome")
            case ("lost", me):
                states = world.handles[me * FILES : (me + 1) * FILES]
                _assert(not set(states) & set("sr"), "the slower writer left a staged file")
            case ("read", data, log):
                _assert(data <= log, "a reader finds a sync that is not in the log")
            case _:
                pass

    def check_next_sync(self, world: World) -> None:
        """Assert that one more writer completes a sync, if nothing disturbs it."""
        me = len(self.times) - 1
        local, operation = self.advance(("plan", (me,), ()))
        for _ in range(200):
            if operation is None:
                break
            world, answer = next(self.apply(world, operation))
            local, operation = self.advance((local[0], local[1], (*local[2], answer)))
        result = local[1]
        _assert(
            operation is None and result[0] == "done" and result[2] == "P",
            f"the next sync does not complete: {result}",
        )

    def explore(self) -> int:
        """Explore every state once, and return the number of states.

        Raises:
            InvariantError: An invariant does not hold in one of them.
        """
        values = list[Any]()
        numbers = dict[Any, int]()

        def number_of(value: World | Local) -> int:
            """Return a number for a value. States of numbers are far cheaper to compare."""
            number = numbers.setdefault(value, len(values))
            if number == len(values):
                values.append(value)
            return number

        @cache
        def disturbed(number: int) -> list[int]:
            """Check a world, and return the worlds after each disturbance."""
            world: World = values[number]
            self.check(world)
            self.check_next_sync(world)
            return [number_of(after) for after in self.disturb(world)]

        @cache
        def moved(number: int, process: int) -> list[tuple[int, int]]:
            """Return each possible world after the next operation of a process, and the process."""
            world: World = values[number]
            local, operation = self.advance(values[process])
            if operation is None:
                self.check_end(world, local[1])
                return []
            following = list[tuple[int, int]]()
            for changed, answer in self.apply(world, operation):
                _assert_kept(world, changed)
                after, _ = self.advance((local[0], local[1], (*local[2], answer)))
                following.append((number_of(changed), number_of(after)))
            return following

        writers = len(self.times) - 1
        locals_ = [self.advance(("plan", (me,), ()))[0] for me in range(writers)]
        locals_ += [self.advance((phase, (), ()))[0] for phase in self.others]
        start = (number_of(self.empty), *map(number_of, locals_))
        met = {start}
        todo = [start]
        while todo:
            world, *processes = todo.pop()
            following = [(after, *processes) for after in disturbed(world)]
            for index, process in enumerate(processes):
                before, behind = processes[:index], processes[index + 1 :]
                following += [
                    (changed, *before, after, *behind) for changed, after in moved(world, process)
                ]
            for state in following:
                if state not in met:
                    met.add(state)
                    todo.append(state)
        return len(met)


def _staged(world: World, handle: int) -> World:
    return world._replace(handles=_set(world.handles, handle, "s"))


def _set(text: str, index: int, char: str) -> str:
    return text[:index] + char + text[index + 1 :]


def _put(values: tuple[Any, ...], index: int, value: object) -> tuple[Any, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _assert(holds: bool, rule: str) -> None:  # noqa: FBT001
    if not holds:
        raise InvariantError(rule)


def _assert_kept(before: World, after: World) -> None:
    for old, new in zip(before.names, after.names, strict=True):
        _assert(old in (FREE, new), "a visible object changed")
