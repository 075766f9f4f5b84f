"""Forgetting and pruning in real buckets, with the versions that a bucket keeps."""

from datetime import UTC, datetime, timedelta

import pytest
from servers import Server

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    S3Storage,
    forget,
    prune,
    read_history,
    sync_cohort,
)

pytestmark = pytest.mark.servers

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["moto", "radosgw", "ministack"])
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue(request.param)


def test_forgotten_and_pruned_rows_are_gone_and_the_rest_can_be_read(server: Server) -> None:
    storage = S3Storage(server.new_bucket(), client=server.client(), settling_time=0.1)
    sync = CohortSync(destination=Destination(name="d", path="x"), project_id=1, cohort_id="a")
    cohorts = [["1", "2"], ["2", "3"], ["1", "3"]]
    for number, ids in enumerate(cohorts):
        rows = [(n, f"user {n}") for n in ids]
        when = START + timedelta(hours=number)
        sync_cohort(sync, rows, storage, synced_at=when, guard=False)
    receipt = forget(storage, sync.stream, ["1"])
    assert receipt.people == 1
    pruned = prune(storage, sync.stream, before=START + timedelta(hours=2))
    assert len(pruned.plan.files) == 2
    history = read_history(storage, sync.stream)
    told = [{row[0] for row in history.members_at(one)} for one in history]
    assert told == [{"2"}, {"2", "3"}, {"3"}]
    assert history.verify() == ()
    for info in storage.list_objects():
        with storage.open(info.key) as stream:
            assert b"user 1" not in stream.read()
    sync_cohort(sync, [("3", ""), ("4", "")], storage, synced_at=START + timedelta(hours=5))
    assert read_history(storage, sync.stream).verify() == ()


def test_a_bucket_that_keeps_versions_still_holds_them(moto: Server) -> None:
    """The docs and the receipt say so."""
    client = moto.client()
    bucket = moto.new_bucket()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    storage = S3Storage(bucket, client=client, settling_time=0.1)
    sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    sync_cohort(sync, [("1", "user 1"), ("2", "")], storage, synced_at=START)
    receipt = forget(storage, sync.stream, ["1"])
    assert "Older versions in a bucket that keeps versions" in str(receipt)
    [existing] = [file.key for file in receipt.files if "existing" in file.key]
    versions = client.list_object_versions(Bucket=bucket, Prefix=existing)["Versions"]
    held = [
        b"user 1"
        in client.get_object(Bucket=bucket, Key=existing, VersionId=v["VersionId"])["Body"].read()
        for v in versions
    ]
    assert sorted(held) == [False, True]
