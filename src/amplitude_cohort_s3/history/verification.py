"""Verification: checks that the syncs of a history, its files and its log agree."""

import heapq
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, repeat
from operator import itemgetter

from .._display import counted
from ..errors import CohortS3Error, ObjectChangedError
from ..format.columns import ID_COLUMNS
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import CohortFileName, DiffType
from ..format.schema import RowSchema
from ..log.listing import SAME_SYNC, BucketSync, SyncState
from ._external_sort import external_sort
from .findings import Finding, FindingKind
from .replay import Replay
from .sync_files import CHANGES, Files, removed_files


def verify(replay: Replay) -> tuple[Finding, ...]:
    """Return the faults of a history: see ``CohortHistory.verify``."""
    findings = [
        Finding(kind=_UNPUBLISHED[sync.state], synced_at=sync.synced_at, count=len(sync.files))
        for sync in replay.unpublished
        if sync.files or sync.state is SyncState.IN_DOUBT
    ]
    removed = removed_files(replay.log)
    findings += _log_findings(replay, removed)
    findings += [
        _finding(FindingKind.DUPLICATE_FILE, skipped.key)
        for skipped in replay.skipped
        if skipped.reason == SAME_SYNC
    ]
    was_readable = True
    for number, sync in enumerate(replay.syncs):
        of_files = list(_file_findings(replay, sync, removed))
        readable = all(f.kind is FindingKind.MISSING_FILE for f in of_files)
        findings += of_files
        if readable and was_readable:
            findings += _set_findings(replay, number)
        was_readable = readable
    return tuple(sorted(findings, key=lambda finding: finding.synced_at))


_UNPUBLISHED = {
    SyncState.VOID: FindingKind.LEFTOVER,
    SyncState.IN_DOUBT: FindingKind.IN_DOUBT,
    SyncState.INCOMPLETE: FindingKind.INCOMPLETE_SYNC,
}


def _log_findings(replay: Replay, removed: Files) -> Iterator[Finding]:
    """Yield the faults of the log, and the published syncs that are missing entirely."""
    log = replay.log
    if log.pending is not None:
        yield Finding(
            kind=FindingKind.UNFINISHED,
            synced_at=log.pending.requested_at,
            key=log.pending.key,
            count=len(log.pending.replaced) + len(log.pending.removed),
        )
    for key in sorted(log.lost):
        detail = "its replacement is lost: call forget again"
        yield _finding(FindingKind.UNFINISHED, key, detail)
    for record in log.broken_links():
        yield Finding(kind=FindingKind.BROKEN_CHAIN, synced_at=record.synced_at, key=record.key)
    visible = {sync.synced_at for sync in replay.syncs}
    for record in log.published():
        if record.synced_at not in visible and replay.window.contains(record.synced_at):
            for diff_type, file in record.files.items():
                if (record.synced_at, diff_type) not in removed:
                    detail = f"{diff_type.value}; the whole sync is missing"
                    yield _finding(FindingKind.MISSING_FILE, file.key, detail)


def _finding(kind: FindingKind, key: str, detail: str = "") -> Finding:
    _, name = CohortFileName.from_key(key)
    return Finding(kind=kind, synced_at=name.synced_at, key=key, detail=detail)


def _file_findings(replay: Replay, sync: BucketSync, removed: Files) -> Iterator[Finding]:
    """Yield the faults of the single files of a sync."""
    record = replay.record(sync)
    changing = _changing(replay)
    for diff_type in DiffType:
        info = sync.files.get(diff_type)
        if info is None:
            if (sync.synced_at, diff_type) in removed:
                continue
            key = None if record is None else record.files[diff_type].key
            derived = diff_type is DiffType.EXISTING or replay.is_derived(sync, diff_type)
            content = "follows from the syncs around it" if derived else "is unknown"
            kind, detail = FindingKind.MISSING_FILE, f"{diff_type.value}; its content {content}"
        else:
            key, detail = info.key, ""
            try:
                count = sum(1 for _ in replay.rows(sync, diff_type))
            except ObjectChangedError:
                kind = FindingKind.EDITED_FILE
            except (CohortS3Error, zlib.error, EOFError) as error:
                kind, detail = FindingKind.UNREADABLE_FILE, str(error)
            else:
                if record is None or key in changing or count == record.files[diff_type].rows:
                    continue
                kind, detail = FindingKind.EDITED_FILE, counted(count, "row")
        yield Finding(kind=kind, synced_at=sync.synced_at, key=key, detail=detail)


