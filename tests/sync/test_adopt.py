"""Adoption of a stream that another tool wrote."""

import pytest
from syncs import (
    AT,
    ENTERING,
    HOUR,
    NEW,
    NOW,
    OLD,
    STREAM,
    assert_refused,
    data_files,
    members_now,
    rows,
    run_sync,
    with_settings,
    write_like_amplitude,
)

from amplitude_cohort_s3 import (
    adopt,
    read_head,
    read_history,
)
from amplitude_cohort_s3.errors import (
    EmptyKeyError,
    MatchByChangedError,
    NothingToAdoptError,
)


def test_adopt_makes_the_newest_complete_sync_the_baseline(storage):
    write_like_amplitude(storage, AT, OLD, [], OLD)
    write_like_amplitude(storage, AT + HOUR, NEW[2:], OLD[:1], NEW)
    data = data_files(storage)
    head = adopt(storage, STREAM, clock=lambda: NOW)
    assert data_files(storage) == data
    assert (head.record.adopted, head.record.synced_at) == (True, AT + HOUR)
    assert list(head.members()) == NEW
    assert read_head(storage, STREAM) == head
    result = run_sync(storage, OLD, AT + 2 * HOUR)
    assert rows(storage, result) == [[("1", "ann")], [("4", "dee")], OLD]
    history = read_history(storage, STREAM)
    assert [history.record(s) is not None for s in history] == [False, True, True]
    assert [list(history.members_at(s)) for s in history] == [OLD, NEW, OLD]


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(NEW, id="members"),
        pytest.param(NEW[:2], id="stayed"),
        pytest.param(OLD, id="previous"),
    ],
)
def test_adopt_reads_the_members_with_each_meaning_of_existing(storage, existing):
    write_like_amplitude(storage, AT, NEW[2:], OLD[:1], existing)
    assert list(adopt(storage, STREAM).members()) == NEW
    assert members_now(storage) == NEW


def test_adopt_can_match_by_another_column(storage):
    write_like_amplitude(storage, AT, OLD, [], OLD)
    adopt(storage, STREAM, match_by="user_id")
    sync = with_settings(match_by="user_id")
    assert rows(storage, run_sync(storage, [("9", "bob")], AT + HOUR, sync))[0] == []
    assert_refused(storage, MatchByChangedError, lambda: run_sync(storage, OLD, AT + 2 * HOUR))


def test_adopt_states_why_it_refuses(storage):
    error = assert_refused(storage, NothingToAdoptError, lambda: adopt(storage, STREAM))
    assert "no complete sync" in error.reason
    write_like_amplitude(storage, AT, OLD, [], OLD)
    write_like_amplitude(storage, AT + HOUR, NEW[2:], OLD[:1], NEW, words=[ENTERING])
    error = assert_refused(storage, NothingToAdoptError, lambda: adopt(storage, STREAM))
    assert "lacks files" in error.reason
    write_like_amplitude(storage, AT + HOUR, NEW[2:], OLD[:1], NEW)
    adopt(storage, STREAM)
    error = assert_refused(storage, NothingToAdoptError, lambda: adopt(storage, STREAM))
    assert "log already" in error.reason


def test_adopt_refuses_rows_without_the_amplitude_id(storage):
    write_like_amplitude(storage, AT, OLD, [], [*OLD, ("", "dee")])
    error = assert_refused(storage, EmptyKeyError, lambda: adopt(storage, STREAM))
    assert error.count == 1
