"""A preview reaches the verdict of the real run, and writes nothing.

Each situation is set up twice, in two storages. In the first one the sync is previewed, in
the second one it is carried out; both must end in the same error, or in the same plan.
"""

import attrs
import pytest

from amplitude_cohort_s3 import (
    Cadence,
    Destination,
    ExistingMeaning,
    Guard,
    MemoryStorage,
    SyncPlan,
    UserProperty,
    forget,
    prepare_sync,
    prune,
    read_history,
    recover,
    run_due,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    CohortS3Error,
    ConfigurationError,
    UnfinishedSyncError,
    UnusableDiffError,
)
from amplitude_cohort_s3.sync import JobOutcome, begin_sync, commit
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.small_cohort import (
    DESTINATION,
    STREAM,
    SYNC,
    clock_at,
    moment,
    rows,
    sync_ids,
)

READS = {"list_objects", "open", "inspect"}


def verdict(sync, members, storage, *, dry_run, **options):
    """Return the error, or what the sync would do or has done."""
    options.setdefault("clock", clock_at(options.get("synced_at") or moment(5)))
    watched = FaultyStorage(storage, Fault())
    try:
        done = sync_cohort(sync, members, watched, dry_run=dry_run, **options)
    except CohortS3Error as error:
        return type(error), str(error)
    finally:
        if dry_run:
            assert set(watched.fault.calls) <= READS, "a preview writes nothing"
    assert isinstance(done, SyncPlan) is dry_run
    facts = done if dry_run else done.record
    files = {t: (f.key, f.rows, f.size, f.sha256) for t, f in facts.files.items()}
    counts = (facts.number, facts.members, facts.members_before, facts.members_sha256)
    return facts.synced_at, done.already_done, counts, facts.previous is None, files


def dies(at, when="before", ids=(2, 3, 4), minute=2):
    """Return a set-up: two syncs, the second of which dies at one of its storage calls."""

    def set_up(storage):
        sync_ids(storage, [1, 2, 3], 1)
        with pytest.raises(Death):
            sync_ids(FaultyStorage(storage, Fault(at=at, when=when)), ids, minute)

    return set_up


def calls_of_a_sync():
    """Return the names of the storage calls of the second sync of a stream, in order."""
    storage = MemoryStorage()
    sync_ids(storage, [1, 2, 3], 1)
    watched = FaultyStorage(storage, Fault())
    sync_ids(watched, [2, 3, 4], 2)
    return watched.fault.calls


def without_outcome(storage):
    """All files are visible, and the writer died before it wrote the outcome."""
    calls = calls_of_a_sync()
    dies(len(calls) - 1 - calls[::-1].index("create"))(storage)


def two_syncs(storage):
    sync_ids(storage, [1, 2, 3], 1)
    sync_ids(storage, [2, 3, 4], 2)


def foreign_file(storage):
    two_syncs(storage)
    storage.create("cohorts/1_a_2026-11-23T14:04_entering.csv", b"amplitudeID,userID\n")


def lost_file(storage):
    two_syncs(storage)
    storage.delete("cohorts/1_a_2026-11-23T14:02_existing.csv")


def void_sync(storage):
    """A void sync that left the file entering."""
    dies(calls_of_a_sync().index("publish") + 1)(storage)
    record = read_history(storage, STREAM).log.unfinished
    for file in record.files.values():
        storage.discard(file.staged)
    assert read_history(storage, STREAM).log.unfinished == record


def interrupted(change):
    """Return a set-up: two syncs, and an amendment that dies after it is recorded."""

    def set_up(storage):
        two_syncs(storage)
        with pytest.raises(Death):
            change(FaultyStorage(storage, Fault(at=create_of(change), when="after")))

    def create_of(change):
        storage = MemoryStorage()
        two_syncs(storage)
        watched = FaultyStorage(storage, Fault())
        change(watched)
        return watched.fault.calls.index("create")

    return set_up


def prune_first(storage):
    prune(storage, STREAM, before=moment(2), clock=clock_at(moment(3)))


def forget_past(storage):
    forget(storage, STREAM, ["1"], clock=clock_at(moment(3)))


def forget_present(storage):
    forget(storage, STREAM, ["2"], clock=clock_at(moment(3)))


GUARDED = attrs.evolve(SYNC, guard=Guard(max_exits=1))
BY_USER = attrs.evolve(SYNC, destination=Destination(name="d", path="cohorts", match_by="user_id"))
STAYED = attrs.evolve(SYNC, destination=attrs.evolve(DESTINATION, existing=ExistingMeaning.STAYED))
WITH_PLAN = attrs.evolve(SYNC, user_properties=[UserProperty("plan")])
AT_2, AT_5 = {"synced_at": moment(2)}, {"synced_at": moment(5)}

