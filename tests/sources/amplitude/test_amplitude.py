"""Members from Amplitude's API, against a fake of it: what comes, what fails, what is limited."""

import hashlib
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from amplitude_fakes import (
    ID,
    MANY,
    SCHEMA,
    START,
    STEPS,
    assert_untold,
    connect,
    count,
    download,
    failing,
    rows,
)

from amplitude_cohort_s3 import (
    AmplitudeCohorts,
    CohortSync,
    Destination,
    Member,
    MemoryStorage,
    RowSchema,
    UserProperty,
    diff_members,
    errors,
    sync_cohort,
)
from amplitude_cohort_s3.diff.engine import PartitionEngine
from amplitude_cohort_s3.sources.amplitude import DownloadUsage, _session
from amplitude_cohort_s3.testing.fake_amplitude import (
    FILE,
    LIST,
    REQUEST,
    STATUS,
    STORE,
    USAGE,
    FakeAmplitude,
)
from amplitude_cohort_s3.testing.lying_proxy import Lie

# --- What it gives ---------------------------------------------------------------------


def test_the_list_of_cohorts(amplitude, fake):
    fake.set_cohort("other", [], name="Nobody").last_computed = None
    first, second = amplitude.list_cohorts()
    assert (first.id, first.name, first.size) == (ID, f"Cohort {ID}", 100)
    assert (first.project_id, first.last_computed, first.archived) == (123, START, False)
    assert (second.name, second.size, second.last_computed) == ("Nobody", 0, None)
    assert fake.downloads == 0


@pytest.mark.parametrize("packing", ["gzip", "unsaid gzip", "none"])
@pytest.mark.parametrize("inline_bytes", [0, 1 << 30], ids=["redirected", "direct"])
def test_members_come_whole_in_every_form(amplitude, fake, packing, inline_bytes):
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
    columns = {"plan": "tier", "unused": "nobody asks for it"}
    assert download(amplitude, schema, columns=columns) == [("1", "ann", "pro", "Łódź")]
    members = amplitude.members(ID, columns=columns)
    origin = members.csv_source(schema).origin
    assert members.is_unchanged(origin)
    assert not amplitude.members(ID, columns={"level": "tier"}).is_unchanged(origin)


def test_a_cohort_is_synced_and_its_record_says_of_what(amplitude, fake):
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
    assert_untold(fake, f"{result} {result!r} {amplitude!r} {stored!r}")


def test_an_unchanged_cohort_is_known_without_a_download(amplitude, fake, passing):
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
def test_a_cohort_is_unchanged_only_if_nothing_moved(amplitude, fake, field, value):
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


def test_the_keys_never_go_to_the_store(amplitude, fake):
    # The fake's store refuses a request that brings them, as S3 does.
    fake.inline_bytes = 0
    assert download(amplitude) == rows(MANY[:100])
    assert count(fake, STORE) == 1


# --- Patience --------------------------------------------------------------------------


def test_polling_pauses_grow(amplitude, fake, passing):
    fake.polls = 12
    assert len(download(amplitude)) == 100
    assert count(fake, STATUS) == 13
    assert passing.slept == sorted(passing.slept)
    assert (passing.slept[0], passing.slept[-1]) == (2.0, 30.0)


def test_a_job_that_never_ends_meets_the_deadline(fake, passing):
    fake.polls = 10**9
    with failing(fake, errors.ExportTimeoutError) as caught:
        download(connect(fake, passing, deadline=600))
    assert caught.value.seconds == 600
    assert 570 <= passing.seconds <= 600
    assert count(fake, STATUS) < 40


@pytest.mark.parametrize("path", [LIST, USAGE, REQUEST, STATUS, FILE, STORE])
@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Tue, 24 Nov 2026 06:30:09 GMT"}, 9),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "soon"}, 30),
        ({}, 30),
    ],
    ids=["seconds", "date", "at once", "neither", "none"],
)
def test_a_429_waits_as_it_is_told(amplitude, fake, passing, path, headers, waited):
    fake.polls = fake.inline_bytes = 0
    fake.lie(Lie.ERROR_BEFORE, path=path, status=429, headers=headers, times=1)
    assert download(amplitude) == rows(MANY[:100])
    assert passing.slept == [waited]


