"""Uploads to S3 that begin while the members are compared."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from servers import Server

from amplitude_cohort_s3 import CohortSync, Destination, prepare_sync, sync_cohort
from amplitude_cohort_s3.errors import MassExitError
from amplitude_cohort_s3.storage.s3.storage import S3Storage

pytestmark = pytest.mark.servers

SYNC = CohortSync(destination=Destination(name="d", path="p"), project_id=1, cohort_id="a")
AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
# About 18 MB, so that three parts of 8 MiB are uploaded.
PEOPLE = [(f"{n:06}", f"user {n:06} {'x' * 60}") for n in range(220_000)]
LATER = PEOPLE[5:]
WRITES = {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"}


class Requests:
    """The names of the requests of a storage, in their order."""

    def __init__(self, storage: S3Storage) -> None:
        self.names: list[str] = []
        storage.client.meta.events.register("before-call.s3.*", self._note)

    def _note(self, model: Any, **_: object) -> None:
        self.names.append(model.name)

    def writes(self) -> Counter[str]:
        return Counter(name for name in self.names if name in WRITES)


@pytest.fixture
def storage(moto: Server) -> S3Storage:
    storage = S3Storage(moto.new_bucket(), client=moto.client(), settling_time=0.1)
    sync_cohort(SYNC, PEOPLE, storage, synced_at=AT)
    return storage


def files(storage: S3Storage) -> dict[str, bytes]:
    found = dict[str, bytes]()
    for info in storage.list_objects("p/1_a_"):
        with storage.open(info.key) as file:
            found[info.key] = file.read()
    return found


def test_a_sync_sends_the_same_writes_as_one_that_uploads_at_the_end(
    moto: Server, storage: S3Storage
) -> None:
    early = Requests(storage)
    sync_cohort(SYNC, LATER, storage, synced_at=AT + HOUR)
    other = S3Storage(moto.new_bucket(), client=moto.client(), settling_time=0.1)
    sync_cohort(SYNC, PEOPLE, other, synced_at=AT)
    late = Requests(other)
    with prepare_sync(SYNC, LATER, other, synced_at=AT + HOUR) as prepared:
        assert late.writes() == Counter()
        prepared.commit()
    assert early.writes() == late.writes()
    assert early.writes()["UploadPart"] > 4
    assert files(storage) == files(other)


def test_the_guard_aborts_an_upload_that_has_begun(storage: S3Storage) -> None:
    requests = Requests(storage)
    with pytest.raises(MassExitError):
        sync_cohort(SYNC, PEOPLE[:105_000], storage, synced_at=AT + HOUR)
    assert requests.writes()["CreateMultipartUpload"] > 0
    assert "AbortMultipartUpload" in requests.names
    assert list(storage.list_staged()) == []
    assert len(files(storage)) == 3
