"""Streams of small cohorts, from which the tests of ``maintenance`` remove members."""

import gzip
from collections.abc import Sequence
from datetime import datetime

from attrs import evolve

from amplitude_cohort_s3 import (
    ExistingMeaning,
    MemoryStorage,
    Storage,
    UserProperty,
    forget,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.testing.small_cohort import STREAM, SYNC, clock_at, ids_of, moment, rows

COHORTS = [{1, 2, 3}, {2, 3, 4}, {1, 3, 4}, {3, 4, 5}]
LATER = clock_at(moment(90))


def sync_all(
    storage: Storage,
    cohorts: list[set[int]],
    *,
    meaning: ExistingMeaning = ExistingMeaning.MEMBERS,
    log: Storage | None = None,
    compression=None,
    properties: Sequence[UserProperty] = (),
    first: int = 0,
) -> None:
    """Sync the cohorts one after the other, a minute apart.

    With properties, half of their cells are empty, and some change from sync to sync.
    """
    destination = evolve(SYNC.destination, existing=meaning, compression=compression)
    sync = evolve(SYNC, destination=destination, user_properties=properties)
    for minute, ids in enumerate(cohorts, first):
        now = moment(minute)
        members = [
            (*row, *(f"v{minute // n}" * ((minute + int(row[0])) // n % 2) for n in places))
            for places in [range(1, len(properties) + 1)]
            for row in rows(ids)
        ]
        sync_cohort(sync, members, storage, synced_at=now, clock=clock_at(now), log=log)


def members_by_time(storage: Storage, log: Storage | None = None) -> dict[datetime, set[int]]:
    history = read_history(storage, STREAM, log=log)
    return {sync.synced_at: ids_of(history.members_at(sync)) for sync in history}


def all_members(storage: Storage, log: Storage | None = None) -> list[set[int]]:
    """Return the members at each sync."""
    return list(members_by_time(storage, log).values())


def without(cohorts: list[set[int]], *forgotten: int) -> list[set[int]]:
    return [ids - set(forgotten) for ids in cohorts]


def all_bytes(*storages: Storage) -> bytes:
    """Return all stored bytes, decompressed."""
    data = b""
    for storage in storages:
        for info in storage.list_objects():
            with storage.open(info.key) as stream:
                stored = stream.read()
            data += gzip.decompress(stored) if info.key.endswith(".gz") else stored
    return data


def forget_ids(storage: Storage, *ids: int, log: Storage | None = None):
    return forget(storage, STREAM, ids, log=log, clock=LATER)


def clone(storage: MemoryStorage) -> MemoryStorage:
    copied = MemoryStorage()
    for name in ("_visible", "_staged"):
        vars(copied)[name].update(vars(storage)[name])
    return copied


class RequiredMethodsOnly:
    """A storage without the optional methods."""

    def __init__(self, inner):
        for name in ("list_objects", "open", "create", "stage", "inspect", "publish", "discard"):
            setattr(self, name, getattr(inner, name))
