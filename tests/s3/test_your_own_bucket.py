"""The storage contract below a prefix of a bucket of your own; collected on request only.

``pytest tests/s3 --s3-url s3://bucket/prefix`` with credentials in the environment.
"""

import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import BinaryIO, TypeVar

import pytest
from attrs import evolve

from amplitude_cohort_s3.errors import ObjectExistsError
from amplitude_cohort_s3.storage import ObjectInfo, StagedObject, StagedState, Storage
from amplitude_cohort_s3.storage.s3.storage import S3Storage
from amplitude_cohort_s3.testing.storage_contract import StorageContract

T = TypeVar("T")


class Below:
    """The objects below a prefix of a bucket, as a bucket of their own."""

    def __init__(self, storage: S3Storage, prefix: str) -> None:
        self.inner = storage
        self.prefix = prefix

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        after = None if start_after is None else self.prefix + start_after
        for info in self.inner.list_objects(self.prefix + prefix, start_after=after):
            yield evolve(info, key=info.key.removeprefix(self.prefix))

    def open(self, key: str, /) -> BinaryIO:
        return self._said_of(key, lambda: self.inner.open(self.prefix + key))

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        return self._said_of(key, lambda: self.inner.create(self.prefix + key, data))

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        staged = self.inner.stage(self.prefix + key, chunks, content_type=content_type)
        return evolve(staged, key=key)

    def inspect(self, staged: StagedObject, /) -> StagedState:
        return self.inner.inspect(self._inner(staged))

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        return self.inner.publish(self._inner(staged))

    def discard(self, staged: StagedObject, /) -> None:
        self.inner.discard(self._inner(staged))

    def _inner(self, staged: StagedObject) -> StagedObject:
        return evolve(staged, key=self.prefix + staged.key)

    def _said_of(self, key: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except ObjectExistsError:
            raise ObjectExistsError(key) from None


class TestYourOwnBucket(StorageContract):
    @pytest.fixture
    def storage(self, request: pytest.FixtureRequest) -> Generator[Storage]:
        url = request.config.getoption("--s3-url")
        bucket, _, path = url.removeprefix("s3://").partition("/")
        below = Below(S3Storage(bucket), f"{path.rstrip('/') or 'contract'}/{uuid.uuid4().hex}/")
        yield below
        for staged in below.inner.list_staged(below.prefix):
            below.inner.discard(staged.staged)
        for info in below.list_objects():
            below.inner.delete(below.prefix + info.key)
