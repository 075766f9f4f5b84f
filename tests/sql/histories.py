"""Small histories for the tests of databases, and what their tables must contain."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache

import sqlalchemy as sa
from attrs import evolve
from databases import current, instant, stays
from forgetting import clone

from amplitude_cohort_s3 import CohortHistory, DiffType, MemoryStorage, read_history
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment, sync_ids

START = datetime(2026, 1, 1, tzinfo=UTC)
COHORTS = ({1, 2, 3}, {2, 3, 4}, {1, 4}, {1, 4}, {2, 3}, {1, 2, 3, 5})


def bucket_of(cohorts: Iterable[set[int]] = COHORTS, *, has_log: bool = True) -> MemoryStorage:
    """Return a bucket with a sync for each set of user ids."""
    return clone(_bucket_of(tuple(map(frozenset, cohorts)), has_log))


@cache
def _bucket_of(cohorts: tuple[frozenset[int], ...], has_log: bool) -> MemoryStorage:  # noqa: FBT001
    storage, log_storage = MemoryStorage(), None if has_log else MemoryStorage()
    for number, ids in enumerate(cohorts):
        sync_ids(storage, set(ids), number, log=log_storage)
    return storage


def history_of(cohorts: Iterable[set[int]] = COHORTS, *, has_log: bool = True) -> CohortHistory:
    return read_history(bucket_of(cohorts, has_log=has_log), STREAM)


def history_until(history: CohortHistory, number: int) -> CohortHistory:
    """Return the history as it was when it had this number of syncs."""
    return evolve(history, syncs=history.syncs[:number])


def delete(storage: MemoryStorage, number: int, *diff_types: DiffType) -> None:
    """Delete files of one sync."""
    for sync in read_history(storage, STREAM):
        if sync.synced_at == moment(number):
            for diff_type in diff_types:
                storage.delete(sync.files[diff_type].key)


def times(engine: sa.Engine) -> list[tuple]:
    """Return key, entered and exited of all stays in the tables."""
    return sorted((key, entered, exited) for key, _, _, _, entered, exited in stays(engine))


def expected_times(history: CohortHistory) -> list[tuple]:
    """Return key, entered and exited of all stays of the history."""
    key = history.schema.key_index
    return sorted(
        (stay.row[key], instant(stay.entered), instant(stay.exited)) for stay in history.intervals()
    )


def keys(engine: sa.Engine) -> set[int]:
    """Return the keys of the current members in the tables."""
    return {int(key) for key, _, _ in current(engine)}
