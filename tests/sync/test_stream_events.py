"""Events and log lines: one for each step, with the same facts, and never a user."""

import logging
import shlex
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import attrs
import pytest

from amplitude_cohort_s3 import (
    Guard,
    LocalStorage,
    MemoryStorage,
    UserProperty,
    forget,
    prepare_sync,
    prune,
    read_history,
    recover,
    run_due,
    sync_cohort,
)
from amplitude_cohort_s3.diff import PartitionEngine
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    ConcurrentSyncError,
    MassExitError,
    SyncVoidError,
)
from amplitude_cohort_s3.log import StreamEvent
from amplitude_cohort_s3.testing.faulty_storage import Fault, FaultyStorage
from amplitude_cohort_s3.testing.small_cohort import SYNC, clock_at, moment

PEOPLE = [(str(n), f"user{n}@example.com") for n in range(50)]
STEPS = ["began", "read", "diffed", "staged", "recorded", "published"]


@pytest.fixture
def seen():
    return []


def kinds(seen):
    return [event.kind for event in seen]


def sync(storage, people=PEOPLE, minute=0, **options):
    when = moment(minute)
    return sync_cohort(SYNC, people, storage, synced_at=when, clock=clock_at(when), **options)


def test_each_step_of_a_sync_is_one_event(seen):
    storage = MemoryStorage()
    sync(storage)
    sync(storage, [*PEOPLE[3:], ("99", "")], 1, observer=seen.append)
    assert kinds(seen) == STEPS
    facts = {event.kind: event.facts for event in seen}
    assert facts["began"] == {"members_before": 50}
    assert facts["read"] == {"rows": 48}
    assert facts["diffed"] == {
        "members": 48,
        "members_before": 50,
        "entered": 1,
        "exited": 3,
        "skipped": 0,
    }
    written = [info.size for info in storage.list_objects("cohorts/") if "T14:01" in info.key]
    assert facts["staged"] == {"files": 3, "bytes": sum(written)}
    assert facts["recorded"] == {"number": 2}
    assert facts["published"] == {"number": 2, "members": 48}
    assert {event.stream for event in seen} == {SYNC.stream}
    assert {event.synced_at for event in seen} == {moment(1)}
    assert all(event.seconds >= 0 for event in seen)


def test_the_log_has_the_same_lines(seen, caplog):
    caplog.set_level(logging.INFO, "amplitude_cohort_s3")
    sync(MemoryStorage(), observer=seen.append)
    assert [record.getMessage() for record in caplog.records] == list(map(str, seen))
    assert {record.levelname for record in caplog.records} == {"INFO"}


class ReadingEngine:
    """An engine that reports only how much it has read."""

    def diff(self, previous, current, *, progress, **options):
        def report(event):
            if event.step == "read":
                progress(event)

        return PartitionEngine().diff(previous, current, progress=report, **options)


def test_an_engine_need_not_report_that_it_compares(seen):
    sync(MemoryStorage(), engine=ReadingEngine(), observer=seen.append)
    assert kinds(seen) == STEPS
    assert seen[1].facts == {"rows": 50}


def test_a_preview_reports_what_it_does(seen):
    with prepare_sync(SYNC, PEOPLE, MemoryStorage(), observer=seen.append) as prepared:
        assert kinds(seen) == STEPS[:3]
        prepared.commit()
    assert kinds(seen) == STEPS
    del seen[:]
    sync(MemoryStorage(), dry_run=True, observer=seen.append)
    assert kinds(seen) == STEPS[:3]


def test_a_refused_sync_ends_after_the_comparison(seen):
    storage = MemoryStorage()
    sync(storage)
    with pytest.raises(MassExitError):
        sync(storage, [], 1, guard=Guard(), observer=seen.append)
    assert kinds(seen) == STEPS[:3]


def interrupted(people=PEOPLE[1:], minute=1):
    """Return storages with a sync whose writer died after the record, but before the outcome."""
    probe = MemoryStorage()
    sync(probe)
    fault = Fault()
    sync(FaultyStorage(probe, fault), people, minute)
    for number in range(len(fault.calls)):
        storage = MemoryStorage()
        sync(storage)
        with suppress(BaseException):
            sync(FaultyStorage(storage, Fault(at=number)), people, minute)
        yield storage


