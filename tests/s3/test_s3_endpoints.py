"""S3Storage in front of endpoints that are not S3: every method raises the library's errors.

An endpoint may be a web console, a login page of a proxy, or a server that speaks S3 badly.
None of them may look like an empty bucket, and no method may run without an end.
"""

import contextlib
import itertools
import json
import traceback
from collections.abc import Callable, Iterator

import boto3
import pytest
from attrs import evolve
from botocore.config import Config
from hostile_server import HostileServer, Page, Request, pass_on
from servers import Server

from amplitude_cohort_s3 import CohortStream, errors, list_streams, read_head
from amplitude_cohort_s3.maintenance import forget
from amplitude_cohort_s3.policy import check_access
from amplitude_cohort_s3.storage import ObjectInfo, StagedObject
from amplitude_cohort_s3.storage.s3 import responses
from amplitude_cohort_s3.storage.s3.storage import S3Storage

pytestmark = pytest.mark.servers

STREAM = CohortStream(project_id=1, cohort_id="a")
XML = (("Content-Type", "application/xml"),)
HTML = (("Content-Type", "text/html; charset=utf-8"),)
LOGIN = b"<html><head><title>Sign in</title></head><body><p>a</p><p>b</p></body></html>"
LIST = b"<ListBucketResult>%b</ListBucketResult>"
ENTRY = b"<Contents><Key>k</Key><Size>1</Size></Contents>"

PAGES = {
    "login page": Page(200, LOGIN, HTML),
    "login page in chunks": Page(200, LOGIN, HTML, "chunked"),
    "login page until the connection closes": Page(200, LOGIN, HTML, "close"),
    "text that is not XML": Page(200, b"Hello & <br>", HTML),
    "JSON": Page(
        200, json.dumps({"buckets": []}).encode(), (("Content-Type", "application/json"),)
    ),
    "nothing": Page(200),
    "nothing, in chunks": Page(200, framing="chunked"),
    "bytes that are not text": Page(200, bytes(range(256)), XML),
    "XML that is cut off": Page(200, b"<ListBucketResult><IsTruncated>fal", XML),
    "XML in an unknown encoding": Page(200, b'<?xml version="1.0" encoding="x-no"?><a/>', XML),
    "XML of something else": Page(200, b"<ListAllMyBucketsResult/>", XML),
    "an empty result": Page(200, LIST % b"", XML),
    "a page that does not end": Page(200, LIST % (b"<IsTruncated>true</IsTruncated>" + ENTRY), XML),
    "an entry without a size": Page(
        200,
        LIST % b"<IsTruncated>false</IsTruncated><Contents><Key>k</Key></Contents>",
        XML,
    ),
    "an entry of no size": Page(
        200,
        LIST % (b"<IsTruncated>false</IsTruncated>" + ENTRY.replace(b">1<", b">many<")),
        XML,
    ),
    "no content": Page(204),
    "partial content": Page(206, LOGIN, HTML),
    "redirect to https": Page(301, b"", (("Location", "https://example.invalid/b?token=SECRET"),)),
    "temporary redirect": Page(302, LOGIN, (*HTML, ("Location", "/login"))),
    "redirect to itself": Page(307, b"", (("Location", "/b"),)),
    "redirect for good": Page(308, b"", (("Location", "https://example.invalid/"),)),
    "redirect to nowhere": Page(303),
    "web server without the page": Page(404, LOGIN, HTML),
    "web server without the page, empty": Page(404),
    "web server without the page, JSON": Page(404, b'{"error": "not found"}'),
    "method not allowed": Page(405, LOGIN, HTML),
    "not authorized": Page(401, LOGIN, (*HTML, ("WWW-Authenticate", "Basic"))),
    "forbidden": Page(403, LOGIN, HTML),
    "error without a code": Page(400, b"<Error/>", XML),
    "proxy error": Page(502, LOGIN, HTML),
    "error in XML that is cut off": Page(500, b"<Error><Code>Internal", XML),
    "a wrong time": Page(200, LOGIN, (("Last-Modified", "yesterday"), *HTML)),
}


def staged(*, key: str = "key", parts: bool = True) -> StagedObject:
    named = {"parts": "0cc175b9c0f1b6a831c399e269772661"} if parts else {"parts_digest": "0"}
    handle = {"upload_id": "u", "token": "t"} | named
    return StagedObject(key=key, size=1, sha256=None, handle=handle)