def test_a_503_waits_as_it_is_told(amplitude, fake, passing):
    fake.polls = 0
    fake.lie(Lie.ERROR_BEFORE, path=FILE, status=503, headers={"Retry-After": "11"})
    assert download(amplitude) == rows(MANY[:100])
    assert passing.slept == [11]


def test_a_limit_that_outlasts_the_deadline_is_told(fake, passing):
    fake.lie(Lie.ERROR_BEFORE, path=STATUS, status=429, headers={"Retry-After": "900"})
    with failing(fake, errors.AmplitudeBusyError) as caught:
        download(connect(fake, passing, deadline=600))
    assert caught.value.seconds == 900
    assert passing.slept == []


def test_a_url_that_has_expired_is_asked_for_again(amplitude, fake, passing):
    fake.inline_bytes = 0
    fake.lie(Lie.ERROR_BEFORE, path=STORE, status=503, headers={"Retry-After": "90"})
    assert download(amplitude) == rows(MANY[:100])
    assert count(fake, STORE) == 3  # unavailable, expired, given
    assert count(fake, FILE) == 2
    assert fake.downloads == 1


# --- Never a shorter cohort --------------------------------------------------------------


@pytest.mark.parametrize("step", ["store", "file"])
def test_half_a_file_that_pretends_to_be_whole_is_incomplete(amplitude, fake, step):
    fake.packing = "none"
    fake.inline_bytes = 1 << 30 if step == "file" else 0
    fake.set_cohort(ID, [(str(n), "") for n in range(100)])
    fake.lie(Lie.SHORTEN, path=STEPS[step])
    with failing(fake, errors.ExportIncompleteError) as caught:
        list(amplitude.members(ID).csv_source(RowSchema()).chunks())
    assert 40 < caught.value.rows < 60
    assert caught.value.size == 100


def test_fewer_rows_than_users_are_incomplete_but_by_leave(amplitude, fake):
    fake.set_cohort(ID, MANY[:90], size=100)
    with failing(fake, errors.ExportIncompleteError, match="max_missing=10"):
        download(amplitude)
    with failing(fake, errors.ExportIncompleteError):
        download(amplitude, max_missing=9)
    assert len(download(amplitude, max_missing=10)) == 90
    fake.set_cohort(ID, MANY[:100], size=90)
    assert len(download(amplitude)) == 100


def test_a_cohort_without_a_known_size_is_taken_as_it_comes(amplitude, fake):
    fake.set_cohort(ID, MANY[:90]).size = None
    assert len(download(amplitude)) == 90


def test_a_cohort_that_shrank_while_it_was_exported_is_not_incomplete(amplitude, fake):
    source = amplitude.members(ID).csv_source(SCHEMA)
    fake.set_cohort(ID, MANY[:90])
    assert len(list(SCHEMA.decode(source.chunks()))) == 90


@pytest.mark.parametrize("body", [b"", b"<html>maintenance</html>", b'{"error": "failed"}'])
def test_what_is_no_csv_is_never_an_empty_cohort(amplitude, fake, body):
    fake.set_cohort(ID, [])
    fake.packing = "none"
    source = amplitude.members(ID).csv_source(SCHEMA)
    b"".join(source.chunks())
    fake.replace_exports(body)
    with failing(fake, errors.MalformedCsvError):
        list(SCHEMA.decode(source.chunks()))


def test_an_empty_cohort_is_one(amplitude, fake):
    fake.set_cohort(ID, [])
    assert download(amplitude) == []


# --- Each failure has its own error -------------------------------------------------------


@pytest.mark.parametrize("key", ["api_key", "secret_key"])
def test_a_wrong_key_or_region_is_access_denied(amplitude, fake, key):
    setattr(fake, key, "another")
    for call in (amplitude.list_cohorts, amplitude.usage, lambda: download(amplitude)):
        with failing(fake, errors.AmplitudeAccessDeniedError) as caught:
            call()
    assert caught.value.host == fake.base_url
    assert "region" in str(caught.value)


@pytest.mark.parametrize("path", [REQUEST, STATUS, FILE])
def test_a_key_that_is_withdrawn_meanwhile_is_access_denied(amplitude, fake, path):
    fake.lie(Lie.ERROR_BEFORE, path=path, status=403)
    with failing(fake, errors.AmplitudeAccessDeniedError):
        download(amplitude)


