"""Failures of Amplitude's API: each has its own error."""

import re
from datetime import timedelta

import pytest
from amplitude_fakes import ID, SCHEMA, STEPS, count, download, failing

from amplitude_cohort_s3 import AmplitudeCohorts, errors
from amplitude_cohort_s3.testing.fake_amplitude import FILE, REQUEST, STATUS
from amplitude_cohort_s3.testing.faulty_proxy import NetworkFault


@pytest.mark.parametrize("key", ["api_key", "secret_key"])
def test_a_wrong_key_or_region_is_access_denied(amplitude, fake, key):
    setattr(fake, key, "another")
    for call in (amplitude.list_cohorts, amplitude.usage, lambda: download(amplitude)):
        with failing(fake, errors.AmplitudeAccessDeniedError) as caught:
            call()
    assert caught.value.host == fake.base_url
    assert "region" in str(caught.value)


@pytest.mark.parametrize("path", [REQUEST, STATUS, FILE])
def test_a_key_that_is_revoked_during_a_download_is_access_denied(amplitude, fake, path):
    fake.cause(NetworkFault.ERROR_BEFORE, path=path, status=403)
    with failing(fake, errors.AmplitudeAccessDeniedError):
        download(amplitude)


def test_an_unknown_cohort_is_an_error_and_costs_no_download(amplitude, fake):
    members = amplitude.members("unknown")
    with failing(fake, errors.UnknownCohortError):
        members.csv_source(SCHEMA)
    with failing(fake, errors.UnknownCohortError):
        members.is_unchanged({})
    assert fake.downloads == 0


def test_a_cohort_that_was_removed_before_the_download_is_unknown(amplitude, fake):
    source = amplitude.members(ID).csv_source(SCHEMA)
    fake.remove_cohort(ID)
    with failing(fake, errors.UnknownCohortError):
        list(source.chunks())


def test_a_cohort_that_is_too_large_costs_no_download(amplitude, fake):
    fake.set_cohort(ID, [], size=2_000_001)
    with failing(fake, errors.AmplitudeLimitError) as caught:
        download(amplitude)
    assert caught.value.limit_of == "users"
    assert (caught.value.found, caught.value.limit) == (2_000_001, 2_000_000)
    assert count(fake, REQUEST) == 0


def test_an_expired_export_is_an_error(amplitude, fake, passing):
    source = amplitude.members(ID).csv_source(SCHEMA)
    list(source.chunks())
    passing.sleep(timedelta(days=8).total_seconds())
    with failing(fake, errors.ExportFailedError, match="7 days"):
        list(source.chunks())


def test_an_export_that_expires_before_its_file_is_fetched_is_an_error(amplitude, fake):
    fake.cause(NetworkFault.ERROR_BEFORE, path=FILE, status=404)
    with failing(fake, errors.ExportFailedError, match="7 days"):
        download(amplitude)


@pytest.mark.parametrize("state", ["JOB FAILED", "JOB CANCELLED", "ERROR 17", "None", ""])
def test_a_failed_export_is_never_an_empty_cohort(amplitude, fake, state):
    fake.final_state = state
    with failing(fake, errors.ExportFailedError) as caught:
        download(amplitude)
    shown = re.sub("[^A-Z ]", "", state, flags=re.IGNORECASE)
    assert caught.value.reason == f"Amplitude reports the state {shown!r}"
    assert count(fake, FILE) == 0


def test_a_failure_that_comes_with_status_202_is_a_failure(amplitude, fake):
    fake.cause(
        NetworkFault.ERROR_BEFORE, path=STATUS, status=202, body='{"async_status": "JOB FAILED"}'
    )
    with failing(fake, errors.ExportFailedError):
        download(amplitude)


@pytest.mark.parametrize("status", [400, 405, 418])
@pytest.mark.parametrize("step", ["list", "request", "status", "file", "store"])
def test_an_undocumented_status_is_a_refusal(amplitude, fake, step, status):
    fake.inline_bytes = 0
    fake.cause(NetworkFault.ERROR_BEFORE, path=STEPS[step], status=status)
    with failing(fake, errors.AmplitudeRefusedError) as caught:
        download(amplitude)
    assert caught.value.status == status


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
def test_invalid_settings_are_refused_at_once(arguments):
    with pytest.raises(errors.ConfigurationError):
        AmplitudeCohorts(**{"api_key": "k", "secret_key": "s", **arguments})


def test_each_region_has_its_host():
    assert repr(AmplitudeCohorts("k", "s")) == "AmplitudeCohorts('https://amplitude.com')"
    european = AmplitudeCohorts("k", "s", region="eu")
    assert repr(european) == "AmplitudeCohorts('https://analytics.eu.amplitude.com')"
