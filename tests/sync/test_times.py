"""The time of a sync: given or chosen, rounded down, increasing, and near the clock."""

from datetime import UTC, datetime, timedelta, timezone

import attrs
import pandas as pd
import pytest
from syncs import (
    AT,
    HOUR,
    MINUTE,
    NEW,
    NOW,
    OLD,
    STREAM,
    SYNC,
    assert_refused,
    data_files,
    make_void,
    run_sync,
)

from amplitude_cohort_s3 import (
    Cadence,
    CohortFileName,
    NameStyle,
    adopt,
    diff_members,
    forget,
    plan_prune,
    prune,
    read_head,
    read_history,
    recover,
    run_due,
)
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    SyncTimeError,
)
from amplitude_cohort_s3.policy import lifecycle_rules
from amplitude_cohort_s3.sync import begin_sync, plan_sync


def test_the_time_is_rounded_down_in_names_record_and_comparison(storage):
    result = run_sync(storage, OLD, AT + timedelta(seconds=59, microseconds=999_999))
    assert result.record.synced_at == AT
    assert result.record.requested_at == NOW
    assert all("T14:05_" in key for key in data_files(storage))
    assert run_sync(storage, OLD, AT + timedelta(seconds=3)).already_done


def test_times_in_different_zones_are_compared_as_instants(storage):
    run_sync(storage, OLD, datetime.fromisoformat("2026-11-23T19:35:00+05:30"))
    assert run_sync(storage, OLD, AT).already_done


def test_the_default_time_is_the_first_free_one_from_now_on(storage):
    now = AT + timedelta(seconds=30)
    times = [run_sync(storage, OLD, None, now=now).record.synced_at for _ in range(3)]
    assert times == [AT, AT + MINUTE, AT + 2 * MINUTE]
    much_later = run_sync(storage, OLD, None, now=now + HOUR)
    assert much_later.record.synced_at == AT + HOUR
    assert not much_later.already_done


def test_the_default_time_is_not_one_of_files_that_a_void_sync_left(storage):
    run_sync(storage, OLD)
    make_void(storage, NEW, AT + MINUTE)
    assert run_sync(storage, NEW, None, now=AT + MINUTE).record.synced_at == AT + 2 * MINUTE


def test_a_clock_that_is_up_to_15_minutes_slow_is_accepted(storage):
    run_sync(storage, OLD, AT)
    result = run_sync(storage, NEW, None, now=AT - 15 * MINUTE)
    assert result.record.synced_at == AT + MINUTE


def test_a_clock_that_is_more_than_15_minutes_slow_is_refused(storage):
    run_sync(storage, OLD, AT)
    now = AT - 15 * MINUTE - timedelta(seconds=1)
    error = assert_refused(storage, SyncTimeError, lambda: run_sync(storage, NEW, None, now=now))
    assert (error.problem, error.synced_at, error.other) == ("clock", now, AT)


def test_an_explicit_time_is_never_changed(storage):
    run_sync(storage, OLD, AT)
    result = run_sync(storage, NEW, AT + MINUTE, now=AT + HOUR)
    assert result.record.synced_at == AT + MINUTE
    assert (
        run_sync(storage, OLD, AT + 2 * MINUTE, now=AT + MINUTE).record.synced_at == AT + 2 * MINUTE
    )


@pytest.mark.parametrize(
    "ahead", [timedelta(0), MINUTE, 15 * MINUTE, 15 * MINUTE + timedelta(seconds=59)]
)
def test_a_time_up_to_15_minutes_ahead_is_accepted(storage, ahead):
    assert run_sync(storage, OLD, AT + ahead, now=AT).record.synced_at == NameStyle().floor(
        AT + ahead
    )


@pytest.mark.parametrize("ahead", [16 * MINUTE, timedelta(days=365)])
def test_a_time_further_ahead_is_refused(storage, ahead):
    error = assert_refused(
        storage, SyncTimeError, lambda: run_sync(storage, OLD, AT + ahead, now=AT)
    )
    assert (error.problem, error.synced_at, error.other) == ("future", AT + ahead, AT)


def test_times_of_published_syncs_strictly_increase(storage):
    for members in (OLD, NEW, OLD):
        run_sync(storage, members, None, now=AT)
    times = [s.synced_at for s in read_history(storage, STREAM)]
    assert times == sorted(set(times))
    assert len(times) == 3


def test_the_time_of_the_head_decides_if_a_sync_is_due(storage):
    hourly = attrs.evolve(SYNC, cadence=Cadence.HOURLY)
    run_sync(storage, OLD, sync=hourly)
    last = read_head(storage, STREAM).record.synced_at
    assert not hourly.is_due(last, AT + 54 * MINUTE)
    assert hourly.is_due(last, AT + 55 * MINUTE)


