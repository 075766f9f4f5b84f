"""The backends that need no network: the contract, and what is special to a folder."""

import errno
import importlib.util
import os
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import LocalStorage, MemoryStorage, Storage
from amplitude_cohort_s3.errors import (
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StagedGoneError,
    StorageUnsuitableError,
)
from amplitude_cohort_s3.storage import StagedState, SupportsDelete
from amplitude_cohort_s3.storage._local_names import decode_segment, encode_segment
from amplitude_cohort_s3.storage.local import STAGING_FOLDER
from amplitude_cohort_s3.testing import strategies
from amplitude_cohort_s3.testing.storage_contract import ODD_KEYS, StorageContract


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
        assert staged_files(storage) == []


@pytest.fixture
def local(tmp_path) -> LocalStorage:
    return LocalStorage(tmp_path / "root")


def staged_files(storage):
    folder = storage.root / STAGING_FOLDER
    return list(folder.iterdir()) if folder.exists() else []


def keys(storage):
    return [info.key for info in storage.list_objects()]


def test_both_are_storages_that_support_delete(local):
    for storage in (MemoryStorage(), local):
        assert isinstance(storage, Storage)
        assert isinstance(storage, SupportsDelete)


def test_looking_at_a_folder_does_not_make_it(local):
    assert keys(local) == []
    with pytest.raises(ObjectNotFoundError):
        local.open("k")
    local.delete("k")
    assert not local.root.exists()


def test_a_key_is_the_path_of_its_file(local):
    info = local.create("cohorts/a b.csv", b"data")
    path = local.root / "cohorts" / "a b.csv"
    assert path.read_bytes() == b"data"
    assert info.url == path.as_uri()
    assert info.last_modified is not None
    assert info.last_modified.tzinfo is not None


def test_the_folder_of_staged_files_is_never_listed_and_is_no_place_for_keys(local):
    local.stage("k", [b"x"])
    assert len(staged_files(local)) == 1
    assert keys(local) == []
    for key in (STAGING_FOLDER, f"{STAGING_FOLDER}/k"):
        for act in (lambda key=key: local.create(key, b""), lambda key=key: local.stage(key, [])):
            with pytest.raises(InvalidKeyError):
                act()
    local.create(f"a/{STAGING_FOLDER}", b"")  # elsewhere it is a name as any other
    assert keys(local) == [f"a/{STAGING_FOLDER}"]


def test_whatever_becomes_of_a_staged_file_none_stays_behind(local):
    published, discarded = local.stage("a", [b"x"]), local.stage("b", [b"x"])
    local.publish(published)
    local.discard(discarded)
    local.create("c", b"x")
    local.create("c", b"x")
    with pytest.raises(ObjectExistsError):
        local.create("c", b"other")
    assert staged_files(local) == []


def test_a_publish_that_died_after_its_link_is_finished_by_the_next(local, monkeypatch):
    staged = local.stage("a/k", [b"data"])
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", raise_error(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            local.publish(staged)
    assert local.inspect(staged) is StagedState.PUBLISHED
    assert local.publish(staged).size == 4
    assert staged_files(local) == []


def test_a_restored_backup_is_known_by_its_bytes(local):
    staged = local.stage("k", [b"data"])
    local.publish(staged)
    path = local.root / "k"
    path.unlink()
    path.write_bytes(b"data")
    os.utime(path, (0, 0))
    assert local.inspect(staged) is StagedState.PUBLISHED
    path.write_bytes(b"atad")
    assert local.inspect(staged) is StagedState.TAKEN


def test_a_folder_in_its_place_is_another_object(local):
    staged = local.stage("k", [bytes(4096)])
    (local.root / "k").mkdir()
    os.truncate(local.root / STAGING_FOLDER / staged.handle["file"], 0)
    for _ in range(2):
        assert local.inspect(staged) is StagedState.TAKEN
        local.discard(staged)


# --- Power cuts -------------------------------------------------------------------------


