"""A local storage takes over the files of a diff: what is checked, and what is cleaned up."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve
from syncs import AT, HOUR, NEW, NOW, OLD, SYNC, contents, data_files, run_sync, with_settings

from amplitude_cohort_s3 import (
    DiffType,
    LocalStorage,
    diff_members,
    forget,
    prepare_sync,
    read_history,
    recover,
)
from amplitude_cohort_s3.diff import PartitionEngine
from amplitude_cohort_s3.diff._output import Output
from amplitude_cohort_s3.errors import MassExitError, StagedGoneError, UnusableDiffError
from amplitude_cohort_s3.maintenance import clean_up
from amplitude_cohort_s3.storage.local import STAGING_FOLDER

ENTERING, EXITING, EXISTING = DiffType
MANY = [(f"{n:03}", f"user {n}") for n in range(300)]


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "root")


def prepared(storage, members=OLD, **options):
    return prepare_sync(SYNC, members, storage, synced_at=AT, clock=lambda: NOW, **options)


def hidden_files(storage):
    return [path for path in (storage.root / STAGING_FOLDER).rglob("*") if path.is_file()]


def path_of(storage, file):
    return storage.root / file.key


def test_the_published_file_is_the_file_of_the_diff(storage):
    with prepared(storage) as sync:
        inodes = {t: sync.diff.report.files[t].path.stat().st_ino for t in DiffType}
        result = sync.commit()
        # The diff can still be read.
        assert list(sync.diff.rows(EXISTING)) == OLD
    for diff_type, file in result.record.files.items():
        assert path_of(storage, file).stat().st_ino == inodes[diff_type]
        assert path_of(storage, file).stat().st_nlink == 1
    assert hidden_files(storage) == []
    assert read_history(storage, SYNC.stream).verify() == ()


def test_published_files_have_the_time_of_the_sync(storage):
    """The time that marks a finished file of a diff does not reach the bucket."""
    begun = time.time()
    result = run_sync(storage, OLD)
    for file in result.record.files.values():
        assert path_of(storage, file).stat().st_mtime >= begun - 1


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_taken_over_files_are_private_until_they_are_published(storage, monkeypatch, umask):
    modes = []
    real = LocalStorage.publish

    def publish(self, staged):
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in hidden_files(self))
        return real(self, staged)

    monkeypatch.setattr(LocalStorage, "publish", publish)
    before = os.umask(umask)
    try:
        result = run_sync(storage, OLD)
    finally:
        os.umask(before)
    # The first file is not published yet, so all are private.
    assert set(modes[:6]) == {0o600}
    for file in result.record.files.values():
        assert stat.S_IMODE(path_of(storage, file).stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may choose a group")
def test_taken_over_files_have_the_group_of_the_folder(storage):
    storage.root.mkdir()
    os.chown(storage.root, -1, 12345)
    storage.root.chmod(0o2775)
    result = run_sync(storage, OLD)
    for file in result.record.files.values():
        assert path_of(storage, file).stat().st_gid == 12345


def flip(path):
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def flip_and_restore_the_time(path):
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path):
    other = path.with_suffix(".other")
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    other.write_bytes(data)
    before = path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def cut(path):
    os.truncate(path, path.stat().st_size - 1)


def append(path):
    with path.open("ab") as file:
        file.write(b"9,eve\n")


def link_to_another(path):
    replace(path)
    moved = path.with_name("moved")
    path.rename(moved)
    path.symlink_to(moved)


@pytest.mark.parametrize(
    "change", [flip, flip_and_restore_the_time, replace, cut, append, link_to_another]
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_file_that_was_changed_after_the_diff_is_not_published(storage, change, at_once):
    with prepared(storage) as sync:
        if not at_once:
            time.sleep(0.02)
        change(sync.diff.existing.path)
        with pytest.raises(UnusableDiffError, match="'existing' was changed"):
            sync.commit()
    assert contents(storage) == {}
    assert hidden_files(storage) == []


@pytest.mark.parametrize("change", [cut, append])
def test_a_file_that_got_another_size_during_the_diff_is_not_published(
    storage, change, monkeypatch
):
    report = Output.report

    def changed(output, **counts):
        found = report(output, **counts)
        change(found.files[DiffType.EXISTING].path)
        return found

    monkeypatch.setattr(Output, "report", changed)
    with prepared(storage) as sync, pytest.raises(UnusableDiffError, match="'existing' was"):
        sync.commit()
    assert contents(storage) == {}
    assert hidden_files(storage) == []


def test_a_finished_file_has_a_time_that_no_later_change_can_have(storage):
    """Not the time of its last change, which a later change within one tick would also have."""
    with prepared(storage) as sync:
        for file in sync.diff.report.files.values():
            assert file.path.stat().st_mtime_ns == 0


def test_a_file_that_was_only_touched_is_published(storage):
    """It is read again, and has the digest of the plan."""
    with prepared(storage) as sync:
        sync.diff.existing.path.touch()
        sync.commit()
    assert read_history(storage, SYNC.stream).verify() == ()


def test_a_diff_can_be_staged_and_committed_more_than_once(storage):
    with prepared(storage) as sync:
        staged = [sync.diff.stage(EXISTING, storage, "k") for _ in range(2)]
        sync.commit()
        assert sync.diff.stage(EXISTING, storage, "l").size == staged[0].size
        mode = stat.S_IMODE(path_of(storage, sync.plan.files[EXISTING]).stat().st_mode)
        assert mode & 0o044, "the published file became private"
        storage.discard(staged[0])
        storage.publish(staged[1])
        assert sync.commit().already_done
    assert contents(storage)["k"] == contents(storage)[sync.plan.files[EXISTING].key]


def test_a_published_file_stays_as_it_is_if_it_is_staged_again(storage):
    digest = hashlib.sha256(b"data").hexdigest()
    with storage.work_folder("k") as folder:
        path = folder / "file"
        path.write_bytes(b"data")
        storage.publish(storage.stage_file("k", path, sha256=digest))
        before = (storage.root / "k").stat()
        storage.publish(storage.stage_file("l", path, sha256=digest))
        after = (storage.root / "k").stat()
        assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
        assert not (storage.root / "l").samefile(storage.root / "k")


class WrongDigest:
    """An engine of somebody else that reports a wrong digest."""

    def diff(self, *args, **options):
        report = PartitionEngine().diff(*args, **options)
        files = {
            t: evolve(f, sha256="0" * 64) if t is EXISTING else f for t, f in report.files.items()
        }
        return evolve(report, files=files)


def test_the_digests_of_another_engine_are_checked(storage):
    with pytest.raises(UnusableDiffError, match="'existing' was changed"):
        run_sync(storage, OLD, engine=WrongDigest())
    assert contents(storage) == {}
    assert hidden_files(storage) == []


def test_the_work_folder_is_private_invisible_and_removed(storage):
    with prepared(storage) as sync:
        folder = sync.diff.existing.path.parent
        assert storage.root in folder.parents
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list(storage.list_objects()) == []
    assert not folder.exists()
    assert list((storage.root / STAGING_FOLDER).iterdir()) == []
    sync.diff.close()


def test_a_refused_sync_leaves_nothing(storage):
    run_sync(storage, MANY)
    before = contents(storage)
    with pytest.raises(MassExitError):
        run_sync(storage, OLD, AT + HOUR)
    assert contents(storage) == before
    assert hidden_files(storage) == []
    assert list(storage.list_staged()) == []


def test_other_folders_are_used_if_files_are_not_taken_over(storage, tmp_path):
    """A preview writes nothing, and a compressed file has other bytes than that of the diff."""
    with prepared(storage, dry_run=True) as sync:
        assert storage.root not in sync.diff.existing.path.parents
    assert not storage.root.exists()
    with diff_members((), OLD, schema=SYNC.schema) as diff:
        assert storage.root not in diff.existing.path.parents
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    with prepared(storage, work_dir=work_dir) as sync:
        assert work_dir in sync.diff.existing.path.parents
        sync.commit()
    gzipped = with_settings(compression="gzip")
    with prepare_sync(gzipped, NEW, storage, synced_at=AT + HOUR, clock=lambda: NOW) as sync:
        assert storage.root not in sync.diff.existing.path.parents
        sync.commit()
    assert len(data_files(storage)) == 6
    assert read_history(storage, SYNC.stream).verify() == ()


def test_a_root_without_access_can_still_be_prepared_for(storage, monkeypatch):
    """Only a commit writes, so only a commit needs the access."""
    run_sync(storage, OLD)

    def refuse(path, *args, **options):
        if storage.root in path.parents:
            raise PermissionError(13, "refused", path)
        return real(path, *args, **options)

    real = Path.mkdir
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        options = {"synced_at": AT + HOUR, "clock": lambda: NOW}
        with prepare_sync(SYNC, NEW, storage, **options) as sync:
            assert storage.root not in sync.diff.existing.path.parents
            with pytest.raises(PermissionError):
                sync.commit()
    assert len(data_files(storage)) == 3


# --- What a dead process leaves ------------------------------------------------------

DIES = """
import os, signal, sys
from amplitude_cohort_s3 import LocalStorage
from amplitude_cohort_s3.diff import PartitionEngine
from amplitude_cohort_s3.diff._output import Output
from syncs import AT, HOUR, OLD, run_sync
import amplitude_cohort_s3.diff.engine as engine

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

