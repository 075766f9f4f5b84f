"""Destinations, syncs, cadences, guards and streams."""

import pickle
from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    Cadence,
    CohortStream,
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    Guard,
    MemoryStorage,
    NameStyle,
    UserProperty,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    InvalidFileNameError,
    NaiveDatetimeError,
)
from amplitude_cohort_s3.testing import strategies

AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
PLAN = UserProperty("plan")


def sync_of(destination=None, **settings):
    given_by_default = {"project_id": 123, "cohort_id": "26umsb5"}
    return CohortSync(
        destination=destination or Destination(name="d"), **given_by_default | settings
    )


def test_every_setting_of_amplitudes_page_exists():
    destination = Destination(
        name="warehouse",  # "a name for the destination"
        bucket="my-bucket",  # "the bucket name"
        region="eu-central-1",  # "a region"
        path="amplitude/cohorts",  # "a bucket path (optional)"
        match_by=UserProperty("crm_id"),  # "the user property to match users"
        require_suffix=True,  # "Require suffix"
        user_property=UserProperty("country"),  # "User property", of the bucket
    )
    sync = CohortSync(
        destination=destination,  # "Select the S3 location"
        project_id=123,
        cohort_id="26umsb5",
        user_properties=[PLAN],  # "User Property", of the sync
        routing_key="vip_eu",  # "Routing Key"
        cadence=Cadence.DAILY,  # "Choose a sync cadence"
    )
    assert sync.schema.header == ("amplitudeID", "userID", "crm_id", "country", "plan")
    assert sync.schema.key == "crm_id"
    name = sync.stream.name(AT, DiffType.ENTERING, sync.name_style)
    assert name.key(destination.path) == (
        "amplitude/cohorts/123_26umsb5_2026-11-23T14:05_entering_vip_eu.csv"
    )
    assert sync.is_due(None, AT)
    assert pickle.loads(pickle.dumps(sync)) == sync


def test_the_defaults_give_amplitudes_form():
    sync = sync_of()
    assert sync.schema.header == ("amplitudeID", "userID")
    assert sync.schema.key == "amplitude_id"
    assert sync.destination.existing is ExistingMeaning.MEMBERS
    name = sync.stream.name(AT, DiffType.EXISTING, sync.name_style)
    assert name.key(sync.stream.path) == "123_26umsb5_2026-11-23T14:05_existing.csv"


def test_header_names_and_compression_can_be_chosen():
    destination = Destination(
        name="spark",
        header_style="api",
        name_style=NameStyle(separator="-", seconds=True, zulu=True),
        compression="gzip",
    )
    sync = sync_of(destination)
    assert sync.schema.header == ("amplitude_id", "user_id")
    assert str(sync.stream.name(AT, DiffType.EXISTING, sync.name_style)) == (
        "123_26umsb5_2026-11-23T14-05-00Z_existing.csv.gz"
    )


# --- One meaning, several forms ------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({"path": "/cohorts/vip/"}, {"path": "cohorts/vip"}),
        ({"path": "/"}, {"path": ""}),
        ({"match_by": "email"}, {"match_by": UserProperty("email")}),
        ({"match_by": "userID"}, {"match_by": "user_id"}),
        ({"match_by": "amplitudeID"}, {}),
        ({"user_property": "plan"}, {"user_property": PLAN}),
        ({"existing": "members"}, {}),
        ({"existing": "stayed"}, {"existing": ExistingMeaning.STAYED}),
        ({"existing": "previous"}, {"existing": ExistingMeaning.PREVIOUS}),
    ],
)
def test_a_destination_accepts_short_forms(short, long):
    assert Destination("d", **short) == Destination(name="d", **long)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({"user_properties": ["plan"]}, {"user_properties": [PLAN]}),
        ({"user_properties": "plan"}, {"user_properties": [PLAN]}),
        ({"user_properties": PLAN}, {"user_properties": [PLAN]}),
        ({"cadence": "one-time"}, {}),
        ({"cadence": "hourly"}, {"cadence": Cadence.HOURLY}),
        ({"cadence": "daily"}, {"cadence": Cadence.DAILY}),
    ],
)
def test_a_sync_accepts_short_forms(short, long):
    assert sync_of(Destination("d"), **short) == sync_of(Destination("d"), **long)


