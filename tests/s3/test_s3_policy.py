"""The policies on Ceph: a writer syncs, a reader reads, another user has no access."""

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve
from servers import Server

from amplitude_cohort_s3.errors import AccessDeniedError
from amplitude_cohort_s3.history.read import read_history
from amplitude_cohort_s3.policy.access import Verdict, apply_bucket_policy, check_access
from amplitude_cohort_s3.settings.cohort_sync import CohortSync
from amplitude_cohort_s3.settings.destination import Destination
from amplitude_cohort_s3.storage.s3.storage import S3Storage
from amplitude_cohort_s3.sync.sync_cohort import sync_cohort

pytestmark = pytest.mark.servers

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def user(radosgw: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Server]:
    """Makes a user with keys of their own; to Ceph each is an account of its own."""
    (configuration,) = tmp_path_factory.getbasetemp().glob("radosgw[0-9]*/ceph.conf")

    def make(name: str) -> Server:
        keys = f"KEYOF{name.upper()}", f"an example of {name}"
        subprocess.run(
            [
                *("radosgw-admin", "-n", "client.rgw", "-c", str(configuration)),
                *("user", "create", f"--uid={name}", f"--display-name={name}"),
                *(f"--access-key={keys[0]}", f"--secret-key={keys[1]}"),
            ],
            env=os.environ | {"CEPH_CONF": str(configuration)},
            capture_output=True,
            check=True,
            timeout=60,
        )
        return evolve(radosgw, access_key=keys[0], secret_key=keys[1])

    return make


def test_the_policy_lets_a_writer_write_a_reader_read_and_another_user_do_nothing(
    radosgw: Server, user: Callable[[str], Server]
):
    owner: Any = radosgw.client()
    bucket = radosgw.new_bucket()
    destination = Destination(name="d", bucket=bucket, region="us-east-1", path="cohorts")
    sync = CohortSync(destination=destination, project_id=123, cohort_id="26umsb5")
    writer, reader, stranger = user("writer"), user("reader"), user("stranger")

    apply_bucket_policy(owner, destination, principal="arn:aws:iam:::user/writer", legacy_acl=True)
    apply_bucket_policy(owner, destination, principal="arn:aws:iam:::user/reader", purpose="read")
    again = apply_bucket_policy(
        owner, destination, principal="arn:aws:iam:::user/reader", purpose="read"
    )
    assert not again.changed
    owner.put_object(Bucket=bucket, Key="cohorts-evil/x", Body=b"other")

    report = check_access(S3Storage(bucket, client=writer.client()), path="cohorts")
    assert not report.denied, report
    storage = S3Storage(bucket, client=writer.client(), acl="bucket-owner-full-control")
    rows = [{"amplitude_id": str(n), "user_id": f"u{n}"} for n in range(3)]
    sync_cohort(sync, rows, storage, synced_at=NOON, clock=lambda: NOON)

    assert not check_access(
        S3Storage(bucket, client=reader.client()), "read", path="cohorts"
    ).denied
    reading = S3Storage(bucket, client=reader.client())
    history = read_history(reading, sync.stream)
    assert len(list(history.members_at(NOON))) == 3
    with pytest.raises(AccessDeniedError):
        reading.create("cohorts/y", b"1")

    for somebody in (writer, reader):
        with pytest.raises(AccessDeniedError):
            S3Storage(bucket, client=somebody.client()).open("cohorts-evil/x").read()
        with pytest.raises(AccessDeniedError):
            list(S3Storage(bucket, client=somebody.client()).list_objects("cohorts-evil/"))
        with pytest.raises(AccessDeniedError):
            list(S3Storage(bucket, client=somebody.client()).list_objects(""))
    visible = [found.key for found in reading.list_objects("cohorts/")]
    strange = S3Storage(bucket, client=stranger.client())
    for key in visible:
        with pytest.raises(AccessDeniedError):
            strange.open(key).read()
    report = check_access(S3Storage(bucket, client=stranger.client()), path="cohorts")
    told = {p.action: p.verdict for p in report.permissions}
    # Without a listing, the other user does not know a file to try.
    assert told.pop("s3:GetObject") is Verdict.NOT_TESTABLE
    assert set(told.values()) == {Verdict.DENIED}, report
    assert [found.key for found in reading.list_objects("cohorts/")] == visible
