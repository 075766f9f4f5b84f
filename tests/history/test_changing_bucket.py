"""A history that was loaded before the bucket changed is still right, and verify finds nothing."""

from functools import cache

import pytest
from forgetting import LATER, clone, forget_ids, sync_all

from amplitude_cohort_s3 import DiffType, ExistingMeaning, MemoryStorage, prune, read_history
from amplitude_cohort_s3.errors import ObjectChangedError, ObjectNotFoundError
from amplitude_cohort_s3.history import FindingKind
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.small_cohort import STREAM, ids_of, moment, sync_ids

COHORTS = [{1, 2, 3}, {2, 3, 4}, {3, 4, 6}]
EXISTING = DiffType.EXISTING


def bucket(meaning=ExistingMeaning.MEMBERS):
    return clone(_bucket(meaning))


@cache
def _bucket(meaning):  # of each meaning once
    storage = MemoryStorage()
    sync_all(storage, COHORTS, meaning=meaning)
    return storage


class Hooked(MemoryStorage):
    """Another storage, and a function that is called before the n-th call."""

    def __init__(self, storage, at=-1, act=None):
        self.storage, self.at, self.act = storage, at, act
        self.calls = list[str]()

    def _count(self, name):
        if len(self.calls) == self.at:
            self.act()
        self.calls.append(name)

    def list_objects(self, prefix="", /, **more):
        self._count("list")
        return iter(list(self.storage.list_objects(prefix, **more)))

    def open(self, key, /):
        self._count("open")
        return self.storage.open(key)


def forget_one(storage):
    forget_ids(storage, 3)


def prune_old(storage):
    prune(storage, STREAM, before=moment(2), clock=LATER)


def prune_all(storage):
    prune(storage, STREAM, before=moment(2), keep="nothing", clock=LATER)


def sync_again(storage):
    sync_ids(storage, {1, 7}, 5)


def forget_half(storage):
    """Die after the first file was replaced."""
    counting = Fault()
    forget_one(FaultyStorage(clone(storage), counting))
    at = counting.calls.index("replace")
    with pytest.raises(Death):
        forget_one(FaultyStorage(storage, Fault(at=at, when="after")))


CHANGES = [forget_one, prune_old, prune_all, sync_again]


@pytest.mark.parametrize("change", [*CHANGES, forget_half])
def test_verify_has_no_false_alarm_whenever_the_bucket_changes(change, record_property):
    counting = Hooked(bucket())
    assert read_history(counting, STREAM).verify() == ()
    for at in range(len(counting.calls)):
        storage = bucket()
        hooked = Hooked(storage, at, lambda: change(storage))  # noqa: B023
        kinds = {finding.kind for finding in read_history(hooked, STREAM).verify()}
        assert kinds <= ({FindingKind.UNFINISHED_AMENDMENT} if change is forget_half else set()), at
    record_property("cases", len(counting.calls))


@pytest.mark.parametrize("place", [0.2, 0.4, 0.6, 0.8])
def test_verify_has_no_false_alarm_if_people_are_forgotten_during_each_of_its_attempts(place):
    class HookedOften(Hooked):
        """A storage that forgets a person at the same place of each of three attempts."""

        def _count(self, name):
            self.calls.append(name)
            if people and len(self.calls) == self.at:
                self.at += len(counting.calls)
                forget_ids(self.storage, people.pop())

    counting, people = Hooked(bucket()), [2, 3, 4]
    assert read_history(counting, STREAM).verify() == ()
    hooked = HookedOften(bucket(), int(len(counting.calls) * place))
    assert read_history(hooked, STREAM).verify() == ()
    assert people == []


def test_verify_ends_although_the_stream_is_synced_during_each_of_its_attempts():
    class Busy(Hooked):
        def _count(self, name):
            self.calls.append(name)
            if name == "open" and len(self.calls) % 20 == 0:
                sync_ids(self.storage, {1, len(self.calls)}, len(self.calls))

    storage = bucket()
    storage.delete(read_history(storage, STREAM)[0].files[DiffType.ENTERING].key)
    assert {f.kind for f in read_history(Busy(storage), STREAM).verify()} == {
        FindingKind.MISSING_FILE
    }


@pytest.mark.parametrize("change", [forget_one, forget_half, prune_old, sync_again])
@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_a_loaded_history_answers_every_question_after_a_change(change, meaning):
    storage = bucket(meaning)
    questions = {
        "members": lambda h: [ids_of(h.members_at(sync)) for sync in h],
        "events": lambda h: len(list(h.events())),
        "intervals": lambda h: len(list(h.intervals())),
        "member": lambda h: len(h.member_history("2")),
        "churn": lambda h: [one.members for one in h.churn()],
        "columns": lambda h: h.columns,
        "verify": lambda h: {f.kind for f in h.verify()} <= {FindingKind.UNFINISHED_AMENDMENT},
        "arrow": lambda h: h.members_at(h[1]).to_arrow().num_rows,
    }
    loaded = {name: read_history(storage, STREAM) for name in questions}
    change(storage)
    fresh = read_history(storage, STREAM)
    for name, ask in questions.items():
        answer, expected = ask(loaded[name]), ask(fresh)
        if change is sync_again and name in ("members", "churn"):
            expected = expected[:-1]
        if change is not sync_again or name in ("members", "churn", "columns", "verify", "arrow"):
            assert answer == expected, name


def test_a_file_that_was_lost_or_edited_is_still_an_error():
    storage = bucket()
    history = read_history(storage, STREAM)
    key = history[1].files[DiffType.ENTERING].key
    storage.delete(key)
    with pytest.raises(ObjectNotFoundError):
        list(history.events())
    storage.create(key, b"amplitudeID,userID\n2,user 2\n")
    for _ in range(2):
        with pytest.raises(ObjectChangedError):
            list(history.events())
        sync_again(storage)  # The newer log states the same content for this file.


def test_verify_looks_again_once_however_many_files_are_damaged():
    storage = bucket()
    for info in list(storage.list_objects(STREAM.data_prefix)):
        storage.delete(info.key)
        storage.create(info.key, b"amplitudeID,userID\n9,eve\n")
    hooked = Hooked(storage)
    history = read_history(hooked, STREAM)
    loading = hooked.calls.count("list")
    assert len(history.verify()) >= 9
    assert hooked.calls.count("list") == loading + 2
