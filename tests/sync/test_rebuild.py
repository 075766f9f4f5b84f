"""Rebuilding a history from full lists, if the other files do not exist."""

from datetime import timedelta

import pytest
from attrs import evolve
from syncs import AT, EXISTING, HOUR, NEW, NOW, OLD, STREAM, SYNC, assert_refused, with_settings
from syncs import write_like_amplitude as write

from amplitude_cohort_s3 import MemoryStorage, UserProperty, adopt, read_history
from amplitude_cohort_s3.errors import ConfigurationError, InvalidCellError, NothingToAdoptError
from amplitude_cohort_s3.sync import rebuild_history

TIMES = [AT + day * timedelta(days=1) for day in range(4)]
CLOCK = {"clock": lambda: NOW + timedelta(days=9)}


@pytest.fixture
def lists() -> MemoryStorage:
    """A bucket of full lists: everyone leaves at the third sync."""
    storage = MemoryStorage()
    for when, members in zip(TIMES, (OLD, NEW, [], NEW), strict=True):
        write(storage, when, [], [], members, words=[EXISTING])
    return storage


def churn(storage, sync=SYNC) -> list[tuple[int, int, int]]:
    table = read_history(storage, sync.stream).churn()
    return [(one.members, one.entered, one.exited) for one in table]


EXPECTED = [(3, 3, 0), (3, 1, 1), (0, 0, 3), (3, 3, 0)]


def test_adopt_names_the_function_that_rebuilds_a_history_of_lists(lists):
    error = assert_refused(lists, NothingToAdoptError, lambda: adopt(lists, STREAM))
    assert "rebuild_history" in error.hint


def test_lists_become_a_history_with_all_questions(lists):
    target = MemoryStorage()
    rebuild_history(lists, STREAM, SYNC, target, **CLOCK)
    assert churn(target) == EXPECTED
    assert read_history(target, STREAM).verify() == ()


def test_a_rebuilt_history_can_be_beside_the_lists_but_not_replace_them(lists):
    with pytest.raises(ConfigurationError, match="another path"):
        rebuild_history(lists, STREAM, SYNC, lists, **CLOCK)
    beside = with_settings(path="rebuilt")
    rebuild_history(lists, STREAM, beside, lists, **CLOCK)
    assert churn(lists, beside) == EXPECTED


def test_a_repeated_run_continues(lists):
    target = MemoryStorage()
    write(lists, TIMES[-1] + HOUR, [], [], OLD, words=[EXISTING])
    rebuild_history(lists, STREAM, SYNC, target, **CLOCK)
    write(lists, TIMES[-1] + 2 * HOUR, [], [], NEW, words=[EXISTING])
    results = rebuild_history(lists, STREAM, SYNC, target, **CLOCK)
    assert [one.already_done for one in results] == [True] * 5 + [False]
    assert churn(target) == [*EXPECTED, (3, 1, 1), (3, 1, 1)]


def test_syncs_that_have_all_files_are_part_of_the_rebuilt_history(lists):
    write(lists, TIMES[-1] + HOUR, OLD[:1], NEW[2:], OLD)
    target = MemoryStorage()
    rebuild_history(lists, STREAM, SYNC, target, **CLOCK)
    assert churn(target) == [*EXPECTED, (3, 1, 1)]


def test_a_property_that_a_list_lacks_is_empty(lists):
    target = MemoryStorage()
    sync = evolve(SYNC, user_properties=(UserProperty("plan"),))
    rebuild_history(lists, STREAM, sync, target, **CLOCK)
    history = read_history(target, STREAM)
    assert list(history.members_at(history[0])) == [(*row, "") for row in OLD]


def test_without_a_list_there_is_nothing_to_rebuild():
    with pytest.raises(NothingToAdoptError, match="no file existing"):
        rebuild_history(MemoryStorage(), STREAM, SYNC, MemoryStorage())


@pytest.mark.parametrize("words", [[EXISTING], None])
def test_a_value_that_cannot_be_synced_is_refused_with_the_list_that_has_it(words):
    storage, rows = MemoryStorage(), [("7.0", "ann")]
    options = {} if words is None else {"words": words}
    write(storage, TIMES[0], OLD, [], OLD, **options)
    write(storage, TIMES[1], rows, OLD, rows, **options)
    with pytest.raises(InvalidCellError, match="lost digits") as caught:
        rebuild_history(storage, STREAM, SYNC, MemoryStorage(), **CLOCK)
    file = caught.value.file
    assert file is not None
    assert file.endswith("existing.csv")
    assert TIMES[1].strftime("%Y-%m-%d") in file
