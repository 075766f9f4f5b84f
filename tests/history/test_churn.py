"""The churn of a stream with a log: its records have the numbers of a count of all users."""

import random

import pytest
from attrs import evolve
from forgetting import LATER, forget_ids, sync_all
from random_history import TIMES, build, random_cohorts

from amplitude_cohort_s3 import DiffType, ExistingMeaning, MemoryStorage, prune, read_history
from amplitude_cohort_s3.errors import ObjectChangedError, UnknownMembersError
from amplitude_cohort_s3.history import _recorded_churn
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment

ENTERING, EXITING, EXISTING = DiffType


def counted(history):
    """Return the churn as all files of the history show it."""
    return list(history._counted_churn())  # noqa: SLF001 -- the reference


def recorded(history):
    """Return the churn without the numbers of changed members, which only records have."""
    return [evolve(one, changed=None) for one in history.churn()]


@pytest.fixture(params=[1_000_000, 7, 1], ids=["held", "divided", "divided often"])
def held(request, monkeypatch):
    monkeypatch.setattr(_recorded_churn, "MAX_HELD", request.param)
    return request.param


@pytest.mark.parametrize("seed", range(4))
def test_the_records_and_the_files_of_changes_show_what_all_files_show(seed, meaning, held):
    storage, sync = build(random_cohorts(seed), meaning, keep_log=True)
    for window in ({}, {"since": TIMES[3]}, {"until": TIMES[6]}, {"since": TIMES[11]}):
        history = read_history(storage, sync.stream, **window)
        churn = recorded(history)
        assert churn == counted(history)
        assert sum(one.returned for one in churn) > 3 or len(churn) < 7


def test_after_users_were_forgotten_the_amended_records_count(meaning, held):
    storage = MemoryStorage()
    sync_all(storage, [{1, 2, 3}, {2, 4}, {1, 3, 4}, {1, 2}, {3}], meaning=meaning)
    loaded = read_history(storage, STREAM)
    forget_ids(storage, 3)
    history = read_history(storage, STREAM)
    expected = [(2, 2, 0, 0), (2, 1, 1, 0), (2, 1, 1, 1), (2, 1, 1, 1), (0, 0, 2, 0)]
    for one in (history, loaded):
        found = [(c.members, c.entered, c.exited, c.returned) for c in one.churn()]
        assert found == expected
    assert recorded(history) == counted(history)


@pytest.mark.parametrize("keep", ["changes", "nothing"])
def test_after_a_prune_the_numbers_are_the_same(meaning, keep):
    storage = MemoryStorage()
    sync_all(storage, [{1, 2, 3}, {2, 4}, {1, 3, 4}, {1, 2}, {3}], meaning=meaning)
    prune(storage, STREAM, before=moment(3), keep=keep, clock=LATER)
    history = read_history(storage, STREAM)
    assert recorded(history) == counted(history)


@pytest.mark.parametrize("seed", range(12))
def test_if_files_are_lost_the_users_are_counted_in_the_others(seed, meaning):
    chosen = random.Random(seed)
    storage, sync = build(random_cohorts(seed), meaning, keep_log=True)
    for one in read_history(storage, sync.stream):
        for diff_type in DiffType:
            if chosen.random() < (0.3 if diff_type is EXISTING else 0.05):
                storage.delete(one.files[diff_type].key)
    history = read_history(storage, sync.stream)
    try:
        expected = counted(history)
    except UnknownMembersError:
        with pytest.raises(UnknownMembersError):
            history.churn()
    else:
        assert recorded(history) == expected


class Watched(MemoryStorage):
    """Another storage, and the keys that are opened."""

    def __init__(self, storage):
        self.storage, self.opened = storage, list[str]()

    def list_objects(self, prefix="", /, **more):
        return self.storage.list_objects(prefix, **more)

    def open(self, key, /):
        self.opened.append(key)
        return self.storage.open(key)


def test_only_the_files_of_changes_that_may_show_a_return_are_read():
    storage = MemoryStorage()
    sync_all(storage, [{1, 2}, {1, 2, 3}, {1, 3}, {1, 3}, {1, 2, 3}, {1}])
    watched = Watched(storage)
    history = read_history(watched, STREAM)
    assert [one.returned for one in history.churn()] == [0, 0, 0, 0, 1, 0]
    read = [key for key in watched.opened if not key.startswith(STREAM.log_prefix)]
    assert read == [history[2].files[EXITING].key, history[4].files[ENTERING].key]


def test_a_changed_file_that_is_read_is_an_error():
    storage = MemoryStorage()
    sync_all(storage, [{1, 2}, {1}, {1, 2}])
    history = read_history(storage, STREAM)
    key = history[1].files[EXITING].key
    storage.delete(key)
    storage.create(key, b"amplitudeID,userID\n3,user 3\n")
    with pytest.raises(ObjectChangedError):
        history.churn()


def test_temporary_files_are_in_work_dir_and_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(_recorded_churn, "MAX_HELD", 2)
    storage, sync = build(random_cohorts(1), ExistingMeaning.MEMBERS, keep_log=True)
    history = read_history(storage, sync.stream, work_dir=tmp_path)
    folders = []
    made = _recorded_churn.temporary_folder
    monkeypatch.setattr(
        _recorded_churn, "temporary_folder", lambda *of: folders.append(made(*of)) or folders[0]
    )
    assert recorded(history) == counted(history)
    assert folders[0].parent == tmp_path
    assert not list(tmp_path.iterdir())
