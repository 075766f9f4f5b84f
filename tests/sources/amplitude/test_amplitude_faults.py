"""Each fault at each step of a download: answers that are lost, late, cut or damaged."""

import csv
import gzip
import io
import ssl

import pytest
import trustme
from amplitude_fakes import ID, MANY, SCHEMA, STEPS, Time, connect, download, failing, rows
from hypothesis import example, given
from hypothesis import strategies as st

from amplitude_cohort_s3 import CohortS3Error, errors
from amplitude_cohort_s3.sources.amplitude._export import read_export
from amplitude_cohort_s3.sources.amplitude._http import Response, RetryBudget
from amplitude_cohort_s3.sources.amplitude.cohorts import RowCount
from amplitude_cohort_s3.testing._fake_exports import export_csv
from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude
from amplitude_cohort_s3.testing.faulty_proxy import FaultyProxy, NetworkFault

LOST = {
    "reset before": {"fault": NetworkFault.RESET_BEFORE},
    "lost answer": {"fault": NetworkFault.LOSE_ANSWER},
    "500 before": {"fault": NetworkFault.ERROR_BEFORE, "status": 500},
    "503 after": {"fault": NetworkFault.ERROR_AFTER, "status": 503},
    "429": {"fault": NetworkFault.ERROR_BEFORE, "status": 429},
    "cut": {"fault": NetworkFault.CUT_BODY},
    "shortened": {"fault": NetworkFault.SHORTEN},
    "no JSON": {"fault": NetworkFault.ERROR_BEFORE, "status": 200},
}
CASES = [
    *((fault, step) for fault in LOST for step in ("list", "usage", "request", "status")),
    # A redirect has no body.
    *((fault, "redirect") for fault in LOST if fault not in ("cut", "shortened", "no JSON")),
    *((fault, "file") for fault in LOST if fault != "no JSON"),
    *((fault, "store") for fault in LOST if fault != "no JSON"),
]


def with_fault(fake, fault, step, **fields):
    """Let the requests of this step meet a fault."""
    fake.inline_bytes = 1 << 30 if step == "file" else 0
    fake.cause(**LOST[fault], path=STEPS[step], **fields)


@pytest.mark.parametrize(("fault", "step"), CASES, ids=[f"{f} {s}" for f, s in CASES])
def test_a_lost_answer_is_requested_again(amplitude, fake, fault, step):
    fake.set_cohort(ID, MANY)
    with_fault(fake, fault, step, times=2)
    assert download(amplitude) == rows(MANY)


@pytest.mark.parametrize("fault", ["lost answer", "cut", "shortened", "503 after"])
def test_a_store_without_ranges_is_read_from_the_start(amplitude, fake, fault):
    fake.ranges = False
    fake.set_cohort(ID, MANY)
    with_fault(fake, fault, "store", times=2)
    assert download(amplitude) == rows(MANY)


@pytest.mark.parametrize(("fault", "step"), CASES, ids=[f"{f} {s}" for f, s in CASES])
def test_a_permanent_fault_is_an_error_and_never_a_shorter_cohort(amplitude, fake, fault, step):
    with_fault(fake, fault, step, times=10**6)
    if step == "usage" and fault != "429":
        assert download(amplitude) == rows(MANY[:100])  # downloads are counted here instead
        return
    expected = errors.AmplitudeTimeoutError if fault == "429" else errors.AmplitudeUnavailableError
    with failing(fake, expected) as caught:
        download(amplitude)
    assert getattr(caught.value, "rate_limited", False) == (fault == "429")


@pytest.mark.parametrize("step", ["status", "store", "file"])
def test_a_stalled_answer_times_out_and_is_requested_again(fake, passing, step):
    amplitude = connect(fake, passing, timeout=0.2)
    fake.inline_bytes = 1 << 30 if step == "file" else 0
    fake.cause(NetworkFault.STALL, path=STEPS[step], seconds=0.5)
    assert download(amplitude) == rows(MANY[:100])


@pytest.mark.parametrize("step", ["list", "usage", "request", "status", "file", "store"])
def test_a_flipped_bit_never_leads_to_other_members(amplitude, fake, step):
    fake.set_cohort(ID, MANY)
    fake.inline_bytes = 1 << 30 if step == "file" else 0
    fake.cause(NetworkFault.FLIP_BIT, path=STEPS[step], times=1)
    try:
        members = download(amplitude)
    except CohortS3Error:
        return
    assert members == rows(MANY)


def test_an_unreachable_server_is_unavailable(fake, passing):
    with FakeAmplitude() as gone:
        pass
    fake.cause(NetworkFault.STALL, path="nothing")
    with failing(fake, errors.AmplitudeUnavailableError):
        connect(gone, passing).list_cohorts()


