"""S3Storage: parts, options, errors, and the clean-up of uploads."""

import contextlib
import os
import pickle
import re
import zlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore import exceptions as botocore
from hypothesis import given
from hypothesis import strategies as st
from servers import Server

from amplitude_cohort_s3 import errors
from amplitude_cohort_s3.storage import ObjectInfo, StagedObject, StagedState
from amplitude_cohort_s3.storage.s3 import _parts
from amplitude_cohort_s3.storage.s3 import errors as s3_errors
from amplitude_cohort_s3.storage.s3 import storage as module
from amplitude_cohort_s3.storage.s3._bucket_reads import BucketReads
from amplitude_cohort_s3.storage.s3._conditional_writes import PROBE_NAME
from amplitude_cohort_s3.storage.s3._parts import part_size_of, plan_parts, split_into_parts
from amplitude_cohort_s3.storage.s3.errors import translate
from amplitude_cohort_s3.storage.s3.storage import S3Storage

MIB = 1 << 20


# --- without a server ------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 7, 100])
@pytest.mark.parametrize("size", [0, 1, 3, 4, 8, 9])
def test_all_parts_but_the_last_have_the_same_size(chunk: int, size: int):
    data = bytes(range(size))
    chunks = [data[at : at + chunk] for at in range(0, size, chunk)]
    parts = [bytes(part) for part in split_into_parts(chunks, 4)]
    assert b"".join(parts) == data
    assert [len(part) for part in parts] == [4] * (max(size - 1, 0) // 4) + [
        size - 4 * (max(size - 1, 0) // 4)
    ]


def test_ten_thousand_parts_reach_the_largest_object():
    sizes = [part_size_of(number, 8 * MIB) for number in range(1, 10_001)]
    assert sum(sizes) > s3_errors.MAX_OBJECT_BYTES
    assert max(sizes) <= 5 << 30


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"bucket": ""}, "bucket must not be empty"),
        ({"part_size": 1}, "part_size"),
        ({"concurrency": 0}, "concurrency"),
        ({"expected_bucket_owner": "me"}, "12 digits"),
        ({"client": object(), "region": "eu-west-1"}, "either a client"),
    ],
)
def test_contradictory_arguments_are_refused(arguments: dict, fault: str):
    with pytest.raises(errors.ConfigurationError, match=fault):
        S3Storage(**{"bucket": "bucket"} | arguments)


def test_a_directory_bucket_is_refused():
    with pytest.raises(errors.UnsuitableStorageError, match="order of the keys"):
        S3Storage("name--use1-az4--x-s3")


def test_the_repr_contains_no_credentials():
    client = boto3.client("s3", "eu-west-1", aws_access_key_id="AK", aws_secret_access_key="SK")
    storage = S3Storage("bucket", client=client)
    assert repr(storage) == "S3Storage('bucket')"


def client_of(endpoint: str) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return boto3.client("s3", "eu-west-1", endpoint_url=endpoint, **keys)


@pytest.mark.parametrize(
    ("endpoint", "keys"),
    [
        ("https://s3.eu-west-1.amazonaws.com", ["path/a", "path/b"]),
        ("https://s3.cn-north-1.amazonaws.com.cn", ["path/a", "path/b"]),
        ("https://s3.eusc-de-east-1.amazonaws.eu", ["path/a", "path/b"]),
        ("https://amazonaws.com.example.org", ["path/_syncs/.probe"]),
    ],
)
def test_only_stores_other_than_aws_are_probed_beside_the_first_key(endpoint: str, keys: list[str]):
    sent: list[dict] = []
    client = client_of(endpoint)

    def note(params: dict, **_: object) -> None:
        sent.append(params)

    def answer(**_: object) -> tuple[object, dict]:
        if sent[-1]["Key"].endswith(PROBE_NAME):
            return SimpleNamespace(status_code=403), client_error(
                "AccessDenied", status=403
            ).response
        return SimpleNamespace(status_code=200), {"ETag": '"1"', "ResponseMetadata": {}}

    client.meta.events.register("provide-client-params.s3.PutObject", note)
    client.meta.events.register("before-call.s3.PutObject", answer)
    storage = S3Storage("bucket", client=client)
    with contextlib.suppress(errors.AccessDeniedError):
        storage.create("path/a", b"")
        storage.create("path/b", b"")
    assert sent[0]["IfNoneMatch"] == "*"
    assert [request["Key"] for request in sent] == keys