NANOSECONDS = pd.Timestamp(AT) + pd.Timedelta(nanoseconds=30_123_456_789)
"""A time with more digits than a datetime has, such as ``df["computed_at"].max()``."""


class OddTime(datetime):
    """A datetime of another library, which writes itself in a form of its own."""

    def isoformat(self, *_, **__):
        return self.strftime("%d.%m.%Y")

    __str__ = isoformat


ODD = OddTime(2026, 11, 23, 14, 5, 30, 123_456, tzinfo=UTC)


def assert_readable(storage):
    """Assert that another process can read the log, and continue the stream."""
    history = read_history(storage, STREAM)
    assert history.verify() == ()
    assert [type(sync.synced_at) for sync in history] == [datetime] * len(history)
    assert recover(storage, STREAM).outcome == "nothing"
    assert run_sync(storage, NEW, AT + HOUR).record.members_before == 3


@pytest.mark.parametrize("when", [NANOSECONDS, ODD], ids=["nanoseconds", "another class"])
def test_a_time_of_another_class_becomes_a_plain_datetime(storage, when):
    result = run_sync(storage, OLD, when, now=when)
    assert type(result.record.synced_at) is type(result.record.requested_at) is datetime
    assert result.record.synced_at == AT
    assert result.record.requested_at == datetime(2026, 11, 23, 14, 5, 30, 123_456, tzinfo=UTC)
    assert run_sync(storage, OLD, when, now=when).already_done
    assert len(list(read_history(storage, STREAM).members_at(when))) == 3
    assert_readable(storage)


@pytest.mark.parametrize("when", [NANOSECONDS, ODD], ids=["nanoseconds", "another class"])
def test_every_function_that_takes_a_time_takes_one_of_another_class(storage, when):
    cadenced = attrs.evolve(SYNC, cadence=Cadence.DAILY)
    assert not run_due([(cadenced, OLD)], storage, when).failed
    assert read_head(storage, STREAM).record.synced_at == AT
    assert forget(storage, STREAM, ["9"], clock=lambda: when).forgotten_at <= when
    assert forget(storage, STREAM, ["1"], clock=lambda: when).number == 2
    assert prune(storage, STREAM, before=when, clock=lambda: when).number is None
    assert type(plan_prune(storage, STREAM, before=when).before) is datetime
    start = begin_sync(SYNC, storage, clock=lambda: when)
    with diff_members(start.head.members(), OLD, schema=SYNC.schema) as diff:
        plan = plan_sync(SYNC, diff, synced_at=when + HOUR, requested_at=when, previous=start.head)
    assert type(plan.synced_at) is type(plan.requested_at) is datetime
    name = CohortFileName(1, "a", NameStyle().floor(when), "existing")
    assert type(name.synced_at) is datetime
    assert CohortFileName.parse(str(name)) == name
    assert NameStyle().format_time(when) == "2026-11-23T14:05"
    assert lifecycle_rules(SYNC.destination, newest={STREAM: when})
    assert read_history(storage, STREAM).verify() == ()


def test_adopt_takes_the_time_of_a_clock_of_another_class(storage):
    run_sync(storage, OLD)
    for info in [*storage.list_objects("cohorts/_syncs/")]:
        storage.delete(info.key)
    assert type(adopt(storage, STREAM, clock=lambda: NANOSECONDS).record.requested_at) is datetime
    assert_readable(storage)


FIRST = datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))
LAST = datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))


@pytest.mark.parametrize("when", [FIRST, LAST], ids=["before the year 1", "after the year 9999"])
@pytest.mark.parametrize(
    "use",
    [
        lambda s, when: run_sync(s, NEW, when),
        lambda s, when: run_due([(SYNC, NEW)], s, when),
        lambda s, when: read_history(s, STREAM, since=when),
        lambda s, when: read_history(s, STREAM, until=when),
        lambda s, when: read_history(s, STREAM).members_at(when),
        lambda s, when: plan_prune(s, STREAM, before=when),
        lambda s, when: forget(s, STREAM, ["1"], clock=lambda: when),
        lambda s, when: CohortFileName(1, "a", when, "existing"),
        lambda s, when: SYNC.is_due(when, AT),
    ],
    ids=["sync", "run_due", "since", "until", "members_at", "prune", "forget", "name", "is_due"],
)
def test_a_moment_outside_the_years_of_utc_is_refused(storage, when, use):
    run_sync(storage, OLD)
    with pytest.raises(ConfigurationError, match="years go from 1 to 9999"):
        use(storage, when)
    assert_readable(storage)