SOURCE = ObjectInfo(key="part", size=6 << 20, url="")

CALLS: dict[str, Callable[[S3Storage], object]] = {
    "list": lambda storage: list(storage.list_objects()),
    "list after a key": lambda storage: list(storage.list_objects("k", start_after="k/1")),
    "open": lambda storage: storage.open("key").read(),
    "create": lambda storage: storage.create("key", b"data"),
    "stage": lambda storage: storage.stage("key", [b"data"]),
    "inspect": lambda storage: storage.inspect(staged()),
    "publish": lambda storage: storage.publish(staged()),
    "publish many parts": lambda storage: storage.publish(staged(parts=False)),
    "replace": lambda storage: storage.replace(staged()),
    "discard": lambda storage: storage.discard(staged()),
    "delete": lambda storage: storage.delete("key"),
    "compose": lambda storage: storage.compose("key", [SOURCE], header=b"head\n"),
    "list staged": lambda storage: list(storage.list_staged()),
    "list streams": lambda storage: list(list_streams(storage)),
    "read head": lambda storage: read_head(storage, STREAM),
    "forget": lambda storage: forget(storage, STREAM, ["ann"]),
}


UNDETECTABLE = {
    *(("delete", name) for name in ("nothing", "no content")),
    *(("list staged", f"an entry {name}") for name in ("without a size", "of no size")),
}
"""S3 itself answers a deletion with no more than this, and a listing of no uploads."""


def storage_at(url: str) -> S3Storage:
    client = boto3.client(
        "s3",
        "eu-west-1",
        endpoint_url=url,
        aws_access_key_id="AK",
        aws_secret_access_key="SK",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=5),
    )
    return S3Storage("bucket", client=client, settling_time=0.01)


@pytest.fixture
def endpoint(moto: Server) -> Iterator[HostileServer]:
    """A server that passes requests on to moto until a test changes its answer."""
    with HostileServer(lambda request: pass_on(request, moto.url)) as server:
        yield server


def check_calls(endpoint: HostileServer, storage: S3Storage, name: str) -> int:
    """Let every method meet a page, and return the number of calls."""
    calls = 0
    endpoint.answer = lambda _: PAGES[name]
    for call, run in CALLS.items():
        if (call, name) in UNDETECTABLE:
            continue
        before = len(endpoint.requests)
        try:
            with pytest.raises(errors.StorageError) as caught:
                run(storage)
        except BaseException as error:
            error.add_note(f"{call} in front of {name}")
            raise
        assert not isinstance(caught.value, errors.ObjectNotFoundError), call
        shown = "".join(traceback.format_exception(caught.value))
        assert "SECRET" not in shown
        assert "Sign in" not in shown
        assert len(endpoint.requests) - before < 300, call
        calls += 1
    return calls


@pytest.mark.parametrize("name", PAGES)
def test_no_method_accepts_an_endpoint_that_is_not_s3(
    endpoint: HostileServer, name: str, record_property: Callable[[str, object], None]
):
    record_property("cases", check_calls(endpoint, storage_at(endpoint.url), name))


@pytest.mark.parametrize("name", PAGES)
def test_no_method_accepts_an_endpoint_that_ceases_to_be_s3(
    endpoint: HostileServer,
    moto: Server,
    name: str,
    record_property: Callable[[str, object], None],
):
    storage = storage_at(endpoint.url)
    with contextlib.suppress(moto.client().exceptions.BucketAlreadyOwnedByYou):
        moto.client().create_bucket(Bucket="bucket")
    storage.create("past the probe", b"")
    record_property("cases", check_calls(endpoint, storage, name))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("login page", "it has no IsTruncated and the type text/html"),
        ("JSON", "it is not XML of S3"),
        ("redirect to https", "it redirects to another address"),
        ("redirect for good", "it redirects to https://example.invalid (HTTP 308)"),
        ("web server without the page", "it is an error without a code of S3 (HTTP 404)"),
        ("a page that does not end", "it is not the last page, but has no token for the next"),
    ],
)
def test_the_error_describes_the_response(endpoint: HostileServer, name: str, found: str):
    storage = storage_at(endpoint.url)
    endpoint.answer = lambda _: PAGES[name]
    with pytest.raises(errors.InvalidResponseError) as caught:
        list(storage.list_objects())
    assert (caught.value.bucket, caught.value.found) == ("bucket", found)
    assert caught.value.operation == "ListObjectsV2"


