"""What a bucket's policy demands of requests: encryption, payer, owner, and other headers."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from servers import Server

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    S3Storage,
    check_access,
    forget,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import CohortS3Error

pytestmark = pytest.mark.servers

SYNC = CohortSync(destination=Destination(name="d", path="c"), project_id=1, cohort_id="abc")
KEY = os.urandom(32)
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
SERVERS = ["moto", "ministack", "radosgw"]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


def demanding(client: Any, name: str, value: str, operations: Callable[[str], bool]) -> None:
    """Refuse requests of a client that lack a header, as a bucket's policy does."""

    def refuse(model: Any, params: dict[str, Any], **_: object) -> Any:
        if operations(model.name) and params["headers"].get(name) != value:
            error = {"Code": "AccessDenied", "Message": "with an explicit deny"}
            about = {"HTTPStatusCode": 403, "HTTPHeaders": {}}
            response = type("Response", (), {"status_code": 403})()
            return response, {"Error": error, "ResponseMetadata": about}
        return None

    client.meta.events.register("before-call.s3", refuse)


def makes_objects(operation: str) -> bool:
    return operation in ("PutObject", "CreateMultipartUpload")


DEMANDS = {
    "SSE-S3": (
        {"ServerSideEncryption": "AES256"},
        ("x-amz-server-side-encryption", "AES256", makes_objects),
    ),
    "requester pays": (
        {"RequestPayer": "requester"},
        ("x-amz-request-payer", "requester", lambda _: True),
    ),
    "tags": ({"Tagging": "team=growth"}, ("x-amz-tagging", "team=growth", makes_objects)),
    "storage class": (
        {"StorageClass": "STANDARD"},
        ("x-amz-storage-class", "STANDARD", makes_objects),
    ),
}


@pytest.mark.parametrize("name", DEMANDS)
def test_every_request_has_what_the_bucket_demands(server: Server, name: str):
    options, demand = DEMANDS[name]
    bucket, client = server.new_bucket(), server.client()
    demanding(client, *demand)
    without = S3Storage(bucket, client=client)
    with pytest.raises(CohortS3Error):
        sync_cohort(SYNC, [("1", "a")], without)
    assert check_access(without, path="c").denied
    storage = S3Storage(bucket, client=client, request_options=options)
    use_everything(storage)


def use_everything(storage: S3Storage) -> None:
    """Sync, read back, replace, compose and delete."""
    assert check_access(storage, path="c").denied == ()
    assert check_access(storage, "maintain", path="c").denied == ()
    sync_cohort(SYNC, [("1", "a"), ("2", "b")], storage)
    sync_cohort(SYNC, [("2", "b"), ("3", "c")], storage, synced_at=None)
    forget(storage, SYNC.stream, {"2"})
    history = read_history(storage, SYNC.stream)
    assert history.verify() == ()
    assert list(history.members_at(history[-1])) == [("3", "c")]
    large, small = os.urandom(6 << 20), b"small"
    parts = [
        storage.publish(storage.stage(f"p/{n}", [data])) for n, data in enumerate((large, small))
    ]
    storage.publish(storage.compose("p/all", parts, header=b"id\n"))
    assert storage.open("p/all").read() == b"id\n" + large + small
    storage.delete("p/all")


def test_objects_can_be_encrypted_with_a_key_of_the_caller(server: Server):
    storage = S3Storage(server.new_bucket(), client=server.client(), request_options=SSE_C)
    use_everything(storage)
    if server.name != "moto":  # moto ignores the key
        stranger = server.client()
        for info in storage.list_objects("c/"):
            with pytest.raises(ClientError):
                stranger.get_object(Bucket=storage.bucket, Key=info.key)


def test_the_key_of_the_caller_is_shown_nowhere(moto: Server):
    storage = S3Storage(moto.new_bucket(), client=moto.client(), request_options=SSE_C)
    record = sync_cohort(SYNC, [("1", "a")], storage).record
    with pytest.raises(CohortS3Error) as raised:
        storage.open("absent")
    for text in (repr(storage), str(vars(storage)), repr(raised.value), str(raised.value)):
        assert repr(KEY) not in text
        assert KEY.hex() not in text
    assert KEY not in record.to_bytes()


def test_a_check_of_access_sends_what_a_sync_sends(moto: Server):
    client = moto.client()
    storage = S3Storage(
        moto.new_bucket(),
        client=client,
        expected_bucket_owner="123456789012",
        kms_key_id="arn:aws:kms:us-east-1:123456789012:key/k",
        acl="bucket-owner-full-control",
        request_options={"RequestPayer": "requester", "Tagging": "team=growth"},
    )
    storage.create("c/first", b"")  # past the probe
    sent: dict[str, dict[str, Any]] = {}

    def note(params: dict[str, Any], model: Any, **_: object) -> None:
        mine = {"Key", "UploadId", "Metadata", "Body", "Range", "Prefix", "MaxKeys", "MaxParts"}
        mine |= {"StartAfter", "ChecksumCRC32", "PartNumber", "IfMatch", "MultipartUpload"}
        sent.setdefault(model.name, {k: v for k, v in params.items() if k not in mine})

    client.meta.events.register("provide-client-params.s3", note)
    check_access(storage, path="c")
    of_check, sent = dict(sent), {}
    sync_cohort(SYNC, [("1", "a")], storage)
    list(read_history(storage, SYNC.stream).events())
    both = of_check.keys() & sent.keys()
    assert both >= {"CreateMultipartUpload", "UploadPart", "ListObjectsV2", "GetObject"}
    assert {name: of_check[name] for name in both} == {name: sent[name] for name in both}
    assert of_check["CreateMultipartUpload"].keys() >= {"SSEKMSKeyId", "ACL", "Tagging"}
    assert all(one["ExpectedBucketOwner"] == "123456789012" for one in of_check.values())


def test_a_check_of_access_shows_that_the_key_does_not_exist(ministack: Server):
    client = ministack.client()
    bucket = ministack.new_bucket()
    demanding(client, "x-amz-server-side-encryption-aws-kms-key-id", "the-key", makes_objects)
    wrong = S3Storage(bucket, client=client, kms_key_id="no-such-key")
    assert [p.action for p in check_access(wrong, path="c").denied] == ["s3:PutObject"]


def test_options_need_no_more_requests(moto: Server):
    counts = []
    for options in ({}, {"RequestPayer": "requester", "ServerSideEncryption": "AES256"}):
        client, operations = moto.client(), list[str]()
        storage = S3Storage(moto.new_bucket(), client=client, request_options=options)

        def note(model: Any, into: list[str] = operations, **_: object) -> None:
            into.append(model.name)

        client.meta.events.register("before-call.s3", note)
        sync_cohort(SYNC, [("1", "a")], storage)
        counts.append(operations)
    assert counts[0] == counts[1]