def test_without_a_guard_all_members_may_leave():
    sync, storage = sync_of(guard=False), MemoryStorage()
    sync_cohort(sync, [(str(n), "") for n in range(1000)], storage, synced_at=AT)
    result = sync_cohort(sync, [], storage, synced_at=AT + timedelta(days=1))
    assert result.record.members == 0


# --- Faults ------------------------------------------------------------------------------

# The settings of a destination, and a word from each fault.
INVALID_DESTINATIONS = [
    ({"name": ""}, ["name"]),
    ({"path": "a//b"}, ["path"]),
    ({"path": "../up"}, ["path"]),
    ({"path": "a\nb"}, ["path"]),
    ({"path": "_hidden"}, ["hide"]),
    ({"path": "a/.hidden"}, ["hide"]),
    ({"match_by": ["email"]}, ["match_by must be 'amplitude_id', 'user_id' or a property"]),
    ({"user_property": 7}, ["user_property"]),
    ({"bucket": "s3://my-bucket/cohorts"}, ["only a name"]),
    ({"existing": "all"}, ["existing must be 'members', 'stayed' or 'previous', not 'all'"]),
    ({"name_style": NameStyle(separator="_")}, ["_"]),
    ({"name_style": NameStyle(second_group="seconds")}, ["minutes"]),
    ({"name_style": NameStyle(empty_routing_key=True)}, ["empty routing key"]),
    ({"name_style": NameStyle(extension=".csv.gz")}, ["compression"]),
    ({"header_style": "spark"}, ["header_style"]),
    ({"compression": "zstd"}, ["compression"]),
    (
        {
            "name": "",
            "path": "a//_x",
            "match_by": 7,
            "existing": "all",
            "name_style": NameStyle(second_group="seconds", empty_routing_key=True),
            "header_style": "x",
            "compression": "x",
        },
        ["name", "path", "hide", "match_by", "existing", "minutes", "empty", "header", "compre"],
    ),
]


@pytest.mark.parametrize(("settings", "faults"), INVALID_DESTINATIONS)
def test_all_faults_of_a_destination_are_reported_at_once(settings, faults):
    with pytest.raises(ConfigurationError) as caught:
        Destination(**{"name": "d"} | settings)
    assert_faults(caught.value, faults)


INVALID_SYNCS = [
    ({"project_id": -1}, ["project_id"]),
    (
        {"project_id": "1", "cadence": "weekly", "guard": 0.3, "user_properties": [7]},
        ["project_id", "Guard", "'daily', not 'weekly'", "UserProperty, not 7"],
    ),
    ({"cohort_id": ""}, ["cohort_id"]),
    ({"cohort_id": "a_b"}, ["cohort_id"]),
    ({"routing_key": ""}, ["routing_key"]),
    ({"routing_key": "a/b"}, ["routing_key"]),
    ({"routing_key": "k" * 1100}, ["1024 bytes"]),
    ({"routing_key": "k" * 960}, ["form a key"]),
    ({"user_properties": [UserProperty("UserID")]}, ["user_id"]),
    ({"user_properties": [PLAN, UserProperty("other", header="plan")]}, ["plan"]),
    (
        {
            "project_id": -1,
            "cohort_id": "a_b",
            "routing_key": "a/b",
            "user_properties": [UserProperty("UserID"), PLAN, UserProperty("x", header="plan")],
        },
        ["project_id", "cohort_id", "routing_key", "user_id", "plan"],
    ),
]


