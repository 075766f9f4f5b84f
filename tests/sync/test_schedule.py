"""Syncs at a cadence: those that are due are done, and a failure does not stop the others."""

import pickle
from datetime import UTC, datetime, timedelta

import pytest

from amplitude_cohort_s3 import (
    AmplitudeCohorts,
    Cadence,
    CohortSync,
    CsvSource,
    Destination,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    NameStyle,
    UserProperty,
    errors,
    read_head,
    read_history,
    recover,
    run_due,
)
from amplitude_cohort_s3.sources.protocol import SupportsUnchanged
from amplitude_cohort_s3.sync import JobOutcome
from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DONE, NOT_DUE, FAILED = JobOutcome.DONE, JobOutcome.NOT_DUE, JobOutcome.FAILED


def a_sync(cohort_id="a", cadence=Cadence.HOURLY, **more):
    destination = Destination(name="d", path="cohorts", **more.pop("destination", {}))
    return CohortSync(
        destination=destination, project_id=1, cohort_id=cohort_id, cadence=cadence, **more
    )


class Source:
    """Members that know when they last changed, and count how often they are read."""

    def __init__(self, rows=b"1,ann\n", version="1"):
        self.rows = rows
        self.version = version
        self.reads = 0

    def csv_source(self, schema):
        self.reads += 1
        data = b"amplitude_id,user_id\n" + self.rows
        return CsvSource(chunks=lambda: iter([data]), origin={"version": self.version})

    def is_unchanged(self, origin):
        return origin == {"version": self.version}


def outcomes(jobs, storage, now, **options):
    return [one.outcome for one in run_due(jobs, storage, now, **options)]


def test_each_job_is_synced_once_per_hour_or_day_and_its_source_read_only_then():
    storage = MemoryStorage()
    sources = [Source(), Source(), Source()]
    for source in sources:
        source.is_unchanged = lambda origin: False
    cadences = [Cadence.ONE_TIME, Cadence.HOURLY, Cadence.DAILY]
    jobs = [(a_sync(f"a{n}", cadences[n]), sources[n]) for n in range(3)]
    assert outcomes(jobs, storage, NOON + 50 * HOUR / 60) == [DONE, DONE, DONE]
    assert outcomes(jobs, storage, NOON + 59 * HOUR / 60) == [NOT_DUE, NOT_DUE, NOT_DUE]
    assert outcomes(jobs, storage, NOON + HOUR) == [NOT_DUE, DONE, NOT_DUE]
    assert outcomes(jobs, storage, NOON + DAY) == [NOT_DUE, DONE, DONE]
    assert [source.reads for source in sources] == [1, 3, 2]
    times = [one.synced_at for one in read_history(storage, jobs[1][0].stream)]
    assert times == [NOON + 50 * HOUR / 60, NOON + HOUR, NOON + DAY]


def test_a_source_that_reports_no_change_is_not_read():
    storage, source = MemoryStorage(), Source()
    assert isinstance(source, SupportsUnchanged)
    jobs = [(a_sync(), source)]
    assert outcomes(jobs, storage, NOON) == [DONE]
    assert outcomes(jobs, storage, NOON + HOUR) == [JobOutcome.UNCHANGED]
    assert source.reads == 1
    source.version = "2"
    assert outcomes(jobs, storage, NOON + 2 * HOUR) == [DONE]
    assert len(read_history(storage, jobs[0][0].stream)) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"destination": {"existing": ExistingMeaning.STAYED}},
        {"destination": {"header_style": "api"}},
    ],
)
def test_unchanged_members_are_synced_if_the_files_would_differ(changed):
    storage, source = MemoryStorage(), Source()
    assert outcomes([(a_sync(), source)], storage, NOON) == [DONE]
    assert outcomes([(a_sync(**changed), source)], storage, NOON + HOUR) == [DONE]


def test_a_failed_job_does_not_stop_the_others_and_is_tried_again():
    storage = MemoryStorage()

    def broken():
        msg = "no such table; the first row was ann@example.com"
        raise RuntimeError(msg)

    lacking = a_sync("c", user_properties=[UserProperty("plan")])
    jobs = [
        (a_sync("a"), [("1", "ann")]),
        (a_sync("b"), broken),
        (lacking, [{"amplitude_id": "1"}]),
        (a_sync("d"), lambda: [("2", "bob")]),
    ]
    report = run_due(jobs, storage, NOON)
    assert [one.outcome for one in report] == [DONE, FAILED, FAILED, DONE]
    assert [type(one.error) for one in report.failed] == [RuntimeError, errors.MissingColumnsError]
    for shown in (str(report), repr(report), report._repr_html_()):
        assert "ann" not in shown
        assert "RuntimeError" in shown
    assert str(report).splitlines() == [
        "4 syncs: 2 done, 2 failed",
        "done         d a  1 member, 1 entered, 0 exited",
        "failed       d b  RuntimeError",
        f"failed       d c  MissingColumnsError: {report[2].error}",
        "done         d d  1 member, 1 entered, 0 exited",
    ]
    with pytest.raises(ExceptionGroup, match="2 of 4 syncs failed") as caught:
        report.raise_failures()
    assert len(caught.value.exceptions) == 2
    jobs[1:3] = [(a_sync("b"), [("3", "")]), (lacking, [{"amplitude_id": "1", "plan": ""}])]
    again = run_due(jobs, storage, NOON)
    assert [one.outcome for one in again] == [NOT_DUE, DONE, DONE, NOT_DUE]
    again.raise_failures()
    assert pickle.loads(pickle.dumps(again)) == again


