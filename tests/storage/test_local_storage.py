"""LocalStorage: files, links, power cuts, and keys that can't be files."""

import errno
import os
import pickle
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from other_account import as_another_account, as_root

from amplitude_cohort_s3 import LocalStorage
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    FileAccessError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRefusedError,
    StagedGoneError,
    UnsuitableStorageError,
)
from amplitude_cohort_s3.storage import StagedState
from amplitude_cohort_s3.storage._local_files import FlushedFolders
from amplitude_cohort_s3.storage.local import STAGING_FOLDER


@pytest.fixture
def local(tmp_path) -> LocalStorage:
    return LocalStorage(tmp_path / "root")


def staged_files(storage):
    return [path for path in (storage.root / STAGING_FOLDER).rglob("*") if path.is_file()]


def staged_path(storage, staged):
    return storage.root / STAGING_FOLDER / staged.key / staged.handle["file"]


def keys(storage):
    return [info.key for info in storage.list_objects()]


def test_reading_does_not_create_the_root_folder(local):
    assert keys(local) == []
    with pytest.raises(ObjectNotFoundError):
        local.open("k")
    local.delete("k")
    assert not local.root.exists()


def test_a_key_is_the_path_of_its_file(local):
    info = local.create("cohorts/a b.csv", b"data")
    path = local.root / "cohorts" / "a b.csv"
    assert path.read_bytes() == b"data"
    assert info.url == f"file://{path}"
    assert info.last_modified is not None
    assert info.last_modified.tzinfo is not None


def test_the_staging_folder_is_never_listed_and_holds_no_keys(local):
    local.stage("k", [b"x"])
    assert len(staged_files(local)) == 1
    assert keys(local) == []
    for key in (STAGING_FOLDER, f"{STAGING_FOLDER}/k"):
        for act in (lambda key=key: local.create(key, b""), lambda key=key: local.stage(key, [])):
            with pytest.raises(InvalidKeyError):
                act()
    local.create(f"a/{STAGING_FOLDER}", b"")  # in a subfolder it is an ordinary name
    assert keys(local) == [f"a/{STAGING_FOLDER}"]


def test_no_staged_file_is_left_after_publish_discard_or_create(local):
    published, discarded = local.stage("a", [b"x"]), local.stage("b", [b"x"])
    local.publish(published)
    local.discard(discarded)
    local.create("c", b"x")
    local.create("c", b"x")
    with pytest.raises(ObjectExistsError):
        local.create("c", b"other")
    assert staged_files(local) == []


def test_writers_share_the_staging_folder_and_no_empty_folder_stays(local, monkeypatch):
    """Each removes folders that are empty, at the moment when another one needs them."""
    monkeypatch.setattr(os, "fsync", lambda _: None)

    def write(number):
        own = LocalStorage(local.root)
        for n in range(60):
            own.publish(own.stage(f"a/{number}/{n}", [b"x"]))
            own.create(f"a/{number}/{n}-log", b"x")
            own.discard(own.stage(f"a/shared/{n}", [b"x"]))

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(write, number) for number in range(8)]:
            done.result()
    assert len(keys(local)) == 960
    assert list((local.root / STAGING_FOLDER).iterdir()) == []


