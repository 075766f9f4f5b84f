"""LocalStorage: a power cut at any moment of a sync, a recovery, a forget or a prune."""

import hashlib
import os
from contextlib import closing

import pytest
from dying import Dying
from power_cuts import DiskState, WatchedDisk
from syncs import contents as bytes_of

from amplitude_cohort_s3 import LocalStorage, forget, prune, read_history, recover
from amplitude_cohort_s3.storage import StagedState
from amplitude_cohort_s3.testing.faulty_storage import Death
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment, sync_ids


def first_sync(storage):
    sync_ids(storage, [1, 2, 3], 0)


def second_sync(storage):
    sync_ids(storage, [2, 3, 4], 1)


def forget_one(storage):
    forget(storage, STREAM, ["2"])


def prune_first(storage):
    prune(storage, STREAM, before=moment(1))


def doomed_sync(storage):
    """Run a sync that dies after its record, and lose one of its staged files."""
    with pytest.raises(Death):
        sync_ids(Dying(storage, "publish"), [2, 3, 4], 1)
    (lost,) = [info for info in storage.list_staged() if "existing" in info.staged.key]
    storage.discard(lost.staged)


def recover_it(storage):
    recover(storage, STREAM)


# The work, and what was done before it.
WORK = {
    "first sync": (first_sync, ()),
    "second sync": (second_sync, (first_sync,)),
    "forget": (forget_one, (first_sync, second_sync)),
    "prune": (prune_first, (first_sync, second_sync)),
    "recovery of a void sync": (recover_it, (first_sync, doomed_sync)),
}


class Disks:
    """Makes a fresh folder for each state of a disk."""

    def __init__(self, tmp_path, monkeypatch):
        self._tmp_path = tmp_path
        self._monkeypatch = monkeypatch
        self._count = 0

    def storage(self, state):
        """Return a storage in a folder that was built from a state."""
        self._count += 1
        folder = self._tmp_path / str(self._count)
        folder.mkdir()
        state.build(folder)
        return LocalStorage(folder / "root")

    def states_of(self, act, start):
        """Run a function on a storage with a state, and return the state before each fsync."""
        storage = self.storage(start)
        with closing(WatchedDisk(storage.root.parent, start)) as disk:
            disk.watch(self._monkeypatch, lambda: act(storage))
            return disk.states


@pytest.fixture
def disks(tmp_path, monkeypatch):
    # The model watches the calls; flushing the real disk is not part of the test.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return Disks(tmp_path, monkeypatch)


def state_after(disks, work):
    """Return the state of a disk after some work, all of which has been flushed."""
    state = DiskState()
    for act in work:
        state = disks.states_of(act, state)[-1].after_power_cut(())
    return state


def data(storage):
    """Return the bytes of all files of syncs."""
    files = {key: body for key, body in bytes_of(storage).items() if "/_syncs/" not in key}
    assert files
    return files


def assert_whole(storage, work, expected):
    """Assert the invariants, and that the same work, done again, ends as without a power cut."""
    assert_invariants(storage, STREAM)
    recover(storage, STREAM)
    state = assert_invariants(storage, STREAM)
    removed = {key for amendment in state.amendments for key in amendment.removed}
    assert not removed & state.digests.keys(), "a pruned file came back"
    work(storage)
    assert data(storage) == expected
    assert [f for f in read_history(storage, STREAM).verify() if f.is_error] == []


def prepare(disks, name):
    """Return the work, the state of the disk before it, and the files after it."""
    work, before = WORK[name]
    start = state_after(disks, before)
    whole = disks.storage(start)
    work(whole)
    return work, start, data(whole)


@pytest.mark.parametrize("name", WORK)
def test_a_power_cut_at_any_moment_loses_nothing(disks, name, record_property):
    work, start, expected = prepare(disks, name)
    states = disks.states_of(work, start)
    cuts = {cut.fingerprint(): cut for state in states for cut in state.power_cuts()}
    for cut in cuts.values():
        assert_whole(disks.storage(cut), work, expected)
    record_property("cases", len(cuts))


@pytest.mark.parametrize("name", WORK)
def test_a_power_cut_while_another_process_recovers_a_killed_one_loses_nothing(
    disks, name, record_property
):
    """The killed process left names that are not flushed; the next one acts on them."""
    work, start, expected = prepare(disks, name)
    cuts = {
        cut.fingerprint(): cut
        for killed in disks.states_of(work, start)
        for state in disks.states_of(lambda storage: recover(storage, STREAM), killed)
        for cut in state.power_cuts(limit=0)
    }
    for cut in cuts.values():
        assert_whole(disks.storage(cut), work, expected)
    record_property("cases", len(cuts))


def test_a_discarded_file_stays_discarded_after_a_power_cut(disks):
    """Otherwise a slow writer could publish a file of a sync that is void."""
    kept = []
    staged = disks.states_of(lambda s: kept.append(s.stage("p/k", [b"x"])), DiskState())[-1]
    discarded = disks.states_of(lambda s: s.discard(*kept), staged)[-1]
    for cut in discarded.power_cuts():
        assert disks.storage(cut).inspect(*kept) is StagedState.GONE


@pytest.mark.parametrize("method", ["publish", "replace"])
def test_after_a_power_cut_a_published_file_has_no_staged_name(disks, method):
    """The name would lead to the same rows, even if `prune` has removed the file since."""
    kept = []
    staged = disks.states_of(lambda s: kept.append(s.stage("p/k", [b"x"])), DiskState())[-1]
    published = disks.states_of(lambda s: getattr(s, method)(*kept), staged)[-1]
    for cut in published.power_cuts():
        storage = disks.storage(cut)
        assert list(storage.list_staged()) == []
        assert bytes_of(storage) == {"p/k": b"x"}


def test_after_a_power_cut_a_published_file_has_no_temporary_name(disks):
    """The work folder would have the same rows, even if `prune` has removed the file since."""

    def publish(storage):
        with storage.work_folder("p/k") as folder:
            path = folder / "file"
            path.write_bytes(b"x")
            digest = hashlib.sha256(b"x").hexdigest()
            storage.publish(storage.stage_file("p/k", path, sha256=digest))

    for cut in disks.states_of(publish, DiskState())[-1].power_cuts():
        storage = disks.storage(cut)
        assert list(storage.list_staged()) == []
        assert bytes_of(storage) == {"p/k": b"x"}
