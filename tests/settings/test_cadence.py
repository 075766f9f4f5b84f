"""Cadences: a sync is due once in each hour of UTC, or once on each local day."""

import time
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import Cadence, CohortSync, Destination
from amplitude_cohort_s3.errors import ArgumentTypeError, ConfigurationError, NaiveDatetimeError

BERLIN, NEW_YORK, KOLKATA = map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Asia/Kolkata"))
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # its summer time is half an hour
# Around the days on which summer time ends and begins.
STARTS = [date(2026, 10, 20), date(2027, 3, 8), date(2027, 3, 24), date(2027, 10, 28)]


def local(day, clock, zone):
    return datetime.fromisoformat(f"{day.isoformat()}T{clock}").replace(tzinfo=zone)


def at(text):
    return datetime.fromisoformat(f"2026-11-{text}+00:00")


@pytest.mark.parametrize(
    ("cadence", "last", "now", "due"),
    [
        (Cadence.ONE_TIME, None, "23T00:00", True),
        (Cadence.ONE_TIME, "22T00:00", "30T00:00", False),
        (Cadence.HOURLY, None, "23T00:00", True),
        (Cadence.HOURLY, "23T14:00", "23T14:59", False),
        (Cadence.HOURLY, "23T14:00", "23T15:00", True),
        (Cadence.HOURLY, "23T14:50", "23T15:00", True),  # late, the next one is on time
        (Cadence.HOURLY, "23T23:59", "24T00:00", True),
        (Cadence.HOURLY, "23T14:00", "25T14:00", True),
        (Cadence.DAILY, None, "23T00:00", True),
        (Cadence.DAILY, "23T00:10", "23T23:59", False),
        (Cadence.DAILY, "23T23:50", "24T00:00", True),  # late, the next one is on time
        (Cadence.DAILY, "23T06:00", "24T05:00", True),
        (Cadence.DAILY, "23T06:00", "30T05:00", True),
        (Cadence.HOURLY, "23T14:00", "23T13:00", False),  # the clock was set back
        (Cadence.DAILY, "23T14:00", "22T14:00", False),
    ],
)
def test_a_sync_is_due_once_in_each_hour_or_on_each_day(cadence, last, now, due):
    last = None if last is None else at(last)
    sync = CohortSync(
        destination=Destination("d"), project_id=123, cohort_id="26umsb5", cadence=cadence
    )
    assert cadence.is_due(last, at(now)) is due
    assert sync.is_due(last, at(now)) is due


def test_hours_are_those_of_utc_and_days_those_of_the_time_zone_of_now():
    india = timezone(timedelta(hours=5, minutes=30))
    assert not Cadence.HOURLY.is_due(at("23T14:00").astimezone(india), at("23T14:45"))
    assert not Cadence.DAILY.is_due(at("23T14:00").astimezone(india), at("23T20:00"))
    assert Cadence.DAILY.is_due(at("23T14:00"), at("23T20:00").astimezone(india))


@pytest.mark.parametrize("cadence", Cadence)
def test_the_times_of_is_due_are_aware(cadence):
    aware = at("23T14:05")
    naive = aware.replace(tzinfo=None)
    for last, now in [(None, naive), (aware, naive), (naive, aware)]:
        with pytest.raises(NaiveDatetimeError):
            cadence.is_due(last, now)


# --- Local times ----------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [UTC, BERLIN, NEW_YORK, KOLKATA, LORD_HOWE], ids=str)
@pytest.mark.parametrize("start", STARTS, ids=str)
@pytest.mark.parametrize("clock", ["00:00", "00:30", "01:30", "02:30", "12:00", "23:30", "23:59"])
def test_a_job_at_a_fixed_local_time_is_due_every_day_and_once(zone, start, clock):
    last = None
    for number in range(12):
        now = local(start + timedelta(days=number), clock, zone)
        assert Cadence.DAILY.is_due(last, now), now
        last = now.astimezone(UTC)
        assert not Cadence.DAILY.is_due(last, now)


@pytest.mark.parametrize("zone", [UTC, BERLIN, NEW_YORK, KOLKATA, LORD_HOWE], ids=str)
@pytest.mark.parametrize("start", STARTS, ids=str)
def test_an_hourly_call_finds_a_daily_job_due_once_per_local_day(zone, start):
    begin = local(start, "00:05", zone).astimezone(UTC)
    last, synced = None, []
    for hours in range(12 * 24 - 2):
        now = (begin + timedelta(hours=hours)).astimezone(zone)
        if Cadence.DAILY.is_due(last, now):
            last = now.astimezone(UTC)
            synced.append(now.date())
    assert synced == [start + timedelta(days=n) for n in range(12)]


def test_a_late_run_does_not_delay_the_next_day():
    late = datetime(2026, 10, 24, 23, 50, tzinfo=BERLIN)
    assert Cadence.DAILY.is_due(late, datetime(2026, 10, 25, 0, 5, tzinfo=BERLIN))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("clock", ["00:05", "01:30", "23:30"])
