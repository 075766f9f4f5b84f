"""An entry of the log that somebody forged deletes, replaces and counts nothing.

The forger may create objects below ``_syncs/``, knows the form of the log and its digests, and
waits until somebody with more access runs a sync, ``forget``, ``prune`` or ``recover``.
"""

from functools import cache

import pytest
from attrs import evolve
from forgeries import forged_prune
from forgetting import clone, sync_all
from syncs import contents

from amplitude_cohort_s3 import (
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    NameStyle,
    forget,
    prune,
    read_history,
    recover,
)
from amplitude_cohort_s3.errors import HeadFilesMissingError, RecordFormatError
from amplitude_cohort_s3.history.findings import FindingKind
from amplitude_cohort_s3.log import Outcome
from amplitude_cohort_s3.log.amendments import AmendedCounts, Amendment
from amplitude_cohort_s3.log.files import RecordedFile
from amplitude_cohort_s3.log.keys import outcome_key
from amplitude_cohort_s3.log.records import RecordRef, SyncRecord
from amplitude_cohort_s3.storage import StagedObject
from amplitude_cohort_s3.sync import adopt
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import STREAM, clock_at, moment, sync_ids

ENTERING, EXITING, EXISTING = DiffType
COHORTS = [{1, 2, 3}, {2, 3, 4}, {3, 4, 5}]


def prepared() -> MemoryStorage:
    """Three syncs, and a fourth that is void and left its file entering."""
    return clone(_prepared())


@cache
def _prepared() -> MemoryStorage:  # once
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    at = calls_until_publish(storage)
    with pytest.raises(Death):
        sync_ids(FaultyStorage(storage, Fault(at=at, when="after")), {9}, 9)
    storage.discard(read_history(storage, STREAM).log.unfinished.files[EXISTING].staged)
    recover(storage, STREAM)
    return storage


def calls_until_publish(storage) -> int:
    counting = Fault()
    sync_ids(FaultyStorage(clone(storage), counting), {9}, 9)
    return counting.calls.index("publish")


def valid_amendment(storage, **changes) -> Amendment:
    """Return the removal of an old file, as ``prune`` makes it, with changes."""
    log = read_history(storage, STREAM).log
    facts = {
        "number": log.last_ended + 1,
        "previous": log.head.ref,
        "stream": STREAM,
        "requested_at": moment(90),
        "purpose": "prune",
        "removed": (key_of(0, EXISTING),),
        "earlier": log.head.amendment,
        "writer": "w",
    }
    return Amendment(**(facts | changes))


def key_of(minute, diff_type):
    return f"cohorts/{STREAM.name(moment(minute), diff_type, STYLE)}"


STYLE = NameStyle()


def a_file(storage, minute, diff_type, rows=1):
    """Return a new version of a file, staged as ``forget`` does."""
    data = storage.open(key_of(minute, diff_type)).read()
    lines = data.splitlines(keepends=True)[: rows + 1]
    staged = storage.stage(key_of(minute, diff_type), lines)
    return RecordedFile(
        key=staged.key, rows=rows, size=staged.size, sha256=staged.sha256, staged=staged
    )


def forgetting(storage, file, counts=None, **changes):
    """Return an amendment as ``forget`` makes it, which replaces one file."""
    return valid_amendment(
        storage,
        purpose="forget",
        removed=(),
        replaced={file.key: file},
        counts=counts or {},
        **changes,
    )


def counts(storage, number, **changes):
    record = read_history(storage, STREAM).log.amended_record(number)
    return evolve(AmendedCounts.of(record), **changes)


def removal(minute, diff_type):
    return lambda storage: valid_amendment(storage, removed=(key_of(minute, diff_type),))


def everything(storage):
    keys = tuple(i.key for i in storage.list_objects(STREAM.data_prefix))
    return valid_amendment(storage, removed=keys)


def of_the_members(storage, **changes):
    """Return an amendment that takes one member out of the second sync's file existing."""
    file = a_file(storage, 1, EXISTING, rows=2)
    fitting = counts(storage, 2, members=2, members_sha256=file.sha256)
    return forgetting(storage, file, {2: evolve(fitting, **changes)})


