"""A small cohort for tests, and the content of its bucket in a reproducible form."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ..settings.cohort_sync import CohortSync
from ..settings.destination import Destination
from ..storage import MemoryStorage, Storage
from ..sync.commit import SyncResult
from ..sync.sync_cohort import sync_cohort

DESTINATION = Destination(name="proof", path="cohorts")
SYNC = CohortSync(
    destination=DESTINATION,
    project_id=1,
    cohort_id="a",
    guard=False,
)
STREAM = SYNC.stream
START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


def moment(minute: int) -> datetime:
    """Return the time some minutes after ``START``."""
    return START + timedelta(minutes=minute)


def rows(ids: Iterable[int]) -> list[tuple[str, str]]:
    """Return a member for each number."""
    return [(str(i), f"user {i}") for i in ids]


def clock_at(when: datetime) -> Callable[[], datetime]:
    """Return a clock that always returns the same time."""
    return lambda: when


def sync_ids(
    storage: Storage,
    ids: Iterable[int],
    minute: int | None,
    *,
    log: Storage | None = None,
    now: int | None = None,
) -> SyncResult:
    """Sync a member for each number; ``minute=None`` means the next free time."""
    return sync_cohort(
        SYNC,
        rows(ids),
        storage,
        synced_at=None if minute is None else moment(minute),
        log=log,
        clock=clock_at(moment(now or minute or 0)),
    )


def ids_of(members: Iterable[tuple[str, ...]]) -> set[int]:
    """Return the numbers of members."""
    return {int(row[0]) for row in members}


def content(storage: Storage, log: Storage | None = None) -> dict[str, bytes]:
    """Return the bytes of each visible object, without what differs from run to run.

    The token of the writer and the handles of staged files in a record differ from run to run,
    and so does the digest of the previous record. Constants replace them.
    """
    found = dict[str, bytes]()
    for store in (storage, log or MemoryStorage()):
        for info in store.list_objects():
            with store.open(info.key) as stream:
                found[info.key] = stream.read()
    for key, data in found.items():
        if "/_syncs/" in key:
            found[key] = json.dumps(_without_run_facts(json.loads(data)), indent=1).encode()
    return found


def _without_run_facts(value: dict[str, Any]) -> dict[str, Any]:
    if "outcome" in value:
        head = value["head"]
        return {**value, "head": head and _without_run_facts(head), "sha256": ""}
    previous = value["previous"] and {**value["previous"], "sha256": ""}
    files: dict[str, Any] = {
        name: {**file, "staged": {**file["staged"], "handle": {}}}
        for name, file in value["files"].items()
    }
    return {**value, "previous": previous, "files": files, "writer": "", "sha256": ""}
