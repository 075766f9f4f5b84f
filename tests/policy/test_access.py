"""Applying policies and trying permissions, against a server in this process."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from amplitude_cohort_s3 import S3Storage
from amplitude_cohort_s3.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ConfigurationError,
    StoreRefusedError,
)
from amplitude_cohort_s3.policy.access import (
    AccessReport,
    Verdict,
    apply_bucket_policy,
    check_access,
)
from amplitude_cohort_s3.policy.purposes import Purpose
from amplitude_cohort_s3.settings.destination import Destination

ROLE = "arn:aws:iam::111122223333:role/etl"
DESTINATION = Destination(name="d", bucket="my-bucket", region="us-east-1", path="cohorts")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        made: Any = boto3.client("s3", region_name="us-east-1")
        made.create_bucket(Bucket="my-bucket")
        yield made


def deny(client: Any, *operations: str, code: str = "AccessDenied", message: str = "no") -> None:
    """Make the server refuse these operations from now on."""
    status = {"AccessDenied": 403, "403": 403}.get(code, 404)

    def refuse(model: Any, **_: object) -> tuple[Any, dict[str, Any]]:
        answer = type("Answer", (), {"status_code": status})()
        parsed = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }
        return answer, parsed

    for operation in operations:
        client.meta.events.register(f"before-call.s3.{operation}", refuse)


def verdicts(report: Any) -> dict[str, str]:
    return {p.action.removeprefix("s3:"): p.verdict.value for p in report.permissions}


def checked(client: Any, purpose: Purpose = "write") -> AccessReport:
    return check_access(S3Storage("my-bucket", client=client), purpose, path="cohorts")


def test_applying_twice_changes_nothing_the_second_time(client: Any):
    theirs = {"Sid": "T", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    before = {"Version": "2012-10-17", "Statement": [theirs]}
    client.put_bucket_policy(Bucket="my-bucket", Policy=json.dumps(before))
    first = apply_bucket_policy(client, DESTINATION, principal=ROLE)
    assert first.changed
    assert first.before == before
    stored = json.loads(client.get_bucket_policy(Bucket="my-bucket")["Policy"])
    assert stored == first.after
    assert stored["Statement"][0] == theirs
    deny(client, "PutBucketPolicy")
    second = apply_bucket_policy(client, DESTINATION, principal=ROLE)
    assert not second.changed
    assert second.after == stored


def test_a_bucket_without_a_policy_gets_the_whole_policy(client: Any):
    change = apply_bucket_policy(client, DESTINATION, principal=ROLE, purpose="read")
    assert change.before is None
    assert len(change.added) == 4


def test_a_policy_that_cannot_be_read_is_never_overwritten(client: Any):
    deny(client, "GetBucketPolicy")
    with pytest.raises(AccessDeniedError):
        apply_bucket_policy(client, DESTINATION, principal=ROLE)
    with pytest.raises(ConfigurationError):
        apply_bucket_policy(client, DESTINATION, principal="*")


@pytest.mark.parametrize("path", ["", "cohorts", "/cohorts/"])
def test_trying_to_write_leaves_no_object_and_no_upload(client: Any, path: str):
    report = check_access(S3Storage("my-bucket", client=client), path=path)
    assert set(verdicts(report).values()) == {"granted"}
    assert list(verdicts(report)) == [
        "ListBucket",
        "AbortMultipartUpload",
        "GetObject",
        "ListMultipartUploadParts",
        "PutObject",
    ]
    assert not report.denied
    assert report.place == "s3://my-bucket/" + ("cohorts/" if path else "")
    assert "Contents" not in client.list_objects_v2(Bucket="my-bucket")
    assert "Uploads" not in client.list_multipart_uploads(Bucket="my-bucket")


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("ListObjectsV2", "ListBucket"),
        ("CreateMultipartUpload", "PutObject"),
        ("UploadPart", "PutObject"),
        ("ListParts", "ListMultipartUploadParts"),
        ("AbortMultipartUpload", "AbortMultipartUpload"),
    ],
)
def test_only_the_denied_permission_is_reported_as_denied(client: Any, operation: str, action: str):
    deny(client, operation)
    report = checked(client)
    assert {a for a, verdict in verdicts(report).items() if verdict != "granted"} == {action}
    assert [p.verdict for p in report.denied] == [Verdict.DENIED]
    assert f"denied: s3:{action} on arn:aws:s3:::my-bucket" in repr(report)
    assert "Please allow" in repr(report)


def test_reading_can_only_be_tried_if_there_is_a_file(client: Any):
    deny(client, "GetObject")
    empty = checked(client, "read")
    assert verdicts(empty) == {"ListBucket": "granted", "GetObject": "not testable"}
    client.put_object(Bucket="my-bucket", Key="cohorts/x", Body=b"")
    assert verdicts(checked(client, "read"))["GetObject"] == "denied"


def test_an_empty_file_is_readable(client: Any):
    client.put_object(Bucket="my-bucket", Key="cohorts/x", Body=b"")
    assert verdicts(checked(client, "read"))["GetObject"] == "granted"


def test_a_denial_by_the_kms_key_is_named(client: Any):
    deny(client, "UploadPart", message="not authorized to perform: kms:GenerateDataKey on x")
    (permission,) = checked(client).denied
    assert permission.action == "s3:PutObject"
    assert "kms:GenerateDataKey" in permission.reason


def test_maintaining_can_be_tried_but_amplitudes_permissions_cannot(client: Any):
    assert set(verdicts(checked(client, "maintain")).values()) == {"granted"}
    amplitude = checked(client, "amplitude")
    assert set(verdicts(amplitude).values()) == {"not testable"}


def test_a_missing_bucket_is_an_error_and_not_a_denial(client: Any):
    with pytest.raises(BucketNotFoundError):
        check_access(S3Storage("no-such-bucket", client=client))


def test_a_wrong_clock_is_an_error_and_not_a_denial(client: Any):
    deny(client, "ListObjectsV2", code="RequestTimeTooSkewed")
    with pytest.raises(StoreRefusedError, match="clock"):
        checked(client)


def test_the_resources_of_an_access_point_are_its_own_arn_and_objects(client: Any):
    arn = "arn:aws:s3:us-east-1:123456789012:accesspoint/my-ap"
    deny(client, "ListObjectsV2", "GetObject")
    report = check_access(S3Storage(arn, client=client), "read", path="p")
    assert {p.resource for p in report.permissions} == {arn, f"{arn}/object/p/*"}
