"""What a person with each kind of access can do, as SECURITY.md states it.

The forged amendments are in ``log/test_amendment_rules.py``, the network in
``s3/test_s3_network.py``, and the settings in ``cli/test_config.py``.
"""

from contextlib import suppress

import pytest
from attrs import evolve
from forgeries import forged_prune
from forgetting import all_members, forget_ids, sync_all
from syncs import contents

from amplitude_cohort_s3 import (
    CohortS3Error,
    DiffType,
    MemoryStorage,
    adopt,
    forget,
    plan_prune,
    prune,
    read_head,
    read_history,
    recover,
)
from amplitude_cohort_s3.errors import (
    AccessDeniedError,
    HeadFilesMissingError,
    ObjectChangedError,
    ObjectExistsError,
    RecordFormatError,
    SyncVoidError,
    UnloggedSyncsError,
)
from amplitude_cohort_s3.history.findings import FindingKind
from amplitude_cohort_s3.log import Outcome
from amplitude_cohort_s3.log.keys import outcome_key, record_key
from amplitude_cohort_s3.storage import StagedObject
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import STREAM, SYNC, clock_at, moment, sync_ids

COHORTS = [{1, 2}, {2, 3}, {3, 4}]
LOG = STREAM.log_prefix
EXISTING = DiffType.EXISTING


class Allowed(FaultyStorage):
    """The bucket as a person with few rights sees it.

    Args:
        inner: The bucket.
        creates: A prefix below which they may create objects, or None.
        deletes: True if they may delete.
    """

    def __init__(self, inner, *, creates=None, deletes=False):
        super().__init__(inner, Fault())
        self.creates, self.deletes = creates, deletes

    def _demand(self, allowed, key, action):
        if not allowed:
            raise AccessDeniedError("bucket", key, action)

    def create(self, key, data, /):
        may = self.creates is not None and key.startswith(self.creates)
        self._demand(may, key, "s3:PutObject")
        return super().create(key, data)

    def stage(self, key, chunks, /, *, content_type="text/csv"):
        may = self.creates is not None and key.startswith(self.creates)
        self._demand(may, key, "s3:PutObject")
        return super().stage(key, chunks, content_type=content_type)

    def publish(self, staged, /):
        may = self.creates is not None and staged.key.startswith(self.creates)
        self._demand(may, staged.key, "s3:PutObject")
        return super().publish(staged)

    def discard(self, staged, /):
        self._demand(self.creates is not None, staged.key, "s3:AbortMultipartUpload")
        super().discard(staged)

    def replace(self, staged, /):
        self._demand(allowed=False, key=staged.key, action="s3:PutObject")

    def delete(self, key, /):
        self._demand(self.deletes, key, "s3:DeleteObject")
        super().delete(key)


@pytest.fixture
def bucket() -> MemoryStorage:
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    return storage


def begun(bucket, *, until="publish", nth=0):
    """Leave a sync unfinished whose writer died at a call."""
    copied = MemoryStorage()
    sync_all(copied, COHORTS)
    counting = Fault()
    sync_ids(FaultyStorage(copied, counting), {4, 5}, 9)
    at = [n for n, call in enumerate(counting.calls) if call == until][nth]
    with pytest.raises(Death):
        sync_ids(FaultyStorage(bucket, Fault(at=at)), {4, 5}, 9)


def data_of(bucket):
    return {key: data for key, data in contents(bucket).items() if "/_syncs/" not in key}


def assert_goes_on(bucket, minute=60):
    """Assert that the stream is whole again, and that another sync continues it."""
    sync_ids(bucket, {4, 7}, minute)
    assert all_members(bucket)[-1] == {4, 7}
    assert_invariants(bucket, STREAM)


VERBS = {
    "sync": lambda s: sync_ids(s, {9}, 50),
    "forget": lambda s: forget_ids(s, 3),
    "prune": lambda s: prune(s, STREAM, before=moment(60), clock=clock_at(moment(90))),
    "prune all": lambda s: prune(s, STREAM, before=moment(60), keep="nothing"),
    "recover": lambda s: recover(s, STREAM),
    "abandon": lambda s: recover(s, STREAM, abandon=True),
}


# --- Read only ---------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_a_reader_changes_nothing(bucket, verb):
    begun(bucket)
    before, staged = contents(bucket), dict(vars(bucket)["_staged"])
    with pytest.raises(PermissionError):
        VERBS[verb](Allowed(bucket))
    assert contents(bucket) == before
    assert vars(bucket)["_staged"] == staged


def test_a_reader_can_read_all_members(bucket):
    reader = Allowed(bucket)
    assert all_members(reader) == COHORTS
    assert read_history(reader, STREAM).verify() == ()
    assert plan_prune(reader, STREAM, before=moment(60)).files


