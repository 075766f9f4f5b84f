"""The configuration file: its keys, and the report of all its faults at once."""

import re
from pathlib import Path

import pytest

from amplitude_cohort_s3 import (
    Cadence,
    CohortSync,
    Destination,
    ExistingMeaning,
    Guard,
    LocalStorage,
    MemberFile,
    NameStyle,
    S3Storage,
    UserProperty,
    errors,
)
from amplitude_cohort_s3.cli.config import (
    AmplitudeConfig,
    AmplitudeMembersConfig,
    Config,
    DestinationConfig,
    SyncConfig,
)
from amplitude_cohort_s3.sources import MemberFiles

WHOLE = """
[amplitude.main]
region = "eu"
api_key_env = "MAIN_KEY"
secret_key_env = "MAIN_SECRET"

[destinations.warehouse]
bucket = "my-bucket"
region = "eu-west-1"
path = "cohorts"
match_by = { name = "email" }
user_property = { name = "plan", source_app = "ios", header = "ios plan" }
require_suffix = true
existing = "stayed"
name_style = { separator = "-", seconds = true, zulu = true }
header_style = "api"
compression = "gzip"
endpoint_url = "http://127.0.0.1:9000"
kms_key_id = "arn:aws:kms:eu-west-1:111122223333:key/1"
expected_bucket_owner = "111122223333"
acl = "bucket-owner-full-control"
checksums = false
request_options = { RequestPayer = "requester" }
log = "logs"

[destinations.disk]
folder = "bucket"
match_by = "user_id"

[syncs.actives]
destination = "warehouse"
project_id = 123
cohort_id = "26umsb5"
user_properties = ["city", { name = "team" }]
routing_key = "vip"
cadence = "daily"
guard = { max_exits = 7, max_growth = false, max_skipped = 0.1 }
members = { file = "in/actives.csv", columns = { id = "amplitude_id" } }

[syncs.payers]
destination = "disk"
project_id = 0
cohort_id = "9law9ns"
members = { amplitude = "main", cohort_id = "other", columns = { tier = "plan" }, max_missing = 5 }

[syncs.web]
destination = "disk"
project_id = 0
cohort_id = "web"
members = "https://host/m.csv?sig=1"

[syncs.given]
destination = "disk"
project_id = 0
cohort_id = "given"
"""


def read(text, folder="etc"):
    return Config.from_toml(text, name="syncs.toml", folder=folder)


def test_each_key_becomes_an_argument_of_the_library():
    config = read(WHOLE)
    warehouse = Destination(
        name="warehouse",
        bucket="my-bucket",
        region="eu-west-1",
        path="cohorts",
        match_by=UserProperty("email"),
        require_suffix=True,
        user_property=UserProperty("plan", source_app="ios", header="ios plan"),
        existing=ExistingMeaning.STAYED,
        name_style=NameStyle(separator="-", seconds=True, zulu=True),
        header_style="api",
        compression="gzip",
    )
    disk = Destination(name="disk", match_by="user_id")

    def on_disk(cohort_id):
        return CohortSync(destination=disk, project_id=0, cohort_id=cohort_id)

    assert config == Config(
        amplitude={
            "main": AmplitudeConfig(
                region="eu", api_key_env="MAIN_KEY", secret_key_env="MAIN_SECRET"
            )
        },
        destinations={
            "warehouse": DestinationConfig(
                destination=warehouse,
                log="etc/logs",
                options={
                    "endpoint_url": "http://127.0.0.1:9000",
                    "kms_key_id": "arn:aws:kms:eu-west-1:111122223333:key/1",
                    "expected_bucket_owner": "111122223333",
                    "acl": "bucket-owner-full-control",
                    "checksums": False,
                    "request_options": {"RequestPayer": "requester"},
                },
            ),
            "disk": DestinationConfig(destination=disk, folder=Path("etc/bucket")),
        },
        syncs={
            "actives": SyncConfig(
                sync=CohortSync(
                    destination=warehouse,
                    project_id=123,
                    cohort_id="26umsb5",
                    user_properties=[UserProperty("city"), UserProperty("team")],
                    routing_key="vip",
                    cadence=Cadence.DAILY,
                    guard=Guard(max_exits=7, max_growth=None, max_skipped=0.1),
                ),
                destination="warehouse",
                members=MemberFile("etc/in/actives.csv", columns={"id": "amplitude_id"}),
            ),
            "payers": SyncConfig(
                sync=on_disk("9law9ns"),
                destination="disk",
                members=AmplitudeMembersConfig(
                    amplitude="main", cohort_id="other", columns={"tier": "plan"}, max_missing=5
                ),
            ),
            "web": SyncConfig(
                sync=on_disk("web"),
                destination="disk",
                members=MemberFile("https://host/m.csv?sig=1"),
            ),
            "given": SyncConfig(sync=on_disk("given"), destination="disk"),
        },
    )
    disk_storage = config.destinations["disk"].open_storage()
    assert isinstance(disk_storage, LocalStorage)
    assert disk_storage.root == Path("etc/bucket").absolute()
    in_bucket = config.destinations["warehouse"].open_storage()
    assert isinstance(in_bucket, S3Storage)
    assert in_bucket.client.meta.endpoint_url == "http://127.0.0.1:9000"
    assert isinstance(config.destinations["warehouse"].open_log(), LocalStorage)
    assert config.destinations["disk"].open_log() is None


