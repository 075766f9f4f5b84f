"""Members from Amplitude's API: the rows that arrive, and never fewer than the cohort has."""

import hashlib
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from amplitude_fakes import (
    ID,
    MANY,
    SCHEMA,
    START,
    STEPS,
    assert_no_secret_in,
    count,
    download,
    failing,
    rows,
)

from amplitude_cohort_s3 import (
    Cadence,
    CohortSync,
    Destination,
    Member,
    MemoryStorage,
    RowSchema,
    UserProperty,
    diff_members,
    errors,
    read_head,
    run_due,
    sync_cohort,
)
from amplitude_cohort_s3.diff.engine import PartitionEngine
from amplitude_cohort_s3.testing.fake_amplitude import REQUEST, STORE, FakeAmplitude
from amplitude_cohort_s3.testing.faulty_proxy import NetworkFault


def test_the_cohorts_of_a_project_are_listed(amplitude, fake):
    fake.set_cohort("other", [], name="Nobody").last_computed = None
    first, second = amplitude.list_cohorts()
    assert (first.id, first.name, first.size) == (ID, f"Cohort {ID}", 100)
    assert (first.project_id, first.last_computed, first.archived) == (123, START, False)
    assert (second.name, second.size, second.last_computed) == ("Nobody", 0, None)
    assert fake.downloads == 0


@pytest.mark.parametrize("packing", ["gzip", "unsaid gzip", "none"])
@pytest.mark.parametrize("inline_bytes", [0, 1 << 30], ids=["redirected", "direct"])
def test_members_arrive_whole_in_every_packing(amplitude, fake, packing, inline_bytes):
    fake.packing, fake.inline_bytes = packing, inline_bytes
    fake.set_cohort(ID, MANY)
    assert download(amplitude) == rows(MANY)
    assert count(fake, STORE) == (inline_bytes == 0)


def test_the_properties_of_the_schema_are_asked_for_and_no_others(amplitude, fake):
    members = [{"amplitude_id": 1, "user_id": None, "a&b=é": 'x,"y"\nz', "plan": "pro"}]
    fake.set_cohort(ID, members)
    schema = RowSchema(properties=("a&b=é",))
    assert download(amplitude, schema) == [("1", "", 'x,"y"\nz')]
    assert download(amplitude, RowSchema()) == [("1", "")]
    asked = [request for request in fake.requests if re.search(REQUEST, request[4:])]
    assert asked == [
        f"GET /api/5/cohorts/request/{ID}?props=1&propKeys=a%26b%3D%C3%A9",
        f"GET /api/5/cohorts/request/{ID}",
    ]


def test_properties_are_asked_for_by_the_names_that_amplitude_has(amplitude, fake):
    schema = RowSchema(properties=("tier", "city"))
    fake.set_cohort(ID, [Member("1", "ann", {"plan": "pro", "city": "Łódź", "tier": "wrong"})])
    columns = {"plan": "tier"}
    assert download(amplitude, schema, columns=columns) == [("1", "ann", "pro", "Łódź")]
    members = amplitude.members(ID, columns=columns)
    origin = members.csv_source(schema).origin
    assert members.is_unchanged(origin)
    assert not amplitude.members(ID, columns={"level": "tier"}).is_unchanged(origin)


def asked_properties(fake):
    return [
        parse_qs(urlsplit(target).query)["propKeys"]
        for target in (request[4:] for request in fake.requests)
        if re.search(REQUEST, target)
    ]


@pytest.mark.parametrize(
    ("properties", "asked", "cells"),
    [
        ([UserProperty("plan", header="Plan name")], ["plan"], ("pro",)),
        (
            [UserProperty("plan", source_app="ios"), UserProperty("plan", source_app="web")],
            ["plan"],
            ("pro", "pro"),
        ),
        # The header of one is the name of the other.
        (
            [UserProperty("plan", header="city"), UserProperty("city", header="plan")],
            ["plan", "city"],
            ("pro", "Łódź"),
        ),
    ],
)
def test_requests_to_amplitude_have_the_names_of_properties(
    amplitude, fake, properties, asked, cells
):
    sync = CohortSync(
        destination=Destination(name="d"),
        project_id=123,
        cohort_id=ID,
        user_properties=properties,
    )
    fake.set_cohort(ID, [Member("1", "ann", {"plan": "pro", "city": "Łódź"})])
    assert download(amplitude, sync.schema) == [("1", "ann", *cells)]
    assert asked_properties(fake) == [asked]