def _set_findings(replay: Replay, number: int) -> Iterator[Finding]:
    """Yield the contradictions between the files of a sync, and to the sync before it."""
    near = replay.syncs[max(number - 1, 0) : number + 1]
    changing = _changing(replay)
    if any(info.key in changing for sync in near for info in sync.files.values()):
        return  # One of the files may be replaced already while another is not.
    sync = near[-1]
    if not sync.missing:
        record = replay.record(sync)
        meanings = possible_meanings(replay, sync)
        wrong = record is not None and not record.adopted and record.existing not in meanings
        if wrong or not meanings:
            yield Finding(kind=FindingKind.MEANING_BROKEN, synced_at=sync.synced_at)
    comparable = not replay.has_gap_before(sync) and (number > 0 or replay.has_known_start)
    if (
        comparable
        and CHANGES.keys() <= sync.files.keys()
        and (not number or replay.has_snapshot(sync))
    ):
        faults = _user_faults(
            _member_keys(replay, near[0]) if number else (),
            _keys(replay, sync, DiffType.ENTERING),
            _keys(replay, sync, DiffType.EXITING),
            _member_keys(replay, sync),
        )
        for kind, count in Counter(faults).items():
            yield Finding(kind=kind, synced_at=sync.synced_at, count=count)


def _user_faults(
    before: Iterable[bytes],
    entering: Iterable[bytes],
    exiting: Iterable[bytes],
    now: Iterable[bytes],
) -> Iterator[FindingKind]:
    """Yield the faults of the users who contradict ``now = (before | entering) - exiting``."""
    for sides in _sides_by_key(before, entering, exiting, now):
        was_member, entered, exited, is_member = (side in sides for side in range(4))
        if len(sides) > len(set(sides)):
            yield FindingKind.DUPLICATE_KEY
        if entered and was_member:
            yield FindingKind.ENTERED_TWICE
        if exited and not was_member:
            yield FindingKind.EXITED_UNSEEN
        expected = entered or (was_member and not exited)
        if expected and not is_member:
            yield FindingKind.LOST_MEMBER
        if is_member and not expected:
            yield FindingKind.UNEXPLAINED_MEMBER


def _changing(replay: Replay) -> frozenset[str]:
    """Return the keys of files that may be in their state before or after an amendment."""
    log = replay.log
    if log.pending is None:
        return log.lost
    return log.lost.union(log.pending.replaced, log.pending.removed)


def possible_meanings(replay: Replay, sync: BucketSync) -> frozenset[ExistingMeaning]:
    """Return the meanings of ``existing`` that the files of a complete sync allow."""
    entering, exiting, existing = range(3)
    # The observed answers to: is a user of the file also in existing?
    of_entering, of_exiting = set[bool](), set[bool]()
    for sides in _sides_by_key(*(_keys(replay, sync, diff_type) for diff_type in DiffType)):
        if entering in sides:
            of_entering.add(existing in sides)
        if exiting in sides:
            of_exiting.add(existing in sides)
    return frozenset(
        meaning
        for meaning in ExistingMeaning
        if of_entering <= {meaning.contains_entering} and of_exiting <= {meaning.contains_exiting}
    )


def _sides_by_key(*sides: Iterable[bytes]) -> Iterator[list[int]]:
    """Yield for each key the sides on which it appears; the keys of a side are in order."""
    merged = heapq.merge(*(zip(keys, repeat(side)) for side, keys in enumerate(sides)))
    for _, same_key in groupby(merged, key=itemgetter(0)):
        yield [side for _, side in same_key]


def _keys(replay: Replay, sync: BucketSync, diff_type: DiffType) -> Iterator[bytes]:
    """Yield the keys of one file, in order."""
    properties = () if replay.match_by in ID_COLUMNS else (replay.match_by,)
    schema = RowSchema(properties=properties, key=replay.match_by)
    rows = replay.source(sync, diff_type).rows_of(schema, fill=True)
    keys = ((row[schema.key_index].encode(), ()) for row in rows)
    return (key for key, _ in external_sort(keys, work_dir=replay.work_dir))


def _member_keys(replay: Replay, sync: BucketSync) -> Iterator[bytes]:
    members = replay.members_at(sync)
    index = members.schema.key_index
    return (row[index].encode() for row in members)
