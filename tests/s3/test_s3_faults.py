"""The results of S3Storage if responses are lost, late, invented or damaged.

A faulty proxy is between the client and moto, so every result can be compared with what
the server really stores.
"""

import base64
import hashlib
import os
import zlib
from collections.abc import Iterable

import pytest
from servers import Server

from amplitude_cohort_s3 import errors
from amplitude_cohort_s3.storage import StagedState
from amplitude_cohort_s3.storage.s3._conditional_writes import PROBE_NAME
from amplitude_cohort_s3.storage.s3.storage import S3Storage
from amplitude_cohort_s3.testing.faulty_proxy import FaultyProxy, NetworkFault

pytestmark = pytest.mark.servers

PUT_KEY = {"method": "PUT", "path": "/key$"}
COMPLETE = {"method": "POST", "path": "uploadId="}
HEAD = {"method": "HEAD", "path": "/key$"}
GET = {"method": "GET", "path": "/key$"}


@pytest.fixture(params=[1, 3], ids=["one attempt", "botocore retries"])
def storage(request: pytest.FixtureRequest, moto: Server, proxy: FaultyProxy) -> S3Storage:
    """A bucket that is reached through the proxy, after the probe."""
    client = moto.client(
        proxy.url,
        retries={"total_max_attempts": request.param, "mode": "standard"},
        read_timeout=1.5,
    )
    storage = S3Storage(moto.new_bucket(), client=client, settling_time=0.3)
    storage.create("past the probe", b"")
    proxy.clear_faults()
    return storage


@pytest.fixture
def truth(moto: Server, storage: S3Storage) -> S3Storage:
    """The same bucket without the proxy."""
    return S3Storage(storage.bucket, client=moto.client(), settling_time=0.1)


def read(storage: S3Storage, key: str = "key") -> bytes:
    with storage.open(key) as stream:
        return stream.read()


def test_a_write_has_an_unknown_outcome_if_looking_fails_too(
    storage: S3Storage, truth: S3Storage, proxy: FaultyProxy
):
    staged = storage.stage("key", [b"mine"])
    proxy.cause(NetworkFault.LOSE_ANSWER, **COMPLETE)
    proxy.cause(NetworkFault.RESET_BEFORE, **COMPLETE, first=2, times=99)
    proxy.cause(NetworkFault.ERROR_BEFORE, method="HEAD", times=99)
    with pytest.raises(errors.UnknownOutcomeError):
        storage.publish(staged)
    proxy.cause(NetworkFault.LOSE_ANSWER, method="PUT", times=99)
    proxy.cause(NetworkFault.ERROR_BEFORE, method="GET", times=99)
    with pytest.raises(errors.UnknownOutcomeError):
        storage.create("other key", b"mine")
    proxy.clear_faults()
    assert storage.publish(staged).size == 4
    assert storage.create("other key", b"mine").size == 4


def test_denied_access_is_never_reported_as_gone(storage: S3Storage, proxy: FaultyProxy):
    staged = storage.stage("key", [b"mine"])
    storage.discard(staged)
    proxy.cause(NetworkFault.ERROR_BEFORE, **HEAD, times=99, status=403, code="AccessDenied")
    # The listing shows that there is no object, which is the only reason why HEAD was denied.
    assert storage.inspect(staged) is StagedState.GONE
    proxy.cause(
        NetworkFault.ERROR_BEFORE, path="list-type=2", times=99, status=403, code="AccessDenied"
    )
    with pytest.raises(errors.AccessDeniedError) as caught:
        storage.inspect(staged)
    assert caught.value.action == "s3:ListBucket"
    with pytest.raises((errors.UnknownOutcomeError, errors.AccessDeniedError)):
        storage.publish(staged)


def test_a_short_absence_is_not_reported_as_gone(
    storage: S3Storage, truth: S3Storage, proxy: FaultyProxy
):
    staged = storage.stage("key", [b"mine"])
    truth.publish(staged)
    proxy.cause(NetworkFault.ERROR_BEFORE, **HEAD, times=3, status=404, code="404")
    assert storage.inspect(staged) is StagedState.PUBLISHED


def test_a_refused_write_did_not_happen(storage: S3Storage, proxy: FaultyProxy):
    proxy.cause(NetworkFault.ERROR_BEFORE, **PUT_KEY, times=99, status=403, code="AccessDenied")
    with pytest.raises(errors.AccessDeniedError) as caught:
        storage.create("key", b"mine")
    assert (caught.value.action, caught.value.key) == ("s3:PutObject", "key")
    assert "bucket_policy" in str(caught.value)


def test_a_refusal_after_a_lost_response_is_an_unknown_outcome(
    storage: S3Storage, proxy: FaultyProxy
):
    """The first try may still arrive: credentials expire while a network is down."""
    for fault in (NetworkFault.RESET_BEFORE, NetworkFault.LOSE_ANSWER):
        proxy.clear_faults()
        storage.delete("key")
        proxy.cause(fault, **PUT_KEY)
        proxy.cause(
            NetworkFault.ERROR_BEFORE, **PUT_KEY, first=2, times=99, status=403, code="ExpiredToken"
        )
        proxy.cause(NetworkFault.ERROR_BEFORE, **GET, times=99, status=404, code="NoSuchKey")
        with pytest.raises(errors.UnknownOutcomeError):
            storage.create("key", b"mine")


# --- reads ---------------------------------------------------------------------------


@pytest.fixture
def large(truth: S3Storage) -> bytes:
    data = os.urandom(6 << 20)
    truth.publish(truth.stage("key", [data]))
    return data


