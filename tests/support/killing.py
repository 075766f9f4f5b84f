"""Child processes that are killed in the middle of a sync."""

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection

from amplitude_cohort_s3 import MemoryStorage, Storage, read_history
from amplitude_cohort_s3.testing.invariants import StreamState, assert_invariants
from amplitude_cohort_s3.testing.small_cohort import STREAM, content, ids_of, sync_ids

SYNCS_IN_A_BUCKET = 4

CONTEXT = multiprocessing.get_context("forkserver")
# What the killed processes import is imported once, and not in each of them.
_OURS = ("testing.small_cohort", "diff.engine", "sql")
_OTHERS = ("boto3", "duckdb", "psycopg", "pytest", "sqlalchemy")
CONTEXT.set_forkserver_preload([*(f"amplitude_cohort_s3.{name}" for name in _OURS), *_OTHERS])


def members(number: int) -> set[int]:
    return {number, number + 1, 1000}


def child(opened: Callable[[], Storage], number: int, parent: Connection) -> None:
    storage = opened()
    parent.send("begun")
    sync_ids(storage, members(number), number)
    parent.send("ended")


def kill_in_a_sync(opened: Callable[[], Storage], number: int, seconds: float) -> bool:
    """Run a sync in a child process, and return whether it was killed before its end."""
    ours, its = CONTEXT.Pipe()
    process = CONTEXT.Process(target=child, args=(opened, number, its))
    process.start()
    its.close()
    assert ours.poll(30)
    ours.recv()
    time.sleep(seconds)
    process.kill()
    process.join()
    try:
        return not (ours.poll() and ours.recv() == "ended")
    except EOFError:
        return True


def kill_often(new_bucket: Callable[[], Callable[[], Storage]], rounds: int) -> Counter[str]:
    """Kill syncs, each at a random moment, and finish each of them in this process.

    Args:
        new_bucket: A function that makes an empty bucket, and returns a function that opens it
            from any process.
        rounds: The number of syncs.
    """
    chance = random.Random(20261123)
    expected = content_without_kills()
    counts = Counter[str]()
    duration = time_of_a_sync(new_bucket())
    while counts["rounds"] < rounds:
        opened = new_bucket()
        earlier: StreamState | None = None
        for number in range(SYNCS_IN_A_BUCKET):
            killed = kill_in_a_sync(opened, number, chance.uniform(0, duration * 1.1))
            storage = opened()
            found = assert_invariants(storage, STREAM, earlier=earlier)
            counts["rounds"] += 1
            counts["killed"] += killed
            counts["unfinished"] += found.unfinished is not None
            counts["nothing recorded"] += len(found.records) == number
            sync_ids(storage, members(number), number)
            earlier = found
        assert_invariants(opened(), STREAM, earlier=earlier)
        history = read_history(opened(), STREAM)
        assert [ids_of(history.members_at(one)) for one in history] == [
            members(number) for number in range(SYNCS_IN_A_BUCKET)
        ]
        assert history.verify() == ()
        assert content(opened()) == expected
    return counts


def time_of_a_sync(opened: Callable[[], Storage]) -> float:
    storage = opened()
    begun = time.perf_counter()
    for number in range(3):
        sync_ids(storage, members(number), number)
    return (time.perf_counter() - begun) / 3


def content_without_kills() -> dict[str, bytes]:
    storage = MemoryStorage()
    for number in range(SYNCS_IN_A_BUCKET):
        sync_ids(storage, members(number), number)
    return content(storage)