# --- Create below _syncs/ only ------------------------------------------------------------


def entry(number, data):
    return record_key(STREAM, number), data


def forged_sync(bucket):
    """A record of the next number with handles that were never staged."""
    head = read_head(bucket, STREAM).record
    files = {}
    for diff_type, file in head.files.items():
        key = STREAM.name(moment(9), diff_type, SYNC.name_style).key(STREAM.path)
        staged = StagedObject(key=key, size=1, sha256="0" * 64, handle={"token": "x"})
        files[diff_type] = evolve(file, key=key, staged=staged)
    return evolve(head, number=4, previous=head.ref, synced_at=moment(9), files=files, writer="x")


GARBAGE = {
    "no JSON": lambda b: entry(4, b"garbage"),
    "an empty object": lambda b: entry(4, b""),
    "a copy of the newest record": lambda b: entry(4, b.open(record_key(STREAM, 3)).read()),
    "the last number": lambda b: entry(99_999_999, b"garbage"),
    "a record that skips numbers": lambda b: (
        record_key(STREAM, 40),
        evolve(forged_sync(b), number=40).to_bytes(),
    ),
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_entry_stops_the_stream_until_it_is_deleted(bucket, garbage, verb):
    key, data = GARBAGE[garbage](bucket)
    Allowed(bucket, creates=LOG).create(key, data)
    before = contents(bucket)
    with pytest.raises(RecordFormatError):
        VERBS[verb](bucket)
    assert contents(bucket) == before
    bucket.delete(key)
    assert_goes_on(bucket)


@pytest.mark.parametrize("verb", ["sync", "forget", "prune", "prune all"])
def test_an_outcome_without_a_record_stops_the_stream_until_it_is_deleted(bucket, verb):
    Allowed(bucket, creates=LOG).create(outcome_key(STREAM, 4), b"garbage")
    before = contents(bucket)
    assert recover(bucket, STREAM).outcome == "nothing"
    with pytest.raises(RecordFormatError):
        VERBS[verb](bucket)
    assert contents(bucket) == before
    bucket.delete(outcome_key(STREAM, 4))
    assert_goes_on(bucket)


def test_a_forged_sync_is_void_and_the_stream_goes_on(bucket):
    forged = forged_sync(bucket)
    Allowed(bucket, creates=LOG).create(forged.key, forged.to_bytes())
    before = data_of(bucket)
    assert recover(bucket, STREAM).outcome == "void"
    assert data_of(bucket) == before
    assert_goes_on(bucket)


def test_a_creator_in_the_log_can_not_change_an_entry_or_the_data(bucket):
    person = Allowed(bucket, creates=LOG)
    for number in range(1, 4):
        for key in (record_key(STREAM, number), outcome_key(STREAM, number)):
            with pytest.raises(ObjectExistsError):
                person.create(key, b"other")
    key = STREAM.name(moment(9), EXISTING, SYNC.name_style).key(STREAM.path)
    for act in (
        lambda: person.create(key, b"x"),
        lambda: person.stage(key, [b"x"]),
        lambda: person.delete(key),
    ):
        with pytest.raises(AccessDeniedError):
            act()


def test_an_entry_that_prunes_old_syncs_is_carried_out_but_never_the_head(bucket):
    """``prune`` may do the same, so the entry can't be distinguished from one of ``prune``."""
    head = read_head(bucket, STREAM).record
    old = [key for key in data_of(bucket) if key not in head.keys]
    forged = forged_prune(head, old, number=4)
    Allowed(bucket, creates=LOG).create(forged.key, forged.to_bytes())
    with pytest.raises(AccessDeniedError):
        sync_ids(Allowed(bucket, creates=""), {9}, 50)
    assert set(old) < data_of(bucket).keys()
    recover(bucket, STREAM)
    assert data_of(bucket).keys() == head.keys
    assert_goes_on(bucket)


@pytest.mark.parametrize("nth", range(3))
def test_a_forged_outcome_makes_a_sync_void_and_changes_no_older_one(bucket, nth):
    begun(bucket, nth=nth)
    head = read_history(bucket, STREAM).log.outcome(3).head
    forged = Outcome(number=4, published=False, head=head)
    Allowed(bucket, creates=LOG).create(outcome_key(STREAM, 4), forged.to_bytes())
    assert all_members(bucket)[:3] == COHORTS
    findings = read_history(bucket, STREAM).verify()
    assert {finding.kind for finding in findings} <= {FindingKind.LEFTOVER}
    sync_ids(bucket, {4, 7}, 60)
    assert all_members(bucket) == [*COHORTS, {4, 7}]


def test_a_forged_outcome_with_other_facts_is_noticed(bucket):
    begun(bucket)
    unfinished = read_history(bucket, STREAM).log.unfinished
    forged = Outcome(number=4, published=True, head=evolve(unfinished, members=99))
    Allowed(bucket, creates=LOG).create(outcome_key(STREAM, 4), forged.to_bytes())
    before = data_of(bucket)
    with pytest.raises(HeadFilesMissingError):
        sync_ids(bucket, {4, 7}, 60)
    kinds = {finding.kind for finding in read_history(bucket, STREAM).verify()}
    assert FindingKind.BROKEN_CHAIN in kinds
    assert data_of(bucket) == before


# --- Create anywhere -----------------------------------------------------------------------


def test_a_file_that_no_record_names_is_noticed(bucket):
    key = STREAM.name(moment(9), EXISTING, SYNC.name_style).key(STREAM.path)
    Allowed(bucket, creates="").create(key, b"amplitude_id,user_id\n")
    with pytest.raises(UnloggedSyncsError) as caught:
        sync_ids(bucket, {9}, 50)
    assert caught.value.names == (key,)
    bucket.delete(key)
    assert_goes_on(bucket)


def test_a_name_that_is_occupied_makes_a_sync_void_and_stays_as_it_is(bucket):
    begun(bucket)
    key = STREAM.name(moment(9), DiffType.EXITING, SYNC.name_style).key(STREAM.path)
    Allowed(bucket, creates="").create(key, b"mine")
    assert recover(bucket, STREAM).outcome == "void"
    assert bucket.open(key).read() == b"mine"
    sync_ids(bucket, {4, 7}, 60)
    assert all_members(bucket)[-1] == {4, 7}


@pytest.mark.parametrize("verb", ["forget", "prune", "prune all"])
def test_a_creator_everywhere_replaces_and_deletes_nothing(bucket, verb):
    before = data_of(bucket)
    with pytest.raises(PermissionError):
        VERBS[verb](Allowed(bucket, creates=""))
    assert data_of(bucket) == before


# --- Overwrite and delete ------------------------------------------------------------------


def overwrite(bucket, key, data):
    bucket.delete(key)
    bucket.create(key, data)


@pytest.mark.parametrize("diff_type", DiffType)
def test_an_overwritten_file_is_noticed(bucket, diff_type):
    file = read_head(bucket, STREAM).record.files[diff_type]
    overwrite(bucket, file.key, b"amplitude_id,user_id\n9,eve\n")
    findings = read_history(bucket, STREAM).verify()
    assert FindingKind.EDITED_FILE in {finding.kind for finding in findings}
    if diff_type is EXISTING:
        with pytest.raises(ObjectChangedError):
            sync_ids(bucket, {9}, 50)


def test_a_deleted_file_is_noticed(bucket):
    for key in data_of(bucket):
        copied = MemoryStorage()
        sync_all(copied, COHORTS)
        Allowed(copied, deletes=True).delete(key)
        findings = read_history(copied, STREAM).verify()
        assert FindingKind.MISSING_FILE in {finding.kind for finding in findings}
        if key in read_history(bucket, STREAM).log.head.keys:
            with pytest.raises(HeadFilesMissingError):
                sync_ids(copied, {9}, 50)


@pytest.mark.parametrize("deleted", range(1, 4))
def test_deleted_entries_of_the_log_are_noticed(bucket, deleted):
    for number in range(3, 3 - deleted, -1):
        bucket.delete(record_key(STREAM, number))
        bucket.delete(outcome_key(STREAM, number))
    before = contents(bucket)
    with pytest.raises(UnloggedSyncsError):
        sync_ids(bucket, {9}, 50)
    assert contents(bucket) == before


def test_a_log_that_lost_an_entry_in_the_middle_is_not_read_as_if_it_were_whole(bucket):
    for key in (record_key(STREAM, 2), outcome_key(STREAM, 2)):
        copied = MemoryStorage()
        sync_all(copied, COHORTS)
        copied.delete(key)
        assert read_history(copied, STREAM).verify()


# --- Together --------------------------------------------------------------------------------


def test_no_person_without_the_right_to_overwrite_changes_a_visible_file(bucket):
    before = contents(bucket)
    for person in (Allowed(bucket), Allowed(bucket, creates=LOG), Allowed(bucket, creates="")):
        for verb in VERBS.values():
            with suppress(CohortS3Error, SyncVoidError):
                verb(person)
        with suppress(CohortS3Error):
            adopt(person, STREAM)
        with suppress(CohortS3Error):
            forget(person, STREAM, ["1", "2", "3", "4"])
        found = contents(bucket)
        assert {key: found[key] for key in before} == before
