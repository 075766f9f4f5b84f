"""LocalStorage: files, links, power cuts, and keys that can't be files."""

import errno
import os
from pathlib import Path

import pytest

from amplitude_cohort_s3 import LocalStorage
from amplitude_cohort_s3.errors import (
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRefusedError,
    StagedGoneError,
    UnsuitableStorageError,
)
from amplitude_cohort_s3.storage import StagedState
from amplitude_cohort_s3.storage.local import STAGING_FOLDER


@pytest.fixture
def local(tmp_path) -> LocalStorage:
    return LocalStorage(tmp_path / "root")


def staged_files(storage):
    folder = storage.root / STAGING_FOLDER
    return list(folder.iterdir()) if folder.exists() else []


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
    assert info.url == path.as_uri()
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


def test_publish_completes_a_publish_that_died_after_its_link(local, monkeypatch):
    staged = local.stage("a/k", [b"data"])
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", raise_error(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            local.publish(staged)
    assert local.inspect(staged) is StagedState.PUBLISHED
    assert local.publish(staged).size == 4
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
    os.truncate(local.root / STAGING_FOLDER / staged.handle["file"], 0)
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


def test_a_handle_is_used_up_by_replace_though_it_was_published_before(local):
    """Its link and the new name are one file then, and a rename of the two does nothing."""
    first = local.stage("k", [b"first"])
    os.link(local.root / STAGING_FOLDER / first.handle["file"], local.root / "k")
    local.replace(first)
    assert staged_files(local) == []
    local.replace(local.stage("k", [b"second"]))
    with pytest.raises(StagedGoneError):
        local.replace(first)
    assert (local.root / "k").read_bytes() == b"second"


# --- Power cuts -------------------------------------------------------------------------


class Disk:
    """A log of the calls that change files and names, to check what survives a power cut."""

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
        """Raise unless each name and the file it leads to were flushed before they were used."""
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
    # pathlib looks up the functions in the module os at each call.
    return Disk(monkeypatch)


def test_a_power_cut_undoes_no_finished_call(local, disk):
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


def test_names_that_another_process_made_are_flushed_too(local, disk):
    """The other process may have died before it flushed them."""
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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
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
    real_open, real_link = os.open, os.link

    def checked(real, position):
        def act(*args, **kwargs):
            if ":" in Path(args[position]).name:
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        return act

    monkeypatch.setattr(os, "open", checked(real_open, 0))
    monkeypatch.setattr(os, "link", checked(real_link, 1))
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


def test_trying_a_name_leaves_nothing_and_disturbs_nobody(local):
    (local.root / STAGING_FOLDER).mkdir(parents=True)
    first, second = local.stage("a/k.csv", [b"1"]), local.stage("a/k.csv", [b"2"])
    assert {path.name for path in staged_files(local)} == {
        one.handle["file"] for one in (first, second)
    }
    (local.root / STAGING_FOLDER / "k.csv").write_bytes(b"")  # of a process that died
    assert local.publish(local.stage("b/k.csv", [b"3"])).size == 1


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