engine._check_keys = die
run_sync(LocalStorage(sys.argv[1]), OLD, AT)
"""


def kill_a_sync(storage):
    """Run a sync that is killed when its files are written and the temporary ones still there."""
    path = [*sys.path, str(Path(__file__).parents[1] / "support")]
    ended = subprocess.run(
        [sys.executable, "-c", DIES, str(storage.root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert {path.name for path in hidden_files(storage)} > {"existing.csv", "entering.csv"}
    assert list(storage.list_objects()) == []


def make_older(storage):
    for path in (storage.root / STAGING_FOLDER).rglob("*"):
        os.utime(path, (time.time() - 90_000,) * 2)


@pytest.mark.parametrize("act", ["sync", "recover"])
def test_the_work_folder_of_a_killed_sync_is_removed_after_a_day(storage, act):
    kill_a_sync(storage)
    assert clean_up(storage, SYNC.stream) == ()
    assert hidden_files(storage) != []
    make_older(storage)
    if act == "sync":
        run_sync(storage, OLD, AT + HOUR)
    else:
        recover(storage, SYNC.stream)
    assert hidden_files(storage) == []
    assert list((storage.root / STAGING_FOLDER).iterdir()) == []


def test_clean_up_and_forget_remove_the_work_folder_of_a_killed_sync(storage):
    kill_a_sync(storage)
    (key,) = clean_up(storage, SYNC.stream, older_than=timedelta(0))
    assert key.endswith("_existing.csv")
    assert hidden_files(storage) == []
    kill_a_sync(storage)
    forget(storage, SYNC.stream, ["1"])
    assert hidden_files(storage) == []


def test_the_work_folder_of_another_stream_stays(storage):
    kill_a_sync(storage)
    other = evolve(SYNC, cohort_id="other")
    assert clean_up(storage, other.stream, older_than=timedelta(0)) == ()
    forget(storage, other.stream, ["1"])
    assert hidden_files(storage) != []


def test_a_sync_whose_work_folder_is_removed_fails_and_publishes_nothing(storage):
    """A part of its temporary files must never count as all of them."""

    def members():
        yield from OLD
        clean_up(storage, SYNC.stream, older_than=timedelta(0))
        yield from NEW[2:]

    with pytest.raises(StagedGoneError, match="sync again"):
        run_sync(storage, members())
    assert contents(storage) == {}
    with prepared(storage) as sync:
        forget(storage, SYNC.stream, ["1"])
        with pytest.raises(UnusableDiffError):
            sync.commit()
    assert contents(storage) == {}
    assert hidden_files(storage) == []


def test_a_link_in_place_of_the_work_folders_is_refused(storage, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (storage.root / STAGING_FOLDER).mkdir(parents=True)
    (storage.root / STAGING_FOLDER / STAGING_FOLDER).symlink_to(outside)
    with prepared(storage) as sync:
        assert outside not in sync.diff.existing.path.resolve().parents
    assert list(outside.iterdir()) == []