def test_the_file_accepts_the_words_of_python():
    config = read(
        """
        [destinations.w]
        folder = "bucket"
        path = "/cohorts/"
        match_by = "email"
        user_property = "plan"
        existing = "stayed"
        [syncs.a]
        destination = "w"
        project_id = 1
        cohort_id = "x"
        user_properties = ["plan", "city"]
        cadence = "daily"
        guard = false
        """
    )
    destination = Destination(
        "w", path="/cohorts/", match_by="email", user_property="plan", existing="stayed"
    )
    assert config.syncs["a"].sync == CohortSync(
        destination=destination,
        project_id=1,
        cohort_id="x",
        user_properties=["plan", "city"],
        cadence="daily",
        guard=False,
    )


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ('"in/"', MemberFiles("etc/in/")),
        ('"in/*.csv"', MemberFiles("etc/in/*.csv")),
        ('"s3://bucket/in/"', MemberFiles("s3://bucket/in/")),
        (
            '{ file = "in/**/*", columns = { id = "amplitude_id" } }',
            MemberFiles("etc/in/**/*", columns={"id": "amplitude_id"}),
        ),
        ('"https://host/in/"', MemberFile("https://host/in/")),
        ('{ file = "in" }', MemberFile("etc/in")),
    ],
)
def test_the_members_can_be_a_folder_or_a_pattern(members, expected):
    config = read(
        f"""
        [destinations.w]
        folder = "bucket"
        [syncs.a]
        destination = "w"
        project_id = 1
        cohort_id = "x"
        members = {members}
        """
    )
    assert config.syncs["a"].members == expected


def faults_of(text):
    with pytest.raises(errors.ConfigurationError) as caught:
        read(text)
    assert caught.value.subject == "syncs.toml"
    return list(caught.value.faults)


def test_all_faults_are_reported_at_once_with_their_places():
    text = """
    color = "red"

    [amplitude.main]
    region = "asia"
    api_key = "5ec4e7"

    [destinations.warehouse]
    bucket = "my-bucket"
    folder = "too"
    path = "a//b"
    compresion = "gzip"
    existing = "all"
    name_style = { separator = "." , second = true}
    region = 7

    [destinations.disk]
    endpoint_url = "http://127.0.0.1"

    [syncs]
    flat = true

    [syncs.actives]
    destination = "warehous"
    project_id = "123"
    cohort_id = "a_b"
    cadence = "weekly"
    user_properties = ["plan", 7, { title = "x" }]
    guard = { max_exits = 2.0 }
    members = { file = "a", amplitude = "other", colums = {}, columns = { a = 1 } }

    [syncs.payers]
    destination = "disk"
    members = 2026-11-23
    """
    found = faults_of(text)
    assert found == [
        "amplitude.main.region must be one of 'us', 'eu', not 'asia'",
        "amplitude.main.api_key is unknown; did you mean api_key_env?",
        "destinations.warehouse.region must be a string, not an integer",
        (
            "destinations.warehouse.existing must be one of 'members', 'stayed', 'previous', "
            "not 'all'"
        ),
        "destinations.warehouse.name_style.separator must be one of ':', '-', not '.'",
        "destinations.warehouse.name_style.second is unknown; did you mean seconds?",
        "destinations.warehouse: path 'a//b': a segment is empty",
        "destinations.warehouse must have either bucket or folder",
        "destinations.warehouse.compresion is unknown; did you mean compression?",
        "destinations.disk must have either bucket or folder",
        "syncs.flat must be a table, not a boolean",
        (
            "syncs.actives.destination is 'warehous', but there is no "
            "[destinations.warehous]; the file has: [destinations.warehouse], "
            "[destinations.disk]"
        ),
        "syncs.actives.project_id must be an integer, not a string",
        "syncs.actives.user_properties[1] must be a string or a table, not an integer",
        "syncs.actives.user_properties[2].name is missing",
        (
            "syncs.actives.user_properties[2].title is unknown; the keys in "
            "syncs.actives.user_properties[2] are name, source_app, header"
        ),
        "syncs.actives.cadence must be one of 'one-time', 'hourly', 'daily', not 'weekly'",
        (
            "syncs.actives.guard: max_exits is a share, which must be at most 1.0, not 2.0; "
            "an int is a number"
        ),
        "syncs.actives: cohort_id 'a_b': a cohort id consists of letters, digits and -",
        "syncs.actives.members must have either file or amplitude",
        (
            "syncs.actives.members.amplitude is 'other', but there is no [amplitude.other]; "
            "the file has: [amplitude.main]"
        ),
        (
            "syncs.actives.members.columns must be a table of strings, such as { id = "
            '"amplitude_id" }'
        ),
        "syncs.actives.members.colums is unknown; did you mean columns?",
        "syncs.payers.project_id is missing",
        "syncs.payers.cohort_id is missing",
        "syncs.payers.members must be a string or a table, not a date or time",
        ("color is unknown; the keys at the top level are amplitude, destinations, syncs"),
    ]
    assert "5ec4e7" not in str(found)


