"""Random cohorts, a bucket with their syncs, and the stays that a history must return."""

import random
from datetime import UTC, datetime, timedelta
from functools import cache

from forgetting import clone

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    ExistingMeaning,
    MemoryStorage,
    UserProperty,
    sync_cohort,
)
from amplitude_cohort_s3.history import Stay

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = [START + timedelta(hours=n) for n in range(12)]


def random_cohorts(seed: int) -> list[dict[str, tuple[str, str, str]]]:
    """Return the rows of the members at each of the times, by their keys."""
    chosen = random.Random(seed)
    cohorts = []
    for n in range(len(TIMES)):
        keys = chosen.sample(range(40), chosen.randint(5, 30))
        cohorts.append({str(k): (str(k), f"u{k}", f'plan,"{n % 3}\n') for k in keys})
    return cohorts


def build(cohorts, meaning: ExistingMeaning, *, keep_log: bool) -> tuple[MemoryStorage, CohortSync]:
    """Sync the cohorts one after the other. Without a log, the bucket is like Amplitude's."""
    storage, sync = _built(tuple(tuple(one.values()) for one in cohorts), meaning, keep_log)
    return clone(storage), sync


@cache
def _built(cohorts, meaning, keep_log):  # for each kind of history once
    storage, log = MemoryStorage(), MemoryStorage()
    sync = CohortSync(
        destination=Destination(name="d", path="p", existing=meaning),
        project_id=1,
        cohort_id="abc",
        user_properties=(UserProperty("plan"),),
    )
    for when, members in zip(TIMES[: len(cohorts)], cohorts, strict=True):
        sync_cohort(
            sync,
            list(members),
            storage,
            synced_at=when,
            guard=False,
            log=storage if keep_log else log,
        )
    return storage, sync


def expected_stays(cohorts) -> list[tuple[str, datetime, datetime | None]]:
    """Return the key, entry and exit of each stay, computed directly from the cohorts."""
    stays = []
    for key in {k for members in cohorts for k in members}:
        entered = None
        for when, members in zip(TIMES, cohorts, strict=True):
            if key in members and entered is None:
                entered = when
            elif key not in members and entered is not None:
                stays.append((key, entered, when))
                entered = None
        if entered is not None:
            stays.append((key, entered, None))
    return sorted(stays, key=lambda stay: (stay[0].encode(), stay[1]))


def as_tuples(stays: list[Stay]) -> list[tuple[str, datetime | None, datetime | None]]:
    return [(stay.row[0], stay.entered, stay.exited) for stay in stays]
