"""A large object is read through several connections, and the bytes are those of one."""

import multiprocessing
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from botocore.config import Config
from hostile_server import HostileServer, Page, Request, pass_on
from servers import Server

from amplitude_cohort_s3 import errors
from amplitude_cohort_s3.storage.s3 import _reader
from amplitude_cohort_s3.storage.s3.storage import S3Storage

KIB = 1024
RANGE = 128 * KIB
DATA = os.urandom(40 * RANGE + 77)

Answer = Callable[[Request], Page]


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an object of 5 MB a large one, and any connection a slow one."""
    monkeypatch.setattr(_reader, "_ENOUGH_PER_SECOND", float("inf"))
    monkeypatch.setattr(_reader, "_SEQUENTIAL_BYTES", RANGE)
    monkeypatch.setattr(_reader, "_MIN_BYTES_AHEAD", 2 * RANGE)
    monkeypatch.setattr(_reader, "RANGE_BYTES", RANGE)
    monkeypatch.setattr(_reader, "_READ_BYTES", RANGE)
    monkeypatch.setattr(_reader, "_PAUSES", (0, 0, 0, 0))


@pytest.fixture
def proxy(moto: Server) -> Iterator[HostileServer]:
    with HostileServer(lambda request: pass_on(request, moto.url)) as proxy:
        yield proxy


@pytest.fixture
def storage(proxy: HostileServer, moto: Server) -> S3Storage:
    client = moto.client(proxy.url, retries={"total_max_attempts": 1}, read_timeout=10)
    storage = S3Storage(moto.new_bucket(), client=client, settling_time=0.01)
    # A checksum of the whole object would be verified, which takes one response.
    upload = moto.client(request_checksum_calculation="when_required")
    upload.put_object(Bucket=storage.bucket, Key="key", Body=DATA)
    return storage


def read(storage: S3Storage, piece: int = 70_000) -> bytes:
    with storage.open("key") as stream:
        return b"".join(iter(lambda: stream.read(piece), b""))


def ranges(proxy: HostileServer) -> list[str | None]:
    return [r.headers.get("range") for r in proxy.requests if r.method == "GET"]


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "read-ahead"]


def changing(moto: Server, change: Callable[[Request, Page], Page], first: int = 1) -> Answer:
    """Return a proxy that changes the answers to requests for a range, from one of them on."""
    seen = iter(range(1, 10**6))

    def answer(request: Request) -> Page:
        page = pass_on(request, moto.url)
        is_range = "range" in request.headers
        return change(request, page) if is_range and next(seen) >= first else page

    return answer


def with_header(page: Page, name: str, value: str) -> Page:
    kept = tuple(header for header in page.headers if header[0].lower() != name.lower())
    return evolve(page, headers=(*kept, (name, value)))


@pytest.mark.parametrize("piece", [1000, 70_000, 10**6])
def test_the_ranges_of_a_large_object_are_requested_ahead(
    storage: S3Storage, proxy: HostileServer, piece: int
):
    assert read(storage, piece) == DATA
    first, *others = ranges(proxy)
    assert first is None
    begins = sorted(int(re.findall(r"\d+", str(one))[0]) for one in others)
    assert begins == list(range(begins[0], len(DATA), RANGE))
    assert begins[0] <= 3 * RANGE
    assert len({r.headers["if-match"] for r in proxy.requests if "range" in r.headers}) == 1
    assert not threads()


def test_several_ranges_are_under_way_at_a_time_but_not_more_than_allowed(
    storage: S3Storage, proxy: HostileServer, moto: Server
):
    lock, now, most = threading.Lock(), set[str](), set[int]()

    def answer(request: Request) -> Page:
        with lock:
            now.add(request.headers.get("range", ""))
            most.add(len(now))
        time.sleep(0.02)
        page = pass_on(request, moto.url)
        with lock:
            now.discard(request.headers.get("range", ""))
        return page

    proxy.answer = answer
    assert read(storage) == DATA
    assert 3 <= max(most) <= _reader.CONNECTIONS


def test_reading_the_beginning_sends_one_request(storage: S3Storage, proxy: HostileServer):
    with storage.open("key") as stream:
        assert stream.read(60_000) == DATA[:60_000]
    assert ranges(proxy) == [None]


def test_a_small_object_is_one_request(storage: S3Storage, proxy: HostileServer):
    storage.create("small", DATA[: 2 * RANGE])
    proxy.requests.clear()
    with storage.open("small") as stream:
        assert stream.read() == DATA[: 2 * RANGE]
    assert ranges(proxy) == [None]


def test_a_client_with_one_connection_uses_one_response(
    storage: S3Storage, proxy: HostileServer, moto: Server
):
    config = Config(max_pool_connections=1)
    client: Any = moto.session().client("s3", endpoint_url=proxy.url, config=config)
    assert read(S3Storage(storage.bucket, client=client)) == DATA
    assert ranges(proxy) == [None]


def test_a_stream_that_is_closed_early_leaves_no_thread(storage: S3Storage, proxy: HostileServer):
    for size in (3 * RANGE, 9 * RANGE, 20 * RANGE):
        with storage.open("key") as stream:
            assert stream.read(size) == DATA[:size]
        assert not threads()
    assert len(proxy.requests) < 100


def test_a_stream_that_waits_has_no_thread(storage: S3Storage):
    with storage.open("key") as stream:
        stream.read(9 * RANGE)
        deadline = time.monotonic() + 30
        while threads() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not threads()
        assert stream.read() == DATA[9 * RANGE :]


REFUSALS: dict[str, Callable[[Request, Page], Page]] = {
    "ignores ranges": lambda _, page: Page(200, DATA, (("ETag", _etag(page)),)),
    "another range": lambda _, page: with_header(page, "Content-Range", "bytes 1-9/10"),
    "not a range": lambda _, page: with_header(page, "Content-Range", "*"),
    "another version": lambda _, page: with_header(page, "ETag", '"other"'),
    "compressed": lambda _, page: with_header(page, "Content-Encoding", "gzip"),
    "no S3": lambda *_: Page(200, b"<html>log in</html>"),
    "unavailable": lambda *_: Page(503),
    "precondition": lambda *_: Page(412, b"<Error><Code>PreconditionFailed</Code></Error>"),
    "denied": lambda *_: Page(403, b"<Error><Code>AccessDenied</Code></Error>"),
    "empty": lambda _, page: evolve(page, body=b""),
}


def _etag(page: Page) -> str:
    return next(value for name, value in page.headers if name.lower() == "etag")


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_store_that_answers_ranges_badly_is_read_with_one_response(
    storage: S3Storage, proxy: HostileServer, moto: Server, refusal: str
):
    proxy.answer = changing(moto, REFUSALS[refusal])
    assert read(storage) == DATA
    # A few are tried, in case that it was the network.
    assert len(ranges(proxy)) <= 12
    assert not threads()


@pytest.mark.parametrize("every", [2, 3, 7])
@pytest.mark.parametrize("kind", ["cut", "short"])
def test_ranges_that_fail_are_requested_again(
    storage: S3Storage, proxy: HostileServer, moto: Server, kind: str, every: int
):
    numbers = iter(range(1, 10**6))

    def change(request: Request, page: Page) -> Page:
        if next(numbers) % every:
            return page
        half = page.body[: len(page.body) // 2]
        return evolve(page, body=half, framing="length" if kind == "short" else "close")

    proxy.answer = changing(moto, change)
    assert read(storage) == DATA
    assert not threads()


def test_an_object_that_changes_meanwhile_is_an_error(
    storage: S3Storage, proxy: HostileServer, moto: Server
):
    with storage.open("key") as stream:
        stream.read(12 * RANGE)
        moto.client().put_object(Bucket=storage.bucket, Key="key", Body=DATA[::-1])
        with pytest.raises(errors.ObjectChangedError):
            stream.read()
    assert not threads()


def test_an_object_that_changes_meanwhile_is_an_error_if_the_condition_is_ignored(
    storage: S3Storage, proxy: HostileServer, moto: Server
):
    def answer(request: Request) -> Page:
        kept = {name: value for name, value in request.headers.items() if name != "if-match"}
        return pass_on(evolve(request, headers=kept), moto.url)

    proxy.answer = answer
    with storage.open("key") as stream:
        stream.read(12 * RANGE)
        moto.client().put_object(Bucket=storage.bucket, Key="key", Body=DATA[::-1])
        with pytest.raises(errors.ObjectChangedError):
            stream.read()


def test_a_checksum_of_the_whole_object_is_verified_as_before(
    storage: S3Storage, proxy: HostileServer, moto: Server
):
    moto.client().put_object(Bucket=storage.bucket, Key="key", Body=DATA, ChecksumAlgorithm="CRC32")
    assert read(storage) == DATA
    assert ranges(proxy) == [None]

    def damage(request: Request) -> Page:
        page = pass_on(request, moto.url)
        return evolve(page, body=page.body[:-1] + b"?")

    proxy.answer = damage
    with pytest.raises(errors.ObjectChangedError):
        read(storage)


def test_a_seek_requests_small_ranges_and_larger_ones_if_the_reader_goes_on(
    storage: S3Storage, proxy: HostileServer
):
    with storage.open("key") as stream:
        stream.seek(10**6)
        proxy.requests.clear()
        assert stream.read(10) == DATA[10**6 : 10**6 + 10]
        assert ranges(proxy) == [f"bytes=1000000-{10**6 + _reader.BUFFER_BYTES - 1}"]
        assert stream.read() == DATA[10**6 + 10 :]
    assert len(ranges(proxy)) < 45
    assert not threads()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_stream_goes_on_in_a_child_and_in_its_parent(storage: S3Storage):
    with storage.open("key") as stream:
        begin = stream.read(9 * RANGE)
        context = multiprocessing.get_context("fork")
        receive, send = context.Pipe(duplex=False)
        child = context.Process(target=lambda: send.send(stream.read() == DATA[len(begin) :]))
        child.start()
        assert begin + stream.read() == DATA
        assert receive.poll(60)
        assert receive.recv() is True
        child.join()


@pytest.mark.servers
def test_several_connections_read_what_radosgw_has(radosgw: Server):
    storage = S3Storage(radosgw.new_bucket(), client=radosgw.client())
    storage.publish(storage.stage("key", [DATA]))
    assert read(storage) == DATA
    with storage.open("key") as stream:
        for place in (10**6, 0, 3 * 10**6, len(DATA) - 9):
            stream.seek(place)
            assert stream.read(RANGE) == DATA[place : place + RANGE]
    with suppress(errors.ObjectNotFoundError):
        storage.open("absent")
    assert not threads()
