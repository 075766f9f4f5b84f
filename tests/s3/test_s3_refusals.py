"""A store refuses to complete an upload: the object for its parts, or the caller."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from servers import Server

from amplitude_cohort_s3 import errors, read_head, recover
from amplitude_cohort_s3.storage import StagedState
from amplitude_cohort_s3.storage.s3._bucket_reads import BucketReads
from amplitude_cohort_s3.storage.s3._parts import plan_equal_parts, split_into_parts
from amplitude_cohort_s3.storage.s3.storage import S3Storage
from amplitude_cohort_s3.testing.faulty_proxy import FaultyProxy, NetworkFault
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import STREAM, sync_ids

MIB = 1 << 20
COMPLETE = {"method": "POST", "path": "uploadId="}
OF_THE_OBJECT = ["InvalidPart", "InvalidPartOrder", "EntityTooSmall", "KeyTooLongError"]
OF_THE_CALLER = {
    "AccessDenied": (403, errors.AccessDeniedError),
    "ExpiredToken": (400, errors.CredentialsError),
    "InvalidAccessKeyId": (403, errors.CredentialsError),
    "KMS.DisabledException": (400, errors.AccessDeniedError),
    "InvalidRequest": (400, errors.StoreRefusedError),
}

# --- Parts of equal sizes ----------------------------------------------------------------


def test_parts_of_an_upload_are_equal_however_many_there_are():
    sizes = [len(part) for part in split_into_parts([bytes(9)] * 1234, 5)]
    assert set(sizes[:-1]) == {5}
    assert len(sizes) == -(-9 * 1234 // 5)
    grown = [len(part) for part in split_into_parts([bytes(9)] * 1234, 5, growing=True)]
    assert set(grown[:-1]) == {5, 10}
    assert sum(grown) == sum(sizes)


@pytest.mark.parametrize(
    "sizes", [[0], [5], [1, 4, 5], [3, 0, 17, 1, 1, 40], [4] * 9, [1, 999, 1]], ids=str
)
def test_parts_of_a_composed_upload_are_equal_and_cover_all_bytes_once(sizes: list[int]):
    parts = list(plan_equal_parts(sizes, 5, min_size=3))
    pieces = [piece for part in parts for piece in part.ranges]
    covered = [(p.source, at) for p in pieces for at in range(p.begin, p.end)]
    assert covered == [(source, at) for source, size in enumerate(sizes) for at in range(size)]
    lengths = [sum(piece.size for piece in part.ranges) for part in parts]
    assert set(lengths[:-1]) <= {5}
    assert all(0 < length <= 5 for length in lengths[-1:])
    for part, length in zip(parts, lengths, strict=True):
        assert part.copied == (len(part.ranges) == 1 and part.ranges[0].source > 0 and length >= 3)


# --- Against a store ---------------------------------------------------------------------


@pytest.fixture(params=[1, 3], ids=["one attempt", "botocore retries"])
def storage(request: pytest.FixtureRequest, moto: Server, proxy: FaultyProxy) -> S3Storage:
    """A bucket behind the proxy, after the probe."""
    client = moto.client(
        proxy.url, retries={"total_max_attempts": request.param, "mode": "standard"}
    )
    storage = S3Storage(moto.new_bucket(), client=client, settling_time=0.2, part_size=5 * MIB)
    sync_ids(storage, [1, 2], 0)
    return storage


class _Raw(io.BytesIO):
    """The body of a response, as urllib3 streams it."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.read()


def demand_equal_parts(storage: S3Storage) -> None:
    """Let the store refuse parts of unequal sizes, as Cloudflare R2 does.

    https://developers.cloudflare.com/r2/objects/upload-objects/#multipart-upload
    """
    seen: dict[str, Any] = {}

    def note(params: dict[str, Any], **_: object) -> None:
        seen.update(params)

    def judge(request: Any, **_: object) -> AWSResponse | None:
        listed = storage.client.list_parts(
            Bucket=storage.bucket, Key=seen["Key"], UploadId=seen["UploadId"]
        )
        sizes = [part["Size"] for part in listed["Parts"]]
        if len(set(sizes[:-1])) <= 1 and sizes[-1] <= sizes[0]:
            return None
        body = b"<Error><Code>InvalidPart</Code><Message>unequal</Message></Error>"
        return AWSResponse(request.url, 400, {}, _Raw(body))

    events = storage.client.meta.events
    events.register("provide-client-params.s3.CompleteMultipartUpload", note)
    events.register("before-send.s3.CompleteMultipartUpload", judge)