def test_a_column_for_a_property_that_the_sync_lacks_is_an_error(amplitude, fake):
    schema = RowSchema(properties=("Plan name",), names=("plan",))
    fake.set_cohort(ID, [Member("1", "ann", {"plan": "pro"})])
    for columns in ({"Plan name": "plan"}, {"plan": "nobody asks for it"}):
        with pytest.raises(errors.ConfigurationError, match="it can be one of: 'Plan name'"):
            download(amplitude, schema, columns=columns)
    assert fake.downloads == 0
    assert download(amplitude, schema, columns={"plan": "Plan name"}) == [("1", "ann", "pro")]


def test_another_name_of_a_property_is_not_an_unchanged_sync(amplitude, fake):
    fake.set_cohort(ID, [Member("1", "ann", {"plan": "pro", "tier": "gold"})])
    storage, at = MemoryStorage(), datetime(2026, 1, 1, tzinfo=UTC)
    outcomes = []
    for day, name in enumerate(["plan", "plan", "tier"]):
        sync = CohortSync(
            destination=Destination(name="d"),
            project_id=123,
            cohort_id=ID,
            user_properties=[UserProperty(name, header="Plan name")],
            cadence=Cadence.DAILY,
        )
        job = (sync, amplitude.members(ID))
        (done,) = run_due([job], storage, at + timedelta(days=day))
        outcomes.append(done.outcome.value)
    assert outcomes == ["done", "unchanged", "done"]
    assert [*read_head(storage, sync.stream).members()] == [("1", "ann", "gold")]


def test_the_record_of_a_sync_names_the_cohort_and_its_state(amplitude, fake):
    sync = CohortSync(
        destination=Destination(name="there"),
        project_id=123,
        cohort_id=ID,
        user_properties=(UserProperty("plan"),),
    )
    storage = MemoryStorage()
    result = sync_cohort(sync, amplitude.members(ID), storage, clock=lambda: START)
    assert result.record.members == 100
    assert result.record.source == {
        "source": "amplitude",
        "cohort": ID,
        "project": "123",
        "size": "100",
        "last_computed": "2026-11-24T06:30:00+00:00",
        "last_modified": "2026-11-24T06:30:00+00:00",
    }
    stored = b"".join(storage.open(info.key).read() for info in storage.list_objects())
    assert_no_secret_in(fake, f"{result} {result!r} {amplitude!r} {stored!r}")


def test_an_unchanged_cohort_is_recognized_without_a_download(amplitude, fake, passing):
    members = amplitude.members(ID)
    origin = members.csv_source(SCHEMA).origin
    passing.sleep(3600)
    assert members.is_unchanged(origin)
    fake.set_cohort(ID, MANY[:100])
    assert not members.is_unchanged(origin)
    assert fake.downloads == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("last_computed", 1), ("last_computed", None), ("last_modified", 1), ("size", 99)],
)
def test_any_change_of_the_cohort_counts_as_a_change(amplitude, fake, field, value):
    members = amplitude.members(ID)
    origin = members.csv_source(SCHEMA).origin
    fake.set_cohort(ID, MANY[:100]).last_computed = int(START.timestamp())
    assert members.is_unchanged(origin)
    setattr(fake.set_cohort(ID, MANY[:100]), field, value)
    assert not members.is_unchanged(origin)
    assert not members.is_unchanged({})


def test_a_cohort_that_was_never_computed_is_never_unchanged(amplitude, fake):
    fake.set_cohort(ID, MANY[:100]).last_computed = None
    members = amplitude.members(ID)
    assert not members.is_unchanged(members.csv_source(SCHEMA).origin)


def test_a_second_reading_fetches_the_same_export(amplitude, fake):
    source = amplitude.members(ID).csv_source(SCHEMA)
    assert source.repeatable
    first = b"".join(source.chunks())
    fake.set_cohort(ID, MANY[:50])
    assert b"".join(source.chunks()) == first
    assert fake.downloads == 1


def test_several_processes_may_share_the_diff_of_a_download(amplitude, fake):
    fake.set_cohort(ID, MANY)
    engine = PartitionEngine(workers=2, range_bytes=20_000, batch_bytes=50_000)
    with diff_members((), amplitude.members(ID), schema=SCHEMA, engine=engine) as diff:
        assert diff.entering.rows == len(MANY)


