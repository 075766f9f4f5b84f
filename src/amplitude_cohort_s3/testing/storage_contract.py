"""The promises of a Storage as tests: subclass, give a fixture, run pytest.

class TestMyStorage(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path):
        return MyStorage(tmp_path)
"""

import hashlib
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import BinaryIO

import pytest

from ..errors import (
    InvalidKeyError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StagedGoneError,
)
from ..storage import (
    ObjectInfo,
    StagedObject,
    StagedState,
    Storage,
    SupportsCompose,
    SupportsDelete,
    SupportsReplace,
)

ODD_KEYS = (
    "a/b",
    "a/bc",
    "a-b",
    "a.b",
    "cohorts/1_a_2026-11-23T14:05_existing_vip.csv",
    "blank in/the name.csv",
    "plus+and%20percent&equals=.csv",
    "quote'and\"double.csv",
    "ünïcödé/日本語/😀.csv",
    "e\u0301 decomposed",
    "é composed",
    "_syncs/.hidden",
    "x" * 200,
)
"""Keys that a store must keep apart and give back as they are."""

REFUSED_KEYS = (
    "",
    "/lead",
    "trail/",
    "a//b",
    "../up",
    "a/../b",
    "./a",
    "a/.",
    "line\nfeed",
    "nul\0",
    "del\x7f",
    "k" * 1025,
    "é" * 513,
    "\ud800",
)
"""Keys that a Storage must refuse before it touches its store."""


def read(storage: Storage, key: str) -> bytes:
    """All bytes of an object."""
    with storage.open(key) as stream:
        return stream.read()


_MIB = 1 << 20


