"""Notifications as a real Ceph sends them, about files that a sync has written."""

import time
from collections.abc import Iterator

import pytest
from attrs import evolve
from hostile_server import HostileServer, Page
from servers import Server
from syncs import OLD, SYNC, data_files, run_sync

from amplitude_cohort_s3 import DiffType
from amplitude_cohort_s3.notifications import FileCreated, FileDeleted, PendingSyncs, parse
from amplitude_cohort_s3.storage import S3Storage

pytestmark = pytest.mark.servers

ODD_PATHS = ["c++", "100%", "a b+%2Bü"]


@pytest.fixture
def receiver() -> Iterator[HostileServer]:
    with HostileServer(lambda _: Page()) as server:
        yield server


@pytest.fixture
def bucket(radosgw: Server, receiver: HostileServer) -> str:
    """A bucket whose events Ceph sends to the receiver."""
    topics = radosgw.session().client("sns", endpoint_url=radosgw.url)
    topic = topics.create_topic(Name="events", Attributes={"push-endpoint": receiver.url})
    name = radosgw.new_bucket()
    radosgw.client().put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={
            "TopicConfigurations": [
                {
                    "Id": "events",
                    "TopicArn": topic["TopicArn"],
                    "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                }
            ]
        },
    )
    return name


@pytest.mark.parametrize("path", ODD_PATHS)
def test_notifications_of_ceph_name_the_files(
    radosgw: Server, receiver: HostileServer, bucket: str, path: str
):
    storage = S3Storage(bucket, client=radosgw.client(), settling_time=0.1)
    sync = evolve(SYNC, destination=evolve(SYNC.destination, path=path), routing_key="k+ %")
    run_sync(storage, OLD, sync=sync, log=storage)
    keys = set(data_files(storage))
    deleted = min(keys)
    storage.delete(deleted)

    deadline = time.monotonic() + 20
    events: list[object] = []
    while not any(isinstance(event, FileDeleted) for event in events):
        assert time.monotonic() < deadline, events
        time.sleep(0.05)
        events = [e for request in [*receiver.requests] for e in parse(request.body)]
    created = [event for event in events if isinstance(event, FileCreated)]
    assert {event.key for event in created} == keys
    assert {event.bucket for event in created} == {bucket}
    assert {event.stream for event in created} == {sync.stream}
    (gone,) = [event for event in events if isinstance(event, FileDeleted)]
    assert gone.key == deleted
    pending = PendingSyncs()
    (arrived,) = [sync for event in created if (sync := pending.add(event))]
    assert set(arrived.files) == set(DiffType)