def test_a_missing_routing_key_is_a_fault_of_the_sync():
    text = WHOLE.replace('routing_key = "vip"', "")
    (fault,) = faults_of(text)
    assert fault.startswith("syncs.actives: the destination 'warehouse' requires a routing key")


def test_members_must_name_a_project_that_the_file_has():
    text = WHOLE.replace("[amplitude.main]", "[amplitude.mane]")
    (fault,) = faults_of(text)
    assert fault == (
        "syncs.payers.members.amplitude is 'main', but there is no [amplitude.main]; "
        "the file has: [amplitude.mane]"
    )


def test_invalid_toml_is_reported_with_its_line():
    (fault,) = faults_of("[destinations.a]\nfolder = 5ec4e7")
    assert fault.startswith("not valid TOML: ")
    assert "line 2" in fault
    assert "5ec4e7" not in fault


@pytest.mark.parametrize(
    ("table", "line", "fault"),
    [
        ("destinations", 'fodler = "b"', "destinations.w.fodler is unknown; did you mean folder?"),
        ("destinations", "cadence = 1", "cadence is unknown; it belongs in a table [syncs.<name>]"),
        ("syncs", 'match_by = "x"', "match_by is unknown; it belongs in a table [destinations."),
        ("syncs", "projectid = 1", "syncs.a.projectid is unknown; did you mean project_id?"),
        ("syncs", "guard = true", "not a boolean: { max_exits = 0.5, max_growth = 1.0 }, or false"),
        ("destinations", 'name_style = { separator = "_" }', "must be one of ':', '-', not '_'"),
        ("destinations", 'log = ""', "destinations.w.log must not be empty; write . for this"),
        ("destinations", 'bucket = "b/c"', "bucket 'b/c' has a path: set bucket='b', and path to"),
        ("destinations", 'bucket = "a b"', "bucket 'a b' is not the name of a bucket"),
        ("destinations", 'region = "Europe (Paris)"', "regions have names such as eu-west-1"),
        ("destinations", 'path = "a\\\\b"', "separate folders with /, not with a backslash"),
    ],
)
def test_a_likely_mistake_gets_its_correction(table, line, fault):
    sync = '[syncs.a]\ndestination = "w"\nproject_id = 1\ncohort_id = "x"\n'
    text = f"{sync}{line}\n" if table == "syncs" else sync
    text += f"[destinations.w]\n{line}\n" if table == "destinations" else "[destinations.w]\n"
    assert any(fault in one for one in faults_of(text)), faults_of(text)


@pytest.mark.parametrize(
    ("folder", "fault"),
    [("", "must not be empty; write . for this folder"), ("s3://b", "is a URL; set bucket")],
)
def test_a_folder_must_be_a_folder(folder, fault):
    (found,) = faults_of(f'[destinations.w]\nfolder = "{folder}"\n')
    assert fault in found


def test_an_empty_file_is_an_empty_configuration():
    assert read("") == Config(destinations={}, syncs={}, amplitude={})


def test_the_file_in_the_docs_is_valid():
    page = Path(__file__).parents[2] / "docs" / "how-to" / "run_on_a_schedule.md"
    (block,) = re.findall(r"^```toml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert [*read(block).syncs] == ["actives", "payers"]


def test_the_reference_lists_every_key():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "command.md").read_text()
    listed = {
        key for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for key in row.split("`")
    }
    text = "[amplitude.a]\nx=1\n[destinations.a]\nx=1\n[syncs.a]\nx=1\n"
    for fault in faults_of(text):
        if " is unknown; the keys in " in fault:
            assert set(fault.rpartition(" are ")[2].split(", ")) <= listed