def client_error(code: str, operation: str = "PutObject", status: int = 400, **fields: object):
    return botocore.ClientError(
        {
            "Error": {"Code": code, "Message": "arn:aws:iam::123456789012:user/x", **fields},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}},
        },
        operation,
    )


KMS = "User: arn is not authorized to perform: kms:GenerateDataKey on resource: arn"
TRANSLATIONS = [
    (client_error("NoSuchBucket"), errors.BucketNotFoundError, "'bucket'"),
    (client_error("NoSuchKey"), errors.ObjectNotFoundError, "'key'"),
    (client_error("404", "HeadObject"), errors.ObjectNotFoundError, "'key'"),
    (client_error("AccessDenied"), errors.AccessDeniedError, "s3:PutObject of 'key'"),
    (client_error("AccessDenied", "UploadPart"), errors.AccessDeniedError, "s3:PutObject"),
    (client_error("AccessDenied", "ListObjectsV2"), errors.AccessDeniedError, "s3:ListBucket "),
    (
        client_error("AccessDenied", "ListParts"),
        errors.AccessDeniedError,
        "s3:ListMultipartUploadParts",
    ),
    (client_error("403", "HeadObject"), errors.AccessDeniedError, "without s3:ListBucket"),
    (client_error("AccessDenied", Message=KMS), errors.AccessDeniedError, "kms:GenerateDataKey"),
    (client_error("KMS.DisabledException"), errors.AccessDeniedError, "KMS key"),
    (client_error("ExpiredToken"), errors.CredentialsError, "ExpiredToken"),
    (client_error("InvalidAccessKeyId"), errors.CredentialsError, "Renew"),
    (botocore.NoCredentialsError(), errors.CredentialsError, "Set AWS_ACCESS_KEY_ID"),
    (client_error("RequestTimeTooSkewed"), errors.StoreRefusedError, "15 minutes"),
    (
        client_error("AuthorizationHeaderMalformed", Region="eu-west-1"),
        errors.BucketNotFoundError,
        "region='eu-west-1'",
    ),
    (client_error("PermanentRedirect"), errors.BucketNotFoundError, "another region"),
    (client_error("SlowDown", status=503), errors.StoreUnavailableError, "SlowDown"),
    (client_error("InternalError", status=500), errors.StoreUnavailableError, "InternalError"),
    (client_error("Strange", status=599), errors.StoreUnavailableError, "Strange"),
    (
        botocore.EndpointConnectionError(endpoint_url="http://x"),
        errors.StoreUnavailableError,
        "EndpointConnectionError",
    ),
    (client_error("EntityTooLarge"), errors.ObjectTooLargeError, "more than"),
    (client_error("InvalidPart"), errors.ObjectRefusedError, "with the code InvalidPart"),
    (client_error("EntityTooSmall"), errors.ObjectRefusedError, "'key' can't be stored by anyone"),
    (client_error("InvalidRequest"), errors.StoreRefusedError, "PutObject of 'key'"),
    (botocore.ParamValidationError(report="x"), errors.ConfigurationError, "not valid"),
    (botocore.FlexibleChecksumError(error_msg="x"), errors.ObjectChangedError, "'key'"),
]


@pytest.mark.parametrize(
    ("error", "expected", "text"), TRANSLATIONS, ids=lambda value: str(value)[:60]
)
def test_errors_of_botocore_are_translated(
    error: Exception, expected: type[errors.CohortS3Error], text: str
):
    ours = translate(error, "bucket", "key")
    assert type(ours) is expected
    assert text in str(ours)
    assert "123456789012" not in str(ours)
    again = pickle.loads(pickle.dumps(ours))
    assert (type(again), str(again)) == (type(ours), str(ours))


def test_an_upload_of_too_many_bytes_is_refused(monkeypatch: pytest.MonkeyPatch, moto: Server):
    monkeypatch.setattr(module, "MAX_OBJECT_BYTES", 6 * MIB)
    storage = S3Storage(moto.new_bucket(), client=moto.client(), part_size=5 * MIB)
    with pytest.raises(errors.ObjectTooLargeError):
        storage.stage("key", [bytes(MIB)] * 7)
    assert "Uploads" not in storage.client.list_multipart_uploads(Bucket=storage.bucket)


