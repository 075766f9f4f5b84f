"""Each fault at each step of a download: answers that are lost, late, cut or damaged."""

import csv
import gzip
import io

import pytest
from amplitude_fakes import ID, MANY, SCHEMA, STEPS, Time, connect, download, failing, rows
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

from amplitude_cohort_s3 import CohortS3Error, errors
from amplitude_cohort_s3.sources._export import RowCount, read_export
from amplitude_cohort_s3.sources._http import Deadline, Patience
from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude, export_csv
from amplitude_cohort_s3.testing.lying_proxy import Lie

LOST = {
    "reset before": {"lie": Lie.RESET_BEFORE},
    "lost answer": {"lie": Lie.LOSE_ANSWER},
    "500 before": {"lie": Lie.ERROR_BEFORE, "status": 500},
    "503 after": {"lie": Lie.ERROR_AFTER, "status": 503},
    "429": {"lie": Lie.ERROR_BEFORE, "status": 429},
    "cut": {"lie": Lie.CUT_BODY},
    "shortened": {"lie": Lie.SHORTEN},
    "no JSON": {"lie": Lie.ERROR_BEFORE, "status": 200},
}
CASES = [
    *((fault, step) for fault in LOST for step in ("list", "usage", "request", "status")),
    # A redirect has no body.
    *((fault, "redirect") for fault in LOST if fault not in ("cut", "shortened", "no JSON")),
    *((fault, "file") for fault in LOST if fault != "no JSON"),
    *((fault, "store") for fault in LOST if fault != "no JSON"),
]


def with_fault(fake, fault, step, **fields):
    """A fake that meets requests of this step with a fault."""
    fake.inline_bytes = 1 << 30 if step == "file" else 0
    fake.lie(**LOST[fault], path=STEPS[step], **fields)


@pytest.mark.parametrize(("fault", "step"), CASES, ids=[f"{f} {s}" for f, s in CASES])
def test_what_is_lost_is_asked_for_again(amplitude, fake, fault, step):
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
def test_what_is_lost_for_good_is_an_error_and_never_a_shorter_cohort(amplitude, fake, fault, step):
    with_fault(fake, fault, step, times=10**6)
    if step == "usage" and fault != "429":
        assert download(amplitude) == rows(MANY[:100])  # it counts by itself
        return
    expected = errors.AmplitudeBusyError if fault == "429" else errors.AmplitudeUnavailableError
    with failing(fake, expected):
        download(amplitude)


@pytest.mark.parametrize("step", ["status", "store", "file"])
def test_a_stalled_answer_is_given_up_and_asked_for_again(fake, passing, step):
    amplitude = connect(fake, passing, timeout=0.2)
    fake.inline_bytes = 1 << 30 if step == "file" else 0
    fake.lie(Lie.STALL, path=STEPS[step], seconds=0.5)
    assert download(amplitude) == rows(MANY[:100])


@pytest.mark.parametrize("step", ["list", "usage", "request", "status", "file", "store"])
def test_a_flipped_bit_is_never_other_members(amplitude, fake, step):
    fake.set_cohort(ID, MANY)
    fake.inline_bytes = 1 << 30 if step == "file" else 0
    fake.lie(Lie.FLIP_BIT, path=STEPS[step], times=1)
    try:
        members = download(amplitude)
    except CohortS3Error:
        return
    assert members == rows(MANY)


def test_a_server_that_is_not_there_is_unavailable(fake, passing):
    with FakeAmplitude() as gone:
        pass
    fake.lie(Lie.STALL, path="nothing")
    with failing(fake, errors.AmplitudeUnavailableError):
        connect(gone, passing).list_cohorts()


# --- A download that goes on ---------------------------------------------------------------


@pytest.fixture
def begun(amplitude, fake):
    """The chunks of a download that breaks off in the middle, after the first of them."""
    fake.packing, fake.inline_bytes = "none", 0
    fake.set_cohort(ID, MANY)
    fake.lie(Lie.CUT_BODY, path=STEPS["store"])
    chunks = amplitude.members(ID).csv_source(SCHEMA).chunks()
    return next(chunks), chunks


def test_it_goes_on_where_it_broke_off(fake, begun):
    first, rest = begun
    assert list(SCHEMA.decode([first, *rest])) == rows(MANY)
    assert fake.downloads == 1


def test_it_may_begin_anew_with_the_same_bytes(fake, begun):
    first, rest = begun
    fake.replace_exports(b"".join(export_csv(MANY, SCHEMA.properties)))
    assert list(SCHEMA.decode([first, *rest])) == rows(MANY)


@pytest.mark.parametrize("others", [MANY[::-1], MANY[:2]], ids=["other rows", "fewer rows"])
def test_it_never_goes_on_with_another_file(fake, begun, others):
    first, rest = begun
    fake.replace_exports(b"".join(export_csv(others, SCHEMA.properties)))
    with failing(fake, errors.ExportChangedError):
        list(SCHEMA.decode([first, *rest]))


class Response:
    """What urllib3 gives, of which a part arrives."""

    def __init__(self, status, headers, body, arriving):
        self.status, self.headers = status, headers
        self.body, self.arriving = body, arriving
        self.closed = False

    def stream(self, amt, decode_content):
        assert not decode_content
        sent = self.body[: self.arriving]
        yield from (sent[i : i + 7] for i in range(0, len(sent), 7))
        if self.arriving < len(self.body):
            raise ProtocolError("broken")

    def close(self):
        self.closed = True


@given(
    body=st.binary(min_size=1, max_size=120),
    packed=st.booleans(),
    cuts=st.lists(st.integers(0, 130), max_size=5),
    version=st.lists(st.sampled_from(["same", "other tag", "other bytes"]), max_size=5),
    ranges=st.sampled_from(["yes", "no", "wrong", "weak"]),
    sized=st.booleans(),
)
def test_a_download_is_the_file_or_an_error(body, packed, cuts, version, ranges, sized):
    sent = gzip.compress(body) if packed else body.strip(b"\x1f")
    expected = body if packed else sent
    opened = []

    def open_file(place):
        at = len(opened)
        now = version[at] if at < len(version) else "same"
        content = sent[::-1] if now == "other bytes" else sent
        tag = '"1"' if now == "same" else f'"2{at}"'
        headers = {"ETag": f"W/{tag}" if ranges == "weak" else tag}
        status, offset = 200, 0
        if place is not None and ranges != "no":
            # A server that ignores If-Match, or begins where it was not asked to.
            offset = place.offset - (ranges == "wrong")
            headers["Content-Range"] = f"bytes {offset}-{len(content) - 1}/{len(content)}"
            status = 206
        part = content[offset:]
        if sized:
            headers["Content-Length"] = str(len(part))
        response = Response(status, headers, part, cuts[at] if at < len(cuts) else len(part))
        opened.append(response)
        return response

    passing = Time()
    deadline = Deadline(seconds=9e9, ends_at=9e9, clock=passing.monotonic, sleep=passing.sleep)
    try:
        got = b"".join(read_export(open_file, Patience("it", deadline), ID))
    except (errors.ExportChangedError, errors.AmplitudeUnavailableError):
        assert "other bytes" in version
    else:
        assert got == expected or ("other bytes" in version and got == sent[::-1])
    assert all(r.closed for r in opened if r.arriving < len(r.body))


# A cell with whatever a cell can hold that matters to a count of rows.
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
    count = RowCount()
    assert b"".join(count.through(pieces)) == data
    assert count.rows == len(table)