FORGERIES = {
    "all files": everything,
    "a file of the head": removal(2, EXITING),
    "a file of a void sync that is newer than the head": removal(9, ENTERING),
    "a file of no sync": removal(77, EXISTING),
    "an old file that no record names": lambda s: valid_amendment(
        s, removed=(key_of(0, EXISTING).replace("T14:", "T14-"),)
    ),
    "the same file twice": lambda s: valid_amendment(s, removed=(key_of(0, EXISTING),) * 2),
    "another head": lambda s: valid_amendment(s, previous=RecordRef(number=3, sha256="0" * 64)),
    "an older head": lambda s: valid_amendment(
        s, previous=read_history(s, STREAM).log.outcome(2).head.ref
    ),
    "another amendment before it": lambda s: valid_amendment(s, earlier=2),
    "a gap before it": lambda s: valid_amendment(s, number=9),
    "the last number": lambda s: valid_amendment(s, number=99_999_999),
    "a removal by forget": lambda s: valid_amendment(s, purpose="forget"),
    "nothing": lambda s: valid_amendment(s, removed=()),
    "a file and a removal": lambda s: evolve(
        forgetting(s, a_file(s, 0, EXISTING)), removed=(key_of(0, EXITING),), purpose="prune"
    ),
    "counts without a file": lambda s: valid_amendment(
        s, purpose="forget", removed=(), counts={3: counts(s, 3, members=0)}
    ),
    "counts of a void sync": lambda s: evolve(
        of_the_members(s), counts={**of_the_members(s).counts, 4: counts(s, 3)}
    ),
    "counts of a record that is to come": lambda s: evolve(
        of_the_members(s), counts={**of_the_members(s).counts, 6: counts(s, 3)}
    ),
    "counts of record 0": lambda s: evolve(
        of_the_members(s), counts={**of_the_members(s).counts, 0: counts(s, 3)}
    ),
    "more members": lambda s: evolve(
        of_the_members(s),
        counts={**of_the_members(s).counts, 3: counts(s, 3, members=4, members_before=2)},
    ),
    "more members before": lambda s: of_the_members(s, members_before=4),
    "values of other properties": lambda s: of_the_members(s, filled={"plan": 0}),
    "fewer members than the file": lambda s: of_the_members(s, members=1),
    "another digest than the file's": lambda s: of_the_members(s, members_sha256="0" * 64),
    "counts that contradict the sync before": lambda s: evolve(
        of_the_members(s),
        counts={**of_the_members(s).counts, 3: counts(s, 3, members_before=1)},
    ),
    "a file with as many rows": lambda s: forgetting(s, a_file(s, 1, ENTERING, rows=1)),
    "members without their count": lambda s: forgetting(s, a_file(s, 1, EXISTING)),
}

