"""Destinations, properties, cohort syncs and guards."""

import pickle
from datetime import UTC, datetime, timedelta

import pytest

from amplitude_cohort_s3 import (
    Cadence,
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
)

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
def test_the_column_of_a_property_is_its_header_or_its_name_and_app(arguments, column):
    assert UserProperty(*arguments).column == column


def test_portfolio_projects_have_a_column_for_each_source_app():
    apps = [UserProperty("plan", source_app=app) for app in ("ios", "android")]
    assert sync_of(user_properties=apps).schema.properties == ("plan_ios", "plan_android")


def test_a_repeated_property_is_one_column_at_its_first_position():
    destination = Destination(name="d", match_by=PLAN, user_property=PLAN)
    sync = sync_of(destination, user_properties=[UserProperty("country"), PLAN])
    assert sync.schema.properties == ("plan", "country")