def test_check_access_does_not_grant_what_a_web_page_answers(endpoint: HostileServer):
    storage = storage_at(endpoint.url)
    for name in ("login page", "nothing", "redirect to https"):
        endpoint.answer = lambda _, name=name: PAGES[name]
        for purpose in ("write", "read", "maintain"):
            with pytest.raises(errors.InvalidResponseError):
                check_access(storage, purpose)


# --- Listings that do not end ------------------------------------------------------------


def endless(kind: str, tokens: Iterator[str]) -> Callable[[Request], Page]:
    """Return answers that are never the last page, each with the next token."""
    bodies = {
        "objects": "<ListBucketResult><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>{0}</NextContinuationToken>"
        "<Contents><Key>k</Key><Size>1</Size></Contents></ListBucketResult>",
        "no objects": "<ListBucketResult><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>{0}</NextContinuationToken></ListBucketResult>",
        "uploads": "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
        "<NextKeyMarker>{0}</NextKeyMarker><Upload><Key>k</Key><UploadId>u</UploadId>"
        "<Initiated>2026-01-01T00:00:00Z</Initiated></Upload></ListMultipartUploadsResult>",
        "parts": "<ListPartsResult><UploadId>u</UploadId><IsTruncated>true</IsTruncated>"
        "<NextPartNumberMarker>{0}</NextPartNumberMarker><Part><PartNumber>1</PartNumber>"
        '<ETag>"0"</ETag></Part></ListPartsResult>',
    }
    return lambda _: Page(200, bodies[kind].format(next(tokens)).encode(), XML)


@pytest.mark.parametrize("tokens", ["same", "cycle", "new"])
@pytest.mark.parametrize("kind", ["objects", "no objects", "uploads", "parts"])
def test_a_listing_without_an_end_is_an_error(
    endpoint: HostileServer,
    moto: Server,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    tokens: str,
):
    monkeypatch.setattr(responses, "_MAX_EMPTY_PAGES", 20)
    some = {
        "same": itertools.repeat("1"),
        "cycle": itertools.cycle("12345"),
        "new": map(str, itertools.count()),
    }[tokens]
    storage = storage_at(endpoint.url)
    endpoint.answer = endless(kind, some)
    list_all: Callable[[], object] = {
        "uploads": lambda: list(storage.list_staged()),
        "parts": lambda: storage.replace(staged(parts=False)),
    }.get(kind, lambda: list(storage.list_objects()))
    with pytest.raises((errors.InvalidResponseError, errors.UnknownOutcomeError)):
        list_all()
    # A look at the object may follow, and the same request again.
    assert len(endpoint.requests) <= (4 if tokens == "same" else 30)


def test_empty_pages_and_pages_in_order_are_a_whole_listing(endpoint: HostileServer):
    pages = [
        "<IsTruncated>true</IsTruncated><NextContinuationToken>1</NextContinuationToken>",
        "<IsTruncated>true</IsTruncated><NextContinuationToken>2</NextContinuationToken>{}".format(
            "<Contents><Key>a</Key><Size>1</Size></Contents>"
        ),
        "<IsTruncated>false</IsTruncated><Contents><Key>b</Key><Size>0</Size></Contents>",
    ]
    answers = iter([Page(200, LIST % page.encode(), XML) for page in pages])
    endpoint.answer = lambda _: next(answers)
    found = [(info.key, info.size) for info in storage_at(endpoint.url).list_objects()]
    assert found == [("a", 1), ("b", 0)]


def test_keys_without_the_prefix_or_before_the_start_are_an_error(endpoint: HostileServer):
    page = Page(200, LIST % (b"<IsTruncated>false</IsTruncated>" + ENTRY), XML)
    endpoint.answer = lambda _: page
    storage = storage_at(endpoint.url)
    assert [info.key for info in storage.list_objects("k", start_after="j")] == ["k"]
    for prefix, start_after in (("other/", None), ("", "k"), ("", "m")):
        with pytest.raises(errors.InvalidResponseError):
            list(storage.list_objects(prefix, start_after=start_after))


# --- Objects -----------------------------------------------------------------------------