def test_publish_completes_a_publish_that_died_after_its_link(local, monkeypatch):
    staged = local.stage("a/k", [b"data"])
    with monkeypatch.context() as patch:
        patch.setattr(FlushedFolders, "remove_if_empty", raise_error(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            local.publish(staged)
    assert local.inspect(staged) is StagedState.PUBLISHED
    assert local.publish(staged).size == 4
    assert staged_files(local) == []


def test_replace_removes_the_staged_name_of_a_file_that_is_already_published(local):
    """Renaming one of two links to the same file does nothing, so the handle would stay."""
    staged = local.stage("k", [b"x"])
    os.link(staged_path(local, staged), local.root / "k")
    local.replace(staged)
    assert keys(local) == ["k"]
    assert staged_files(local) == []


def test_a_file_restored_from_a_backup_is_recognised_by_its_bytes(local):
    staged = local.stage("k", [b"data"])
    local.publish(staged)
    path = local.root / "k"
    path.unlink()
    path.write_bytes(b"data")
    os.utime(path, (0, 0))
    assert local.inspect(staged) is StagedState.PUBLISHED
    path.write_bytes(b"atad")
    assert local.inspect(staged) is StagedState.TAKEN


def test_a_folder_under_the_key_counts_as_another_object(local):
    staged = local.stage("k", [bytes(4096)])
    (local.root / "k").mkdir()
    os.truncate(staged_path(local, staged), 0)
    for _ in range(2):
        assert local.inspect(staged) is StagedState.TAKEN
        local.discard(staged)


def test_a_file_that_is_published_during_inspect_is_never_gone(local, monkeypatch):
    """A publisher makes the link and then removes the staged file: look in this order too."""
    real, seen = os.stat, []

    def inspect(staged, publish_at):
        def stat_and_publish(*args, **kwargs):
            seen.append(args)
            if len(seen) - 1 == publish_at:
                monkeypatch.setattr(os, "stat", real)
                LocalStorage(local.root).publish(staged)
            return real(*args, **kwargs)

        seen.clear()
        monkeypatch.setattr(os, "stat", stat_and_publish)
        state = local.inspect(staged)
        monkeypatch.setattr(os, "stat", real)
        return state

    assert inspect(local.stage("k", [b"data"]), None) is StagedState.STAGED
    assert len(seen) >= 2
    for look in range(len(seen)):
        staged = local.stage(f"k{look}", [b"data"])
        assert inspect(staged, look) in (StagedState.STAGED, StagedState.PUBLISHED)


def test_replace_uses_up_the_handle_of_a_file_that_was_published_before(local):
    """Its link and the new name are one file then, and a rename of the two does nothing."""
    first = local.stage("k", [b"first"])
    (path,) = staged_files(local)
    os.link(path, local.root / "k")
    local.replace(first)
    assert staged_files(local) == []
    local.replace(local.stage("k", [b"second"]))
    with pytest.raises(StagedGoneError):
        local.replace(first)
    assert (local.root / "k").read_bytes() == b"second"


def raise_error(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize(
    "code",
    [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV],
    ids=errno.errorcode.get,
)
def test_a_file_system_without_hard_links_is_reported(local, monkeypatch, code):
    staged = local.stage("k", [b"x"])
    monkeypatch.setattr(os, "link", raise_error(OSError(code, os.strerror(code))))
    for act in (lambda: local.create("c", b""), lambda: local.publish(staged)):
        with pytest.raises(UnsuitableStorageError) as caught:
            act()
        assert "hard links" in caught.value.lacks
        assert caught.value.__cause__.errno == code
    assert keys(local) == []
    assert local.inspect(staged) is StagedState.STAGED


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_other_errors_of_the_disk_are_raised_unchanged(local, monkeypatch, code):
    staged = local.stage("k", [b"x"])
    monkeypatch.setattr(os, "link", raise_error(OSError(code, os.strerror(code))))
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        local.publish(staged)
    assert not isinstance(caught.value, StagedGoneError)
    assert local.inspect(staged) is StagedState.STAGED


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EILSEQ])
def test_a_name_that_the_file_system_forbids_is_refused_before_anything_is_stored(
    local, monkeypatch, code
):
    """exFAT, NTFS and others forbid a colon, and answer so only when a file is created."""

    def checked(real, position):
        def act(*args, **kwargs):
            if ":" in Path(args[position]).name:
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        return act

    for name, position in {"open": 0, "mkdir": 0, "link": 1}.items():
        monkeypatch.setattr(os, name, checked(getattr(os, name), position))
    key = "p/1_a_2026-11-23T14:05_existing.csv"
    with pytest.raises(ObjectRefusedError, match=r'NameStyle\(separator="-"\)') as caught:
        local.stage(key, (pytest.fail("the chunks were read") for _ in [1]))
    assert caught.value.key == key
    assert staged_files(local) == []
    with pytest.raises(ObjectRefusedError):
        local.create(key, b"x")
    assert keys(local) == []
    assert staged_files(local) == []
    allowed = local.stage(key.replace(":", "-"), [b"x"])
    assert local.publish(allowed).size == 1


def test_nothing_is_staged_if_hard_links_are_impossible(local, monkeypatch):
    monkeypatch.setattr(os, "link", raise_error(OSError(errno.EPERM, "no links")))
    read = []
    with pytest.raises(UnsuitableStorageError, match="hard links"):
        local.stage("k", (read.append(chunk) or chunk for chunk in [b"the rows"]))
    assert read == []
    assert staged_files(local) == []


def test_a_full_disk_leaves_nothing_staged(local, monkeypatch):
    monkeypatch.setattr(os, "fsync", raise_error(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        local.stage("k", [b"x"])
    assert keys(local) == []
    assert staged_files(local) == []


# --- Keys that can't be files ---------------------------------------------------------


def test_no_key_reaches_a_file_outside_the_root(local, tmp_path):
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


def test_an_edited_handle_reaches_no_other_file(local):
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
def test_stage_refuses_a_key_that_can_not_become_a_file(local, key):
    local.create("there", b"")
    for act in (lambda: local.stage(key, [b"x"]), lambda: local.create(key, b"x")):
        with pytest.raises(InvalidKeyError):
            act()
    assert keys(local) == ["there"]
    assert staged_files(local) == []


def test_foreign_files_are_listed_if_they_can_be_objects(local):
    local.root.mkdir()
    (local.root / "folder" / "empty").mkdir(parents=True)
    (local.root / "folder" / "notes.txt").write_bytes(b"abc")
    (local.root / "dangling").symlink_to("nowhere")
    os.mkfifo(local.root / "pipe")
    with open(os.fsencode(local.root) + b"/not-utf8-\xff", "wb"):  # noqa: PTH123 -- bytes
        pass
    assert keys(local) == ["folder/notes.txt"]


@pytest.mark.parametrize(
    "name", ["photos/holiday\x07.jpg", "p/1_a_note\n.txt", "/".join(["k" * 250] * 5)]
)
def test_a_foreign_name_that_can_not_be_a_key_does_not_stop_a_listing(local, name):
    local.create("p/x", b"")
    path = local.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert [key for key in keys(local) if key != name] == ["p/x"]
    assert list(local.list_objects("p/x"))


def test_folders_nested_deeper_than_any_key_do_not_stop_a_listing(local):
    local.create("a", b"")
    descriptor = os.open(local.root, os.O_RDONLY)
    for _ in range(1500):  # longer than any path that the system accepts
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    assert keys(local) == ["a"]
    subprocess.run(["rm", "-rf", local.root / "d"], check=True)


# --- The root ---------------------------------------------------------------------------


def test_a_root_that_disappeared_is_an_error_and_not_an_empty_bucket(local):
    staged = local.stage("k", [b"x"])
    local.root.rename(local.root.with_name("elsewhere"))
    for act in (
        lambda: keys(local),
        lambda: local.open("k"),
        lambda: local.create("new", b""),
        lambda: local.stage("new", [b""]),
        lambda: local.inspect(staged),
        lambda: local.publish(staged),
        lambda: list(local.list_staged()),
    ):
        with pytest.raises(UnsuitableStorageError, match="was there before"):
            act()
    assert not local.root.exists()


def test_a_relative_root_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = LocalStorage("bucket")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    storage.create("k", b"x")
    assert (tmp_path / "bucket" / "k").read_bytes() == b"x"
    assert list((tmp_path / "other").iterdir()) == []


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LocalStorage("~/bucket").root == tmp_path / "bucket"
    with pytest.raises(ConfigurationError, match="home folder"):
        LocalStorage("~there is no such user/bucket")


@pytest.mark.parametrize("url", ["s3://user:secret@bucket", "file:///x", "https://h/x", "s3:/b"])
def test_a_url_is_refused_as_a_root_and_not_shown(url):
    with pytest.raises(ConfigurationError, match="open_storage") as caught:
        LocalStorage(url)
    assert "secret" not in str(caught.value)


def test_a_pickled_storage_has_the_same_root(local):
    assert pickle.loads(pickle.dumps(local)).root == local.root


# --- Permissions ------------------------------------------------------------------------


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_published_files_follow_the_umask_and_staged_ones_are_private(local, umask, mode):
    before = os.umask(umask)
    try:
        staged = local.stage("a/staged", [b"x"])
        assert staged_path(local, staged).stat().st_mode & 0o777 == 0o600
        local.publish(staged)
        local.create("a/created", b"x")
        local.replace(local.stage("a/created", [b"y"]))
    finally:
        os.umask(before)
    for name in ("staged", "created"):
        assert (local.root / "a" / name).stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("part", ["", "a", "a/k"])
def test_a_symbolic_link_in_the_staging_folder_is_refused(local, tmp_path, part):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    link = local.root / STAGING_FOLDER / part
    link.parent.mkdir(parents=True)
    link.symlink_to(theirs, target_is_directory=True)
    for act in (lambda: local.stage("a/k", [b"rows"]), lambda: local.create("a/k", b"rows")):
        with pytest.raises(FileAccessError, match="symbolic link"):
            act()
    assert list(theirs.iterdir()) == []


@as_root
def test_a_staged_file_of_another_account_is_named_as_the_cause(local, tmp_path):
    staged = local.stage("k", [b"x"])
    for path in (tmp_path, *tmp_path.parents[:3], *tmp_path.rglob("*")):
        if path.is_dir():
            path.chmod(path.stat().st_mode | 0o777)
    for act in (local.publish, local.replace):
        [text] = as_another_account(lambda act=act: act(staged))
        assert text.startswith("FileAccessError")
        assert "belongs to the account 0" in text
        assert "(10001)" in text
    assert local.inspect(staged) is StagedState.STAGED


@as_root
def test_a_folder_of_another_account_is_named_as_the_cause(local, tmp_path):
    local.create("a/k", b"x")
    (local.root / "a").chmod(0o700)
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o755)
    for act in (lambda: keys(local), lambda: local.create("b", b""), lambda: local.open("a/k")):
        [text] = as_another_account(act)
        assert text.startswith("FileAccessError"), text
        assert "10001" in text


def test_a_root_that_another_thread_creates_meanwhile_has_not_disappeared(tmp_path, monkeypatch):
    root = tmp_path / "root"
    storage = LocalStorage(root)
    undisturbed = Path.stat

    def slow(path, **options):
        try:
            return undisturbed(path, **options)
        except FileNotFoundError:
            if path == root:  # Another thread creates the root between our look and our answer.
                monkeypatch.undo()
                storage.create("other.csv", b"")
            raise

    monkeypatch.setattr(Path, "stat", slow)
    assert list(storage.list_staged()) == []
    assert [info.key for info in storage.list_objects()] == ["other.csv"]