FINISHERS = {
    "recover": lambda s: recover(s, STREAM),
    "recover by abandoning": lambda s: recover(s, STREAM, abandon=True),
    "a sync": lambda s: sync_ids(s, {7}, 95),
    "forget": lambda s: forget(s, STREAM, ["nobody"]),
    "prune": lambda s: prune(s, STREAM, before=moment(60)),
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("finisher", FINISHERS)
def test_a_forged_amendment_changes_nothing(forgery, finisher):
    storage = prepared()
    amendment = FORGERIES[forgery](storage)
    storage.create(amendment.key, amendment.to_bytes())
    before = contents(storage)
    with pytest.raises(RecordFormatError) as caught:
        FINISHERS[finisher](storage)
    if "gap" not in forgery and "last" not in forgery:  # they name the missing entry
        assert caught.value.key == amendment.key
    assert contents(storage) == before
    storage.delete(amendment.key)  # The administrator removes it, and the stream continues.
    sync_ids(storage, {4, 8}, 96)
    assert_invariants(storage, STREAM)


@pytest.mark.parametrize("own_log", [False, True])
def test_a_writer_of_the_log_alone_can_not_remove_the_head(own_log):
    storage = MemoryStorage()
    log = MemoryStorage() if own_log else storage
    sync_all(storage, COHORTS, log=log)
    keys = tuple(info.key for info in storage.list_objects(STREAM.data_prefix))
    head = read_history(storage, STREAM, log=log).log.head
    forged = forged_prune(head, keys, number=4)
    log.create(forged.key, forged.to_bytes())
    with pytest.raises(RecordFormatError, match="older than the head"):
        forget(storage, STREAM, ["nobody"], log=log)
    assert tuple(info.key for info in storage.list_objects(STREAM.data_prefix)) == keys


def moved(record, minute, **changes) -> SyncRecord:
    """Return a record with files that do not exist, as it would be at another time."""
    files = {
        t: evolve(
            file,
            key=key_of(minute, t),
            staged=file.staged and evolve(file.staged, key=key_of(minute, t)),
        )
        for t, file in record.files.items()
    }
    return evolve(record, synced_at=moment(minute), files=files, **changes)


def published_head(head):
    record = moved(head, 30, number=5, previous=head.ref)
    return record, Outcome(number=5, published=True, head=record)


def head_after_a_void_sync(head):
    record = moved(head, 20, number=5, previous=head.ref)
    return record, Outcome(number=5, published=False, head=moved(head, 30))


def amended_head(head):
    amendment = forged_prune(head, [key_of(0, EXISTING)], number=5)
    outcome = Outcome(number=5, published=False, head=moved(head, 30, amendment=5), amended=True)
    return amendment, outcome


@pytest.mark.parametrize("made", [published_head, head_after_a_void_sync, amended_head])
@pytest.mark.parametrize("finisher", sorted(FINISHERS.keys() - {"recover by abandoning"}))
def test_a_forged_head_does_not_make_the_newest_sync_an_old_one(made, finisher):
    """Two entries: a head without files that is newer than all, and a prune of older files."""
    storage = prepared()
    record, outcome = made(read_history(storage, STREAM).log.head)
    storage.create(record.key, record.to_bytes())
    storage.create(outcome_key(STREAM, 5), outcome.to_bytes())
    forged = valid_amendment(
        storage, removed=tuple(key_of(n, t) for n in range(3) for t in DiffType)
    )
    storage.create(forged.key, forged.to_bytes())
    before = contents(storage)
    with pytest.raises(HeadFilesMissingError) as caught:
        FINISHERS[finisher](storage)
    assert set(caught.value.keys) == {key_of(30, t) for t in DiffType}
    assert contents(storage) == before


@pytest.mark.parametrize("finisher", sorted(FINISHERS.keys() - {"recover by abandoning"}))
def test_a_forged_adoption_of_files_that_do_not_exist_begins_no_log(finisher):
    storage = MemoryStorage()
    log = MemoryStorage()
    sync_all(storage, COHORTS, log=log)
    first = read_history(storage, STREAM, log=log).log.record(1)
    forged = moved(first, 30, adopted=True)
    forged = evolve(forged, files={t: evolve(f, staged=None) for t, f in forged.files.items()})
    storage.create(forged.key, forged.to_bytes())
    before = contents(storage)
    with pytest.raises(HeadFilesMissingError):
        FINISHERS[finisher](storage)
    assert contents(storage) == before


def test_prune_deletes_nothing_while_the_newest_sync_lacks_files():
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    storage.delete(key_of(2, EXISTING))
    before = contents(storage)
    with pytest.raises(HeadFilesMissingError, match="_existing"):
        prune(storage, STREAM, before=moment(60), clock=clock_at(moment(90)))
    assert contents(storage) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"adopted": True, "synced_at": moment(30)},
        {"synced_at": moment(0)},
    ],
    ids=["adopted", "older than the head"],
)
def test_a_forged_sync_is_not_published(changes):
    storage = prepared()
    head = read_history(storage, STREAM).log.head
    minute = changes["synced_at"].minute
    files = {
        t: evolve(
            file,
            key=key_of(minute, t),
            staged=None
            if "adopted" in changes
            else StagedObject(
                key=key_of(minute, t), size=1, sha256="0" * 64, handle={"token": "t"}
            ),
        )
        for t, file in head.files.items()
    }
    forged = evolve(head, **{"number": 5, "previous": head.ref, "files": files} | changes)
    storage.create(forged.key, forged.to_bytes())
    before = contents(storage)
    with pytest.raises(RecordFormatError):
        recover(storage, STREAM)
    assert contents(storage) == before


