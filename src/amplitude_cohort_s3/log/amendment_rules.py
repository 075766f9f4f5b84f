"""The rules of amendments, checked against the log before an amendment changes anything.

An amendment deletes and overwrites files, and a writer who may create an object below
``_syncs/`` can add one to the log. So it may do only what ``forget`` and ``prune`` do:

- It continues the head of the log, and names the amendment before it.
- ``prune`` removes only files older than the head: those of published and void syncs, and
  those older than the first sync of an adopted log.
- ``forget`` replaces files, each by one of the same stream with fewer rows, and lowers the
  counts of published syncs in agreement with these files.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache

from ..errors import RecordFormatError
from ..format.filename import CohortFileName, DiffType
from .amendments import AmendedCounts, Amendment
from .records import SyncRecord
from .sync_log import SyncLog


def check_amendment(amendment: Amendment, log: SyncLog) -> None:
    """Raise unless an amendment follows the rules of this module.

    Args:
        amendment: The amendment.
        log: The log before it.

    Raises:
        RecordFormatError: It breaks a rule.
    """
    head = head_to_amend(amendment, log)
    for fault in _faults(amendment, log, head):
        raise RecordFormatError(amendment.key, fault)


def head_to_amend(amendment: Amendment, log: SyncLog) -> SyncRecord:
    """Return the head that an amendment continues. Each amendment continues a head.

    Raises:
        RecordFormatError: The log has another head before the amendment, or none.
    """
    head = log.head
    if head is None:
        raise RecordFormatError(amendment.key, "there is no sync before it to amend")
    if amendment.previous != head.ref:
        raise RecordFormatError(amendment.key, "it names another head than the log has before it")
    return head


def may_remove(log: SyncLog, head: SyncRecord) -> Callable[[str], bool]:
    """Return a function that tests whether an amendment may remove the file with a key."""

    @cache
    def adopted_at() -> datetime | None:
        first = log.record(1)
        return first.synced_at if isinstance(first, SyncRecord) and first.adopted else None

    @cache
    def keys_of_void_syncs() -> frozenset[str]:
        return frozenset(key for record, void in log.unpublished() if void for key in record.keys)

    def test(key: str) -> bool:
        _, name = CohortFileName.from_key(key)
        if name.synced_at >= head.synced_at:
            return False
        record = log.published_at(name.synced_at)
        if record is not None:
            return key in record.keys
        begun = adopted_at()
        return (begun is not None and name.synced_at < begun) or key in keys_of_void_syncs()

    return test


def _faults(amendment: Amendment, log: SyncLog, head: SyncRecord) -> Iterator[str]:
    """Yield the rules that an amendment breaks, first those that are checked without a read."""
    if amendment.earlier != head.amendment:
        yield "it names another amendment than the log has before it"
    prunes = bool(amendment.removed)
    forgets = bool(amendment.replaced or amendment.counts)
    if (prunes, forgets) != (amendment.purpose == "prune", amendment.purpose == "forget"):
        yield f"it does not do what the purpose {amendment.purpose!r} does"
    if amendment.counts and not amendment.replaced:
        yield "it changes counts and no file"
    if len(set(amendment.removed)) != len(amendment.removed):
        yield "it removes a file twice"
    if not all(map(may_remove(log, head), amendment.removed)):
        yield "it removes a file that is not of an ended sync older than the head"
    for key, file in amendment.replaced.items():
        _, name = CohortFileName.from_key(key)
        record = log.published_at(name.synced_at)
        if record is not None and key in record.keys:
            if file.rows >= record.files[name.diff_type].rows:
                yield "it replaces a file by one with as many rows or more"
            if record.number not in amendment.counts and _lists_members(record, name.diff_type):
                yield "it replaces the members of a sync and not their count"
    for number, counts in amendment.counts.items():
        if not 0 < number < amendment.number or not log.outcome(number).published:
            yield "it changes the counts of a record that is not a published sync"
            return
        yield from _faults_of_counts(amendment, log, number, counts)


def _faults_of_counts(
    amendment: Amendment, log: SyncLog, number: int, counts: AmendedCounts
) -> Iterator[str]:
    record = log.amended_record(number)
    if counts.members > record.members or counts.members_before > record.members_before:
        yield "it raises a count of members"
    if counts.filled.keys() != record.filled.keys():
        yield "it counts the values of other properties"
    elif any(count > record.filled[name] for name, count in counts.filled.items()):
        yield "it raises a count of values"
    for diff_type in DiffType:
        file = amendment.replaced.get(record.files[diff_type].key)
        if (
            file is not None
            and _lists_members(record, diff_type)
            and (counts.members, counts.members_sha256) != (file.rows, file.sha256)
        ):
            yield "a count of members is not that of its file"
    before = record.previous and amendment.counts.get(record.previous.number)
    if before and counts.members_before != before.members:
        yield "the counts of two syncs contradict each other"


def _lists_members(record: SyncRecord, diff_type: DiffType) -> bool:
    """Return whether a file has one row for each member of the sync, and no other rows."""
    return not record.adopted and record.existing.member_files == (diff_type,)