SITUATIONS = {
    "first sync": (SYNC, [1, 2], AT_5, lambda _: None),
    "first sync without a time": (SYNC, [1, 2], {}, lambda _: None),
    "first sync of nobody": (SYNC, [], AT_5, lambda _: None),
    "next sync": (SYNC, [3, 4, 5], AT_5, two_syncs),
    "next sync without a time": (SYNC, [3], {}, two_syncs),
    "nothing changed": (SYNC, [2, 3, 4], AT_5, two_syncs),
    "repeated run": (SYNC, [4, 3, 2], AT_2, two_syncs),
    "repeated run of an older sync": (SYNC, [1, 2, 3], {"synced_at": moment(1)}, two_syncs),
    "same time, other members": (SYNC, [2, 3], AT_2, two_syncs),
    "same time, another meaning": (STAYED, [2, 3, 4], AT_2, two_syncs),
    "older time": (SYNC, [2], {"synced_at": moment(0)}, two_syncs),
    "future time": (
        SYNC,
        [2],
        {"synced_at": moment(90), "clock": clock_at(moment(5))},
        two_syncs,
    ),
    "clock behind the head": (SYNC, [2], {"clock": clock_at(moment(-60))}, two_syncs),
    "mass exit": (GUARDED, [], AT_5, two_syncs),
    "mass exit that is allowed": (GUARDED, [], {**AT_5, "guard": Guard(max_exits=3)}, two_syncs),
    "mass exit above the ceiling": (SYNC, [2], {**AT_5, "guard": Guard(max_exits=1)}, two_syncs),
    "mass growth": (attrs.evolve(SYNC, guard=Guard(max_growth=0)), [2, 3, 4, 5], AT_5, two_syncs),
    "too few members": (attrs.evolve(SYNC, guard=Guard(min_members=9)), [2, 3, 4], AT_5, two_syncs),
    "without limits": (GUARDED, [], {**AT_5, "guard": False}, two_syncs),
    "another key column": (BY_USER, [2], AT_5, two_syncs),
    "another meaning of existing": (STAYED, [3, 4, 5], AT_5, two_syncs),
    "unlogged file": (SYNC, [2], AT_5, foreign_file),
    "lost file of the head": (SYNC, [2], AT_5, lost_file),
    "missing column": (WITH_PLAN, [2], AT_5, two_syncs),
    "published but not ended": (SYNC, [3, 4, 5], AT_5, without_outcome),
    "void sync left a file": (SYNC, [3, 4, 5], AT_5, void_sync),
    "void sync left a file with this time": (SYNC, [3, 4, 5], AT_2, void_sync),
    "unfinished pruning": (SYNC, [3, 4, 5], AT_5, interrupted(prune_first)),
    "unfinished forgetting of a former member": (
        SYNC,
        [3, 4, 5],
        AT_5,
        interrupted(forget_past),
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_preview_ends_in_the_same_plan_or_error_as_the_run(name):
    sync, ids, options, set_up = SITUATIONS[name]
    verdicts = []
    for dry_run in (True, False):
        storage = MemoryStorage()
        set_up(storage)
        verdicts.append(verdict(sync, rows(ids), storage, dry_run=dry_run, **options))
    assert verdicts[0] == verdicts[1]


def test_after_a_crash_anywhere_a_preview_agrees_with_the_run_or_asks_for_recovery():
    calls = calls_of_a_sync()
    recorded, published = calls.index("create"), calls.index("publish")
    asked = set()
    for at in range(len(calls)):
        verdicts = []
        for dry_run in (True, False):
            storage = MemoryStorage()
            dies(at)(storage)
            verdicts.append(
                verdict(SYNC, rows([3, 4, 5]), storage, dry_run=dry_run, synced_at=moment(5))
            )
        if verdicts[0] != verdicts[1]:
            assert verdicts[0][0] is UnfinishedSyncError
            asked.add(at)
    # Only while existing is staged and not visible can nobody read the members.
    assert asked == set(range(recorded + 1, published + 3))


def test_a_preview_asks_for_recovery_if_forgetting_will_change_the_head():
    storage = MemoryStorage()
    interrupted(forget_present)(storage)
    error, message = verdict(SYNC, rows([3]), storage, dry_run=True, synced_at=moment(5))
    assert error is UnfinishedSyncError
    assert "99999996-00000003.json" in message


def test_a_preview_reads_a_log_in_another_storage():
    data, log = MemoryStorage(), MemoryStorage()
    sync_ids(data, [1, 2], 1, log=log)
    plan = sync_cohort(SYNC, rows([2, 3]), data, log=log, dry_run=True, clock=clock_at(moment(2)))
    assert (plan.members_before, plan.members, plan.number) == (2, 2, 2)


def test_a_dry_run_can_not_be_committed():
    storage = MemoryStorage()
    with prepare_sync(SYNC, rows([1]), storage, dry_run=True) as prepared:
        assert not prepared.already_done
        with pytest.raises(ConfigurationError, match="dry run"):
            prepared.commit()
    assert list(storage.list_objects()) == []


def test_a_prepared_sync_is_committed_or_leaves_nothing():
    storage = MemoryStorage()
    for commits in (False, True):
        with prepare_sync(SYNC, rows([1, 2]), storage, synced_at=moment(1)) as prepared:
            assert prepared.diff.entering.rows == prepared.plan.members == 2
            if commits:
                assert prepared.commit().record.members == 2
        assert len(list(storage.list_objects())) == (5 if commits else 0)
    with prepare_sync(SYNC, rows([2, 1]), storage, synced_at=moment(1)) as repeated:
        assert repeated.already_done
        assert repeated.commit().already_done
    assert str(repeated.plan).startswith(
        "sync of 2026-11-23T14:01:00+00:00: 0 -> 2 members, already"
    )


def test_a_prepared_sync_is_refused_if_another_writer_was_faster():
    storage = MemoryStorage()
    with prepare_sync(SYNC, rows([1, 2]), storage, synced_at=moment(1)) as prepared:
        sync_ids(storage, [7], 2)
        with pytest.raises(CohortS3Error, match="another"):
            prepared.commit()
    assert [len(sync.files) for sync in read_history(storage, STREAM)] == [3]


def test_the_plan_of_a_dry_run_can_not_be_committed_over_an_unfinished_sync():
    storage = MemoryStorage()
    without_outcome(storage)
    with (
        prepare_sync(SYNC, rows([3, 4]), storage, synced_at=moment(5), dry_run=True) as prepared,
        pytest.raises(ConfigurationError, match="dry run"),
    ):
        commit(prepared.plan, prepared.diff, storage)
    assert read_history(storage, STREAM).log.unfinished is not None
    assert recover(storage, STREAM).outcome == "published"
    assert read_history(storage, STREAM).verify() == ()


def test_a_begun_sync_commits_its_own_plan_and_diff_only():
    storage = MemoryStorage()
    other = attrs.evolve(SYNC, cohort_id="b")
    start, others = (begin_sync(s, storage, synced_at=moment(1)) for s in (SYNC, other))
    with start.diff(rows([1, 2])) as diff, start.diff(rows([7])) as another:
        plan = start.plan(diff)
        with pytest.raises(UnusableDiffError, match="other bytes"):
            start.commit(plan, another)
        with pytest.raises(UnusableDiffError, match="another sync"):
            start.commit(others.plan(diff), diff)
        assert list(storage.list_objects()) == []
        assert start.commit(plan, diff).record.members == 2


def test_the_plan_of_a_repeated_run_can_be_committed_and_changes_nothing():
    storage = MemoryStorage()
    two_syncs(storage)
    with prepare_sync(SYNC, rows([2, 3, 4]), storage, synced_at=moment(2)) as repeated:
        objects = list(storage.list_objects())
        assert commit(repeated.plan, repeated.diff, storage).already_done
        assert repeated.commit().already_done
        assert list(storage.list_objects()) == objects


@pytest.mark.parametrize("cadence", [Cadence.HOURLY, Cadence.DAILY])
def test_a_dry_run_of_all_due_syncs_counts_an_interrupted_sync_as_published(cadence):
    calls = calls_of_a_sync()
    hourly = attrs.evolve(SYNC, cadence=cadence)
    for at in range(calls.index("create") + 1, len(calls)):
        storage = MemoryStorage()
        dies(at)(storage)
        (job,) = run_due([(hourly, rows([3]))], storage, moment(30), dry_run=True)
        assert job.outcome is JobOutcome.NOT_DUE


def test_due_members_are_fetched_before_the_sync_begins():
    storage = MemoryStorage()
    sync_ids(storage, [1], 1)
    hourly = attrs.evolve(SYNC, cadence=Cadence.HOURLY)

    def fetch():
        sync_ids(storage, [1, 2], 30)  # Another process syncs while the members are fetched.
        return rows([1, 2, 3])

    (job,) = run_due([(hourly, fetch)], storage, moment(90))
    assert job.outcome is JobOutcome.DONE
    assert job.result.record.members_before == 2