def test_a_dry_run_reports_due_jobs_and_stores_nothing():
    storage, source = MemoryStorage(), Source()
    jobs = [(a_sync("a"), source), (a_sync("b"), lambda: pytest.fail("fetched"))]
    assert outcomes(jobs, storage, NOON, dry_run=True) == [JobOutcome.DUE] * 2
    assert list(storage.list_objects()) == []
    assert source.reads == 0
    run_due(jobs[:1], storage, NOON)
    assert outcomes(jobs, storage, NOON, dry_run=True) == [NOT_DUE, JobOutcome.DUE]


def test_an_interrupted_job_is_recovered_and_then_not_due():
    jobs = [(a_sync(), [("1", "")])]
    counting = Fault()
    run_due(jobs, FaultyStorage(MemoryStorage(), counting), NOON)
    storage = MemoryStorage()
    dying = FaultyStorage(storage, Fault(at=counting.calls.index("publish")))
    with pytest.raises(Death):
        run_due(jobs, dying, NOON)
    unfetched = [(a_sync(), lambda: pytest.fail("fetched"))]
    assert outcomes(unfetched, storage, NOON, dry_run=True) == [NOT_DUE]
    (found,) = run_due(unfetched, storage, NOON)
    assert found.outcome is NOT_DUE
    assert found.detail == f"1 member; the unfinished sync of {NOON.isoformat()} is published now"
    assert run_due(unfetched, storage, NOON)[0].result is None
    head = read_head(storage, jobs[0][0].stream)
    assert head is not None
    assert head.record.members == 1


def test_an_amplitude_cohort_is_downloaded_only_if_due_and_recomputed():
    storage = MemoryStorage()
    with FakeAmplitude() as fake:
        fake.polls = 0
        fake.set_cohort("a", [("1", "ann")])
        amplitude = AmplitudeCohorts(fake.api_key, fake.secret_key, base_url=fake.base_url)
        jobs = [(a_sync("a"), amplitude.members("a")), (a_sync("z"), amplitude.members("z"))]
        assert outcomes(jobs, storage, NOON) == [DONE, FAILED]
        assert outcomes(jobs[:1], storage, NOON) == [NOT_DUE]
        assert outcomes(jobs[:1], storage, NOON + HOUR) == [JobOutcome.UNCHANGED]
        assert fake.downloads == 1
        fake.set_cohort("a", [("1", "ann"), ("2", "bob")])
        report = run_due(jobs[:1], storage, NOON + HOUR)
        assert report[0].detail == "2 members, 1 entered, 0 exited"
        assert fake.downloads == 2


def test_the_default_time_of_run_due_is_now():
    storage, sync = MemoryStorage(), a_sync()
    before = datetime.now(UTC) - timedelta(minutes=1)
    assert outcomes([(sync, [])], storage, None) == [DONE]
    head = read_head(storage, sync.stream)
    assert head is not None
    assert before < head.record.synced_at <= datetime.now(UTC)
    with pytest.raises(errors.NaiveDatetimeError):
        run_due([], storage, datetime(2026, 1, 1))  # noqa: DTZ001


def test_run_due_can_use_a_log_in_another_storage():
    storage, log = MemoryStorage(), MemoryStorage()
    jobs = [(a_sync(), [("1", "")])]
    assert outcomes(jobs, storage, NOON, log=log) == [DONE]
    assert outcomes(jobs, storage, NOON, log=log) == [NOT_DUE]
    assert len(list(storage.list_objects())) == 3
    assert str(run_due([], storage, NOON)) == "0 syncs: nothing to do"


@pytest.mark.parametrize(
    ("cadence", "gap"), [(Cadence.DAILY, timedelta(days=1)), (Cadence.HOURLY, timedelta(hours=1))]
)
def test_a_sync_with_an_occupied_time_does_not_prevent_that_of_the_next_hour_or_day(cadence, gap):
    """A void sync left a file under the last minute, so the retry is named after midnight."""
    last_minute = datetime(2026, 11, 23, 23, 59, 10, tzinfo=UTC)
    jobs = [(a_sync(cadence=cadence), [("1", "ann")])]
    storage = MemoryStorage()
    taken = jobs[0][0].stream.name(
        jobs[0][0].name_style.floor(last_minute), DiffType.ENTERING, NameStyle()
    )
    counting = Fault()
    run_due(jobs, FaultyStorage(MemoryStorage(), counting), last_minute)
    at = counting.calls.index("publish")
    with pytest.raises(Death):
        run_due(jobs, FaultyStorage(storage, Fault(at=at, when="after")), last_minute)
    assert recover(storage, jobs[0][0].stream, abandon=True).outcome == "void"
    assert storage.open(f"cohorts/{taken}").read()
    (retried,) = run_due(jobs, storage, last_minute + timedelta(seconds=30))
    assert retried.result.record.synced_at == datetime(2026, 11, 24, tzinfo=UTC)
    assert outcomes(jobs, storage, last_minute + timedelta(seconds=40)) == [NOT_DUE]
    assert outcomes(jobs, storage, last_minute + gap) == [DONE]
    assert outcomes(jobs, storage, last_minute + gap + timedelta(seconds=9)) == [NOT_DUE]
