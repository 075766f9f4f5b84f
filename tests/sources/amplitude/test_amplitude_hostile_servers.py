"""A server that never finishes, or answers nonsense: the deadline and the memory stay bounded."""

import json
import time
import tracemalloc
import zlib

import pytest
from raw_server import RawServer, endless, http

from amplitude_cohort_s3 import AmplitudeCohorts, RowSchema
from amplitude_cohort_s3.errors import (
    AmplitudeError,
    AmplitudeTimeoutError,
    AmplitudeUnavailableError,
)

LIST, USAGE, STATUS = "/api/3/cohorts", "/api/3/cohorts/usage", "request-status"
REQUEST, FILE = "request/c", "/file"
NORMAL = {
    USAGE: http(b'{"limit": 500, "count": 1}'),
    STATUS: http(b'{"async_status": "JOB COMPLETED"}'),
    FILE: http(b"amplitude_id,user_id\n1,ann\n2,bob\n"),
    REQUEST: http(b'{"request_id": "r"}'),
    LIST: http(json.dumps({"cohorts": [{"id": "c", "size": 2, "lastComputed": 1}]}).encode()),
}
OK = b"HTTP/1.1 200 OK\r\n\r\n"
DEADLINE = 0.4


def download(step=None, pieces=None, **options):
    """Download the cohort from a server that answers one step with these pieces."""

    def answer(path):
        found = next(known for known in NORMAL if known in path)
        yield from pieces() if found == step else [NORMAL[found]]

    with RawServer(answer) as server:
        options = {"deadline": DEADLINE, "timeout": 0.5, **options}
        amplitude = AmplitudeCohorts("key", "secret", base_url=server.url, **options)
        source = amplitude.members("c").csv_source(RowSchema())
        return b"".join(source.chunks())


def test_the_server_of_these_tests_is_well_behaved_by_default():
    assert download() == b"amplitude_id,user_id\n1,ann\n2,bob\n"


SLOW = {
    "a slow body": (OK, b" "),
    "a slow header": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "a slow status line": (b"HTTP/1.1 ", b"2"),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "slow headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "slow chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a slow error": (b"HTTP/1.1 500 no\r\n\r\n", b"x"),
    "a redirect with a body": (b"HTTP/1.1 302 Found\r\nLocation: /api/3/cohorts\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("step", [LIST, REQUEST, STATUS, FILE])
@pytest.mark.parametrize("slow", SLOW)
def test_the_deadline_holds_against_a_server_that_sends_a_byte_now_and_then(step, slow):
    first, piece = SLOW[slow]
    began = time.monotonic()
    with pytest.raises(AmplitudeError):
        download(step, lambda: endless(first, piece, 0.05))
    assert time.monotonic() - began < 10 * DEADLINE


def test_a_slow_usage_does_not_hold_up_a_download_longer_than_the_deadline():
    began = time.monotonic()
    with pytest.raises(AmplitudeTimeoutError):
        download(USAGE, lambda: endless(OK, b" ", 0.05))
    assert time.monotonic() - began < 10 * DEADLINE


def test_a_file_without_an_end_stops_at_the_deadline():
    with pytest.raises(AmplitudeTimeoutError):
        download(FILE, lambda: endless(OK + b"amplitude_id,user_id\n", b"1,ann\n" * 99, 0.01))


def bomb():
    """Return an answer of 200 KiB that unpacks to 200 MiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    return http(data, b"Content-Encoding: gzip\r\n")


BOMB = bomb()


@pytest.mark.parametrize(
    "pieces",
    [lambda: endless(OK, b" " * (1 << 20), 0), lambda: [BOMB]],
    ids=["endless", "gzip bomb"],
)
def test_an_answer_has_a_limited_size(pieces):
    tracemalloc.start()
    try:
        with pytest.raises(AmplitudeUnavailableError, match="longer than 64 MiB"):
            download(LIST, pieces, deadline=60.0, timeout=10.0)
        assert tracemalloc.get_traced_memory()[1] < 160 << 20
    finally:
        tracemalloc.stop()


def answers(body, headers=b"", status=b"200 OK"):
    return lambda: [http(body, headers, status)]


@pytest.mark.parametrize(
    ("step", "pieces"),
    [
        (LIST, answers(b"[" * 5000 + b"]" * 5000)),
        (LIST, answers(b'{"cohorts": [' + b"[" * 100_000)),
        (LIST, answers(b'{"cohorts": [{"id": "c", "size": ' + b"9" * 5000 + b"}]}")),
        (LIST, answers(b'{"cohorts": {"id": "c"}}')),
        (LIST, answers(b"\xff\xfe{")),
        (LIST, answers(b"{}", b"Content-Encoding: gzip\r\n")),
        (FILE, lambda: ["HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\n".encode("latin-1")]),
        (FILE, lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"]),
        (FILE, lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"]),
        (FILE, lambda: [b"HTTP/1.1 999999 OK\r\n\r\n"]),
        (FILE, lambda: [b"HTTP/1.1 302 Found\r\nLocation: https://[\r\n\r\n"]),
        (FILE, lambda: [b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999/\r\n\r\n"]),
        (FILE, lambda: [b"\x00" * 100_000]),
        (REQUEST, answers(b"", b"Retry-After: Mon, 01 Jan 99999999999 00:00:00 GMT\r\n", b"429 x")),
        (REQUEST, answers(b"", b"Retry-After: " + b"9" * 400 + b"\r\n", b"429 x")),
        (REQUEST, answers(b"", b"Retry-After: Mon, 99 Foo 2026\r\n", b"503 x")),
        (REQUEST, answers(b'{"request_id": "\\ud800"}')),
        (REQUEST, answers(b'{"request_id": ""}')),
        (REQUEST, answers(b'{"request_id": 7}')),
        (STATUS, answers(b'{"async_status": "\\ud800 failed"}')),
        (STATUS, answers(b"[]")),
    ],
)
def test_a_malformed_answer_is_an_error_of_amplitudes_family(step, pieces):
    with pytest.raises(AmplitudeError) as caught:
        download(step, pieces)
    str(caught.value).encode()