def test_the_offset_of_this_machine_is_treated_as_its_time_zone(zone, clock, monkeypatch):
    """``datetime.now().astimezone()`` has the offset of one moment only."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for start in STARTS:
            last = None
            for number in range(12):
                aware = local(start + timedelta(days=number), clock, ZoneInfo(zone))
                now = datetime.fromtimestamp(aware.timestamp()).astimezone()
                assert isinstance(now.tzinfo, timezone)
                assert Cadence.DAILY.is_due(last, now), now
                later = (aware.astimezone(UTC) + timedelta(minutes=20)).astimezone()
                assert not Cadence.DAILY.is_due(now, later)
                last = now.astimezone(UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_days_of_utc_stay_days_of_utc_wherever_the_machine_is(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/London")
    time.tzset()
    try:
        last = datetime(2027, 3, 27, 23, 30, tzinfo=UTC)
        assert not Cadence.DAILY.is_due(last, datetime(2027, 3, 27, 23, 59, tzinfo=UTC))
        assert Cadence.DAILY.is_due(last, datetime(2027, 3, 28, 0, 1, tzinfo=UTC))
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_hourly_job_is_due_in_each_hour_of_any_zone():
    for zone in (BERLIN, KOLKATA, LORD_HOWE):
        now = local(STARTS[0], "00:20", zone).astimezone(UTC)
        for _ in range(12 * 24):
            later = now + timedelta(hours=1)
            assert Cadence.HOURLY.is_due(now, later.astimezone(zone))
            now = later


def test_a_timestamp_of_pandas_is_a_time_and_a_naive_one_is_refused():
    last = pd.Timestamp("2027-03-28T01:30:00.123456789", tz="Europe/Berlin")
    assert Cadence.DAILY.is_due(last, pd.Timestamp("2027-03-29T01:30:00.1", tz="Europe/Berlin"))
    assert not Cadence.DAILY.is_due(last, last)
    with pytest.raises(NaiveDatetimeError):
        Cadence.DAILY.is_due(last, pd.Timestamp("2027-03-29"))
    with pytest.raises(ArgumentTypeError, match="now has the wrong type NaTType"):
        Cadence.DAILY.is_due(last.to_pydatetime(warn=False), pd.NaT)


@pytest.mark.parametrize("now_zone", [BERLIN, None], ids=["a zone", "this machine's"])
def test_a_last_sync_without_a_date_in_the_zone_of_the_job_is_refused(now_zone, monkeypatch):
    """The log of another writer may contain it."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        now = datetime(2026, 11, 23, tzinfo=UTC).astimezone(now_zone)
        with pytest.raises(ConfigurationError, match="no date in"):
            Cadence.DAILY.is_due(datetime.max.replace(tzinfo=UTC), now)
    finally:
        monkeypatch.undo()
        time.tzset()


# --- Overdue -------------------------------------------------------------------------------------

ZONES = (UTC, BERLIN, NEW_YORK, KOLKATA, LORD_HOWE, timezone(timedelta(hours=13)))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
LATER = st.timedeltas(timedelta(days=-1), timedelta(days=5))


@given(last=MOMENTS, later=LATER, zone=st.sampled_from(ZONES))
def test_a_daily_sync_is_overdue_since_a_local_midnight_before_which_a_whole_day_passed(
    last, later, zone
):
    now = (last + later).astimezone(zone)
    overdue = Cadence.DAILY.overdue(last, now)
    last_day = last.astimezone(zone).date()
    passed = (now.date() - last_day).days
    assert (overdue is not None) == (passed >= 2)
    if overdue is not None:
        since = (now.astimezone(UTC) - overdue).astimezone(zone)
        assert since.date() == last_day + timedelta(days=2)
        assert (since.hour, since.minute, since.second, since.microsecond) == (0, 0, 0, 0)
        assert Cadence.DAILY.is_due(last, now)


@given(last=MOMENTS, later=LATER, zone=st.sampled_from(ZONES))
def test_an_hourly_sync_is_overdue_since_an_hour_before_which_a_whole_hour_passed(
    last, later, zone
):
    now = last + later
    overdue = Cadence.HOURLY.overdue(last, now.astimezone(zone))
    since = last.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    assert overdue == (now - since if now > since else None)
    assert overdue is None or Cadence.HOURLY.is_due(last, now)
    assert Cadence.ONE_TIME.overdue(last, now) is None


def test_a_day_is_overdue_by_real_hours_when_summer_time_begins():
    last = datetime(2027, 3, 26, 6, 30, tzinfo=UTC)
    noon = datetime(2027, 3, 28, 12, 0, tzinfo=BERLIN)
    assert Cadence.DAILY.overdue(last, noon) == timedelta(hours=11)


def test_the_days_of_a_fixed_offset_of_this_machine_are_those_of_its_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        last = datetime(2027, 3, 26, 23, 30, tzinfo=UTC)  # on the 27th in Berlin
        now = datetime(2027, 3, 29, 12, 0, tzinfo=BERLIN).astimezone()
        assert Cadence.DAILY.overdue(last, now) == timedelta(hours=12)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_times_of_overdue_are_aware():
    aware = datetime(2027, 3, 26, tzinfo=UTC)
    for last, now in ((aware, aware.replace(tzinfo=None)), (aware.replace(tzinfo=None), aware)):
        for cadence in Cadence:
            with pytest.raises(NaiveDatetimeError):
                cadence.overdue(last, now)