def test_a_composed_object_of_too_many_bytes_is_refused_before_a_request():
    def parts(size: int, count: int = 1) -> list[ObjectInfo]:
        return [ObjectInfo(key=f"p/{n}", size=size, url="") for n in range(count)]

    storage = S3Storage("bucket", client=client_of("http://127.0.0.1"))
    assert storage.max_object_bytes == 5 << 40
    with pytest.raises(errors.ObjectTooLargeError) as large:
        storage.compose("key", parts((5 << 40) + 1))
    assert large.value.limit == 5 << 40
    storage = S3Storage("bucket", client=client_of("https://s3.eu-west-1.amazonaws.com"))
    with pytest.raises(errors.ObjectTooLargeError) as many:
        storage.compose("key", parts(6 * MIB, 10_001))
    assert (many.value.found, many.value.limit, many.value.unit) == (10_001, 10_000, "parts")
    with pytest.raises(errors.ObjectTooLargeError) as larger:
        storage.compose("key", parts(50_000 << 30, 2))
    assert larger.value.limit == 10_000 * (5 << 30)


@given(st.lists(st.integers(0, 60)), st.integers(1, 9), st.integers(2, 5))
def test_the_parts_of_a_composed_upload_cover_all_bytes_once(sizes: list, small: int, times: int):
    parts = list(plan_parts(sizes, min_size=small, max_size=small * times))
    pieces = [piece for part in parts for piece in part.ranges]
    covered = [(p.source, at) for p in pieces for at in range(p.begin, p.end)]
    assert covered == [(source, at) for source, size in enumerate(sizes) for at in range(size)]
    lengths = [sum(piece.size for piece in part.ranges) for part in parts]
    assert all(small <= length <= small * times for length in lengths[:-1])
    assert all(0 < length <= small * times for length in lengths[-1:])
    assert all(len(part.ranges) == 1 for part in parts if part.copied)
    assert all(n <= small for n, part in zip(lengths, parts, strict=True) if not part.copied)


# --- with one ----------------------------------------------------------------------------


@pytest.fixture
def storage(moto: Server) -> S3Storage:
    return S3Storage(moto.new_bucket(), client=moto.client(), part_size=5 * MIB, settling_time=0.1)


