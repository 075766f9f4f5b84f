"""The keys and signed URLs are sent only to their own server, and never to a log."""

import http.client
import logging

import pytest
from amplitude_fakes import MANY, assert_no_secret_in, connect, count, download, failing, rows

from amplitude_cohort_s3 import errors
from amplitude_cohort_s3.sources.amplitude import _http
from amplitude_cohort_s3.testing.fake_amplitude import FILE, LIST, REQUEST, STATUS, STORE
from amplitude_cohort_s3.testing.faulty_proxy import NetworkFault


def test_the_store_never_receives_the_keys(amplitude, fake):
    # The fake's store refuses a request that brings them, as S3 does.
    fake.inline_bytes = 0
    assert download(amplitude) == rows(MANY[:100])
    assert count(fake, STORE) == 1


def filters():
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    return {logger.name: list(logger.filters) for logger in loggers if logger.filters}


def test_constructing_and_downloading_add_no_filter_to_any_logger(fake, passing):
    fake.inline_bytes = 0
    before = filters()
    amplitude = connect(fake, passing)
    assert filters() == before
    download(amplitude)
    assert filters() == before


def test_no_query_of_a_signed_url_is_logged_at_debug(amplitude, fake, caplog):
    caplog.set_level(logging.DEBUG)
    fake.inline_bytes = 0
    fake.cause(NetworkFault.CUT_BODY, path=STORE)
    fake.cause(NetworkFault.ERROR_BEFORE, path=STORE, status=403)
    assert download(amplitude) == rows(MANY[:100])
    assert any("X-Amz-Signature" in request for request in fake.requests)
    assert not [record for record in caplog.records if "X-Amz" in str(record.__dict__)]


def test_the_debug_output_of_http_client_shows_no_secret(amplitude, fake, monkeypatch, capsys):
    # Only in our module, because the fake's proxy uses http.client too.
    loud = type("Loud", (http.client.HTTPConnection,), {"debuglevel": 1})
    monkeypatch.setattr(_http, "HTTPConnection", loud)
    fake.inline_bytes = 0
    assert download(amplitude) == rows(MANY[:100])
    assert_no_secret_in(fake, capsys.readouterr().out)


def test_urllib3_logs_the_requests_of_others_as_before(fake, amplitude, caplog):
    import urllib3  # noqa: PLC0415 - its log is looked at

    amplitude.list_cohorts()
    caplog.clear()
    with urllib3.PoolManager() as pool:
        pool.request("GET", f"{fake.base_url}/nothing?of=ours")
    assert "/nothing?of=ours" in caplog.text


@pytest.mark.parametrize(
    "location",
    ["http://example.com/file", "ftp://127.0.0.1/file", "file:///etc/passwd", "http://[x"],
)
def test_a_redirect_to_an_insecure_url_is_not_followed(amplitude, fake, location):
    fake.cause(NetworkFault.ERROR_BEFORE, path=FILE, status=302, headers={"Location": location})
    with failing(fake, errors.AmplitudeRefusedError):
        download(amplitude)


@pytest.mark.parametrize("path", [LIST, REQUEST, STATUS])
def test_only_the_file_may_be_redirected(amplitude, fake, path):
    fake.cause(NetworkFault.ERROR_BEFORE, path=path, status=302, headers={"Location": "/elsewhere"})
    with failing(fake, errors.AmplitudeRefusedError):
        download(amplitude)


def test_a_redirect_loop_ends(amplitude, fake):
    fake.cause(
        NetworkFault.ERROR_BEFORE, path="file", status=302, headers={"Location": "file"}, times=99
    )
    with failing(fake, errors.AmplitudeRefusedError):
        download(amplitude)
    assert count(fake, FILE) < 10