def test_an_unknown_cohort(amplitude, fake):
    members = amplitude.members("unknown")
    with failing(fake, errors.UnknownCohortError):
        members.csv_source(SCHEMA)
    with failing(fake, errors.UnknownCohortError):
        members.is_unchanged({})
    assert fake.downloads == 0


def test_a_cohort_that_was_removed_meanwhile(amplitude, fake):
    source = amplitude.members(ID).csv_source(SCHEMA)
    fake.remove_cohort(ID)
    with failing(fake, errors.UnknownCohortError):
        list(source.chunks())


def test_a_cohort_that_is_too_large_costs_no_download(amplitude, fake):
    fake.set_cohort(ID, [], size=2_000_001)
    with failing(fake, errors.CohortTooLargeError) as caught:
        download(amplitude)
    assert (caught.value.size, caught.value.limit) == (2_000_001, 2_000_000)
    assert count(fake, REQUEST) == 0


def test_an_export_that_has_expired(amplitude, fake, passing):
    source = amplitude.members(ID).csv_source(SCHEMA)
    list(source.chunks())
    passing.sleep(timedelta(days=8).total_seconds())
    with failing(fake, errors.ExportExpiredError):
        list(source.chunks())


def test_an_export_that_expires_before_its_file_is_fetched(amplitude, fake):
    fake.lie(Lie.ERROR_BEFORE, path=FILE, status=404)
    with failing(fake, errors.ExportExpiredError):
        download(amplitude)


@pytest.mark.parametrize("state", ["JOB FAILED", "JOB CANCELLED", "ERROR 17", "None", ""])
def test_a_job_that_fails_is_never_an_empty_cohort(amplitude, fake, state):
    fake.final_state = state
    with failing(fake, errors.ExportFailedError) as caught:
        download(amplitude)
    assert caught.value.reason in state
    assert count(fake, FILE) == 0


def test_a_job_that_fails_while_it_is_said_to_be_at_work(amplitude, fake):
    fake.lie(Lie.ERROR_BEFORE, path=STATUS, status=202, body='{"async_status": "JOB FAILED"}')
    with failing(fake, errors.ExportFailedError):
        download(amplitude)


@pytest.mark.parametrize("status", [400, 405, 418])
@pytest.mark.parametrize("step", ["list", "request", "status", "file", "store"])
def test_what_the_documentation_does_not_explain_is_a_refusal(amplitude, fake, step, status):
    fake.inline_bytes = 0
    fake.lie(Lie.ERROR_BEFORE, path=STEPS[step], status=status)
    with failing(fake, errors.AmplitudeRefusedError) as caught:
        download(amplitude)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "location",
    ["http://example.com/file", "ftp://127.0.0.1/file", "file:///etc/passwd", "http://[x"],
)
def test_a_redirect_to_where_all_can_listen_is_not_followed(amplitude, fake, location):
    fake.lie(Lie.ERROR_BEFORE, path=FILE, status=302, headers={"Location": location})
    with failing(fake, errors.AmplitudeRefusedError):
        download(amplitude)


@pytest.mark.parametrize("path", [LIST, REQUEST, STATUS])
def test_only_the_file_may_be_elsewhere(amplitude, fake, path):
    fake.lie(Lie.ERROR_BEFORE, path=path, status=302, headers={"Location": "/elsewhere"})
    with failing(fake, errors.AmplitudeRefusedError):
        download(amplitude)


def test_redirects_in_a_circle_end(amplitude, fake):
    fake.lie(Lie.ERROR_BEFORE, path="file", status=302, headers={"Location": "file"}, times=99)
    with failing(fake, errors.AmplitudeRefusedError):
        download(amplitude)
    assert count(fake, FILE) < 10


@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key": ""},
        {"secret_key": ""},
        {"region": "asia"},
        {"base_url": "http://amplitude.com"},
        {"base_url": "amplitude.com"},
        {"base_url": "https://ann:pw@amplitude.com"},
        {"deadline": 0},
        {"timeout": -1.0},
    ],
    ids=str,
)
def test_what_can_not_work_is_refused_at_once(arguments):
    with pytest.raises(errors.ConfigurationError):
        AmplitudeCohorts(**{"api_key": "k", "secret_key": "s", **arguments})


