"""LocalStorage: file systems that miss something, and folders that change or refuse access."""

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path

import pytest
from other_account import as_another_account, as_root

from amplitude_cohort_s3 import LocalStorage
from amplitude_cohort_s3.errors import (
    FileAccessError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRefusedError,
    UnsuitableStorageError,
)
from amplitude_cohort_s3.storage import StagedState
from amplitude_cohort_s3.storage.local import STAGING_FOLDER

posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")


@pytest.fixture
def local(tmp_path) -> LocalStorage:
    return LocalStorage(tmp_path / "root")


def keys(storage):
    return [info.key for info in storage.list_objects()]


def staged_files(storage):
    return [path for path in (storage.root / STAGING_FOLDER).rglob("*") if path.is_file()]


# --- Names ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["p/10:30.csv", "10:30/p.csv"])
def test_a_file_system_that_reports_a_forbidden_name_as_a_missing_folder_is_reported(
    local, monkeypatch, key
):
    """As exFAT does if a name has a colon."""
    real = os.mkdir

    def mkdir(path, *args, **options):
        if ":" in str(path):
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        real(path, *args, **options)

    monkeypatch.setattr(os, "mkdir", mkdir)
    for act in (local.stage, lambda key, chunks: local.create(key, b"".join(chunks))):
        with pytest.raises(ObjectRefusedError, match="forbids one of its characters"):
            act(key, [b"rows"])
    assert staged_files(local) == keys(local) == []


def test_a_file_system_that_changes_names_is_reported_before_anything_is_staged(local, monkeypatch):
    """As NTFS does under Linux with the option ignore_case: it lists all names in lower case."""
    real, read = os.listdir, []
    monkeypatch.setattr(os, "listdir", lambda path: [name.lower() for name in real(path)])
    for key in ("Upper/k", "Upper"):
        with pytest.raises(ObjectRefusedError, match="'Upper' under another spelling"):
            local.stage(key, (read.append(chunk) or chunk for chunk in [b"rows"]))
    assert read == staged_files(local) == []
    local.publish(local.stage("lower", [b"rows"]))
    assert keys(local) == ["lower"]


def ignore_case(monkeypatch, top):
    """Make the names below a folder lead to files of any letter case."""

    def found(path):
        if top not in Path(path).parents:
            return path
        folder, name = found(Path(path).parent), Path(path).name
        with contextlib.suppress(OSError):
            name = {n.lower(): n for n in os.listdir(folder)}.get(name.lower(), name)  # noqa: PTH208
        return Path(folder) / name

    def ignoring(call, paths):
        return lambda *args, **options: call(
            *(found(a) if isinstance(a, str | Path) else a for a in args[:paths]),
            *args[paths:],
            **options,
        )

    for name in ("stat", "mkdir", "open", "unlink", "rmdir", "link"):
        monkeypatch.setattr(os, name, ignoring(getattr(os, name), 2 if name == "link" else 1))


@posix
def test_if_letter_case_is_ignored_a_key_never_opens_the_file_of_another(
    local, monkeypatch, tmp_path
):
    """As NTFS, exFAT and APFS do: two streams `abc` and `ABC` would share one log."""
    local.create("p/1_abc/1.json", b"x")
    ignore_case(monkeypatch, tmp_path)
    local = LocalStorage(local.root)
    for key in ("p/1_ABC/1.json", "p/1_abc/1.JSON", "P/1_abc/1.json", "p/1_ABC/2.json"):
        for act in (lambda key: local.create(key, b"x"), lambda key: local.stage(key, [b"x"])):
            with pytest.raises(ObjectRefusedError, match="another spelling"):
                act(key)
    local.create("p/1_abc/1.json", b"x")
    local.create("p/1_abc/2.json", b"x")
    assert staged_files(local) == []


# --- What a folder may contain ------------------------------------------------------------


@posix
def test_a_pipe_is_not_an_object_and_does_not_block_a_call(local):
    local.create("log/1", b"x")
    os.mkfifo(local.root / "log" / "2")
    assert keys(local) == ["log/1"]
    with pytest.raises(ObjectNotFoundError):
        local.open("log/2")
    with pytest.raises(ObjectExistsError):
        local.create("log/2", b"x")
    staged = local.stage("log/2", [b"x"])
    assert local.inspect(staged) is StagedState.TAKEN


