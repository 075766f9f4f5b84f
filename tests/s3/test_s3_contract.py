"""The storage contract on every server, with a new bucket for each test."""

import pytest
from servers import Server

from amplitude_cohort_s3.storage import Storage
from amplitude_cohort_s3.storage.s3.storage import S3Storage
from amplitude_cohort_s3.testing.storage_contract import StorageContract

pytestmark = pytest.mark.servers


class S3Contract(StorageContract):
    """The contract, which also lists the uploads of the bucket."""

    def reopen(self, storage: Storage) -> Storage:
        assert isinstance(storage, S3Storage)
        return S3Storage(storage.bucket, client=storage.client, settling_time=0.1)

    def assert_nothing_staged(self, storage: Storage) -> None:
        assert isinstance(storage, S3Storage)
        assert "Uploads" not in storage.client.list_multipart_uploads(Bucket=storage.bucket)


def fresh(server: Server) -> S3Storage:
    # Two attempts: moto fails for good where others answer NoSuchUpload.
    client = server.client(retries={"total_max_attempts": 2, "mode": "standard"})
    return S3Storage(server.new_bucket(), client=client, settling_time=0.1)


class TestMoto(S3Contract):
    @pytest.fixture
    def storage(self, moto: Server) -> Storage:
        return fresh(moto)


class TestRadosgw(S3Contract):
    @pytest.fixture
    def storage(self, radosgw: Server) -> Storage:
        return fresh(radosgw)

    @pytest.mark.xfail(reason="Ceph 16 ignores the condition on a completion", strict=False)
    def test_one_of_racing_publishers_wins(self, storage: Storage) -> None:
        super().test_one_of_racing_publishers_wins(storage)


class TestMinistack(S3Contract):
    @pytest.fixture
    def storage(self, ministack: Server) -> Storage:
        return fresh(ministack)


class TestMinistackOverTls(S3Contract):
    @pytest.fixture
    def storage(self, ministack_tls: Server) -> Storage:
        return fresh(ministack_tls)