@pytest.mark.parametrize(("settings", "faults"), INVALID_SYNCS)
def test_all_faults_of_a_sync_are_reported_at_once(settings, faults):
    with pytest.raises(ConfigurationError) as caught:
        sync_of(Destination(name="d", path="p" * 30), **settings)
    assert_faults(caught.value, faults)


def test_a_missing_routing_key_is_reported_with_the_other_faults():
    destination = Destination(name="d", require_suffix=True)
    with pytest.raises(ConfigurationError) as caught:
        sync_of(destination, project_id=-1)
    assert_faults(caught.value, ["project_id", "'d' requires a routing key"])
    assert sync_of(destination, routing_key="k").routing_key == "k"


def test_an_optional_routing_key_may_be_given():
    assert sync_of(routing_key="vip").stream.routing_key == "vip"


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        ({"max_exits": -0.1}, ["max_exits"]),
        ({"max_exits": 1.1}, ["max_exits is a share"]),
        ({"max_skipped": 50.0}, ["an int is a number"]),
        ({"max_exits": float("nan")}, ["max_exits"]),
        ({"max_growth": float("inf")}, ["max_growth must be 0 or more, not inf; None means"]),
        ({"max_growth": -1}, ["max_growth"]),
        ({"max_growth": True}, ["not True"]),
        ({"max_exits": 2.0, "min_members": -1}, ["max_exits", "min_members"]),
        ({"max_exits": "half", "min_members": None}, ["max_exits", "min_members"]),
    ],
)
def test_all_faults_of_a_guard_are_reported_at_once(settings, faults):
    with pytest.raises(ConfigurationError) as caught:
        Guard(**settings)
    assert_faults(caught.value, faults)


@pytest.mark.parametrize(
    "arguments", [{"name": ""}, {"name": "a", "source_app": ""}, {"name": "a", "header": ""}]
)
def test_a_property_without_a_name_is_refused(arguments):
    with pytest.raises(ConfigurationError):
        UserProperty(**arguments)


def assert_faults(error, words):
    assert len(error.faults) == len(words), error.faults
    for fault, word in zip(error.faults, words, strict=True):
        assert word in fault
        assert fault in str(error)


# --- Columns -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "column"),
    [
        (("plan",), "plan"),
        (("plan", "ios"), "plan_ios"),
        (("plan", "ios", "Plan (iOS)"), "Plan (iOS)"),
        (("plan", None, "tier"), "tier"),
    ],
)
def test_the_column_of_a_property(arguments, column):
    assert UserProperty(*arguments).column == column


def test_portfolio_projects_have_a_column_for_each_source_app():
    apps = [UserProperty("plan", source_app=app) for app in ("ios", "android")]
    assert sync_of(user_properties=apps).schema.properties == ("plan_ios", "plan_android")


def test_a_repeated_property_is_one_column_at_its_first_position():
    destination = Destination(name="d", match_by=PLAN, user_property=PLAN)
    sync = sync_of(destination, user_properties=[UserProperty("country"), PLAN])
    assert sync.schema.properties == ("plan", "country")


# --- Cadence -------------------------------------------------------------------------------


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
def test_when_a_sync_is_due(cadence, last, now, due):
    last = None if last is None else at(last)
    assert cadence.is_due(last, at(now)) is due
    assert sync_of(cadence=cadence).is_due(last, at(now)) is due


def test_hours_are_those_of_utc_and_days_those_of_the_time_zone_of_now():
    india = timezone(timedelta(hours=5, minutes=30))
    assert not Cadence.HOURLY.is_due(at("23T14:00").astimezone(india), at("23T14:45"))
    assert not Cadence.DAILY.is_due(at("23T14:00").astimezone(india), at("23T20:00"))
    assert Cadence.DAILY.is_due(at("23T14:00"), at("23T20:00").astimezone(india))


