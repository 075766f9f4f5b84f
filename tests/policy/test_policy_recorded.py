"""The requests that the library really sends are exactly those that the policies allow."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws
from policy_calls import Call, CallRecorder, expected_calls
from policy_judge import ALLOW_ALL_OF_S3, Request, judge

from amplitude_cohort_s3.history.read import list_streams, read_history
from amplitude_cohort_s3.maintenance.clean_up import clean_up
from amplitude_cohort_s3.policy.bucket_policy import bucket_policy
from amplitude_cohort_s3.policy.purposes import Purpose
from amplitude_cohort_s3.settings.cohort_sync import CohortSync
from amplitude_cohort_s3.settings.destination import Destination
from amplitude_cohort_s3.storage.s3.storage import S3Storage
from amplitude_cohort_s3.sync.head import read_head
from amplitude_cohort_s3.sync.recover import recover
from amplitude_cohort_s3.sync.sync_cohort import sync_cohort

ROLE = "arn:aws:iam::111122223333:role/etl"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["", "cohorts", "with space/ünïcode"])
def path(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def recorder() -> CallRecorder:
    return CallRecorder()


@pytest.fixture
def storage(recorder: CallRecorder, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Storage]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        # The bucket in the path of the URL is what the recorder reads.
        config = Config(s3={"addressing_style": "path"})
        client: Any = boto3.client("s3", region_name="us-east-1", config=config)
        client.create_bucket(Bucket="my-bucket")
        recorder.watch(client)
        client.meta.events.register_first("before-send.s3", _plain_bytes)
        yield S3Storage("my-bucket", client=client, settling_time=0.01)


def _plain_bytes(request: Any, **_: object) -> None:
    """Convert the body, because moto does not accept a bytearray."""
    if isinstance(request.body, bytearray):
        request.body = bytes(request.body)


def cohort(path: str) -> CohortSync:
    destination = Destination(name="d", bucket="my-bucket", region="us-east-1", path=path)
    return CohortSync(destination=destination, project_id=123, cohort_id="26umsb5")


def run_sync(path: str, storage: Any, minutes: int, members: int) -> Any:
    when = NOON + timedelta(minutes=minutes)
    rows = [{"amplitude_id": str(n), "user_id": f"u{n}"} for n in range(members)]
    return sync_cohort(cohort(path), rows, storage, synced_at=when, clock=lambda: when)


class _CutError(Exception):
    pass


def writing(path: str, storage: Any) -> None:
    """Run syncs: a first one, crashes with recoveries, a rerun, and a create that loses."""
    run_sync(path, storage, 0, 10)
    publish = storage.publish

    def cut(staged: Any) -> None:
        raise _CutError

    storage.publish = cut
    with pytest.raises(_CutError):
        run_sync(path, storage, 1, 12)
    storage.publish = publish
    recover(storage, cohort(path).stream)
    # A recovery after a bucket rule has aborted an upload.
    storage.publish = cut
    with pytest.raises(_CutError):
        run_sync(path, storage, 2, 13)
    storage.publish = publish
    uploads = storage.client.list_multipart_uploads(Bucket="my-bucket")["Uploads"]
    for upload in uploads[:1]:
        storage.client.abort_multipart_upload(
            Bucket="my-bucket", Key=upload["Key"], UploadId=upload["UploadId"]
        )
    recover(storage, cohort(path).stream)
    run_sync(path, storage, 3, 14)
    run_sync(path, storage, 3, 14)
    key = cohort(path).stream.log_prefix + "taken"
    storage.create(key, b"1")
    storage.create(key, b"1")


def reading(path: str, storage: Any) -> None:
    history = read_history(storage, cohort(path).stream)
    assert len(list(history.members_at(NOON + timedelta(hours=1)))) == 14
    list(list_streams(storage, path))
    read_head(storage, cohort(path).stream)


def cleaning(path: str, storage: Any) -> None:
    stream = cohort(path).stream
    staged = storage.stage(f"{stream.data_prefix}2026-11-23T18:00_entering.csv", [b"1"])
    assert storage.inspect(staged)
    assert clean_up(storage, stream, older_than=timedelta(days=-9999)) == (staged.key,)


def sent(recorder: CallRecorder, *, without: tuple[str, ...] = ()) -> set[Call]:
    calls = {call for call in recorder.calls if call.operation not in without}
    recorder.calls.clear()
    return calls


def check(calls: set[Call], purpose: Purpose, path: str) -> None:
    """Assert that all calls have an expected shape, and that the policy allows them."""
    expected = {call.shape(path) for call in expected_calls(path)[purpose]}
    unexpected = {call.shape(path) for call in calls} - expected
    assert not unexpected
    for create_only in {False, purpose == "write"}:
        policy = bucket_policy(
            cohort(path).destination, principal=ROLE, purpose=purpose, create_only=create_only
        ).to_dict()
        requests = [
            Request(
                principal=ROLE,
                action=call.action,
                resource=call.resource("arn:aws:s3:::my-bucket"),
                context={**call.context, "aws:SecureTransport": "true"},
                own_policy=(ALLOW_ALL_OF_S3,),
            )
            for call in sorted(calls, key=repr)
        ]
        verdicts = judge((policy, request) for request in requests)
        refused = [r for r, v in zip(requests, verdicts, strict=True) if v != "Allowed"]
        assert not refused


def test_exactly_the_sent_requests_are_allowed(path: str, storage: Any, recorder: CallRecorder):
    writing(path, storage)
    # The test itself lists the uploads, to abort one as a bucket rule would.
    written = sent(recorder, without=("ListMultipartUploads",))
    check(written, "write", path)
    reading(path, storage)
    read = sent(recorder)
    check(read, "read", path)
    cleaning(path, storage)
    staging = ("CreateMultipartUpload", "UploadPart")
    cleaned = sent(recorder, without=staging)
    # Cleaning up reads the log too, which is another purpose.
    looked = {call for call in cleaned if call.action in {"s3:ListBucket", "s3:GetObject"}}
    check(looked, "read", path)
    cleaned -= looked
    check(cleaned, "maintain", path)
    for purpose, calls in (("write", written), ("read", read), ("maintain", cleaned)):
        wanted = {call.action for call in expected_calls(path)[purpose]}
        assert {call.action for call in calls} == wanted