def test_times_of_published_syncs_grow_or_the_chain_is_broken():
    """An attacker who may create in the log can forge the outcome too. ``verify`` notices it."""
    storage = MemoryStorage()
    sync_all(storage, COHORTS)
    assert read_history(storage, STREAM).verify() == ()
    head = read_history(storage, STREAM).log.head
    older = read_history(storage, STREAM).log.outcome(2).head
    forged = evolve(older, number=4, previous=head.ref)
    outcome = Outcome(number=4, published=True, head=forged)
    storage.create(forged.key, forged.to_bytes())
    storage.create(outcome_key(STREAM, 4), outcome.to_bytes())
    findings = read_history(storage, STREAM).verify()
    assert (FindingKind.BROKEN_CHAIN, forged.key) in {(f.kind, f.key) for f in findings}


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_the_amendments_of_forget_and_prune_follow_the_rules(meaning):
    """Also after a void sync, a prune, and a forget whose files were lost."""
    storage = MemoryStorage()
    sync_all(storage, COHORTS, meaning=meaning)
    made = prepared() if meaning is ExistingMeaning.MEMBERS else storage
    for number, ids in enumerate(([2], [3], [4, 5])):
        assert forget(made, STREAM, ids, clock=clock_at(moment(90))).files
        prune(made, STREAM, before=moment(number), clock=clock_at(moment(90)))
    prune(made, STREAM, before=moment(60), keep="nothing", clock=clock_at(moment(90)))
    findings = read_history(made, STREAM).verify()
    assert {finding.kind for finding in findings} <= {FindingKind.LEFTOVER}


def test_files_that_no_record_names_are_pruned_and_not_logged():
    """A void sync that is older than the head, a second spelling, and files before adoption."""
    storage = prepared()
    sync_ids(storage, {7}, 20)
    sync_ids(storage, {7, 8}, 21)
    copy = key_of(0, EXISTING).replace("T14:", "T14-")
    storage.create(copy, storage.open(key_of(0, EXISTING)).read())
    receipt = prune(storage, STREAM, before=moment(60), keep="nothing", clock=clock_at(moment(90)))
    removed = {info.key for info in receipt.plan.files}
    assert {copy, key_of(9, ENTERING)} < removed
    log = read_history(storage, STREAM).log
    assert log.removed == removed - {copy}
    assert not removed & {info.key for info in storage.list_objects()}


def test_files_older_than_an_adopted_log_may_be_removed_but_no_others():
    storage = MemoryStorage()
    sync_all(storage, COHORTS, log=MemoryStorage())
    adopt(storage, STREAM, clock=clock_at(moment(60)))
    forged = valid_amendment(storage, removed=(key_of(2, EXISTING),))
    storage.create(forged.key, forged.to_bytes())
    with pytest.raises(RecordFormatError):
        recover(storage, STREAM)
    storage.delete(forged.key)
    amendment = valid_amendment(storage, removed=(key_of(1, EXISTING), key_of(0, EXISTING)))
    storage.create(amendment.key, amendment.to_bytes())
    assert recover(storage, STREAM).outcome == "amended"
    assert key_of(1, EXISTING) not in contents(storage)


@pytest.mark.parametrize(
    "change", [{"key": key_of(0, EXITING)}, {"key": "elsewhere/1_b_2026-11-23T14:05_existing.csv"}]
)
def test_the_handle_of_an_amendment_belongs_to_its_file(change):
    """Otherwise an amendment could replace one file by the staged bytes of another."""
    storage = prepared()
    file = a_file(storage, 0, EXISTING)
    forged = forgetting(storage, evolve(file, staged=evolve(file.staged, **change)))
    storage.create(forged.key, forged.to_bytes())
    before = contents(storage)
    with pytest.raises(RecordFormatError, match="lacks the handle of a file"):
        recover(storage, STREAM)
    assert contents(storage) == before