@pytest.mark.servers
def test_uploads_and_composed_objects_have_equal_parts(storage: S3Storage):
    demand_equal_parts(storage)

    def chunks() -> Iterator[bytes]:
        yield from (bytes([n]) * (n * 700_001) for n in range(7))

    storage.publish(storage.stage("uploaded", chunks()))
    sizes = (6 * MIB, 3, 13 * MIB, MIB)
    parts = [storage.create(f"parts/{n}", bytes([n]) * size) for n, size in enumerate(sizes)]
    storage.publish(storage.compose("composed", parts, header=b"head\n"))
    with storage.open("composed") as stream:
        joined = b"".join(bytes([n]) * size for n, size in enumerate(sizes))
        assert stream.read() == b"head\n" + joined
    storage.publish(storage.compose("empty", []))


@pytest.mark.servers
def test_an_upload_that_needs_too_many_parts_is_refused_before_the_decision(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("amplitude_cohort_s3.storage.s3._uploads.MAX_PARTS", 2)
    with pytest.raises(errors.ObjectTooLargeError, match="larger part_size") as caught:
        storage.stage("key", [bytes(11 * MIB)])
    assert caught.value.unit == "parts"
    assert "Uploads" not in storage.client.list_multipart_uploads(Bucket=storage.bucket)


@pytest.mark.servers
def test_parts_that_the_store_refuses_make_the_sync_void_and_the_next_succeeds(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
):
    """As if the store was taken for Amazon's, whose uploads may have unequal parts."""
    demand_equal_parts(storage)
    monkeypatch.setattr(BucketReads, "is_aws", True)
    parts = [storage.create(f"parts/{n}", bytes(size)) for n, size in enumerate((7 * MIB, 9 * MIB))]
    staged = storage.compose("composed", parts, header=b"head\n")
    with pytest.raises(errors.ObjectRefusedError, match="InvalidPart"):
        storage.publish(staged)
    assert storage.inspect(staged) is StagedState.STAGED
    storage.discard(staged)
    assert sync_ids(storage, [2, 3], 1).record.members == 2


@pytest.mark.servers
@pytest.mark.parametrize("code", OF_THE_OBJECT)
@pytest.mark.parametrize("status", [400, 200])
def test_a_refused_object_makes_the_sync_void(
    storage: S3Storage, proxy: FaultyProxy, code: str, status: int
):
    proxy.cause(NetworkFault.ERROR_BEFORE, **COMPLETE, status=status, code=code, times=99)
    with pytest.raises(errors.SyncVoidError, match=code):
        sync_ids(storage, [2, 3], 1)
    proxy.clear_faults()
    assert "Uploads" not in storage.client.list_multipart_uploads(Bucket=storage.bucket)
    assert sync_ids(storage, [3, 4], 2).record.members_before == 2
    assert_invariants(storage, STREAM)


@pytest.mark.servers
def test_an_object_is_refused_after_a_lost_answer_too(storage: S3Storage, proxy: FaultyProxy):
    staged = storage.stage("key", [b"data"])
    proxy.cause(NetworkFault.RESET_BEFORE, **COMPLETE, times=3)
    proxy.cause(
        NetworkFault.ERROR_BEFORE, **COMPLETE, first=4, times=99, status=400, code="InvalidPart"
    )
    with pytest.raises(errors.ObjectRefusedError):
        storage.publish(staged)
    proxy.clear_faults()
    assert storage.inspect(staged) is StagedState.STAGED


@pytest.mark.servers
@pytest.mark.parametrize("code", OF_THE_CALLER)
def test_a_refused_caller_never_makes_a_sync_void(
    storage: S3Storage, proxy: FaultyProxy, code: str
):
    status, expected = OF_THE_CALLER[code]
    proxy.cause(NetworkFault.ERROR_BEFORE, **COMPLETE, status=status, code=code, times=99)
    for act in (
        lambda: sync_ids(storage, [2, 3], 1),
        lambda: sync_ids(storage, [2, 3], 2),
        lambda: recover(storage, STREAM),
    ):
        with pytest.raises(expected):
            act()
    proxy.clear_faults()
    assert recover(storage, STREAM).outcome == "published"
    head = read_head(storage, STREAM)
    assert head is not None
    assert head.record.members == 2
    assert_invariants(storage, STREAM)


@pytest.mark.servers
def test_a_sync_that_nobody_may_complete_can_be_abandoned(storage: S3Storage, proxy: FaultyProxy):
    proxy.cause(NetworkFault.ERROR_BEFORE, **COMPLETE, status=403, code="AccessDenied", times=99)
    with pytest.raises(errors.AccessDeniedError):
        sync_ids(storage, [2, 3], 1)
    assert recover(storage, STREAM, abandon=True).outcome == "void"
    assert "Uploads" not in storage.client.list_multipart_uploads(Bucket=storage.bucket)
    proxy.clear_faults()
    assert sync_ids(storage, [3], 2).record.number == 3
    assert_invariants(storage, STREAM)
