"""Whether a bucket's syncs add up, and what its files ``existing`` hold."""

import heapq
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from ..errors import CohortS3Error, DigestMismatchError
from ..format.columns import ID_COLUMNS
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import CohortFileName, DiffType
from ..format.schema import RowSchema
from ..log.listing import SAME_SYNC, BucketSync, SyncState
from ._external_sort import external_sort, group_by_first
from .findings import Finding, FindingKind
from .history import CohortHistory, check_is_history

_BEFORE, _ENTERING, _EXITING, _NOW = range(4)


def check_accounting(
    *,
    before: Iterable[bytes],
    entering: Iterable[bytes],
    exiting: Iterable[bytes],
    now: Iterable[bytes],
) -> Counter[FindingKind]:
    """Whether ``now = (before | entering) - exiting``, and each change is one.

    Args:
        before: The keys of the members before, in order as all of these.
        entering: Of the file; a key that stands twice is found.
        exiting: Of the file.
        now: Of the members now.

    >>> check_accounting(before=[b"a"], entering=[b"b"], exiting=[b"a"], now=[b"b"])
    Counter()
    """
    found = Counter[FindingKind]()
    for places in _places(before, entering, exiting, now):
        if any(count > 1 for count in places.values()):
            found[FindingKind.DUPLICATE_KEY] += 1
        was, came, went, is_there = (side in places for side in range(4))
        if came and was:
            found[FindingKind.ENTERED_TWICE] += 1
        if went and not was:
            found[FindingKind.EXITED_UNSEEN] += 1
        expected = came or (was and not went)
        if expected and not is_there:
            found[FindingKind.LOST_MEMBER] += 1
        if is_there and not expected:
            found[FindingKind.UNEXPLAINED_MEMBER] += 1
    return found


def consistent_meanings(
    *, entering: Iterable[bytes], exiting: Iterable[bytes], existing: Iterable[bytes]
) -> frozenset[ExistingMeaning]:
    """The readings of ``existing`` that one sync's three files allow.

    Args:
        entering: The keys of the file, in order as all of these.
        exiting: Of the file.
        existing: Of the file.

    >>> files = {"entering": [b"b"], "exiting": [b"a"], "existing": [b"b", b"c"]}
    >>> consistent_meanings(**files) == {ExistingMeaning.MEMBERS}
    True
    """
    possible = set(ExistingMeaning)
    for places in _places((), entering, exiting, existing):
        exists = _NOW in places
        if _ENTERING in places:
            possible = {m for m in possible if m.contains_entering is exists}
        if _EXITING in places:
            possible = {m for m in possible if m.contains_exiting is exists}
        if not possible:
            break
    return frozenset(possible)