def test_the_regions_have_their_hosts():
    assert repr(AmplitudeCohorts("k", "s")) == "AmplitudeCohorts('https://amplitude.com')"
    european = AmplitudeCohorts("k", "s", region="eu")
    assert repr(european) == "AmplitudeCohorts('https://analytics.eu.amplitude.com')"


# --- Limits ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["nested", "flat"])
def test_what_is_spent_is_read_from_amplitude(amplitude, fake, form):
    fake.usage_form, fake.downloads, fake.monthly_limit = form, 12, 34
    usage = amplitude.usage()
    assert (usage.used, usage.limit) == (12, 34)
    following = START.replace(month=12, day=1, hour=0, minute=0)
    assert usage.resets_at == (following if form == "nested" else None)


def test_the_quota_is_never_broken(amplitude, fake):
    fake.downloads, fake.monthly_limit = 8, 10
    download(amplitude)
    download(amplitude)
    with failing(fake, errors.DownloadQuotaError) as caught:
        download(amplitude)
    assert (caught.value.used, caught.value.limit) == (10, 10)
    assert count(fake, REQUEST) == 2


@pytest.mark.parametrize(
    "answer", ["[]", "{}", '{"rest_download": 3}', '{"limit": "many", "count": true}']
)
def test_without_an_answer_that_it_knows_it_counts_by_itself(
    amplitude, fake, passing, answer, monkeypatch
):
    monkeypatch.setattr(_session, "_MONTHLY_DOWNLOADS", 2)
    fake.lie(Lie.ERROR_BEFORE, path=USAGE, status=200, body=answer, times=99)
    download(amplitude)
    download(amplitude)
    assert amplitude.usage() == DownloadUsage(used=2, limit=2)
    with failing(fake, errors.DownloadQuotaError):
        download(amplitude)
    assert count(fake, REQUEST) == 2
    passing.sleep(timedelta(days=7).total_seconds())  # another month
    download(amplitude)
    assert amplitude.usage().used == 1


def test_each_try_counts(amplitude, fake):
    fake.usage_form = None
    fake.lie(Lie.LOSE_ANSWER, path=REQUEST, times=2)
    download(amplitude)
    assert amplitude.usage().used == fake.downloads == 3


def test_a_429_for_the_month_is_no_reason_to_wait(amplitude, fake, passing):
    fake.polls = 0
    # Another process spends the last one between our look and our request.
    fake.lie(Lie.ERROR_BEFORE, path=USAGE, status=200, body='{"limit": 500, "count": 499}')
    fake.downloads = 500
    with failing(fake, errors.DownloadQuotaError):
        download(amplitude)
    assert passing.slept == [5]


def test_sixty_downloads_in_ten_minutes_and_no_more(amplitude, fake, passing):
    fake.polls = 0
    fake.set_cohort(ID, MANY[:1])
    for _ in range(70):
        download(amplitude)
        passing.seconds += 1
    assert fake.downloads == 70
    assert fake.limited == []
    assert 600 <= passing.seconds < 680


def test_four_downloads_at_once_and_no_more(fake, passing):
    amplitude = AmplitudeCohorts(
        fake.api_key,
        fake.secret_key,
        base_url=fake.base_url,
        sleep=lambda seconds: time.sleep(seconds / 100),
    )
    fake.polls = 3
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda _: len(download(amplitude)), range(12)))
    assert found == [100] * 12
    assert fake.limited == []


def test_an_abandoned_download_leaves_its_place_to_others(amplitude, fake):
    fake.packing = "none"
    fake.set_cohort(ID, MANY)
    for _ in range(6):
        abandoned = amplitude.members(ID).csv_source(SCHEMA).chunks()
        assert next(abandoned)
        abandoned.close()
    assert download(amplitude) == rows(MANY)


def test_urllib3_logs_other_peoples_requests_as_before(fake, amplitude, caplog):
    import urllib3  # noqa: PLC0415 - its log is looked at

    amplitude.list_cohorts()
    caplog.clear()
    urllib3.PoolManager().request("GET", f"{fake.base_url}/nothing?of=ours")
    assert "/nothing?of=ours" in caplog.text


# --- Memory ------------------------------------------------------------------------------


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
