"""Histories with gaps, damaged files and edited tables, and their repair."""

import pytest
import sqlalchemy as sa
from databases import log, stays
from histories import (
    COHORTS,
    bucket_of,
    delete,
    expected_times,
    history_of,
    history_until,
    keys,
    times,
)

from amplitude_cohort_s3 import DiffType, adopt, forget, prune, read_history
from amplitude_cohort_s3.errors import ObjectChangedError, TablesError
from amplitude_cohort_s3.sql import apply
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment, sync_ids


def test_members_before_the_first_known_sync_have_no_time_of_entry(engine):
    storage = bucket_of()
    delete(storage, 0, *DiffType)
    history = read_history(storage, STREAM)
    report = apply(history, engine)
    assert report.applied[0].opened == 2
    assert times(engine) == expected_times(history)
    assert {entered for _, entered, _ in times(engine)} >= {""}


@pytest.mark.parametrize("has_log", [True, False])
def test_the_history_of_an_adopted_stream_can_be_applied(engine, has_log):
    storage = bucket_of(has_log=False)
    if has_log:
        adopt(storage, STREAM)
        sync_ids(storage, {1, 9}, len(COHORTS))
        for number in range(2):
            delete(storage, number, *DiffType)
    history = read_history(storage, STREAM)
    apply(history, engine)
    assert times(engine) == expected_times(history)


def test_a_recorded_sync_follows_the_syncs_from_before_the_adoption(engine):
    storage = bucket_of(has_log=False)
    apply(read_history(storage, STREAM), engine)
    adopt(storage, STREAM)
    sync_ids(storage, {1, 9}, len(COHORTS))
    history = read_history(storage, STREAM)
    assert [one.members for one in apply(history, engine).applied] == [2]
    assert times(engine) == expected_times(history)


def test_syncs_after_a_prune_follow_without_a_repair(engine):
    storage = bucket_of()
    apply(read_history(storage, STREAM), engine)
    prune(storage, STREAM, before=moment(4))
    sync_ids(storage, {1, 9}, len(COHORTS))
    (applied,) = apply(read_history(storage, STREAM), engine).applied
    assert (applied.repaired, keys(engine)) == (None, {1, 9})


def test_forgotten_users_must_be_deleted_from_the_tables_too(engine):
    storage = bucket_of()
    apply(read_history(storage, STREAM), engine)
    forget(storage, STREAM, ["1"])
    sync_ids(storage, {2, 9}, len(COHORTS))
    history = read_history(storage, STREAM)
    with pytest.raises(TablesError):
        apply(history, engine)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM cohort_membership WHERE amplitude_id = '1'"))
    (applied,) = apply(history, engine).applied
    assert applied.repaired is None
    assert times(engine) == expected_times(history)


def test_a_gap_is_an_error_and_can_be_repaired(engine):
    storage = bucket_of()
    apply(history_until(read_history(storage, STREAM), 2), engine)
    before = stays(engine), log(engine)
    delete(storage, 2, *DiffType)
    history = read_history(storage, STREAM)
    with pytest.raises(TablesError, match="record 3, is not the last applied"):
        apply(history, engine)
    assert (stays(engine), log(engine)) == before
    report = apply(history, engine, reconcile=True)
    repaired = report.applied[0]
    assert "record 3" in repaired.repaired
    assert (repaired.opened, repaired.closed, repaired.members) == (1, 2, 2)
    assert [one.repaired for one in report.applied[1:]] == [None, None]
    assert keys(engine) == COHORTS[-1]


@pytest.mark.parametrize("lost", [DiffType.ENTERING, DiffType.EXITING])
def test_a_lost_file_is_a_gap_and_the_snapshot_replaces_it(engine, lost):
    storage = bucket_of()
    delete(storage, 4, lost)
    history = read_history(storage, STREAM)
    with pytest.raises(TablesError, match=f"lacks its file {lost.value}"):
        apply(history, engine)
    assert len(log(engine)) == 4
    apply(history, engine, reconcile=True)
    assert times(engine) == expected_times(history)


@pytest.mark.parametrize("has_log", [True, False])
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM cohort_membership WHERE member_key = '4' AND exited IS NULL",
        "UPDATE cohort_membership SET member_key = '77' WHERE member_key = '4'",
        (
            "INSERT INTO cohort_membership SELECT stream, '99', '', '', properties, entered, NULL "
            "FROM cohort_membership WHERE member_key = '4'"
        ),
    ],
    ids=["lost", "changed", "added"],
)
def test_edited_tables_are_an_error_and_can_be_repaired(engine, damage, has_log):
    history = history_of(has_log=has_log)
    apply(history_until(history, 3), engine)
    with engine.begin() as connection:
        connection.execute(sa.text(damage))
    before = stays(engine), log(engine)
    with pytest.raises(TablesError, match="reconcile=True"):
        apply(history, engine)
    if has_log and "'77'" in damage:  # the count is right, so it shows when the member leaves
        assert len(log(engine)) == 4
    else:
        assert (stays(engine), log(engine)) == before
    report = apply(history, engine, reconcile=True)
    assert sum(one.opened + one.closed for one in report.applied)
    assert keys(engine) == COHORTS[-1]


def test_a_damaged_file_changes_no_table(engine):
    storage = bucket_of()
    apply(history_until(read_history(storage, STREAM), 4), engine)
    before = stays(engine), log(engine)
    key = read_history(storage, STREAM)[4].files[DiffType.ENTERING].key
    data = storage.open(key).read()
    storage.delete(key)
    storage.create(key, data.replace(b"user 2", b"user 7"))
    with pytest.raises(ObjectChangedError):
        apply(read_history(storage, STREAM), engine)
    assert (stays(engine), log(engine)) == before