@pytest.mark.servers
class TestParts:
    def test_a_small_upload_names_its_parts_in_the_handle(self, storage: S3Storage):
        staged = storage.stage("key", [bytes(11 * MIB)])
        assert len(staged.handle["parts"].split(",")) == 3
        assert re.fullmatch(r"([0-9a-f]{32}:[\w+/]{6}==,?){3}", staged.handle["parts"])

    def test_an_upload_of_many_parts_is_published_from_its_digest(
        self, storage: S3Storage, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(_parts, "_PARTS_IN_HANDLE", 2)
        data = os.urandom(16 * MIB)
        staged = storage.stage("key", [data])
        assert "parts" not in staged.handle
        storage.publish(StagedObject.from_json(staged.to_json()))
        with storage.open("key") as stream:
            assert stream.read() == data
        assert storage.publish(staged).size == 16 * MIB

    def test_compose_reads_only_ranges_that_are_too_small_to_copy(
        self, storage: S3Storage, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(BucketReads, "is_aws", True)  # others may need equal parts
        sizes = (40 * MIB, 3, 30 * MIB)
        parts = [storage.create(f"parts/{n}", bytes(size)) for n, size in enumerate(sizes)]
        sent: list[tuple[str, dict]] = []
        storage.client.meta.events.register(
            "provide-client-params.s3.*",
            lambda params, model, **_: sent.append((model.name, params)),
        )
        storage.compose("key", parts, header=b"head\n")
        uploaded = sum(len(params["Body"]) for name, params in sent if name == "UploadPart")
        assert uploaded == 2 * 5 * MIB
        copies = [params for name, params in sent if name == "UploadPartCopy"]
        assert [len(copies), *{"CopySourceIfMatch" in params for params in copies}] == [2, True]
        numbers = [p["PartNumber"] for name, p in sent if name.startswith("UploadPart")]
        assert sorted(numbers) == [1, 2, 3, 4]

    def test_the_checksums_of_copies_are_sent_back_on_completion(self, storage: S3Storage):
        # moto computes none for a copy, so its answer is completed here as AWS documents it.
        (part,) = [storage.create("part", bytes(6 * MIB))]
        events, sent = storage.client.meta.events, list[dict]()
        events.register(
            "after-call.s3.UploadPartCopy",
            lambda parsed, **_: parsed["CopyPartResult"].update(ChecksumCRC32="AAAAAA=="),
        )
        events.register(
            "provide-client-params.s3.CompleteMultipartUpload",
            lambda params, **_: sent.append(params),
        )
        staged = storage.compose("key", [part])
        assert staged.handle["parts"].split(",")[0].endswith(":AAAAAA==")
        storage.publish(staged)
        assert sent[0]["MultipartUpload"]["Parts"][0]["ChecksumCRC32"] == "AAAAAA=="

    def test_compose_refuses_a_part_that_is_replaced_during_the_call(self, storage: S3Storage):
        part = storage.create("part", bytes(12 * MIB))
        storage.client.meta.events.register(
            "after-call.s3.HeadObject",
            lambda **_: storage.client.put_object(
                Bucket=storage.bucket, Key="part", Body=b"x" * (12 * MIB)
            ),
        )
        with pytest.raises(errors.ObjectChangedError):
            storage.compose("key", [part], header=b"head\n")
        assert "Uploads" not in storage.client.list_multipart_uploads(Bucket=storage.bucket)

    def test_publish_refuses_parts_that_were_changed_after_stage(
        self, storage: S3Storage, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(_parts, "_PARTS_IN_HANDLE", 0)
        staged = storage.stage("key", [b"data"])
        storage.client.upload_part(
            Bucket=storage.bucket,
            Key="key",
            UploadId=staged.handle["upload_id"],
            PartNumber=1,
            Body=b"evil",
        )
        with pytest.raises(errors.ObjectChangedError):
            storage.publish(staged)
        assert storage.inspect(staged) is StagedState.STAGED

    @pytest.mark.parametrize("server", ["ministack", "radosgw", "ministack_tls", "radosgw_tls"])
    @pytest.mark.parametrize("checksums", [True, False])
    def test_parts_arrive_in_order_on_other_servers(
        self, server: str, request: pytest.FixtureRequest, *, checksums: bool
    ):
        running: Server = request.getfixturevalue(server)
        when = "when_supported" if checksums else "when_required"
        client = running.client(
            request_checksum_calculation=when, response_checksum_validation=when
        )
        storage = S3Storage(
            running.new_bucket(), client=client, part_size=5 * MIB, checksums=checksums
        )
        data = os.urandom(23 * MIB)
        storage.publish(
            storage.stage("key", [data[at : at + 99_999] for at in range(0, len(data), 99_999)])
        )
        with storage.open("key") as stream:
            assert stream.read() == data

    def test_a_store_that_verifies_refuses_a_wrong_checksum(
        self, ministack: Server, monkeypatch: pytest.MonkeyPatch
    ):
        client = ministack.client(retries={"total_max_attempts": 1})
        storage = S3Storage(ministack.new_bucket(), client=client)
        storage.create("past the probe", b"")
        monkeypatch.setattr(zlib, "crc32", lambda _: 1)
        with pytest.raises(errors.StoreRefusedError) as caught:
            storage.create("key", b"data")
        assert caught.value.code == "BadDigest"
        with pytest.raises(errors.StoreRefusedError):
            storage.stage("key", [b"data"])


@pytest.mark.servers
class TestOptions:
    def test_options_are_part_of_every_request(self, moto: Server):
        storage = S3Storage(
            moto.new_bucket(),
            client=moto.client(),
            kms_key_id="alias/mine",
            expected_bucket_owner="123456789012",
            acl="bucket-owner-full-control",
        )
        sent: dict[str, dict] = {}
        storage.client.meta.events.register(
            "provide-client-params.s3.*",
            lambda params, model, **_: sent.update({model.name: params}),
        )
        staged = storage.stage("key", [b"data"], content_type="text/plain")
        storage.inspect(staged)
        storage.publish(staged)
        storage.inspect(staged)
        storage.create("other", b"")
        storage.open("other").close()
        list(storage.list_objects())
        storage.delete("other")
        storage.discard(staged)
        list(storage.list_staged())
        assert len(sent) == 11
        for operation, params in sent.items():
            assert params["ExpectedBucketOwner"] == "123456789012", operation
        for operation in ("PutObject", "CreateMultipartUpload"):
            assert sent[operation]["SSEKMSKeyId"] == "alias/mine"
            assert sent[operation]["ServerSideEncryption"] == "aws:kms"
            assert sent[operation]["ACL"] == "bucket-owner-full-control"
        head = storage.client.head_object(Bucket=storage.bucket, Key="key")
        assert head["ContentType"] == "text/plain"

    def test_every_method_reports_a_missing_bucket(self, moto: Server):
        present = S3Storage(moto.new_bucket(), client=moto.client())
        staged = present.stage("key", [b"data"])
        storage = S3Storage("there-is-none", client=moto.client())
        for call in (
            lambda: list(storage.list_objects()),
            lambda: storage.open("key"),
            lambda: storage.create("key", b""),
            lambda: storage.stage("key", []),
            lambda: storage.inspect(staged),
            lambda: storage.publish(staged),
            lambda: storage.discard(staged),
        ):
            with pytest.raises(errors.BucketNotFoundError):
                call()

    def test_wrong_credentials_are_reported(self, radosgw: Server):
        session = module.boto3.Session("AKWRONG", "wrong", region_name="us-east-1")
        storage = S3Storage("bucket", session=session, endpoint_url=radosgw.url)
        with pytest.raises(errors.CredentialsError):
            storage.stage("key", [])

    def test_an_unreachable_server_is_reported(self, moto: Server):
        storage = S3Storage(
            "bucket", client=moto.client("http://127.0.0.1:9", retries={"total_max_attempts": 1})
        )
        with pytest.raises(errors.StoreUnavailableError):
            list(storage.list_objects())


@pytest.mark.servers
@pytest.mark.parametrize("server", ["radosgw", "ministack"])  # moto dates all of 2010
def test_uploads_are_listed_by_prefix_with_their_times(server: str, request: pytest.FixtureRequest):
    running: Server = request.getfixturevalue(server)
    storage = S3Storage(running.new_bucket(), client=running.client(), settling_time=0.1)
    keys = ("cohorts/a", "cohorts/b/c", "cohorts-of-others/a", "a")
    staged = {key: storage.stage(key, [b"x"]) for key in keys}
    found = list(storage.list_staged("cohorts/"))
    assert sorted(info.staged.key for info in found) == ["cohorts/a", "cohorts/b/c"]
    for info in found:
        assert info.is_same(staged[info.staged.key])
        assert abs(datetime.now(UTC) - info.begun) < timedelta(minutes=5)
        storage.discard(info.staged)
    assert {key: storage.inspect(one) for key, one in staged.items()} == {
        "cohorts/a": StagedState.GONE,
        "cohorts/b/c": StagedState.GONE,
        "cohorts-of-others/a": StagedState.STAGED,
        "a": StagedState.STAGED,
    }


@pytest.mark.servers
def test_uploads_outside_the_path_are_kept_though_the_store_lists_them(storage: S3Storage):
    """Some stores ignore the prefix of this listing."""
    staged = {key: storage.stage(key, [b"x"]) for key in ("cohorts/a", "cohorts-of-others/a", "a")}
    storage.client.meta.events.register(
        "provide-client-params.s3.ListMultipartUploads",
        lambda params, **_: {**params, "Prefix": ""},
    )
    assert [info.staged.key for info in storage.list_staged("cohorts/")] == ["cohorts/a"]
    for info in storage.list_staged("cohorts/"):
        storage.discard(info.staged)
    assert storage.inspect(staged["cohorts-of-others/a"]) is StagedState.STAGED
    assert storage.inspect(staged["a"]) is StagedState.STAGED


@pytest.mark.servers
def test_a_stream_seeks_without_reading_what_is_before(storage: S3Storage):
    data = os.urandom(3 * MIB)
    storage.create("key", data)
    with storage.open("key") as stream:
        assert stream.seekable()
        for start in (2 * MIB + 1, 7, len(data), 2 * MIB):
            assert stream.seek(start) == start
            assert stream.read(100) == data[start : start + 100]
        assert stream.seek(-5, os.SEEK_END) == len(data) - 5
        assert stream.read() == data[-5:]