def sample_bytes(size: int) -> bytes:
    """Bytes that tell if a piece of them is missing, doubled or misplaced."""
    return b"".join(b"%07d\n" % n for n in range(size // 8 + 1))[:size]


def keys(storage: Storage, prefix: str = "", start_after: str | None = None) -> list[str]:
    """The keys of a listing."""
    return [info.key for info in storage.list_objects(prefix, start_after=start_after)]


class StorageContract:
    """Every promise of :class:`~amplitude_cohort_s3.Storage`, as a test each.

    The subclass gives the fixture ``storage``: a fresh, empty storage for each
    test. Where the process or the client matters, it also overrides ``reopen``.
    """

    @pytest.fixture
    def storage(self) -> Storage:
        """A fresh, empty storage."""
        raise NotImplementedError("override the fixture `storage` in your subclass")

    def reopen(self, storage: Storage) -> Storage:
        """The same storage as another process would open it; by default itself."""
        return storage

    # --- listing -------------------------------------------------------------------

    def test_a_fresh_storage_lists_nothing(self, storage: Storage) -> None:
        assert keys(storage) == []

    def test_listing_is_in_byte_order_and_gives_keys_back_as_they_are(
        self, storage: Storage
    ) -> None:
        for key in ODD_KEYS:
            storage.create(key, key.encode())
        assert keys(storage) == sorted(ODD_KEYS, key=str.encode)
        for key in ODD_KEYS:
            assert read(storage, key) == key.encode()

    def test_a_prefix_is_a_string_and_not_a_folder(self, storage: Storage) -> None:
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

    def test_a_listing_of_more_than_a_thousand_keys_is_whole(self, storage: Storage) -> None:
        expected = [f"many/{n:05d}" for n in range(1_001)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(storage.create, expected, repeat(b"x")))
        assert keys(storage, "many/") == expected

    def test_a_listing_says_size_and_place(self, storage: Storage) -> None:
        storage.create("folder/five", b"12345")
        (info,) = storage.list_objects()
        assert info.size == 5
        assert "five" in info.url

    # --- open ----------------------------------------------------------------------

    def test_an_absent_object_is_not_found(self, storage: Storage) -> None:
        storage.create("there/too", b"")
        for key in ("absent", "there/absent", "there"):
            with pytest.raises(ObjectNotFoundError):
                storage.open(key).close()

    def test_a_stream_reads_in_pieces(self, storage: Storage) -> None:
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

    def test_create_of_the_same_bytes_is_a_success(self, storage: Storage) -> None:
        storage.create("k", b"same")
        assert self.reopen(storage).create("k", b"same").size == 4

    @pytest.mark.parametrize("data", [b"", b"\0\xff\r\n", b"x" * 300_000], ids=len)
    def test_create_stores_any_bytes(self, storage: Storage, data: bytes) -> None:
        assert storage.create("k", data).size == len(data)
        assert read(storage, "k") == data

    def test_of_racing_creators_one_wins(self, storage: Storage) -> None:
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

    # --- stage, publish, discard -----------------------------------------------------

    def test_what_is_staged_is_seen_by_nobody(self, storage: Storage) -> None:
        staged = storage.stage("a/k.csv", [b"one", b"", b"two"])
        other = self.reopen(storage)
        assert keys(other) == []
        with pytest.raises(ObjectNotFoundError):
            other.open("a/k.csv").close()
        assert other.inspect(staged) is StagedState.STAGED
        assert (staged.key, staged.size) == ("a/k.csv", 6)
        assert staged.sha256 == hashlib.sha256(b"onetwo").hexdigest()

    def test_publish_shows_it_whole(self, storage: Storage) -> None:
        staged = storage.stage("a/k.csv", iter([b"one", b"two"]))
        assert storage.publish(staged).size == 6
        assert read(storage, "a/k.csv") == b"onetwo"
        assert keys(storage) == ["a/k.csv"]
        assert storage.inspect(staged) is StagedState.PUBLISHED

    def test_nothing_at_all_can_be_staged_and_published(self, storage: Storage) -> None:
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

    def test_the_handle_alone_publishes_from_another_process(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        carried = StagedObject.from_json(json.loads(json.dumps(staged.to_json())))
        assert carried == staged == pickle.loads(pickle.dumps(staged))
        other = self.reopen(storage)
        other.publish(carried)
        assert read(storage, "k") == b"data"

    def test_publish_twice_is_a_success(self, storage: Storage) -> None:
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

    def test_of_two_staged_for_one_key_one_is_published(self, storage: Storage) -> None:
        first, second = storage.stage("k", [b"first"]), storage.stage("k", [b"other"])
        storage.publish(second)
        with pytest.raises(ObjectExistsError):
            storage.publish(first)
        storage.discard(first)
        assert storage.inspect(first) is StagedState.TAKEN
        assert storage.inspect(second) is StagedState.PUBLISHED

    def test_of_racing_publishers_one_wins(self, storage: Storage) -> None:
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

    def test_racing_publishers_of_one_handle_all_succeed(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        with ThreadPoolExecutor(6) as pool:
            assert {i.size for i in pool.map(storage.publish, [staged] * 6)} == {4}

    def test_discard_revokes_for_everyone(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        self.reopen(storage).discard(staged)
        assert storage.inspect(staged) is StagedState.GONE
        with pytest.raises(StagedGoneError):
            storage.publish(staged)
        assert keys(storage) == []

    def test_discard_twice_is_a_success(self, storage: Storage) -> None:
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

    def test_a_discarded_object_leaves_the_key_to_another(self, storage: Storage) -> None:
        staged = storage.stage("k", [b"data"])
        storage.discard(staged)
        storage.publish(storage.stage("k", [b"else"]))
        assert storage.inspect(staged) is StagedState.TAKEN
        with pytest.raises(ObjectExistsError):
            storage.publish(staged)

    def test_publish_and_discard_racing_agree_with_inspect(self, storage: Storage) -> None:
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
    def test_a_producer_that_raises_leaves_nothing(
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

    def assert_nothing_staged(self, storage: Storage) -> None:
        """Override it to look, by a back door, for what a failed ``stage`` left behind."""

    # --- keys ----------------------------------------------------------------------

    @pytest.mark.parametrize("key", REFUSED_KEYS, ids=ascii)
    def test_a_key_that_is_none_is_refused(self, storage: Storage, key: str) -> None:
        writers: list[Callable[[], object]] = [
            lambda: storage.create(key, b""),
            lambda: storage.stage(key, []),
        ]
        for write in writers:
            with pytest.raises(InvalidKeyError):
                write()
        reader: Callable[[], BinaryIO] = lambda: storage.open(key)  # noqa: E731
        with pytest.raises((InvalidKeyError, ObjectNotFoundError)):
            reader().close()
        assert keys(storage) == []

    # --- the optional powers -----------------------------------------------------------

    @pytest.fixture
    def composer(self, storage: Storage) -> SupportsCompose:
        """The storage, if it can compose."""
        if not isinstance(storage, SupportsCompose):
            pytest.skip("this storage does not support compose")
        return storage

    def parts(self, storage: Storage, sizes: Sequence[int]) -> list[ObjectInfo]:
        """Visible objects of these sizes."""
        data = sample_bytes(max(sizes, default=0))
        return [storage.create(f"parts/{n}", data[:size]) for n, size in enumerate(sizes)]

    @pytest.mark.parametrize(
        ("header", "sizes"),
        [
            (b"", ()),
            (b"", (0,)),
            (b"head\n", ()),
            (b"head\n", (3, 0, 4)),
            (b"", (5 * _MIB,)),
            (b"head\n", (5 * _MIB + 1, 1)),
            (b"head\n", (7, 6 * _MIB, 9, 2, 10 * _MIB, 5 * _MIB, 1)),
        ],
        ids=str,
    )
    def test_compose_puts_one_part_behind_the_other(
        self, storage: Storage, composer: SupportsCompose, header: bytes, sizes: Sequence[int]
    ) -> None:
        parts = self.parts(storage, sizes)
        expected = header + b"".join(read(storage, part.key) for part in parts)
        staged = composer.compose("a/whole.csv", parts, header=header)
        assert keys(storage, "a/") == []
        assert (staged.key, staged.size) == ("a/whole.csv", len(expected))
        assert staged.sha256 in {None, hashlib.sha256(expected).hexdigest()}
        carried = StagedObject.from_json(json.loads(json.dumps(staged.to_json())))
        other = self.reopen(storage)
        assert other.inspect(carried) is StagedState.STAGED
        assert other.publish(carried).size == len(expected)
        assert read(storage, "a/whole.csv") == expected
        assert keys(storage, "parts/") == sorted(part.key for part in parts)

    def test_what_is_composed_is_staged_like_all_else(
        self, storage: Storage, composer: SupportsCompose
    ) -> None:
        parts = self.parts(storage, (3, 4))
        dropped, won = composer.compose("k", parts), composer.compose("k", parts)
        lost = composer.compose("k", parts, header=b"another")
        storage.discard(dropped)
        with pytest.raises(StagedGoneError):
            storage.publish(dropped)
        storage.publish(won)
        with pytest.raises(ObjectExistsError):
            storage.publish(lost)
        storage.discard(lost)
        assert storage.inspect(won) is StagedState.PUBLISHED
        assert storage.inspect(lost) is StagedState.TAKEN

    @pytest.mark.parametrize("size", [2, 6 * _MIB])
    def test_compose_takes_only_the_parts_that_were_meant(
        self, storage: Storage, composer: SupportsCompose, size: int
    ) -> None:
        (part,) = self.parts(storage, (size,))
        absent = ObjectInfo(key="parts/absent", size=size, url=part.url)
        with pytest.raises(ObjectNotFoundError):
            composer.compose("k", [part, absent])
        for wrong in (size - 1, size + 1):
            changed = ObjectInfo(key=part.key, size=wrong, url=part.url)
            with pytest.raises(ObjectChangedError):
                composer.compose("k", [part, changed])
        assert keys(storage) == ["parts/0"]
        self.assert_nothing_staged(storage)

    @pytest.mark.parametrize("key", REFUSED_KEYS, ids=ascii)
    def test_compose_refuses_a_key_that_is_none(self, composer: SupportsCompose, key: str) -> None:
        with pytest.raises(InvalidKeyError):
            composer.compose(key, [])

    def test_delete_if_it_is_supported(self, storage: Storage) -> None:
        if not isinstance(storage, SupportsDelete):
            pytest.skip("this storage does not support delete")
        storage.create("k", b"data")
        storage.delete("k")
        storage.delete("k")
        assert keys(storage) == []
        storage.create("k", b"again")

    def test_replace_if_it_is_supported(self, storage: Storage) -> None:
        if not isinstance(storage, SupportsReplace):
            pytest.skip("this storage does not support replace")
        old = storage.publish(storage.stage("k", [b"old"]))
        other = storage.create("other", b"old")
        for key, there in (("k", old), ("other", other), ("new", None)):
            staged = StagedObject.from_json(storage.stage(key, [b"newer"]).to_json())
            assert there is None or read(storage, key) == b"old"
            for _ in range(2):
                assert storage.replace(staged).size == 5
                assert read(storage, key) == b"newer"
                assert storage.inspect(staged) is StagedState.PUBLISHED
            storage.discard(staged)
            assert read(storage, key) == b"newer"
        assert keys(storage) == ["k", "new", "other"]
        self.assert_nothing_staged(storage)

    def test_what_was_discarded_or_replaced_in_turn_replaces_nothing(
        self, storage: Storage
    ) -> None:
        if not isinstance(storage, SupportsReplace):
            pytest.skip("this storage does not support replace")
        first, second, third = (storage.stage("k", [f"{n}".encode()]) for n in range(3))
        storage.replace(first)
        storage.replace(second)
        storage.discard(third)
        for staged in (first, third):
            with pytest.raises(StagedGoneError):
                storage.replace(staged)
        assert read(storage, "k") == b"1"
