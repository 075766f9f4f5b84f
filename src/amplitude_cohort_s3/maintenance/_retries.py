"""Repeating a change that another writer overtook."""

from collections.abc import Callable
from typing import TypeVar

from ..errors import (
    ConcurrentSyncError,
    ObjectChangedError,
    ObjectNotFoundError,
    UnfinishedSyncError,
)
from ..log.location import StreamLocation
from ..sync.recover import recover_location

T = TypeVar("T")

ATTEMPTS = 5
"""The number of attempts. All fail if a stream is synced faster than its files are read."""


def with_retries(location: StreamLocation, attempt: Callable[[], T]) -> T:
    """Recover the stream and call a function; repeat both if the log changed meanwhile.

    An amendment covers the syncs before it in the log. So a search is outdated as soon as another
    writer has created the next entry, or has changed files that the search reads.

    Args:
        location: The stream.
        attempt: A function that searches the stream and records what it changes.

    Raises:
        ConcurrentSyncError, UnfinishedSyncError, ObjectChangedError, ObjectNotFoundError:
            Other writers came first at every attempt, or the log has not changed.
    """
    for left in reversed(range(ATTEMPTS)):
        before = location.read_log().newest
        recover_location(location)
        try:
            return attempt()
        except (ConcurrentSyncError, UnfinishedSyncError, ObjectChangedError, ObjectNotFoundError):
            if not left or location.read_log().newest == before:
                raise
    raise AssertionError  # The last attempt returns or raises.
