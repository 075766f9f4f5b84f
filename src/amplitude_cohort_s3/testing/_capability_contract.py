"""The storage contract's tests of the optional capabilities."""

import hashlib
import json
from collections.abc import Sequence

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
    SupportsListStaged,
    SupportsReplace,
    SupportsStageFile,
)
from ._storage_contract_base import REFUSED_KEYS, StorageContractBase, keys, read

_MIB = 1 << 20


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class CapabilityContract(StorageContractBase):
    """One test for each promise of the optional capabilities.

    A test is skipped if the storage does not have its capability.
    """

    @pytest.fixture
    def composer(self, storage: Storage) -> SupportsCompose:
        """Return the storage, or skip the test if it can't compose."""
        if not isinstance(storage, SupportsCompose):
            pytest.skip("this storage does not support compose")
        return storage

    def parts(self, storage: Storage, sizes: Sequence[int]) -> list[ObjectInfo]:
        """Create objects of these sizes."""
        # No 8 bytes occur twice, so a lost, repeated or misplaced range is detected.
        data = b"".join(b"%07d\n" % n for n in range(max(sizes, default=0) // 8 + 1))
        return [storage.create(f"parts/{n}", data[:size]) for n, size in enumerate(sizes)]

    @pytest.mark.parametrize(
        ("header", "sizes"),
        [
            pytest.param(b"", (), id="nothing"),
            pytest.param(b"", (0,), id="an empty part"),
            pytest.param(b"head\n", (), id="only a header"),
            pytest.param(b"head\n", (3, 0, 4), id="small parts"),
            pytest.param(b"", (5 * _MIB,), id="a large part"),
            pytest.param(b"head\n", (5 * _MIB + 1, 1), id="large and small"),
            pytest.param(b"head\n", (7, 6 * _MIB, 9, 2, 10 * _MIB, 5 * _MIB, 1), id="many parts"),
        ],
    )
    def test_compose_joins_header_and_parts(
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

    def test_composed_object_behaves_like_any_staged_object(
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

    @pytest.mark.parametrize("size", [2, 6 * _MIB], ids=["small", "large"])
    def test_compose_refuses_missing_and_changed_parts(
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

    @pytest.mark.parametrize("key", REFUSED_KEYS.values(), ids=REFUSED_KEYS)
    def test_compose_refuses_an_unusable_key(self, composer: SupportsCompose, key: str) -> None:
        with pytest.raises(InvalidKeyError):
            composer.compose(key, [])

    def test_list_staged_finds_what_is_staged_and_nothing_else(self, storage: Storage) -> None:
        if not isinstance(storage, SupportsListStaged):
            pytest.skip("this storage does not support list_staged")
        assert list(storage.list_staged()) == []
        staged = [storage.stage(key, [b"data"]) for key in ("a/b", "a/b", "a/bc", "ab", "z")]
        published = storage.stage("a/x", [b"data"])
        storage.publish(published)
        for prefix in ("", "a/", "a/b", "z", "none"):
            wanted = [s for s in staged if s.key.startswith(prefix)]
            found = list(storage.list_staged(prefix))
            assert sorted(i.staged.key for i in found) == sorted(s.key for s in wanted)
            for info in found:
                assert [info.is_same(s) for s in staged].count(True) == 1
                assert info.begun.tzinfo is not None
        for info in storage.list_staged("a/"):
            storage.discard(info.staged)
        assert [info.staged.key for info in storage.list_staged("a/")] == []
        assert storage.inspect(staged[0]) is StagedState.GONE
        assert storage.inspect(staged[3]) is StagedState.STAGED

    @pytest.fixture
    def file_storage(self, storage: Storage) -> SupportsStageFile:
        """Return the storage, or skip the test if it can't take over files."""
        if not isinstance(storage, SupportsStageFile):
            pytest.skip("this storage does not support stage_file")
        return storage

    @pytest.mark.parametrize("data", [b"", b"0123456789", b"x" * (3 * _MIB + 1)], ids=len)
    @pytest.mark.parametrize("inside", [True, False], ids=["work folder", "another folder"])
    def test_staged_file_is_a_staged_object(
        self,
        storage: Storage,
        file_storage: SupportsStageFile,
        tmp_path_factory: pytest.TempPathFactory,
        data: bytes,
        inside: bool,  # noqa: FBT001
    ) -> None:
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        with file_storage.work_folder("a/k.csv") as folder:
            path = (folder if inside else elsewhere) / "file"
            path.write_bytes(data)
            staged = file_storage.stage_file("a/k.csv", path, sha256=_digest(data))
            assert keys(storage) == []
            with pytest.raises(ObjectNotFoundError):
                storage.open("a/k.csv").close()
        path.unlink(missing_ok=True)
        assert (staged.key, staged.size, staged.sha256) == ("a/k.csv", len(data), _digest(data))
        carried = StagedObject.from_json(json.loads(json.dumps(staged.to_json())))
        other = self.reopen(storage)
        assert other.inspect(carried) is StagedState.STAGED
        for _ in range(2):
            assert other.publish(carried).size == len(data)
            assert other.inspect(carried) is StagedState.PUBLISHED
        assert keys(storage) == ["a/k.csv"]
        assert read(storage, "a/k.csv") == data
        self.assert_nothing_staged(storage)

    def test_file_can_be_staged_again_in_each_state(
        self, storage: Storage, file_storage: SupportsStageFile
    ) -> None:
        with file_storage.work_folder("k") as folder:
            path = folder / "file"
            path.write_bytes(b"data")
            digest = _digest(b"data")
            staged = [file_storage.stage_file(key, path, sha256=digest) for key in ("k", "l", "m")]
            storage.publish(staged[0])
            storage.discard(staged[1])
            staged.append(file_storage.stage_file("l", path, sha256=digest))
            assert path.read_bytes() == b"data"
        with pytest.raises(StagedGoneError):
            storage.publish(staged[1])
        assert [storage.inspect(one) for one in staged[2:]] == [StagedState.STAGED] * 2
        for one in staged[2:]:
            storage.publish(one)
        assert {key: read(storage, key) for key in keys(storage)} == dict.fromkeys("klm", b"data")

    def test_staged_file_can_be_discarded(
        self, storage: Storage, file_storage: SupportsStageFile
    ) -> None:
        with file_storage.work_folder("k") as folder:
            path = folder / "file"
            path.write_bytes(b"data")
            staged = file_storage.stage_file("k", path, sha256=_digest(b"data"))
            self.reopen(storage).discard(staged)
            assert storage.inspect(staged) is StagedState.GONE
            with pytest.raises(StagedGoneError):
                storage.publish(staged)
        assert keys(storage) == []
        self.assert_nothing_staged(storage)

    def test_missing_file_is_not_staged(
        self, storage: Storage, file_storage: SupportsStageFile
    ) -> None:
        with file_storage.work_folder("k") as folder, pytest.raises(FileNotFoundError):
            file_storage.stage_file("k", folder / "absent", sha256=_digest(b""))
        self.assert_nothing_staged(storage)

    @pytest.mark.parametrize("key", REFUSED_KEYS.values(), ids=REFUSED_KEYS)
    def test_file_is_not_staged_under_an_unusable_key(
        self, file_storage: SupportsStageFile, key: str
    ) -> None:
        with file_storage.work_folder("k") as folder:
            path = folder / "file"
            path.write_bytes(b"data")
            with pytest.raises(InvalidKeyError):
                file_storage.stage_file(key, path, sha256=_digest(b"data"))
            with pytest.raises(InvalidKeyError), file_storage.work_folder(key):
                pass

    def test_work_folder_of_a_dead_process_is_listed_and_can_be_discarded(
        self, storage: Storage, file_storage: SupportsStageFile
    ) -> None:
        if not isinstance(storage, SupportsListStaged):
            pytest.skip("this storage does not support list_staged")
        left = file_storage.work_folder("a/b")
        folder = left.__enter__()
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_bytes(b"data")
        with file_storage.work_folder("a/c") as other:
            assert [info.staged.key for info in storage.list_staged("a/b")] == ["a/b"]
            assert sorted(info.staged.key for info in storage.list_staged("a/")) == ["a/b", "a/c"]
            assert list(storage.list_staged("b")) == []
            (info,) = storage.list_staged("a/b")
            assert info.begun.tzinfo is not None
            for _ in range(2):
                self.reopen(storage).discard(info.staged)
            assert not folder.exists()
            assert other.exists()
        left.__exit__(None, None, None)
        assert list(storage.list_staged()) == []
        assert keys(storage) == []

    def test_delete_removes_an_object(self, storage: Storage) -> None:
        if not isinstance(storage, SupportsDelete):
            pytest.skip("this storage does not support delete")
        storage.create("k", b"data")
        storage.delete("k")
        storage.delete("k")
        assert keys(storage) == []
        storage.create("k", b"again")

    def test_replace_overwrites_an_object(self, storage: Storage) -> None:
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

    def test_discarded_or_replaced_object_replaces_nothing(self, storage: Storage) -> None:
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