def test_a_time_that_datetime_can_not_express_does_not_stop_a_listing(local, monkeypatch):
    local.create("k", b"x")
    staged = local.stage("s", [b"x"])
    real = os.stat

    class OddTime:
        def __init__(self, status):
            self._status = status

        def __getattr__(self, name):
            return 1e15 if name == "st_mtime" else getattr(self._status, name)

    monkeypatch.setattr(os, "stat", lambda *args, **options: OddTime(real(*args, **options)))
    assert [(info.key, info.last_modified) for info in local.list_objects()] == [("k", None)]
    (found,) = local.list_staged()
    assert found.is_same(staged)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_can_not_flush_a_folder_is_reported(local, monkeypatch, code):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UnsuitableStorageError, match="flush"):
        local.stage("k", [b"x"])
    assert staged_files(local) == []


# --- The root ---------------------------------------------------------------------------


@posix
def test_an_unmounted_disk_is_not_an_empty_bucket(tmp_path):
    """The folder at which a disk was mounted stays, and is empty."""
    here, there = tmp_path / "here", Path("/dev/shm") / f"root-{os.getpid()}"
    here.mkdir()
    if not there.parent.is_dir() or there.parent.stat().st_dev == here.stat().st_dev:
        pytest.skip("needs two disks")
    there.mkdir()
    root = tmp_path / "root"
    try:
        root.symlink_to(there)
        storage = LocalStorage(root)
        storage.create("k", b"x")
        root.unlink()
        root.symlink_to(here)
        for act in (lambda: keys(storage), lambda: storage.create("k", b"x")):
            with pytest.raises(UnsuitableStorageError, match="was mounted there before"):
                act()
        assert list(here.iterdir()) == []
        (here / "k").write_bytes(b"restored")
        assert keys(storage) == ["k"]
    finally:
        shutil.rmtree(there)


@pytest.mark.parametrize("name", ["mkdir", "open", "link", "fsync", "unlink"])
def test_a_root_that_disappears_during_a_call_is_not_made_again(local, monkeypatch, name):
    local.create("first", b"x")
    elsewhere = local.root.with_name("elsewhere")
    real = getattr(os, name)

    def call(*args, **options):
        if local.root.exists():
            local.root.rename(elsewhere)
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, call)
        with pytest.raises(OSError, match=r"was there before|No such file"):
            local.create("a/b", b"x")
    assert not local.root.exists()
    elsewhere.rename(local.root)
    local.create("a/b", b"x")
    assert keys(local) == ["a/b", "first"]


# --- Other accounts -----------------------------------------------------------------------


@as_root
@pytest.mark.parametrize("mode", [0o000, 0o111, 0o333, 0o444, 0o555, 0o666])
@pytest.mark.parametrize("part", ["", "p", STAGING_FOLDER, f"{STAGING_FOLDER}/p"])
def test_refused_access_is_one_error_and_never_looks_like_an_absent_file(
    local, tmp_path, part, mode
):
    local.create("p/k", b"x")
    staged = local.stage("p/s", [b"x"])
    for path in (tmp_path, *tmp_path.parents[:3], *local.root.rglob("*"), local.root):
        path.chmod(0o777)
    (local.root / part).chmod(mode)
    acts = {
        "list_objects": lambda: keys(local),
        "list_staged": lambda: list(local.list_staged()),
        "open": lambda: local.open("p/k").close(),
        "create": lambda: local.create("p/new", b"x"),
        "same": lambda: local.create("p/k", b"x"),
        "stage": lambda: local.stage("p/new", [b"x"]),
        "inspect": lambda: local.inspect(staged) is StagedState.STAGED or local.open("absent"),
        "publish": lambda: local.publish(staged),
        "replace": lambda: local.replace(staged),
        "discard": lambda: local.discard(staged),
        "delete": lambda: local.delete("p/k"),
    }
    kinds = [text.partition(":")[0] for text in as_another_account(*acts.values())]
    assert set(kinds) <= {"nothing", "FileAccessError"}, dict(zip(acts, kinds, strict=True))
    assert "FileAccessError" in kinds


@posix
def test_a_link_in_place_of_a_staged_file_opens_no_other_file(local, tmp_path):
    private = tmp_path / "private"
    private.write_bytes(b"x")
    private.chmod(0o600)
    staged = local.stage("k", [b"x"])
    path = local.root / STAGING_FOLDER / "k" / staged.handle["file"]
    path.unlink()
    path.symlink_to(private)
    for act in (local.publish, local.replace, local.inspect, local.discard):
        with pytest.raises(FileAccessError, match="symbolic link"):
            act(staged)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert keys(local) == []