def in_pieces(storage: S3Storage) -> Iterable[bytes]:
    with storage.open("key") as stream:
        while piece := stream.read(1 << 20):
            yield piece


@pytest.mark.parametrize("times", [1, 2])
def test_a_broken_read_continues_at_the_right_byte(
    storage: S3Storage, large: bytes, proxy: FaultyProxy, times: int
):
    proxy.cause(NetworkFault.CUT_BODY, **GET, times=times)
    assert b"".join(in_pieces(storage)) == large
    assert len([r for r in proxy.seen if r.startswith("GET")]) == 1 + times


def test_a_broken_read_never_continues_in_another_object(
    storage: S3Storage, truth: S3Storage, large: bytes, proxy: FaultyProxy
):
    proxy.cause(NetworkFault.CUT_BODY, **GET)
    pieces = iter(in_pieces(storage))
    assert next(pieces) == large[: 1 << 20]
    truth.client.put_object(Bucket=truth.bucket, Key="key", Body=large[::-1])
    with pytest.raises(errors.ObjectChangedError):
        list(pieces)


def test_a_flipped_bit_shows_in_the_digest(storage: S3Storage, large: bytes, proxy: FaultyProxy):
    proxy.cause(NetworkFault.FLIP_BIT, **GET)
    digest = hashlib.sha256()
    for piece in in_pieces(storage):
        digest.update(piece)
    assert digest.hexdigest() != hashlib.sha256(large).hexdigest()


@pytest.mark.parametrize("damaged", [False, True], ids=["intact", "damaged"])
def test_a_read_is_compared_with_the_checksum_of_the_store(
    storage: S3Storage, proxy: FaultyProxy, *, damaged: bool
):
    storage.create("key", b"data" * 1000)
    sent = b"atad" if damaged else b"data"
    checksum = base64.b64encode(zlib.crc32(sent * 1000).to_bytes(4, "big")).decode()
    proxy.cause(NetworkFault.ADD_HEADERS, **GET, headers={"x-amz-checksum-crc32": checksum})
    if not damaged:
        assert read(storage) == b"data" * 1000
        return
    with pytest.raises(errors.ObjectChangedError):
        read(storage)


def test_a_read_needs_one_request(storage: S3Storage, large: bytes, proxy: FaultyProxy):
    assert read(storage) == large
    assert len(proxy.seen) == 1
    storage.create("empty", b"")
    proxy.clear_faults()
    assert read(storage, "empty") == b""
    assert len(proxy.seen) == 1


# --- staging -------------------------------------------------------------------------


def test_a_part_whose_response_is_lost_is_sent_again(moto: Server, proxy: FaultyProxy):
    storage = S3Storage(moto.new_bucket(), client=moto.client(proxy.url), part_size=5 << 20)
    proxy.cause(NetworkFault.LOSE_ANSWER, method="PUT", path="partNumber=2")
    data = os.urandom(12 << 20)
    storage.publish(storage.stage("key", [data]))
    assert read(storage) == data


def test_a_part_that_keeps_failing_leaves_no_upload(storage: S3Storage, proxy: FaultyProxy):
    proxy.cause(NetworkFault.ERROR_BEFORE, method="PUT", path="partNumber=", times=99)
    with pytest.raises(errors.StoreUnavailableError):
        storage.stage("key", [b"data"])
    assert "Uploads" not in storage.client.list_multipart_uploads(Bucket=storage.bucket)


@pytest.mark.parametrize(
    ("abort_date", "refused"),
    [("Thu, 01 Jan 1970 00:00:00 GMT", True), ("Fri, 01 Jan 2100 00:00:00 GMT", False)],
)
def test_an_upload_that_a_rule_aborts_soon_is_refused(
    storage: S3Storage, proxy: FaultyProxy, abort_date: str, *, refused: bool
):
    headers = {"x-amz-abort-date": abort_date, "x-amz-abort-rule-id": "tidy"}
    proxy.cause(NetworkFault.ADD_HEADERS, method="POST", path=r"\?uploads", headers=headers)
    if not refused:
        storage.stage("key", [b"data"])
        return
    with pytest.raises(errors.UnsuitableStorageError, match="tidy"):
        storage.stage("key", [b"data"])
    assert "Uploads" not in storage.client.list_multipart_uploads(Bucket=storage.bucket)


# --- the probe -----------------------------------------------------------------------


def test_the_probe_is_written_once_and_hidden(moto: Server, proxy: FaultyProxy):
    storage = S3Storage(moto.new_bucket(), client=moto.client(proxy.url))
    storage.create("a", b"")
    storage.create("b", b"")
    storage.stage("c", [])
    probes = [request for request in proxy.seen if PROBE_NAME in request]
    assert [p.split()[0] for p in probes] == [
        *["PUT", "PUT", "POST", "PUT", "POST"],
        "HEAD",
        "DELETE",
    ]
    assert [info.key for info in storage.list_objects()] == ["a", "b"]
    with pytest.raises(errors.InvalidKeyError):
        storage.create(PROBE_NAME, b"")


def test_rclone_ignores_conditions_and_is_refused(rclone: Server):
    bucket = rclone.new_bucket()
    storage = S3Storage(bucket, client=rclone.client())
    for write in (lambda: storage.create("a", b""), lambda: storage.stage("a", [])):
        with pytest.raises(errors.UnsuitableStorageError, match="If-None-Match"):
            write()
    accepted = S3Storage(bucket, client=rclone.client(), accept_unconditional_writes=True)
    accepted.create("a", b"first")
    with pytest.raises(errors.ObjectExistsError):
        accepted.create("a", b"other")
    accepted.publish(accepted.stage("b", [b"data"]))
    assert read(accepted, "b") == b"data"