def _places(*sides: Iterable[bytes]) -> Iterator[Counter[int]]:
    """For each key, how often it stands on which side."""

    def tagged(side: int, keys: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
        for key in keys:
            yield key, side

    merged = heapq.merge(*(tagged(side, keys) for side, keys in enumerate(sides)))
    for same_key in group_by_first(merged):
        yield Counter(side for _, side in same_key)


# --- Of a history --------------------------------------------------------------------


def verify(history: CohortHistory) -> tuple[Finding, ...]:
    """What does not add up in a history: see ``CohortHistory.verify``."""
    findings = [
        Finding(kind=_UNPUBLISHED[sync.state], synced_at=sync.synced_at, count=len(sync.files))
        for sync in history.unpublished
        if sync.files or sync.state is SyncState.IN_DOUBT
    ]
    findings += _log_findings(history)
    findings += _duplicates(history)
    was_readable = True
    for number, sync in enumerate(history):
        of_files = list(_file_findings(history, sync))
        readable = all(f.kind is FindingKind.MISSING_FILE for f in of_files)
        findings += of_files
        if readable and was_readable:
            findings += _set_findings(history, number)
        was_readable = readable
    return tuple(sorted(findings, key=lambda finding: finding.synced_at))


def detect_existing_meaning(history: CohortHistory) -> frozenset[ExistingMeaning]:
    """The readings of ``existing`` that all whole syncs of a history allow.

    Args:
        history: Of any bucket; each whole sync is read.

    Returns:
        One is the answer; several: no file decides between them; none: the syncs follow
        different readings, or none of the three.

    Raises:
        MalformedCsvError: A file is not a cohort's CSV.
        WrongArgumentError: ``history`` is none.
    """
    check_is_history(history)
    whole = [sync for sync in history if not sync.missing]
    return frozenset(ExistingMeaning).intersection(*(_meanings(history, sync) for sync in whole))


_UNPUBLISHED = {
    SyncState.VOID: FindingKind.LEFTOVER,
    SyncState.IN_DOUBT: FindingKind.IN_DOUBT,
    SyncState.INCOMPLETE: FindingKind.INCOMPLETE_SYNC,
}


def _log_findings(history: CohortHistory) -> Iterator[Finding]:
    """What is wrong in the log, and which of its syncs are not there at all."""
    pending = history.log.pending
    if pending is not None:
        yield Finding(
            kind=FindingKind.UNFINISHED,
            synced_at=pending.requested_at,
            key=pending.key,
            count=len(pending.replaced) + len(pending.removed),
        )
    for key in sorted(history.log.lost):
        _, name = CohortFileName.from_key(key)
        yield Finding(
            kind=FindingKind.UNFINISHED,
            synced_at=name.synced_at,
            key=key,
            detail="what was to replace it is lost: forget again",
        )
    for record in history.log.broken_links():
        yield Finding(kind=FindingKind.BROKEN_CHAIN, synced_at=record.synced_at, key=record.key)
    visible = {sync.synced_at for sync in history}
    pruned = _pruned(history)
    for record in history.log.published():
        if record.synced_at not in visible:
            for diff_type, file in record.files.items():
                if (record.synced_at, diff_type) not in pruned:
                    yield Finding(
                        kind=FindingKind.MISSING_FILE,
                        synced_at=record.synced_at,
                        key=file.key,
                        detail=f"{diff_type.value}, with the whole sync",
                    )


def _duplicates(history: CohortHistory) -> Iterator[Finding]:
    for skipped in history.skipped:
        if skipped.reason == SAME_SYNC:
            _, name = CohortFileName.from_key(skipped.key)
            yield Finding(
                kind=FindingKind.DUPLICATE_FILE, synced_at=name.synced_at, key=skipped.key
            )


def _file_findings(history: CohortHistory, sync: BucketSync) -> Iterator[Finding]:
    """What is wrong with the files of a sync, each for itself."""
    record = history.record(sync)
    changing = _changing(history)
    for diff_type in DiffType:
        info = sync.files.get(diff_type)
        if info is None:
            key = None if record is None else record.files[diff_type].key
            if (sync.synced_at, diff_type) in _pruned(history):
                continue
            derived = diff_type is DiffType.EXISTING or history.is_derived(sync, diff_type)
            how = "follows from the syncs around it" if derived else "can't be told"
            kind, detail = FindingKind.MISSING_FILE, f"{diff_type.value}; what it held {how}"
        else:
            key, detail = info.key, ""
            try:
                count = sum(1 for _ in history.rows(sync, diff_type))
            except DigestMismatchError:
                kind = FindingKind.EDITED_FILE
            except (CohortS3Error, zlib.error, EOFError) as error:
                kind, detail = FindingKind.UNREADABLE_FILE, str(error)
            else:
                if record is None or key in changing or count == record.files[diff_type].rows:
                    continue
                kind, detail = FindingKind.EDITED_FILE, f"{count} rows"
        yield Finding(kind=kind, synced_at=sync.synced_at, key=key, detail=detail)


def _set_findings(history: CohortHistory, number: int) -> Iterator[Finding]:
    """What is wrong between the files of a sync, and to the sync before."""
    sync = history[number]
    if _is_changing(history, number):
        return
    if not sync.missing:
        record = history.record(sync)
        meanings = _meanings(history, sync)
        wrong = record is not None and not record.adopted and record.existing not in meanings
        if wrong or not meanings:
            yield Finding(kind=FindingKind.MEANING_BROKEN, synced_at=sync.synced_at)
    changes = {DiffType.ENTERING, DiffType.EXITING}
    comparable = not history.has_gap_before(sync) and (number > 0 or history.begins_empty)
    if comparable and changes <= sync.files.keys() and (not number or history.has_snapshot(sync)):
        found = check_accounting(
            before=_member_keys(history, history[number - 1]) if number else (),
            entering=_keys(history, sync, DiffType.ENTERING),
            exiting=_keys(history, sync, DiffType.EXITING),
            now=_member_keys(history, sync),
        )
        for kind, count in found.items():
            yield Finding(kind=kind, synced_at=sync.synced_at, count=count)


def _changing(history: CohortHistory) -> frozenset[str]:
    """The keys of files that may be as before an amendment or as after it."""
    pending = history.log.pending
    if pending is None:
        return history.log.lost
    return history.log.lost.union(pending.replaced, pending.removed)


def _pruned(history: CohortHistory) -> set[tuple[datetime, DiffType]]:
    """The files that were removed by the log, or may have been."""
    pending = history.log.pending
    keys = history.log.removed.union(() if pending is None else pending.removed)
    names = [CohortFileName.from_key(key)[1] for key in keys]
    return {(name.synced_at, name.diff_type) for name in names}


def _is_changing(history: CohortHistory, number: int) -> bool:
    """Whether, of a sync and the one before, one file may be replaced and another not yet."""
    changing = _changing(history)
    near = history[max(number - 1, 0) : number + 1]
    return any(info.key in changing for sync in near for info in sync.files.values())


def _meanings(history: CohortHistory, sync: BucketSync) -> frozenset[ExistingMeaning]:
    keys = {t.value: _keys(history, sync, t) for t in DiffType}
    return consistent_meanings(**keys)


def _keys(history: CohortHistory, sync: BucketSync, diff_type: DiffType) -> Iterator[bytes]:
    """The keys of one file, in order."""
    properties = () if history.match_by in ID_COLUMNS else (history.match_by,)
    schema = RowSchema(properties=properties, key=history.match_by)
    rows = history.source(sync, diff_type).rows_of(schema, fill=True)
    keys = ((row[schema.key_index].encode(),) for row in rows)
    ordered = external_sort(keys, size=lambda item: len(item[0]) + 64, work_dir=history.work_dir)
    return (key for (key,) in ordered)


def _member_keys(history: CohortHistory, sync: BucketSync) -> Iterator[bytes]:
    members = history.members_at(sync)
    index = members.schema.key_index
    return (row[index].encode() for row in members)
