"""The storage contract, run on every storage that needs no network."""

import importlib.util
import re
import threading
from pathlib import Path

import pytest
from syncs import staged_objects

from amplitude_cohort_s3 import LocalStorage, MemoryStorage, Storage
from amplitude_cohort_s3.storage import (
    SupportsCompose,
    SupportsDelete,
    SupportsReplace,
    SupportsStageFile,
)
from amplitude_cohort_s3.testing.storage_contract import StorageContract


class TestMemoryStorage(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage()

    def assert_nothing_staged(self, storage):
        assert not vars(storage)["_staged"]


class TestLocalStorage(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path) -> Storage:
        return LocalStorage(tmp_path / "not yet there" / "root")

    def reopen(self, storage):
        return LocalStorage(str(storage.root))

    def assert_nothing_staged(self, storage):
        assert staged_objects(storage) == []


def third_party_storage():
    place = Path(__file__).parents[1] / "typing" / "third_party_storage.py"
    spec = importlib.util.spec_from_file_location("third_party_storage", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.DictStorage()


def documented(page, *classes):
    """Run the blocks of a how-to page that define classes, and return these classes."""
    text = (Path(__file__).parents[2] / "docs" / "how-to" / page).read_text()
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if any(f"\nclass {name}:" in f"\n{block}" for name in classes):
            exec(block, names)
    return [names[name] for name in classes]


class TestDocumentedStorage(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path) -> Storage:
        (kind,) = documented("your_own_storage.md", "SqliteStorage")
        return kind(tmp_path / "bucket.db")

    def reopen(self, storage):
        return type(storage)(storage.path)


class TestStorageOfTheRecipes(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        kind, bucket = documented("recipes.md", "BucketStorage", "MemoryBucket")
        return kind(bucket())

    def reopen(self, storage):
        return type(storage)(storage.bucket)


class TestThirdPartyStorage(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return third_party_storage()


@pytest.mark.parametrize("storage", [MemoryStorage(), LocalStorage("folder")], ids=repr)
@pytest.mark.parametrize("protocol", [Storage, SupportsCompose, SupportsDelete, SupportsReplace])
def test_built_in_storages_satisfy_the_protocols(storage, protocol):
    assert isinstance(storage, protocol)


def test_a_local_storage_can_take_over_files():
    assert isinstance(LocalStorage("folder"), SupportsStageFile)
    assert not isinstance(MemoryStorage(), SupportsStageFile)


def test_memory_storage_can_be_listed_while_threads_write():
    storage = MemoryStorage()
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            storage.create("k", b"x")
            storage.delete("k")

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for _ in range(2000):
            list(storage.list_objects())
    finally:
        stop.set()
        writer.join()