def test_an_error_about_rows_names_their_lines_for_one_download(amplitude, fake):
    fake.set_cohort(ID, [("1", "a"), ("2", "b"), ("1", "c")])
    with failing(fake, errors.DuplicateKeyError) as caught:
        diff_members((), amplitude.members(ID), schema=SCHEMA)
    assert caught.value.lines == (4,)
    assert fake.downloads == 1


# --- Never a shorter cohort ------------------------------------------------------------


@pytest.mark.parametrize("step", ["store", "file"])
def test_half_a_file_that_looks_whole_is_incomplete(amplitude, fake, step):
    fake.packing = "none"
    fake.inline_bytes = 1 << 30 if step == "file" else 0
    fake.set_cohort(ID, [(str(n), "") for n in range(100)])
    fake.cause(NetworkFault.SHORTEN, path=STEPS[step])
    with failing(fake, errors.ExportFailedError) as caught:
        list(amplitude.members(ID).csv_source(RowSchema()).chunks())
    assert 40 < caught.value.rows < 60
    assert caught.value.size == 100


def test_fewer_rows_than_users_are_an_error_unless_max_missing_allows_them(amplitude, fake):
    fake.set_cohort(ID, MANY[:90], size=100)
    with failing(fake, errors.ExportFailedError, match="max_missing=10"):
        download(amplitude)
    with failing(fake, errors.ExportFailedError, match="it has 90 rows"):
        download(amplitude, max_missing=9)
    assert len(download(amplitude, max_missing=10)) == 90
    fake.set_cohort(ID, MANY[:100], size=90)
    assert len(download(amplitude)) == 100


def test_a_cohort_of_unknown_size_may_have_any_number_of_rows(amplitude, fake):
    fake.set_cohort(ID, MANY[:90]).size = None
    assert len(download(amplitude)) == 90


def test_a_cohort_that_shrank_during_the_export_is_not_incomplete(amplitude, fake):
    source = amplitude.members(ID).csv_source(SCHEMA)
    fake.set_cohort(ID, MANY[:90])
    assert len(list(SCHEMA.decode(source.chunks()))) == 90


@pytest.mark.parametrize("body", [b"", b"<html>maintenance</html>", b'{"error": "failed"}'])
def test_an_export_that_is_not_csv_is_never_an_empty_cohort(amplitude, fake, body):
    fake.set_cohort(ID, [])
    fake.packing = "none"
    source = amplitude.members(ID).csv_source(SCHEMA)
    b"".join(source.chunks())
    fake.replace_exports(body)
    with failing(fake, errors.MalformedCsvError):
        list(SCHEMA.decode(source.chunks()))


def test_an_empty_cohort_has_no_members(amplitude, fake):
    fake.set_cohort(ID, [])
    assert download(amplitude) == []


# --- Memory ----------------------------------------------------------------------------


class ManyUsers:
    """Made while they are read, so that they take no memory here either."""

    def __iter__(self):
        return ((str(n), hashlib.sha256(b"%d" % n).hexdigest()) for n in range(300_000))


READ = """
import re, sys
from amplitude_cohort_s3 import AmplitudeCohorts, RowSchema

def read(cohort):
    return sum(map(len, amplitude.members(cohort).csv_source(RowSchema()).chunks()))

def peak():
    # (ru_maxrss would be at least that of the process that started this one.)
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

amplitude = AmplitudeCohorts(*sys.argv[1:3], base_url=sys.argv[3], sleep=lambda _: None)
read("small")
before = peak()
print(read("many"), peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another kernel tells the peak elsewhere")
@pytest.mark.parametrize("packing", ["gzip", "none"])
def test_a_download_takes_no_more_memory_than_a_small_one(packing):
    with FakeAmplitude() as fake:
        fake.packing = packing
        fake.set_cohort("small", MANY[:100])
        fake.set_cohort("many", ManyUsers(), size=300_000)
        done = subprocess.run(
            [sys.executable, "-c", READ, fake.api_key, fake.secret_key, fake.base_url],
            capture_output=True,
            text=True,
            check=True,
        )
    size, growth = map(int, done.stdout.split())
    assert size > 20 << 20
    assert growth << 10 < 4 << 20
