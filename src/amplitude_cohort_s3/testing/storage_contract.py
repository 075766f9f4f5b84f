"""The tests of the promises of a storage.

To use them, subclass, define a fixture, and run pytest::

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def storage(self, tmp_path):
            return MyStorage(tmp_path)
"""

import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import pytest

from ..errors import InvalidKeyError, ObjectExistsError, ObjectNotFoundError, StagedGoneError
from ..storage import StagedObject, StagedState, Storage
from ._capability_contract import CapabilityContract
from ._storage_contract_base import ODD_KEYS, REFUSED_KEYS, keys, read

__all__ = ["ODD_KEYS", "REFUSED_KEYS", "StorageContract"]


class StorageContract(CapabilityContract):
    """One test for each promise of :class:`~amplitude_cohort_s3.Storage`.

    The subclass defines the fixture ``storage``: a new, empty storage for each test. If your
    storage caches anything or has a connection, also override ``reopen``. The tests of the
    optional capabilities are skipped if your storage does not have them.
    """

    # --- list_objects ---------------------------------------------------------------

    def test_new_storage_lists_nothing(self, storage: Storage) -> None:
        assert keys(storage) == []

    def test_listing_is_in_byte_order_and_keeps_keys_unchanged(self, storage: Storage) -> None:
        for key in ODD_KEYS:
            storage.create(key, key.encode())
        assert keys(storage) == sorted(ODD_KEYS, key=str.encode)
        for key in ODD_KEYS:
            assert read(storage, key) == key.encode()

    def test_prefix_matches_text_and_not_folders(self, storage: Storage) -> None:
        for key in ("a/b", "a/bc", "a/c/d", "ab", "a-b"):
            storage.create(key, b"")
        assert keys(storage, "a/b") == ["a/b", "a/bc"]
        assert keys(storage, "a/") == ["a/b", "a/bc", "a/c/d"]
        assert keys(storage, "a") == ["a-b", "a/b", "a/bc", "a/c/d", "ab"]
        assert keys(storage, "a/c") == ["a/c/d"]
        assert keys(storage, "absent") == []

    def test_start_after_is_exclusive_and_need_not_exist(self, storage: Storage) -> None:
        for key in ("a/1", "a/2", "a/3", "b/1", "b-1"):
            storage.create(key, b"")
        assert keys(storage, start_after="a/2") == ["a/3", "b-1", "b/1"]
        assert keys(storage, start_after="a/25") == ["a/3", "b-1", "b/1"]
        assert keys(storage, start_after="b") == ["b-1", "b/1"]
        assert keys(storage, "a/", start_after="a/2") == ["a/3"]
        assert keys(storage, "a/", start_after="b") == []
        assert keys(storage, "b", start_after="a/2") == ["b-1", "b/1"]

    def test_listing_of_over_a_thousand_keys_is_complete(self, storage: Storage) -> None:
        expected = [f"many/{n:05d}" for n in range(1_001)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(storage.create, expected, repeat(b"x")))
        assert keys(storage, "many/") == expected

    def test_listing_has_size_and_url(self, storage: Storage) -> None:
        storage.create("folder/five", b"12345")
        (info,) = storage.list_objects()
        assert info.size == 5
        assert "five" in info.url

    # --- open ----------------------------------------------------------------------

    def test_open_raises_if_there_is_no_object(self, storage: Storage) -> None:
        storage.create("there/too", b"")
        for key in ("absent", "there/absent", "there"):
            with pytest.raises(ObjectNotFoundError):
                storage.open(key).close()

    def test_stream_can_be_read_in_pieces(self, storage: Storage) -> None:
        storage.create("k", b"0123456789")
        with storage.open("k") as stream:
            assert [stream.read(4), stream.read(4), stream.read(4), stream.read(4)] == [
                b"0123",
                b"4567",
                b"89",
                b"",
            ]

    # --- create --------------------------------------------------------------------

    def test_create_never_overwrites(self, storage: Storage) -> None:
        storage.create("k", b"first")
        with pytest.raises(ObjectExistsError) as caught:
            storage.create("k", b"other")
        assert caught.value.key == "k"
        assert read(storage, "k") == b"first"

    def test_create_succeeds_if_the_same_bytes_exist(self, storage: Storage) -> None:
        storage.create("k", b"same")
        assert self.reopen(storage).create("k", b"same").size == 4

    @pytest.mark.parametrize("data", [b"", b"\0\xff\r\n", b"x" * 300_000], ids=len)
    def test_create_stores_any_bytes(self, storage: Storage, data: bytes) -> None:
        assert storage.create("k", data).size == len(data)
        assert read(storage, "k") == data

    def test_one_of_racing_creators_wins(self, storage: Storage) -> None:
        for attempt in range(5):
            key = f"race/{attempt}"

            def create(writer: int, key: str = key) -> bool:
                try:
                    storage.create(key, b"writer %d" % writer)
                except ObjectExistsError:
                    return False
                return True

            with ThreadPoolExecutor(8) as pool:
                won = list(pool.map(create, range(8)))
            assert won.count(True) == 1
            assert read(storage, key) == b"writer %d" % won.index(True)

    # --- stage, inspect, publish, discard ---------------------------------------------

    def test_staged_object_is_invisible(self, storage: Storage) -> None:
        staged = storage.stage("a/k.csv", [b"one", b"", b"two"])
        other = self.reopen(storage)
        assert keys(other) == []
        with pytest.raises(ObjectNotFoundError):
            other.open("a/k.csv").close()
        assert other.inspect(staged) is StagedState.STAGED
        assert (staged.key, staged.size) == ("a/k.csv", 6)
        assert staged.sha256 == hashlib.sha256(b"onetwo").hexdigest()

    def test_publish_makes_the_whole_object_visible(self, storage: Storage) -> None:
        staged = storage.stage("a/k.csv", iter([b"one", b"two"]))
        assert storage.publish(staged).size == 6
        assert read(storage, "a/k.csv") == b"onetwo"
        assert keys(storage) == ["a/k.csv"]
        assert storage.inspect(staged) is StagedState.PUBLISHED

    def test_empty_object_can_be_staged_and_published(self, storage: Storage) -> None:
        staged = storage.stage("empty", [])
        assert keys(storage) == []
        storage.publish(staged)
        assert read(storage, "empty") == b""

    def test_many_chunks_arrive_in_order(self, storage: Storage) -> None:
        chunk = bytes(range(256)) * 256
        chunks = [b"%08d" % n + chunk for n in range(200)]
        staged = storage.stage("big", iter(chunks))
        storage.publish(staged)
        assert hashlib.sha256(read(storage, "big")).hexdigest() == staged.sha256
        assert read(storage, "big") == b"".join(chunks)

    def test_another_process_can_publish_from_the_json(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        carried = StagedObject.from_json(json.loads(json.dumps(staged.to_json())))
        assert carried == staged == pickle.loads(pickle.dumps(staged))
        other = self.reopen(storage)
        other.publish(carried)
        assert read(storage, "k") == b"data"

    def test_publish_twice_succeeds(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        storage.publish(staged)
        assert self.reopen(storage).publish(staged).size == 4
        assert read(storage, "k") == b"data"

    def test_publish_never_overwrites(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"mine"])
        storage.create("k", b"another's")
        assert storage.inspect(staged) in {StagedState.STAGED, StagedState.TAKEN}
        with pytest.raises(ObjectExistsError):
            storage.publish(staged)
        assert read(storage, "k") == b"another's"
        storage.discard(staged)
        assert storage.inspect(staged) is StagedState.TAKEN

    def test_only_one_of_two_staged_objects_gets_the_key(self, storage: Storage) -> None:
        first, second = storage.stage("k", [b"first"]), storage.stage("k", [b"other"])
        storage.publish(second)
        with pytest.raises(ObjectExistsError):
            storage.publish(first)
        storage.discard(first)
        assert storage.inspect(first) is StagedState.TAKEN
        assert storage.inspect(second) is StagedState.PUBLISHED

    def test_one_of_racing_publishers_wins(self, storage: Storage) -> None:
        staged = [storage.stage("k", [b"writer %d" % n]) for n in range(6)]

        def publish(mine: StagedObject) -> bool:
            try:
                storage.publish(mine)
            except ObjectExistsError:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            won = list(pool.map(publish, staged))
        assert won.count(True) == 1
        assert read(storage, "k") == b"writer %d" % won.index(True)

    def test_racing_publishers_of_one_object_all_succeed(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        with ThreadPoolExecutor(6) as pool:
            assert {i.size for i in pool.map(storage.publish, [staged] * 6)} == {4}

    def test_discard_prevents_publish_by_anyone(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        self.reopen(storage).discard(staged)
        assert storage.inspect(staged) is StagedState.GONE
        with pytest.raises(StagedGoneError):
            storage.publish(staged)
        assert keys(storage) == []

    def test_discard_twice_succeeds(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        storage.discard(staged)
        storage.discard(staged)
        assert storage.inspect(staged) is StagedState.GONE

    def test_discard_after_publish_changes_nothing(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        storage.publish(staged)
        storage.discard(staged)
        assert storage.inspect(staged) is StagedState.PUBLISHED
        assert read(storage, "k") == b"data"

    def test_discarded_object_leaves_its_key_free(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        storage.discard(staged)
        storage.publish(storage.stage("k", [b"else"]))
        assert storage.inspect(staged) is StagedState.TAKEN
        with pytest.raises(ObjectExistsError):
            storage.publish(staged)

    def test_inspect_agrees_with_the_winner_of_publish_and_discard(self, storage: Storage) -> None:
        for attempt in range(10):
            staged = storage.stage(f"race/{attempt}", [b"data"])

            def publish(staged: StagedObject = staged) -> bool:
                try:
                    storage.publish(staged)
                except StagedGoneError:
                    return False
                return True

            with ThreadPoolExecutor(2) as pool:
                published = pool.submit(publish)
                pool.submit(storage.discard, staged).result()
            expected = StagedState.PUBLISHED if published.result() else StagedState.GONE
            assert storage.inspect(staged) is expected

    @pytest.mark.parametrize("good_chunks", [0, 1, 3], ids=["start", "midway", "end"])
    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_failing_producer_leaves_nothing_behind(
        self, storage: Storage, good_chunks: int, error: type[BaseException]
    ) -> None:
        def produce() -> Iterator[bytes]:
            for _ in range(good_chunks):
                yield b"x" * 1000
            raise error("the producer")

        with pytest.raises(error, match="the producer"):
            storage.stage("k", produce())
        assert keys(storage) == []
        self.assert_nothing_staged(storage)

    # --- keys ----------------------------------------------------------------------

    @pytest.mark.parametrize("key", REFUSED_KEYS.values(), ids=REFUSED_KEYS)
    def test_unusable_key_is_refused(self, storage: Storage, key: str) -> None:
        writers: list[Callable[[], object]] = [
            lambda: storage.create(key, b""),
            lambda: storage.stage(key, []),
        ]
        for write in writers:
            with pytest.raises(InvalidKeyError):
                write()
        with pytest.raises((InvalidKeyError, ObjectNotFoundError)):
            storage.open(key).close()
        assert keys(storage) == []
