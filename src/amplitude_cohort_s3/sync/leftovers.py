"""Staged files that no record names, because their writer died before it created the record."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol, cast

from ..errors import FileAccessError, InvalidFileNameError
from ..format.filename import CohortFileName
from ..log.amendments import Amendment, LogRecord
from ..log.location import StreamLocation
from ..storage.protocol import StagedInfo, StagedObject, Storage, SupportsListStaged
from .commit_protocol import replacement, staged_files

LEFTOVER_AGE = timedelta(days=1)
"""The age from which a staged file without a record is regarded as that of a dead writer."""


class _ListingStorage(Storage, SupportsListStaged, Protocol):
    """A storage that can list what is staged."""


def find_leftovers(location: StreamLocation, older_than: timedelta | None) -> tuple[str, ...]:
    """Return the keys of the files that :func:`discard_leftovers` would discard."""
    found = _find(location, _listing_storages(location), older_than)
    return tuple(info.staged.key for _, info in found)


def discard_leftovers(location: StreamLocation, older_than: timedelta | None) -> tuple[str, ...]:
    """Discard the staged files of a stream that no unfinished record names.

    Storages that can't list what is staged are left alone.

    Args:
        location: The stream.
        older_than: The smallest age of a file, or None for files of any age, including files
            that have a time in the future because a clock was wrong.

    Returns:
        The keys under which the discarded files would have become visible.
    """
    return _discard(location, _listing_storages(location), older_than)


def discard_old_leftovers(location: StreamLocation) -> None:
    """Discard what dead writers left more than a day ago, if the store has no rule for that.

    Files that this account may not discard stay, because they must not stop a sync.
    """
    storages = [s for s in _listing_storages(location) if not s.expires_staged]
    with contextlib.suppress(FileAccessError):
        _discard(location, storages, LEFTOVER_AGE)


def _discard(
    location: StreamLocation, storages: list[_ListingStorage], older_than: timedelta | None
) -> tuple[str, ...]:
    """Discard the leftovers in some storages: see :func:`discard_leftovers`."""
    leftovers = _find(location, storages, older_than)
    for storage, info in leftovers:
        storage.discard(info.staged)
    return tuple(info.staged.key for _, info in leftovers)


def _find(
    location: StreamLocation, storages: list[_ListingStorage], older_than: timedelta | None
) -> list[tuple[_ListingStorage, StagedInfo]]:
    before = None if older_than is None else datetime.now(UTC) - older_than
    found = [
        (storage, info)
        for storage in storages
        for info in _list_staged(storage, location)
        if before is None or info.begun < before
    ]
    # The record is read after the listing, so it names each listed file that has a record.
    named = _named(location.read_log().unfinished) if found else []
    return [(s, i) for s, i in found if not any(i.is_same(staged) for staged in named)]


def _listing_storages(location: StreamLocation) -> list[_ListingStorage]:
    both = [location.data] if location.log is location.data else [location.data, location.log]
    return [cast("_ListingStorage", s) for s in both if isinstance(s, SupportsListStaged)]


def _list_staged(storage: _ListingStorage, location: StreamLocation) -> Iterator[StagedInfo]:
    """Yield what is staged in a storage under keys of the stream's data or log."""
    stream = location.stream
    if storage is location.data:
        for info in storage.list_staged(stream.data_prefix):
            with contextlib.suppress(InvalidFileNameError):
                if stream.owns(*CohortFileName.from_key(info.staged.key)):
                    yield info
    if storage is location.log:
        yield from storage.list_staged(stream.log_prefix)


def _named(record: LogRecord | None) -> list[StagedObject]:
    """Return the staged files that a record names."""
    if record is None:
        return []
    if isinstance(record, Amendment):
        return [replacement(file) for file in record.replaced.values()]
    return staged_files(record)