@pytest.fixture
def storage(endpoint: HostileServer, moto: Server) -> S3Storage:
    client = moto.client(endpoint.url, retries={"total_max_attempts": 1}, read_timeout=5)
    storage = S3Storage(moto.new_bucket(), client=client, settling_time=0.01)
    storage.create("past the probe", b"")
    return storage


def change(endpoint: HostileServer, moto: Server, method: str, to: Callable[[Page], Page]) -> None:
    """Let a server change the responses of moto to requests with a method."""

    def answer(request: Request) -> Page:
        page = pass_on(request, moto.url)
        return to(page) if request.method == method else page

    endpoint.answer = answer


def without(page: Page, *names: str) -> Page:
    return evolve(page, headers=tuple(h for h in page.headers if h[0].lower() not in names))


def test_an_object_in_chunks_without_a_length_is_read(
    storage: S3Storage, endpoint: HostileServer, moto: Server
):
    storage.create("key", b"data" * 1000)
    change(endpoint, moto, "GET", lambda page: evolve(page, framing="chunked"))
    with storage.open("key") as stream:
        assert stream.read() == b"data" * 1000


def test_an_object_whose_end_is_the_end_of_the_connection_is_refused(
    storage: S3Storage, endpoint: HostileServer, moto: Server
):
    storage.create("key", b"data" * 1000)
    change(endpoint, moto, "GET", lambda page: evolve(page, framing="close"))
    with pytest.raises(errors.InvalidResponseError, match="neither a length nor chunks"):
        storage.open("key")


@pytest.mark.parametrize("wrong", ["bytes 1-99/100", "bytes */100", "whatever"])
def test_a_range_that_was_not_requested_is_refused(
    storage: S3Storage, endpoint: HostileServer, moto: Server, wrong: str
):
    storage.create("key", bytes(range(100)))

    def shift(page: Page) -> Page:
        return evolve(
            without(page, "content-range"), headers=(*page.headers, ("Content-Range", wrong))
        )

    with storage.open("key") as stream:
        change(endpoint, moto, "GET", lambda page: evolve(shift(without(page, "content-range"))))
        stream.seek(50)
        with pytest.raises(errors.InvalidResponseError, match="another range"):
            stream.read()


def test_a_read_does_not_continue_in_another_object_if_the_condition_is_ignored(
    storage: S3Storage, endpoint: HostileServer, moto: Server
):
    storage.create("key", bytes(range(100)))

    def answer(request: Request) -> Page:
        kept = {name: value for name, value in request.headers.items() if name != "if-match"}
        return pass_on(evolve(request, headers=kept), moto.url)

    endpoint.answer = answer
    with storage.open("key") as stream:
        moto.client().put_object(Bucket=storage.bucket, Key="key", Body=bytes(100))
        stream.seek(50)
        with pytest.raises(errors.ObjectChangedError):
            stream.read()


def test_compose_refuses_a_store_that_ignores_ranges(
    storage: S3Storage, endpoint: HostileServer, moto: Server
):
    parts = [storage.create(f"parts/{n}", bytes(size)) for n, size in enumerate([3, 9 << 20])]

    def answer(request: Request) -> Page:
        kept = {name: value for name, value in request.headers.items() if name != "range"}
        return pass_on(evolve(request, headers=kept), moto.url)

    endpoint.answer = answer
    with pytest.raises(errors.InvalidResponseError, match="another range"):
        storage.compose("key", parts)
    assert "Uploads" not in moto.client().list_multipart_uploads(Bucket=storage.bucket)


def test_compose_refuses_a_source_without_a_length(
    storage: S3Storage, endpoint: HostileServer, moto: Server
):
    part = storage.create("part", bytes(3))
    change(endpoint, moto, "HEAD", lambda page: without(page, "content-length"))
    with pytest.raises(errors.InvalidResponseError, match="ContentLength"):
        storage.compose("key", [part])


@pytest.mark.parametrize("date", ["yesterday", "Thu, 99 Foo 1970", ""])
def test_an_unreadable_time_of_the_store_is_ignored(
    storage: S3Storage, endpoint: HostileServer, moto: Server, date: str
):
    abort = (("Date", date), ("x-amz-abort-date", "Fri, 01 Jan 2100 00:00:00 GMT"))
    change(
        endpoint,
        moto,
        "POST",
        lambda page: evolve(without(page, "date"), headers=(*page.headers, *abort)),
    )
    assert storage.publish(storage.stage("key", [b"data"])).size == 4
