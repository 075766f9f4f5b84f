"""The requests that each method sends: users pay for them and must allow them."""

from collections.abc import Generator
from typing import Any

import pytest
from servers import Server

from amplitude_cohort_s3.storage import StagedState
from amplitude_cohort_s3.storage.s3.storage import S3Storage

pytestmark = pytest.mark.servers


class Counted:
    def __init__(self, storage: S3Storage) -> None:
        self.storage = storage
        self.operations: list[str] = []
        storage.client.meta.events.register("before-call.s3.*", self._note)

    def _note(self, model: Any, **_: object) -> None:
        self.operations.append(model.name)

    def take(self) -> list[str]:
        taken, self.operations = self.operations, []
        return taken


@pytest.fixture
def counted(moto: Server) -> Generator[Counted]:
    counted = Counted(S3Storage(moto.new_bucket(), client=moto.client(), settling_time=0.1))
    counted.storage.create("past the probe", b"")
    counted.take()
    return counted


def test_a_sync_of_three_small_files_needs_fifteen_requests(counted: Counted):
    storage = counted.storage
    assert list(storage.list_objects("cohorts/")) == []
    staged = [storage.stage(f"cohorts/{name}", [b"id\n"]) for name in ("en", "ex", "all")]
    storage.create("cohorts/_syncs/record", b"{}")
    assert {storage.inspect(one) for one in staged} == {StagedState.STAGED}
    for one in staged:
        storage.publish(one)
    storage.create("cohorts/_syncs/outcome", b"{}")
    assert counted.take() == [
        "ListObjectsV2",
        *["CreateMultipartUpload", "UploadPart"] * 3,
        "PutObject",
        *["ListParts"] * 3,
        *["CompleteMultipartUpload"] * 3,
        "PutObject",
    ]


def test_discard_inspect_and_a_repeated_create_need_two_requests_at_most(counted: Counted):
    storage = counted.storage
    staged = storage.stage("a", [b"x"])
    counted.take()
    storage.discard(staged)
    assert counted.take() == ["AbortMultipartUpload", "ListParts"]
    storage.discard(staged)
    assert counted.take() == ["AbortMultipartUpload"]
    published = storage.stage("b", [b"x"])
    storage.publish(published)
    counted.take()
    assert storage.inspect(published) is StagedState.PUBLISHED
    assert counted.take() == ["ListParts", "HeadObject"]
    storage.create("c", b"x")
    counted.take()
    storage.create("c", b"x")
    assert counted.take() == ["PutObject", "GetObject"]


def test_the_first_key_of_a_long_listing_needs_one_request(counted: Counted):
    for n in range(3):
        counted.storage.create(f"many/{n}", b"")
    counted.take()
    assert next(counted.storage.list_objects("many/")).key == "many/0"
    assert counted.take() == ["ListObjectsV2"]
