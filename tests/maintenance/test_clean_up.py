"""The staged files of dead writers are removed, and no file that is still needed."""

import os
import time
from datetime import timedelta

import pytest
from dying import Dying

from amplitude_cohort_s3 import (
    LocalStorage,
    MemoryStorage,
    forget,
    prune,
    read_history,
    recover,
)
from amplitude_cohort_s3.errors import AccessDeniedError, MissingCapabilityError, StagedGoneError
from amplitude_cohort_s3.maintenance import clean_up
from amplitude_cohort_s3.storage._local_files import default_mode
from amplitude_cohort_s3.storage.local import STAGING_FOLDER
from amplitude_cohort_s3.testing.faulty_storage import Death
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment, sync_ids

DAY = 86_400


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "root")
    sync_ids(storage, [1, 2], 0)
    return storage


def staged_files(storage):
    return [path for path in (storage.root / STAGING_FOLDER).rglob("*") if path.is_file()]


def die_at(storage, method, minute=1):
    """Run a sync of 1, 2 and 3 that is killed at its first call of a method."""
    sync_ids_and_die(Dying(storage, method), minute)


def sync_ids_and_die(storage, minute, log=None):
    with pytest.raises(Death):
        sync_ids(storage, [1, 2, 3], minute, log=log)


def make_older(storage, seconds):
    for path in staged_files(storage):
        os.utime(path, (time.time() - seconds,) * 2)


def test_the_next_sync_removes_what_a_dead_writer_left_a_day_ago(storage):
    die_at(storage, "create")
    assert len(staged_files(storage)) == 3
    sync_ids(storage, [1, 2], 2)
    assert len(staged_files(storage)) == 3  # it may be a writer that is still at work
    make_older(storage, DAY + 60)
    sync_ids(storage, [1, 2], 3)
    assert staged_files(storage) == []


def test_recover_removes_what_a_dead_writer_left_a_day_ago(storage):
    die_at(storage, "create")
    make_older(storage, DAY + 60)
    assert recover(storage, STREAM).outcome == "nothing"
    assert staged_files(storage) == []


def test_files_of_an_unfinished_record_stay_and_are_published(storage):
    die_at(storage, "publish")
    make_older(storage, 9 * DAY)
    assert clean_up(storage, STREAM) == ()
    assert recover(storage, STREAM).outcome == "published"
    assert staged_files(storage) == []


def test_clean_up_returns_the_keys_and_leaves_other_streams_alone(storage):
    die_at(storage, "create")
    others = ["cohorts/1_b_2026-11-23T14:00_entering.csv", "cohorts/x.csv", "1_a.csv"]
    for key in others:
        storage.stage(key, [b"x"])
    assert clean_up(storage, STREAM) == ()
    assert sorted(clean_up(storage, STREAM, older_than=timedelta(0))) == [
        "cohorts/1_a_2026-11-23T14:01_entering.csv",
        "cohorts/1_a_2026-11-23T14:01_existing.csv",
        "cohorts/1_a_2026-11-23T14:01_exiting.csv",
    ]
    assert sorted(info.staged.key for info in storage.list_staged()) == sorted(others)


class ExpiringStorage(LocalStorage):
    """A storage with a rule for leftovers, in which writers may not list what is staged."""

    @property
    def expires_staged(self):
        return True

    def list_staged(self, prefix="", /):
        raise AccessDeniedError("my-bucket", None, "s3:ListBucketMultipartUploads")


def test_a_sync_lists_leftovers_only_in_storages_without_a_rule(tmp_path):
    """A policy for writers does not allow to list uploads, and a sync must not need that."""
    data, log = ExpiringStorage(tmp_path / "data"), LocalStorage(tmp_path / "log")
    sync_ids(data, [1], 0, log=log)
    log.stage(f"{STREAM.log_prefix}99999997-2.json", [b"{}"])
    make_older(log, DAY + 60)
    sync_ids(data, [1, 2], 1, log=log)
    assert staged_files(log) == []
    log.stage(f"{STREAM.log_prefix}99999996-3.json", [b"{}"])
    make_older(log, DAY + 60)
    assert recover(data, STREAM, log=log).outcome == "nothing"
    assert staged_files(log) == []