def test_a_sync_reports_what_it_finishes_for_another_writer():
    outcomes = Counter()
    for storage in interrupted():
        seen = []
        result = sync(storage, PEOPLE[2:], 2, observer=seen.append)
        found = [event for event in seen if event.kind == "recovered"]
        assert [report.outcome for report in result.recoveries] == [
            event.facts["outcome"] for event in found
        ]
        for event, report in zip(found, result.recoveries, strict=True):
            assert kinds(seen)[:2] == ["recovered", "began"]
            assert report.record.synced_at == event.synced_at == moment(1)
            assert f"{moment(1).isoformat()} is {report.outcome} now" in str(result)
            assert result.to_json()["recoveries"] == [
                {"outcome": report.outcome, "synced_at": moment(1).isoformat()}
            ]
            outcomes[report.outcome] += 1
    assert outcomes["published"] > 0


def test_a_sync_reports_what_it_finishes_at_its_commit():
    counting = Fault()
    sync(FaultyStorage(MemoryStorage(), counting))
    storage, seen = MemoryStorage(), []

    def die_first(event: StreamEvent) -> None:
        seen.append(event)
        if event.kind == "diffed":
            with suppress(BaseException):
                sync(FaultyStorage(storage, Fault(at=counting.calls.index("publish"))))

    result = sync(storage, observer=die_first)
    assert kinds(seen) == [*STEPS[:4], "recovered"]
    assert result.already_done
    assert [report.outcome for report in result.recoveries] == ["published"]
    assert f"{moment(0).isoformat()} is published now" in str(result)


def test_recover_and_run_due_report_it_too():
    number = 0
    for storage in interrupted():
        seen = []
        if recover(storage, SYNC, observer=seen.append).outcome != "nothing":
            assert kinds(seen) == ["recovered"]
            number += 1
    assert number > 0
    hourly = attrs.evolve(SYNC, cadence="hourly")
    reports = [
        run_due([(hourly, PEOPLE[2:])], storage, moment(60 * 24 * 40)).results[0].result
        for storage in interrupted()
    ]
    assert any(result is not None and result.recoveries for result in reports)


def test_a_void_sync_is_an_event(seen):
    class Occupied(MemoryStorage):
        def publish(self, staged, /):
            if "entering" in staged.key:
                self.create(staged.key, b"another tool")
            return super().publish(staged)

    storage = Occupied()
    with pytest.raises(SyncVoidError):
        sync(storage, observer=seen.append)
    assert kinds(seen) == [*STEPS[:-1], "voided"]
    assert seen[-1].facts == {"number": 1, "cause": "files lost or names taken"}
    # The line of the log can be split into its facts, although the cause has spaces.
    facts, _ = str(seen[-1]).rsplit(" (", 1)
    assert shlex.split(facts)[-2:] == ["number=1", "cause=files lost or names taken"]


@pytest.mark.parametrize("value", ["void", "two words", 'a "quoted" one', "a=b", "", "é", 7])
def test_a_line_of_the_log_can_be_split_into_its_facts(value):
    facts = {"before": 1, "cause": value, "after": 2}
    event = StreamEvent(kind="voided", stream=SYNC.stream, facts=facts, seconds=0.5)
    line, seconds = str(event).split(": ", 1)[1].rsplit(" ", 2)[0], "(0.50 s)"
    assert str(event).endswith(seconds)
    assert shlex.split(line) == ["before=1", f"cause={value}", "after=2"]


def test_maintenance_is_an_event(seen):
    storage = MemoryStorage()
    for minute in range(3):
        sync(storage, PEOPLE[minute:], minute)
    receipt = forget(storage, SYNC, ["49"], observer=seen.append)
    pruned = prune(storage, SYNC, before=moment(3), observer=seen.append)
    assert kinds(seen) == ["forgot", "pruned"]
    assert seen[0].facts == {"people": 1, "files": len(receipt.files)}
    assert seen[1].facts == {"files": len(pruned.plan.files), "bytes": pruned.plan.size}