class Disk:
    """Writes down what is done to names and files, and knows what a power cut would leave."""

    def __init__(self, monkeypatch):
        self.events = []
        self.note(monkeypatch, "mkdir", lambda path, *_: Path(path))
        self.note(monkeypatch, "link", lambda source, target: (Path(source), Path(target)))
        self.note(monkeypatch, "unlink", Path)
        self.note(monkeypatch, "fsync", lambda fd: Path(f"/proc/self/fd/{fd}").readlink())

    def note(self, monkeypatch, name, describe):
        real = getattr(os, name)

        def noted(*args):
            what = describe(*args)
            real(*args)
            self.events.append((name, what))

        monkeypatch.setattr(os, name, noted)

    def syncs_after(self, index, path):
        return ("fsync", path) in self.events[index + 1 :]

    def check(self):
        """That each name is on the disk, what it leads to too, and nothing came too early."""
        for index, (name, what) in enumerate(self.events):
            if name == "mkdir":
                used = (
                    later
                    for later, (n, w) in enumerate(self.events)
                    if later > index and what in (w[1] if n == "link" else w).parents
                )
                synced = self.events.index(("fsync", what.parent), index)
                assert synced < next(used, synced + 1), f"{what} was used before it was safe"
            if name == "link":
                source, target = what
                assert ("fsync", source) in self.events[:index], "linked before its bytes are safe"
                assert self.syncs_after(index, target.parent), f"{target} may vanish"
                removed = self.events.index(("unlink", source), index)
                assert removed > index
            if name == "unlink" and what.parent.name != STAGING_FOLDER:
                assert self.syncs_after(index, what.parent), f"{what} may come back"


@pytest.fixture
def disk(monkeypatch):
    # Where Python calls the functions of os itself, it looks them up there.
    return Disk(monkeypatch)


def test_what_a_verb_has_done_a_power_cut_does_not_undo(local, disk):
    local.create("new/folder/a", b"x")
    disk.check()
    staged = local.stage("other/b", [b"x"])
    local.publish(staged)
    disk.check()
    discarded = local.stage("other/c", [b"x"])
    disk.events.clear()
    local.discard(discarded)
    file = local.root / STAGING_FOLDER / discarded.handle["file"]
    assert disk.events == [("unlink", file), ("fsync", file.parent)]
    local.delete("other/b")
    disk.check()
    assert ("unlink", local.root / "other" / "b") in disk.events


def test_what_another_began_and_did_not_sync_is_synced(local, disk):
    """It may have died between its step and its sync."""
    (local.root / "made by another").mkdir(parents=True)
    disk.events.clear()
    local.create("made by another/a", b"x")
    assert ("fsync", local.root) in disk.events
    staged = local.stage("made by another/b", [b"x"])
    for again in (
        lambda: local.create("made by another/a", b"x"),
        lambda: local.publish(staged),
        lambda: local.publish(staged),
    ):
        disk.events.clear()
        again()
        assert ("fsync", local.root / "made by another") in disk.events


