"""S3Storage behind proxies that change headers, and stores that refuse some headers.

A hostile server between the client and a real S3 server renames, drops or refuses headers.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from attrs import evolve
from botocore.config import Config
from hostile_server import HostileServer, Page, Request, pass_on
from servers import Server
from syncs import AT, HOUR, NEW, OLD, STREAM, abandon, contents, run_sync

from amplitude_cohort_s3 import errors, open_storage, read_head, read_history, recover
from amplitude_cohort_s3.cli.config import Config as TomlConfig
from amplitude_cohort_s3.storage import S3Storage, StagedState
from amplitude_cohort_s3.storage.s3._bucket_reads import STAGE_TOKEN
from amplitude_cohort_s3.storage.s3._conditional_writes import PROBE_NAME
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage

pytestmark = pytest.mark.servers


# --- The names of metadata ---------------------------------------------------------------

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as Go writes it": str.title,
    "capitals": str.upper,
    "small letters": str.lower,
    "mixed": lambda name: "".join(c.upper() if n % 2 else c for n, c in enumerate(name)),
}


@contextmanager
def renaming(target: str, spell: Callable[[str], str]) -> Iterator[str]:
    """Run a proxy that writes the names of all response headers in another way."""

    def answer(request: Request) -> Page:
        page = pass_on(request, target)
        return evolve(page, headers=tuple((spell(name), value) for name, value in page.headers))

    with HostileServer(answer) as server:
        yield server.url


class _DyingAfterPublishing(FaultyStorage):
    """A storage whose process dies when all files are visible, before the outcome."""

    def create(self, key: str, data: bytes, /) -> Any:
        if key.endswith(".end.json"):
            raise Death(key)
        return super().create(key, data)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("server", ["moto", "radosgw", "ministack"])
def test_a_published_sync_is_recognized_in_any_spelling(
    server: str, spelling: str, request: pytest.FixtureRequest
):
    running: Server = request.getfixturevalue(server)
    with renaming(running.url, SPELLINGS[spelling]) as url:
        storage = S3Storage(running.new_bucket(), client=running.client(url), settling_time=0.1)
        staged = storage.stage("a", [b"x"])
        storage.publish(staged)
        assert storage.inspect(staged) is StagedState.PUBLISHED
        assert storage.replace(storage.stage("a", [b"y"])).size == 1
        run_sync(storage, OLD, log=storage)
        with pytest.raises(Death):
            run_sync(
                _DyingAfterPublishing(storage, Fault()),
                NEW,
                AT + HOUR,
                log=_DyingAfterPublishing(storage, Fault()),
            )
        recover(storage, STREAM)
        head = read_head(storage, STREAM)
        assert head is not None
        assert head.record.synced_at == AT + HOUR
        assert not list(read_history(storage, STREAM).verify())


@pytest.mark.parametrize("server", ["moto", "radosgw", "ministack"])
def test_an_abandoned_sync_is_finished_behind_a_proxy(server: str, request: pytest.FixtureRequest):
    running: Server = request.getfixturevalue(server)
    with renaming(running.url, str.title) as url:
        storage = S3Storage(running.new_bucket(), client=running.client(url), settling_time=0.1)
        abandon(storage, OLD)
        recover(storage, STREAM)
        assert read_head(storage, STREAM) is not None


def dropping(target: str, pattern: str, replacement: str | None) -> Callable[[Request], Page]:
    def answer(request: Request) -> Page:
        page = pass_on(request, target)
        headers = [
            (re.sub(pattern, replacement or "", name, flags=re.IGNORECASE), value)
            for name, value in page.headers
            if replacement is not None or not re.match(pattern, name, re.IGNORECASE)
        ]
        return evolve(page, headers=tuple(headers))

    return answer


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [("x-amz-meta-", None), ("x-amz-meta-stage-token", "x-amz-meta-stage_token")],
    ids=["dropped", "renamed"],
)
@pytest.mark.parametrize("server", ["moto", "radosgw"])
def test_a_proxy_that_loses_the_token_is_refused_at_the_first_write(
    server: str, pattern: str, replacement: str | None, request: pytest.FixtureRequest
):
    running: Server = request.getfixturevalue(server)
    bucket = running.new_bucket()
    with HostileServer(dropping(running.url, pattern, replacement)) as proxy:
        for accept in (False, True):
            storage = S3Storage(
                bucket,
                client=running.client(proxy.url),
                settling_time=0.1,
                accept_unconditional_writes=accept,
            )
            for write in (lambda: storage.create("a", b""), lambda: storage.stage("a", [b""])):  # noqa: B023 -- called at once
                with pytest.raises(errors.UnsuitableStorageError, match="x-amz-meta-stage-token"):
                    write()
            assert list(storage.list_objects()) == []
    direct = S3Storage(bucket, client=running.client(), settling_time=0.1)
    direct.publish(direct.stage("a", [b"data"]))
    assert "Uploads" not in running.client().list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("server", ["moto", "radosgw", "ministack"])
def test_a_probe_of_an_earlier_version_has_no_token_and_is_replaced(
    server: str, request: pytest.FixtureRequest
):
    running: Server = request.getfixturevalue(server)
    bucket = running.new_bucket()
    running.client().put_object(Bucket=bucket, Key=PROBE_NAME, Body=PROBE_NAME.encode())
    for _ in range(2):
        storage = S3Storage(bucket, client=running.client(), settling_time=0.1)
        storage.create("a", b"")
    found = running.client().head_object(Bucket=bucket, Key=PROBE_NAME)
    assert found["Metadata"] == {STAGE_TOKEN: "probe"}
    assert list(contents(storage)) == ["a"]


# --- Checksums, and the condition --------------------------------------------------------

CHECKSUM = "x-amz-(checksum|sdk-checksum|trailer)"


def error_page(status: int, code: str, message: str, **fields: str) -> Page:
    more = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    text = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    return Page(status, text.encode(), (("Content-Type", "application/xml"),))


REFUSALS: dict[str, Callable[[str], Page]] = {
    "not implemented": lambda name: error_page(501, "NotImplemented", f"Header {name!r}: no"),
    "not implemented, no name": lambda _: error_page(501, "NotImplemented", "A header you sent"),
    "in a field": lambda name: error_page(501, "NotImplemented", "A header", Header=name),
    "unsupported": lambda name: error_page(400, "InvalidArgument", f"Unsupported header '{name}'"),
    "invalid": lambda name: error_page(400, "InvalidRequest", f"{name} is not supported"),
}


def refusing(
    target: str, pattern: str, refusal: Callable[[str], Page], path: str = ""
) -> Callable[[Request], Page]:
    """Return answers that refuse requests with a header whose name matches."""

    def answer(request: Request) -> Page:
        found = [name for name in request.headers if re.match(pattern, name)]
        if found and re.search(path, request.path):
            return refusal(found[0])
        return pass_on(request, target)

    return answer


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, moto: Server) -> pytest.MonkeyPatch:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return monkeypatch


def required_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    monkeypatch.setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("path", ["", r"\?uploads", "partNumber="], ids=["all", "begin", "part"])
def test_a_store_that_refuses_checksums_is_distinguished_from_one_that_ignores_conditions(
    moto: Server, refusal: str, path: str
):
    with HostileServer(refusing(moto.url, CHECKSUM, REFUSALS[refusal], path)) as store:
        storage = S3Storage(moto.new_bucket(), endpoint_url=store.url)
        for write in (lambda: storage.create("a", b""), lambda: storage.stage("a", [b"x"])):
            with pytest.raises(errors.UnsuitableStorageError) as caught:
                write()
            assert "checksums=False" in str(caught.value)
            assert "accept_unconditional_writes" not in str(caught.value)


@pytest.mark.parametrize("refusal", ["not implemented", "in a field", "unsupported", "invalid"])
def test_a_store_that_refuses_the_request_for_a_checksum_is_named(moto: Server, refusal: str):
    with HostileServer(refusing(moto.url, "x-amz-checksum-mode", REFUSALS[refusal])) as store:
        storage = S3Storage(moto.new_bucket(), client=moto.client(store.url))
        storage.create("a", b"x")
        with pytest.raises(errors.UnsuitableStorageError, match="checksums=False"):
            storage.open("a")


@pytest.mark.parametrize("way", ["argument", "environment", "client", "file", "open_storage"])
def test_each_way_to_turn_checksums_off_works(
    moto: Server, environment: pytest.MonkeyPatch, way: str
):
    with HostileServer(refusing(moto.url, CHECKSUM, REFUSALS["not implemented"])) as store:
        bucket = moto.new_bucket()
        environment.setenv("AWS_ENDPOINT_URL_S3", store.url)
        if way == "argument":
            storage = S3Storage(bucket, checksums=False)
        elif way == "environment":
            required_only(environment)
            storage = S3Storage(bucket)
        elif way == "client":
            config = Config(
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            storage = S3Storage(bucket, client=boto3.client("s3", config=config))
        elif way == "file":
            text = f'[destinations.d]\nbucket = "{bucket}"\nchecksums = false'
            config = TomlConfig.from_toml(text, name="syncs.toml")
            storage = config.destinations["d"].open_storage()
        else:
            required_only(environment)
            storage = open_storage(f"s3://{bucket}")
        run_sync(storage, OLD, log=storage)
        run_sync(storage, NEW, AT + HOUR, log=storage)
        assert not list(read_history(storage, STREAM).verify())
        sent = {name for request in store.requests for name in request.headers}
        assert not [name for name in sent if re.match(CHECKSUM, name)]


@pytest.mark.parametrize("checksums", [None, True])
def test_checksums_are_sent_by_default_and_on_request(
    moto: Server, environment: pytest.MonkeyPatch, *, checksums: bool | None
):
    if checksums:
        required_only(environment)
    with HostileServer(lambda request: pass_on(request, moto.url)) as store:
        storage = S3Storage(moto.new_bucket(), endpoint_url=store.url, checksums=checksums)
        storage.create("a", b"x")
        storage.open("a").close()
        (put,) = [r for r in store.requests if r.method == "PUT" and r.path.endswith("/a")]
        assert "x-amz-checksum-crc32" in put.headers
        (get,) = [r for r in store.requests if r.method == "GET"]
        assert get.headers["x-amz-checksum-mode"] == "ENABLED"


@pytest.mark.usefixtures("environment")
def test_a_client_that_adds_checksums_contradicts_their_absence():
    with pytest.raises(errors.ConfigurationError, match="when_required"):
        S3Storage("bucket", client=boto3.client("s3"), checksums=False)


@pytest.mark.parametrize(
    "refusal",
    [
        lambda _: error_page(501, "NotImplemented", "A header you provided"),
        lambda name: error_page(501, "NotImplemented", f"Header {name!r}"),
    ],
)
def test_a_store_that_refuses_the_condition_is_used_without_it_on_request(
    moto: Server, refusal: Callable[[str], Page]
):
    with HostileServer(refusing(moto.url, "if-none-match", refusal)) as store:
        bucket = moto.new_bucket()
        storage = S3Storage(bucket, client=moto.client(store.url))
        with pytest.raises(errors.UnsuitableStorageError, match="accept_unconditional_writes"):
            storage.create("a", b"")
        accepted = S3Storage(
            bucket, client=moto.client(store.url), accept_unconditional_writes=True
        )
        run_sync(accepted, OLD, log=accepted)
        assert not list(read_history(accepted, STREAM).verify())


def test_a_store_that_refuses_every_write_is_not_blamed_for_its_conditions(moto: Server):
    def answer(request: Request) -> Page:
        if request.method == "PUT":
            return error_page(501, "NotImplemented", "PUT")
        return pass_on(request, moto.url)

    with HostileServer(answer) as store:
        client = moto.client(store.url, request_checksum_calculation="when_required")
        storage = S3Storage(moto.new_bucket(), client=client)
        with pytest.raises((errors.StoreUnavailableError, errors.StoreRefusedError)) as caught:
            storage.create("a", b"")
    assert "NotImplemented" in str(caught.value)


def test_a_bucket_that_needs_checksums_says_so(moto: Server):
    def answer(request: Request) -> Page:
        if request.method == "PUT" and "x-amz-checksum-crc32" not in request.headers:
            text = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests"
            return error_page(400, "InvalidRequest", text)
        return pass_on(request, moto.url)

    with HostileServer(answer) as store:
        client = moto.client(store.url, request_checksum_calculation="when_required")
        bucket = moto.new_bucket()
        with pytest.raises(errors.UnsuitableStorageError, match="checksums=True"):
            S3Storage(bucket, client=client).create("a", b"")
        S3Storage(bucket, client=client, checksums=True).create("a", b"")


# --- Archives ----------------------------------------------------------------------------


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_has_its_own_error(moto: Server, storage_class: str):
    storage = S3Storage(moto.new_bucket(), client=moto.client(), settling_time=0.1)
    data = bytes(6 << 20)
    moto.client().put_object(
        Bucket=storage.bucket, Key="a/key", Body=data, StorageClass=storage_class
    )
    (info,) = storage.list_objects()
    for read in (lambda: storage.open("a/key"), lambda: storage.compose("b", [info], header=b"h")):
        with pytest.raises(errors.ArchivedObjectError) as caught:
            read()
        error = caught.value
        assert (error.bucket, error.key) == (storage.bucket, "a/key")
        assert (error.storage_class, error.action) == (storage_class, "s3:RestoreObject")
        assert "a/key" in str(error)
        assert storage_class in str(error)
    assert "Uploads" not in moto.client().list_multipart_uploads(Bucket=storage.bucket)


@pytest.mark.parametrize(
    ("page", "storage_class", "tier"),
    [
        (
            error_page(
                403,
                "InvalidObjectState",
                "The operation is not valid for the object's access tier",
                StorageClass="INTELLIGENT_TIERING",
                AccessTier="DEEP_ARCHIVE_ACCESS",
            ),
            "INTELLIGENT_TIERING",
            "DEEP_ARCHIVE_ACCESS",
        ),
        (error_page(403, "InvalidObjectState", "no"), None, None),
        (error_page(403, "ObjectNotInActiveTierError", "no"), None, None),
    ],
)
def test_the_error_of_an_archived_object_has_what_the_store_names(
    moto: Server, page: Page, storage_class: str | None, tier: str | None
):
    with HostileServer(lambda _: page) as store:
        storage = S3Storage("bucket", client=moto.client(store.url))
        with pytest.raises(errors.ArchivedObjectError) as caught:
            storage.open("a/key")
    assert (caught.value.storage_class, caught.value.access_tier) == (storage_class, tier)
    assert "None" not in str(caught.value)
