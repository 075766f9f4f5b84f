"""Waiting for Amplitude: polls, retries, rate limits and the month's quota."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from amplitude_fakes import ID, MANY, SCHEMA, START, connect, count, download, failing, rows

from amplitude_cohort_s3 import AmplitudeCohorts, errors
from amplitude_cohort_s3.sources.amplitude import DownloadUsage, usage
from amplitude_cohort_s3.testing.fake_amplitude import FILE, LIST, REQUEST, STATUS, STORE, USAGE
from amplitude_cohort_s3.testing.faulty_proxy import NetworkFault


def test_polling_pauses_grow(amplitude, fake, passing):
    fake.polls = 12
    assert len(download(amplitude)) == 100
    assert count(fake, STATUS) == 13
    assert passing.slept == sorted(passing.slept)
    assert (passing.slept[0], passing.slept[-1]) == (2.0, 30.0)


def test_an_export_that_never_completes_ends_at_the_deadline(fake, passing):
    fake.polls = 10**9
    with failing(fake, errors.AmplitudeTimeoutError) as caught:
        download(connect(fake, passing, deadline=600))
    assert (caught.value.seconds, caught.value.rate_limited) == (600, False)
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
def test_a_429_waits_as_long_as_the_header_asks(amplitude, fake, passing, path, headers, waited):
    fake.polls = fake.inline_bytes = 0
    fake.cause(NetworkFault.ERROR_BEFORE, path=path, status=429, headers=headers, times=1)
    assert download(amplitude) == rows(MANY[:100])
    assert passing.slept == [waited]


def test_a_503_waits_as_long_as_the_header_asks(amplitude, fake, passing):
    fake.polls = 0
    fake.cause(NetworkFault.ERROR_BEFORE, path=FILE, status=503, headers={"Retry-After": "11"})
    assert download(amplitude) == rows(MANY[:100])
    assert passing.slept == [11]


def test_a_limit_that_outlasts_the_deadline_is_an_error(fake, passing):
    fake.cause(NetworkFault.ERROR_BEFORE, path=STATUS, status=429, headers={"Retry-After": "900"})
    with failing(fake, errors.AmplitudeTimeoutError) as caught:
        download(connect(fake, passing, deadline=600))
    assert (caught.value.seconds, caught.value.rate_limited) == (900, True)
    assert passing.slept == []


def test_an_expired_url_is_requested_again(amplitude, fake, passing):
    fake.inline_bytes = 0
    fake.cause(NetworkFault.ERROR_BEFORE, path=STORE, status=503, headers={"Retry-After": "90"})
    assert download(amplitude) == rows(MANY[:100])
    assert count(fake, STORE) == 3  # unavailable, expired, given
    assert count(fake, FILE) == 2
    assert fake.downloads == 1


# --- Limits ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["nested", "flat"])
def test_usage_is_read_from_amplitude(amplitude, fake, form):
    fake.usage_form, fake.downloads, fake.monthly_limit = form, 12, 34
    usage = amplitude.usage()
    assert (usage.used, usage.limit) == (12, 34)
    following = START.replace(month=12, day=1, hour=0, minute=0)
    assert usage.resets_at == (following if form == "nested" else None)


def test_the_monthly_quota_is_never_exceeded(amplitude, fake):
    fake.downloads, fake.monthly_limit = 8, 10
    download(amplitude)
    download(amplitude)
    with failing(fake, errors.AmplitudeLimitError, match="of this month") as caught:
        download(amplitude)
    assert (caught.value.found, caught.value.limit) == (10, 10)
    assert count(fake, REQUEST) == 2


@pytest.mark.parametrize(
    "answer", ["[]", "{}", '{"rest_download": 3}', '{"limit": "many", "count": true}']
)
def test_downloads_are_counted_here_if_the_usage_cannot_be_read(
    amplitude, fake, passing, answer, monkeypatch
):
    monkeypatch.setattr(usage, "_MONTHLY_DOWNLOADS", 2)
    fake.cause(NetworkFault.ERROR_BEFORE, path=USAGE, status=200, body=answer, times=99)
    download(amplitude)
    download(amplitude)
    assert amplitude.usage() == DownloadUsage(used=2, limit=2)
    with failing(fake, errors.AmplitudeLimitError, match="of this month"):
        download(amplitude)
    assert count(fake, REQUEST) == 2
    passing.sleep(timedelta(days=7).total_seconds())  # another month
    download(amplitude)
    assert amplitude.usage().used == 1


def test_each_try_counts_as_a_download(amplitude, fake):
    fake.usage_form = None
    fake.cause(NetworkFault.LOSE_ANSWER, path=REQUEST, times=2)
    download(amplitude)
    assert amplitude.usage().used == fake.downloads == 3


def test_a_429_for_the_monthly_quota_ends_the_waiting(amplitude, fake, passing):
    fake.polls = 0
    # Another process spends the last one between our look and our request.
    fake.cause(
        NetworkFault.ERROR_BEFORE, path=USAGE, status=200, body='{"limit": 500, "count": 499}'
    )
    fake.downloads = 500
    with failing(fake, errors.AmplitudeLimitError, match="of this month"):
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


def test_an_abandoned_download_frees_its_slot(amplitude, fake):
    fake.packing = "none"
    fake.set_cohort(ID, MANY)
    for _ in range(6):
        abandoned = amplitude.members(ID).csv_source(SCHEMA).chunks()
        assert next(abandoned)
        abandoned.close()
    assert download(amplitude) == rows(MANY)