@given(strategies.times(), st.integers(0, 40))
def test_a_late_run_does_not_make_the_next_one_late(start, lateness):
    start = start.replace(year=2024, minute=0, second=0, microsecond=0)
    last = start + timedelta(minutes=lateness)
    assert Cadence.HOURLY.is_due(last, start + timedelta(hours=1))


@pytest.mark.parametrize("cadence", Cadence)
def test_naive_times_are_refused(cadence):
    naive = AT.replace(tzinfo=None)
    for last, now in [(None, naive), (AT, naive), (naive, AT)]:
        with pytest.raises(NaiveDatetimeError):
            cadence.is_due(last, now)


# --- The guard ------------------------------------------------------------------------


# --- Streams -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "data_prefix", "log_prefix"),
    [
        ((1, "a"), "1_a_", "_syncs/1_a/"),
        ((1, "a", "p/q"), "p/q/1_a_", "p/q/_syncs/1_a/"),
        ((None, "a"), "a_", "_syncs/none_a/"),
        ((0, "a", "", "vip"), "0_a_", "_syncs/0_a_vip/"),
        ((0, "a", "", "v_x.csv~ü"), "0_a_", "_syncs/0_a_v%5Fx%2Ecsv%7E%C3%BC/"),
    ],
)
def test_the_prefixes_of_a_streams_files_and_log(stream, data_prefix, log_prefix):
    keys = ("project_id", "cohort_id", "path", "routing_key")
    found = CohortStream(**dict(zip(keys, stream, strict=False)))
    assert (found.data_prefix, found.log_prefix) == (data_prefix, log_prefix)


@given(strategies.streams(), strategies.streams())
def test_law_two_streams_never_share_a_log(one, other):
    assert (one.log_prefix == other.log_prefix) == (one == other)


@given(strategies.streams())
def test_the_log_of_a_longer_routing_key_is_not_inside_that_of_a_shorter_one(stream):
    longer = attrs.evolve(stream, routing_key=(stream.routing_key or "") + "_x")
    assert not longer.log_prefix.startswith(stream.log_prefix)


@given(st.text("ab_.~%", min_size=1, max_size=4), st.text("ab_.~%", min_size=1, max_size=4))
def test_law_two_routing_keys_never_share_a_log(one, other):
    prefixes = {
        CohortStream(project_id=1, cohort_id="a", routing_key=key).log_prefix
        for key in (one, other)
    }
    assert len(prefixes) == len({one, other})


def test_a_long_routing_key_has_its_own_log_with_a_short_name():
    streams = [
        CohortStream(project_id=1, cohort_id="a", routing_key="日" * 150 + end) for end in "ab"
    ]
    one, other = (stream.log_prefix for stream in streams)
    assert one != other
    assert max(map(len, one.split("/"))) < 200


@given(strategies.streams(), strategies.times(), st.sampled_from(DiffType), st.data())
def test_law_a_stream_owns_its_file_names_and_their_keys_have_its_prefix(
    stream, when, diff_type, data
):
    style = data.draw(strategies.name_styles(written=True))
    name = stream.name(style.floor(when), diff_type, style)
    assert stream.owns(stream.path, name)
    assert name.key(stream.path).startswith(stream.data_prefix)
    assert not attrs.evolve(stream, path=f"{stream.path}x").owns(stream.path, name)
    other = attrs.evolve(stream, routing_key=f"{stream.routing_key or ''}x")
    assert not other.owns(stream.path, name)


def test_a_stream_is_refused_if_no_file_name_can_have_its_parts():
    for parts in ({"cohort_id": "a_b"}, {"routing_key": ""}, {"project_id": -1}):
        with pytest.raises(InvalidFileNameError):
            CohortStream(**{"project_id": 1, "cohort_id": "a"} | parts)


def test_a_path_that_ends_in_a_slash_is_refused_because_no_key_has_it():
    with pytest.raises(ConfigurationError):
        CohortStream(project_id=1, cohort_id="a", path="cohorts/")
