"""Stays show the last known value of a property that later syncs do not have."""

from datetime import timedelta

import pytest
from attrs import evolve
from foreign_history import EXISTING, STREAM, key_of
from random_history import START

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    UserProperty,
    read_history,
    sync_cohort,
)

DAYS = [START + day * timedelta(days=1) for day in range(6)]
PLAN, CITY = UserProperty("plan"), UserProperty("city")

CHAIN = [
    ((PLAN,), {"1": "free", "2": "free", "3": "free"}),
    ((PLAN,), {"1": "pro", "2": "", "3": "free"}),  # changed by a stayer, and emptied by another
    ((CITY,), {"1": "Bonn", "2": "Bonn", "4": "Rome"}),  # plan is dropped; 3 leaves
    ((CITY,), {"1": "Köln", "4": "Rome"}),  # 2 leaves after the plan was dropped
    ((PLAN, CITY), {"1": ("gold", "Köln")}),  # plan is back; 4 never had one
]


def build(meaning: ExistingMeaning, *, keep_log: bool, syncs: int) -> MemoryStorage:
    storage, log = MemoryStorage(), MemoryStorage()
    sync = CohortSync(
        destination=Destination(name="d", path="in", existing=meaning),
        project_id=1,
        cohort_id="a",
    )
    for when, (properties, members) in zip(DAYS, CHAIN[:syncs], strict=False):
        rows = [
            (key, f"u{key}", *([cells] if isinstance(cells, str) else cells))
            for key, cells in members.items()
        ]
        sync_cohort(
            evolve(sync, user_properties=properties),
            rows,
            storage,
            synced_at=when,
            log=storage if keep_log else log,
            guard=False,
        )
    return storage


def stays(storage: MemoryStorage) -> dict[str, tuple[str, ...]]:
    history = read_history(storage, STREAM)
    assert history.columns == ("amplitude_id", "user_id", "plan", "city")[: len(history.columns)]
    return {stay.row[0]: stay.row[2:] for stay in history.intervals()}


def test_a_dropped_property_keeps_its_last_value(meaning, keep_log):
    storage = build(meaning, keep_log=keep_log, syncs=3)
    assert stays(storage) == {
        "1": ("pro", "Bonn"),
        "2": ("", "Bonn"),
        "3": ("free", ""),
        "4": ("", "Rome"),
    }


def test_a_user_who_leaves_later_keeps_it_too(meaning, keep_log):
    storage = build(meaning, keep_log=keep_log, syncs=4)
    found = stays(storage)
    assert (found["1"], found["2"], found["3"]) == (("pro", "Köln"), ("", "Bonn"), ("free", ""))


def test_a_property_that_comes_back_has_its_new_value(meaning, keep_log):
    storage = build(meaning, keep_log=keep_log, syncs=5)
    found = stays(storage)
    assert found == {
        "1": ("gold", "Köln"),
        "2": ("", "Bonn"),
        "3": ("free", ""),
        "4": ("", "Rome"),
    }


def test_the_value_comes_from_the_entry_if_the_snapshots_with_it_are_lost(keep_log):
    storage = build(ExistingMeaning.MEMBERS, keep_log=keep_log, syncs=4)
    for when in DAYS[:2]:
        storage.delete(key_of(when, EXISTING))
    assert stays(storage)["1"] == ("free", "Köln")


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_sync_does_not_blank_what_an_earlier_one_shows(lost, keep_log):
    storage = build(ExistingMeaning.MEMBERS, keep_log=keep_log, syncs=4)
    for diff_type in DiffType:
        storage.delete(key_of(DAYS[lost], diff_type))
    found = stays(storage)
    assert found["1"] == ("free" if lost == 1 else "pro", "Köln")
    assert found["3"] == ("free", "")


def test_a_user_id_column_that_is_dropped_keeps_its_last_value():
    storage = MemoryStorage()
    files = [("amplitude_id,user_id\n", "1,ann\n"), ("amplitude_id\n", "1\n")]
    for when, (header, rows) in zip(DAYS, files, strict=False):
        for diff_type, data in zip(DiffType, (rows * (when == DAYS[0]), "", rows), strict=True):
            storage.create(key_of(when, diff_type), (header + data).encode())
    assert [stay.row for stay in read_history(storage, STREAM).intervals()] == [("1", "ann")]