def test_an_observer_that_raises_stops_nothing(caplog):
    def fail(event: StreamEvent) -> None:
        raise ValueError(event, "ann@example.com")

    storage = MemoryStorage()
    assert sync(storage, observer=fail).record.members == 50
    assert read_history(storage, SYNC).verify() == ()
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == [f"the observer raised ValueError at {kind}" for kind in STEPS]
    assert "ann@" not in caplog.text


def test_a_handler_that_raises_stops_nothing(seen):
    class Broken(logging.Handler):
        def emit(self, record):
            raise ValueError(record)

    logger, handler = logging.getLogger("amplitude_cohort_s3"), Broken(logging.INFO)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        assert sync(MemoryStorage(), observer=seen.append).record.members == 50
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    assert kinds(seen) == STEPS


@pytest.mark.parametrize("kind", STEPS)
def test_an_interrupted_observer_leaves_a_stream_that_goes_on(kind):
    def interrupt(event: StreamEvent) -> None:
        if event.kind == kind:
            raise KeyboardInterrupt

    storage = MemoryStorage()
    sync(storage)
    with pytest.raises(KeyboardInterrupt):
        sync(storage, PEOPLE[1:], 1, observer=interrupt)
    staged = vars(storage)["_staged"]
    assert len(staged) == (3 if kind == "recorded" else 0)
    unfinished = len(staged) > 0
    result = sync(storage, PEOPLE[2:], 2)
    assert [report.outcome for report in result.recoveries] == ["published"] * unfinished
    assert read_history(storage, SYNC).verify() == ()


@pytest.mark.parametrize("is_local", [False, True])
def test_an_observer_may_sync_another_stream_and_its_own(seen, is_local, tmp_path):
    other = attrs.evolve(SYNC, cohort_id="other")
    storage = LocalStorage(tmp_path) if is_local else MemoryStorage()

    def again(event: StreamEvent) -> None:
        seen.append(event)
        if event.kind == "published":
            sync_cohort(other, PEOPLE, storage, observer=seen.append)
            sync(storage, PEOPLE[1:], 1, observer=seen.append)

    assert sync(storage, observer=again).record.members == 50
    assert kinds(seen) == STEPS * 3
    assert len(read_history(storage, SYNC)) == 2
    assert read_history(storage, SYNC).verify() == ()


@pytest.mark.parametrize("is_local", [False, True])
@pytest.mark.parametrize("kind", ["began", "diffed", "staged"])
def test_an_observer_that_is_faster_than_its_own_sync_wins(kind, is_local, tmp_path):
    storage = LocalStorage(tmp_path) if is_local else MemoryStorage()

    def overtake(event: StreamEvent) -> None:
        if event.kind == kind:
            sync(storage, PEOPLE[1:], 1)

    with pytest.raises(ConcurrentSyncError):
        sync(storage, observer=overtake)
    assert [s.synced_at for s in read_history(storage, SYNC)] == [moment(1)]


def test_no_line_at_any_level_contains_a_user(caplog):
    caplog.set_level(logging.DEBUG)
    storage = MemoryStorage()
    with_property = attrs.evolve(SYNC, user_properties=[UserProperty("email")])
    rows = [{"amplitude_id": i, "user_id": u, "email": f"x{u}"} for i, u in PEOPLE]
    for day in range(2):
        when = moment(0) + timedelta(days=day)
        sync_cohort(with_property, rows[day:], storage, synced_at=when, clock=clock_at(when))
    forget(storage, with_property, ["user49@example.com"], by="user_id")
    assert "user" not in caplog.text.replace("user_", "")
    assert "example.com" not in caplog.text


@pytest.mark.parametrize("observer", ["print", 7, StreamEvent])
def test_an_observer_must_be_a_function(observer):
    with pytest.raises(ArgumentTypeError, match="pass a function of a StreamEvent"):
        sync(MemoryStorage(), observer=observer)