def raise_error(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize(
    "code",
    [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV],
    ids=errno.errorcode.get,
)
def test_a_file_system_without_hard_links_is_a_clear_error(local, monkeypatch, code):
    staged = local.stage("k", [b"x"])
    monkeypatch.setattr(os, "link", raise_error(OSError(code, os.strerror(code))))
    for act in (lambda: local.create("c", b""), lambda: local.publish(staged)):
        with pytest.raises(StorageUnsuitableError) as caught:
            act()
        assert "hard links" in caught.value.lacks
        assert caught.value.__cause__.errno == code
    assert keys(local) == []
    assert local.inspect(staged) is StagedState.STAGED


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_other_failures_come_out_as_they_are_and_never_as_gone(local, monkeypatch, code):
    staged = local.stage("k", [b"x"])
    monkeypatch.setattr(os, "link", raise_error(OSError(code, os.strerror(code))))
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        local.publish(staged)
    assert not isinstance(caught.value, StagedGoneError)
    assert local.inspect(staged) is StagedState.STAGED


def test_a_disk_that_is_full_while_staging_leaves_nothing(local, monkeypatch):
    monkeypatch.setattr(os, "fsync", raise_error(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        local.stage("k", [b"x"])
    assert keys(local) == []
    assert staged_files(local) == []


# --- Keys that can't be files ---------------------------------------------------------


def test_a_key_never_climbs_out_of_the_root(local, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    local.root.mkdir()
    (local.root / "link").symlink_to(outside, target_is_directory=True)
    (local.root / "file").symlink_to(outside / "secret")
    (local.root / "circle").symlink_to(local.root, target_is_directory=True)
    for key in (
        "../outside/secret",
        "link/../../outside/secret",
        "link/secret",
        "file",
        "link/new",
    ):
        for act in (
            lambda key=key: local.open(key),
            lambda key=key: local.create(key, b"x"),
            lambda key=key: local.stage(key, [b"x"]),
            lambda key=key: local.delete(key),
        ):
            with pytest.raises(InvalidKeyError):
                act()
    assert keys(local) == []
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_a_handle_that_was_edited_never_reaches_another_file(local):
    staged = local.stage("k", [b"x"])
    (local.root / "victim").write_bytes(b"")
    for name in ("../victim", "victim", "", "/etc/passwd", "0" * 32 + "\n"):
        edited = type(staged).from_json(
            staged.to_json() | {"handle": staged.handle | {"file": name}}
        )
        for act in (local.publish, local.discard, local.inspect):
            with pytest.raises(InvalidKeyError):
                act(edited)
    assert (local.root / "victim").exists()


@pytest.mark.parametrize("key", ["x" * 256, "a/" + "x" * 256, "there/too"])
def test_what_could_never_be_published_is_refused_when_it_is_staged(local, key):
    local.create("there", b"")
    for act in (lambda: local.stage(key, [b"x"]), lambda: local.create(key, b"x")):
        with pytest.raises(InvalidKeyError):
            act()
    assert keys(local) == ["there"]
    assert staged_files(local) == []


def test_files_of_others_are_listed_as_they_are(local):
    local.root.mkdir()
    (local.root / "folder" / "empty").mkdir(parents=True)
    (local.root / "folder" / "notes.txt").write_bytes(b"abc")
    (local.root / "dangling").symlink_to("nowhere")
    os.mkfifo(local.root / "pipe")
    with open(os.fsencode(local.root) + b"/not-utf8-\xff", "wb"):  # noqa: PTH123 -- bytes
        pass
    assert keys(local) == ["folder/notes.txt"]


# --- Windows --------------------------------------------------------------------------


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc",), exclude_characters="/"), min_size=1
    )
    | strategies.file_names().map(str)
    | st.sampled_from(
        ["con", "CON.csv", "nul.", "a.", "a ", "..", "...", "%3A", "lpt1", "com", "%"]
    )
)
def test_law_decode_undoes_encode_of_a_segment(segment):
    for windows in (True, False):
        assert decode_segment(encode_segment(segment, windows=windows), windows=windows) == segment


@given(
    st.text(st.sampled_from(list('ab<>:"|?*\\%. ')), min_size=1) | st.sampled_from(ODD_KEYS[4:11])
)
def test_an_encoded_segment_is_a_name_that_windows_takes(segment):
    encoded = encode_segment(segment.replace("/", ""), windows=True)
    assert not set(encoded) & set('<>:"|?*\\')
    assert not encoded.endswith((".", " "))


@pytest.mark.parametrize("device", ["con", "CON", "aux.csv", "Lpt1", "com9.tar.gz", "NUL"])
def test_the_names_of_devices_are_encoded_for_windows(device):
    encoded = encode_segment(device, windows=True)
    assert encoded.startswith("%")
    assert decode_segment(encoded, windows=True) == device


def test_elsewhere_names_are_as_they_are():
    assert encode_segment('a:b%3A".', windows=False) == 'a:b%3A".'


# --- Memory ---------------------------------------------------------------------------


def test_memory_is_safe_while_others_write():
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


# --- Someone else's -------------------------------------------------------------------


def third_party_storage():
    place = Path(__file__).parents[1] / "typing" / "third_party_storage.py"
    spec = importlib.util.spec_from_file_location("third_party_storage", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.DictStorage()


class TestDocumentedStorage(StorageContract):
    """The one of docs/how-to/your_own_storage.md."""

    @pytest.fixture
    def storage(self, tmp_path) -> Storage:
        page = Path(__file__).parents[2] / "docs" / "how-to" / "your_own_storage.md"
        names = {}
        exec(
            re.search(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)[1],
            names,
        )
        return names["SqliteStorage"](tmp_path / "bucket.db")

    def reopen(self, storage):
        return type(storage)(storage.path)


class TestThirdPartyStorage(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return third_party_storage()
