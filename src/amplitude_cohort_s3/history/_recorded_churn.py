"""The churn of a stream with a log, which needs only a part of the small files.

The records state how many members there were at each sync, and how many entered and exited.
They do not state how many users returned. For these, only the following files are read:
``exiting`` of a sync if users entered later, and ``entering`` of a sync if users exited before.
"""

import pickle
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..format.filename import DiffType
from ..log.records import SyncRecord
from ..storage.temporary import as_disk_full_error, temporary_folder
from ._external_sort import read_pickled
from ._key_blocks import as_list, file_keys
from .events import Churn
from .members import are_sorted
from .replay import Replay
from .sync_files import CHANGES

MAX_HELD = 1_000_000
"""The largest number of keys of users who exited that are held at a time, about 120 MB."""

_BATCH_KEYS = 1 << 16
_MAX_SHARES = 256

_Keys = tuple[int, DiffType, list[str]]
"""The number of a sync, a file of changes, and some of its keys."""


def recorded_changes(replay: Replay) -> list[SyncRecord] | None:
    """Return the records of all syncs if they state all changes, otherwise None.

    They do not if a sync has no record of its own or lacks a file of changes, if one before
    it is missing, or if an amendment has not replaced all of its files yet.
    """
    return _records_of(replay, replay) if _are_complete(replay) else None


def recorded_churn(replay: Replay) -> list[Churn] | None:
    """Return the churn that the records of all syncs state, or None if they do not state it.

    The result is None if a sync has no record of its own or lacks a file of changes, if a sync
    between two of them is missing, or if an amendment has not replaced all of its files yet. If
    a newer log has amended the records, its counts are returned.
    """
    if replay.log.newest is None or not _are_complete(replay):
        return None
    # An amendment changes the counts, but perhaps none of the files that are read.
    newer = replay.newer() or replay
    records = _records_of(newer, replay)
    if records is None:
        return None
    return [
        Churn(
            synced_at=record.synced_at,
            members=record.members,
            entered=record.files[DiffType.ENTERING].rows,
            exited=record.files[DiffType.EXITING].rows,
            returned=returned,
            changed=record.changed,
        )
        for record, returned in zip(records, _returned(newer, replay, records), strict=True)
    ]


def _are_complete(replay: Replay) -> bool:
    for sync in replay.syncs:
        if not are_sorted(replay.record(sync), replay.match_by):
            return False
        if not CHANGES.keys() <= sync.files.keys() or replay.has_gap_before(sync):
            return False
    return True


def _records_of(newer: Replay, replay: Replay) -> list[SyncRecord] | None:
    found = [newer.record(sync) for sync in replay.syncs]
    records = [record for record in found if record is not None]
    if len(records) < len(found) or newer.log.pending is not None or newer.log.lost:
        return None
    return records


def _returned(newer: Replay, replay: Replay, records: Sequence[SyncRecord]) -> list[int]:
    """Return the number of users who returned at each sync."""
    rows = [{t: record.files[t].rows for t in CHANGES} for record in records]
    exits = [number for number, of in enumerate(rows) if of[DiffType.EXITING]]
    entries = [number for number, of in enumerate(rows) if of[DiffType.ENTERING]]
    exits = [number for number in exits if number < max(entries, default=0)]
    entries = [number for number in entries if number > min(exits, default=len(rows))]
    wanted = {DiffType.EXITING: set(exits), DiffType.ENTERING: set(entries)}
    files = (
        (number, t, as_list(block))
        for number, (sync, record) in enumerate(zip(replay.syncs, records, strict=True))
        for t in CHANGES
        if number in wanted[t]
        for block in file_keys(newer.source(sync, t), record.schema)
    )
    returned = [0] * len(records)
    held = sum(rows[number][DiffType.EXITING] for number in exits)
    if held <= MAX_HELD:
        _add_returned(files, returned)
        return returned
    folder = temporary_folder("cohort-churn-", replay.work_dir)
    try:
        for share in _divide(files, min(-(-held // MAX_HELD), _MAX_SHARES), folder):
            _add_returned(read_pickled(share), returned)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return returned


def _add_returned(files: Iterable[_Keys], returned: list[int]) -> None:
    """Count the users in ``entering`` who are in an earlier ``exiting``; the syncs are in order."""
    gone = set[str]()
    for number, diff_type, keys in files:
        if diff_type is DiffType.EXITING:
            gone.update(keys)
        else:
            returned[number] += len(gone.intersection(keys))


def _divide(files: Iterable[_Keys], shares: int, folder: Path) -> list[Path]:
    """Write a share of the users to each of some files; each user is in one share."""
    paths = [folder / str(share) for share in range(shares)]
    for number, diff_type, keys in _in_batches(files):
        parts = [list[str]() for _ in paths]
        for key in keys:
            parts[hash(key) % shares].append(key)
        for path, part in zip(paths, parts, strict=True):
            with as_disk_full_error(folder), path.open("ab") as file:
                pickle.dump((number, diff_type, part), file)
    return paths


def _in_batches(files: Iterable[_Keys]) -> Iterator[_Keys]:
    """Yield the keys of each file in larger parts."""
    gathered: _Keys | None = None
    for number, diff_type, keys in files:
        if gathered is not None and gathered[:2] == (number, diff_type):
            gathered[2].extend(keys)
        else:
            if gathered is not None:
                yield gathered
            gathered = (number, diff_type, list(keys))
        if len(gathered[2]) >= _BATCH_KEYS:
            yield gathered
            gathered = None
    if gathered is not None:
        yield gathered