def test_a_log_in_another_storage_is_used_and_cleaned_too(tmp_path):
    data, log = LocalStorage(tmp_path / "data"), LocalStorage(tmp_path / "log")
    sync_ids(data, [1, 2], 0, log=log)
    sync_ids_and_die(data, 1, log=Dying(log, "create"))
    log.stage(f"{STREAM.log_prefix}99999997-2.json", [b"{}"])
    assert len(clean_up(data, STREAM, log=log, older_than=timedelta(0))) == 4
    assert staged_files(data) == staged_files(log) == []
    sync_ids_and_die(Dying(data, "publish"), 2, log=log)
    assert clean_up(data, STREAM, log=log, older_than=timedelta(0)) == ()
    assert recover(data, STREAM, log=log).outcome == "published"


def test_a_forgotten_person_is_in_no_staged_file(storage):
    die_at(storage, "create")
    assert any(b"user 1" in path.read_bytes() for path in staged_files(storage))
    forget(storage, STREAM, ["1"])
    assert staged_files(storage) == []
    files = [path for path in storage.root.rglob("*") if path.is_file()]
    assert not any(b"user 1" in path.read_bytes() for path in files)


def test_a_person_who_is_only_in_staged_files_is_forgotten_too(storage):
    die_at(storage, "create")
    forget(storage, STREAM, ["3"])
    assert staged_files(storage) == []


def test_forget_covers_staged_files_from_a_clock_that_was_ahead(storage):
    die_at(storage, "create")
    make_older(storage, -DAY)
    forget(storage, STREAM, ["3"])
    assert staged_files(storage) == []


def test_prune_leaves_staged_files_as_they_are(storage):
    sync_ids(storage, [2], 1)
    die_at(storage, "create", minute=2)
    prune(storage, STREAM, before=moment(1))
    assert len(staged_files(storage)) == 3
    assert [f for f in read_history(storage, STREAM).verify() if f.is_error] == []


def test_a_storage_that_can_not_list_what_is_staged_is_refused():
    with pytest.raises(MissingCapabilityError, match="list_staged"):
        clean_up(MemoryStorage(), STREAM)


class _DiscardedWhileWritten:
    """Chunks during which another process discards what is staged; the first time only."""

    def __init__(self, storage, times=1):
        self.storage, self.times = storage, times

    def __iter__(self):
        yield b"amplitudeID,userID\n"
        if self.times:
            self.times -= 1
            for info in self.storage.list_staged():
                self.storage.discard(info.staged)


def test_a_file_that_is_discarded_while_it_is_written_is_an_error_of_ours(tmp_path):
    storage = LocalStorage(tmp_path / "root")
    with pytest.raises(StagedGoneError):
        storage.stage("1_a_2026-11-23T14:05_entering.csv", _DiscardedWhileWritten(storage))
    assert list(storage.list_objects()) == []


@pytest.mark.parametrize("at", ["default_mode", "os.link"])
def test_an_entry_whose_temporary_file_is_discarded_is_written_again(storage, monkeypatch, at):
    """``forget`` and ``clean_up`` discard what they find, also while another process creates."""
    undisturbed = os.link if at == "os.link" else default_mode
    left = [2]

    def disturbed(*args):
        if left[0]:
            left[0] -= 1
            for info in storage.list_staged():
                storage.discard(info.staged)
        return undisturbed(*args)

    module = "amplitude_cohort_s3.storage._local_staging."
    monkeypatch.setattr(at if at == "os.link" else module + at, disturbed)
    storage.create("_syncs/1_a/x.json", b"{}")
    assert left == [0]
    with storage.open("_syncs/1_a/x.json") as file:
        assert file.read() == b"{}"
    assert list(storage.list_staged()) == []