# --- TLS -----------------------------------------------------------------------------------


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def secure(fake, authority):
    """The URL of the fake behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FaultyProxy(fake.base_url, tls=context) as proxy:
        yield proxy.url


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def test_a_download_works_over_tls(fake, passing, secure, trusted):
    assert download(connect(fake, passing, base_url=secure)) == rows(MANY[:100])


def test_a_certificate_of_an_unknown_authority_is_refused(fake, passing, secure):
    with failing(fake, errors.AmplitudeUnavailableError, match="SSLCertVerificationError"):
        connect(fake, passing, base_url=secure).list_cohorts()
    assert fake.requests == []


def test_a_redirect_from_https_to_http_is_not_followed(fake, passing, secure, trusted):
    fake.inline_bytes = 0  # redirects to http
    with failing(fake, errors.AmplitudeRefusedError):
        download(connect(fake, passing, base_url=secure))


# --- A download that is resumed ---------------------------------------------------------------


@pytest.fixture
def begun(amplitude, fake):
    """The first chunk of a download that breaks off in the middle, and the iterator of the rest."""
    fake.packing, fake.inline_bytes = "none", 0
    fake.set_cohort(ID, MANY)
    fake.cause(NetworkFault.CUT_BODY, path=STEPS["store"])
    chunks = amplitude.members(ID).csv_source(SCHEMA).chunks()
    return next(chunks), chunks


def test_a_broken_download_is_resumed_where_it_broke_off(fake, begun):
    first, rest = begun
    assert list(SCHEMA.decode([first, *rest])) == rows(MANY)
    assert fake.downloads == 1


def test_a_download_may_restart_with_the_same_bytes(fake, begun):
    first, rest = begun
    fake.replace_exports(b"".join(export_csv(MANY, SCHEMA.properties)))
    assert list(SCHEMA.decode([first, *rest])) == rows(MANY)


@pytest.mark.parametrize("others", [MANY[::-1], MANY[:2]], ids=["other rows", "fewer rows"])
def test_a_download_never_continues_with_another_file(fake, begun, others):
    first, rest = begun
    fake.replace_exports(b"".join(export_csv(others, SCHEMA.properties)))
    with failing(fake, errors.ExportFailedError, match="has changed since"):
        list(SCHEMA.decode([first, *rest]))


class RawResponse:
    """A response as http.client gives it, of which only a part arrives."""

    def __init__(self, status, headers, body, arriving, *, quiet):
        self.status, self.headers = status, headers
        self.sent, self.quiet = io.BytesIO(body[:arriving]), quiet
        self.is_whole = arriving >= len(body)
        self.closed = False

    def read(self, amt):
        part = self.sent.read(min(amt, 7))
        if not part and not self.is_whole and not self.quiet:
            raise ConnectionResetError
        return part

    def close(self):
        self.closed = True


@given(
    body=st.binary(min_size=1, max_size=120),
    packing=st.sampled_from(["none", "gzip", "unsaid gzip"]),
    cuts=st.lists(st.integers(0, 130), min_size=1, max_size=5),
    version=st.lists(st.sampled_from(["same", "other tag", "other bytes"]), max_size=5),
    ranges=st.sampled_from(["yes", "no", "wrong", "weak"]),
    ends=st.sampled_from(["broken", "quiet", "quiet, but short of its length"]),
)
@example(b"abcd", "none", [2], ["same", "other bytes"], "yes", "broken")
@example(b"abcd", "none", [2], [], "yes", "quiet, but short of its length")
@example(b"abcd", "none", [2], [], "wrong", "broken")
def test_a_download_is_the_file_or_an_error(body, packing, cuts, version, ranges, ends):
    sent = body.strip(b"\x1f") if packing == "none" else gzip.compress(body)
    expected = sent if packing == "none" else body
    opened = []

    def open_file(asked):
        at = len(opened)
        now = version[at] if at < len(version) else "same"
        content = sent[::-1] if now == "other bytes" else sent
        tag = '"1"' if now == "same" else f'"2{at}"'
        headers = {"ETag": f"W/{tag}" if ranges == "weak" else tag}
        status, offset = 200, 0
        if asked and ranges != "no":
            # A server that ignores If-Match, or begins at another offset.
            offset = int(asked["Range"][len("bytes=") : -1]) - (ranges == "wrong")
            headers["Content-Range"] = f"bytes {offset}-{len(content) - 1}/{len(content)}"
            status = 206
        part = content[offset:]
        if packing == "gzip":
            headers["Content-Encoding"] = "gzip"
        if ends != "quiet":
            headers["Content-Length"] = str(len(part))
        raw = RawResponse(
            status,
            headers,
            part,
            cuts[at] if at < len(cuts) else len(part),
            # Without a length only gzip shows that something is missing.
            quiet=ends != "broken" and (packing == "gzip" or ends != "quiet"),
        )
        opened.append(raw)
        return Response(raw, raw)

    passing = Time()
    budget = RetryBudget("it", 9e9, 9e9, passing.monotonic, passing.sleep)
    try:
        got = b"".join(read_export(open_file, budget, ID))
    except (errors.ExportFailedError, errors.AmplitudeUnavailableError):
        assert "other bytes" in version
    else:
        assert got == expected or ("other bytes" in version and got == sent[::-1])
    assert all(raw.closed for raw in opened)


# Cells with every character that matters for a count of rows.
CELLS = st.text(alphabet='ab",\n\r', max_size=6)


@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=8),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.integers(1, 20),
    st.booleans(),
)
def test_rows_are_counted_as_a_csv_reader_counts_them(table, quoting, size, ended):
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows([("id", "x"), *table])
    data = text.getvalue().encode()
    data = data if ended else data.removesuffix(b"\n")
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    count = RowCount(pieces)
    assert b"".join(count) == data
    assert count.rows == len(table)
