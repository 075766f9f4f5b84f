"""Checks of the log: its entries form one chain, and no entry contradicts itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from attrs import define, field

from .._display import counted
from ..errors import RecordFormatError
from ..format.content import ContentPart, parts_digest
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import CohortFileName, DiffType
from ..log.amendments import Amendment, LogRecord
from ..log.files import RecordedFile
from ..log.outcomes import Outcome
from ..log.records import SyncRecord
from ..log.sync_log import SyncLog
from .findings import Finding, FindingKind
from .sync_files import Files, absent_files

T = TypeVar("T")

_MAX_MISSING = 100
"""The number of missing entries after which the check of a log stops. The number of a forged
entry may imply that there are millions of entries before it."""


@define
class CheckedLog:
    """A log that was read completely, entry by entry.

    Attributes:
        findings: The faults of its entries.
        published: The records of the published syncs, with all amendments applied, by time.
        unpublished: The records of the void syncs, and of a sync without an outcome.
        pending: The newest entry if it is an amendment without an outcome.
        contents: The newest contents that amendments wrote, by the keys of the files.
        lost: The keys that an amendment failed to replace, and that no later one replaced.
        removed: The keys of the files that amendments removed.
    """

    findings: list[Finding] = field(factory=list[Finding])
    published: dict[datetime, SyncRecord] = field(factory=dict[datetime, SyncRecord])
    unpublished: list[SyncRecord] = field(factory=list[SyncRecord])
    pending: Amendment | None = None
    contents: dict[str, RecordedFile] = field(factory=dict[str, RecordedFile])
    lost: set[str] = field(factory=set[str])
    removed: set[str] = field(factory=set[str])

    @property
    def changing(self) -> frozenset[str]:
        """The keys of the files that an amendment may or may not have changed."""
        if self.pending is None:
            return frozenset(self.lost)
        return frozenset(self.lost).union(self.pending.replaced, self.pending.removed)

    @property
    def absent(self) -> Files:
        """The files that were removed, or are being removed."""
        return absent_files(self.removed, self.pending)

    @property
    def covers_from(self) -> datetime | None:
        """The time from which every file of the stream is in a record; None if it is unknown.

        A log begins with the first sync of a stream or with an adopted sync. Syncs that are
        older than an adopted one are not in the log.
        """
        is_damaged = any(found.kind is FindingKind.DAMAGED_LOG for found in self.findings)
        first = min(self.published.values(), key=lambda record: record.number, default=None)
        if first is None or is_damaged:
            return None
        return first.synced_at if first.adopted else datetime.min.replace(tzinfo=UTC)


def amendments_of(log: SyncLog) -> tuple[Amendment | None, ...]:
    """Return the amendments of a log, and the unfinished one or None; nothing if it is damaged."""
    try:
        return (*log.amendments, log.pending)
    except RecordFormatError:
        return ()


def check_log(log: SyncLog) -> CheckedLog:
    """Read every entry of a log, and return its contents and its faults."""
    checked = CheckedLog()
    head: SyncRecord | None = None
    head_is_known = True
    missing = 0
    amendments = list[tuple[Amendment, Outcome]]()
    numbers = range(1, (0 if log.newest is None else log.newest.number) + 1)
    for number in numbers:
        record = _read(log.record, number, checked)
        outcome = None
        if number <= log.last_ended:
            outcome = _read(log.outcome, number, checked)
            missing += record is None and outcome is None
            if missing > _MAX_MISSING:
                break
        if record is not None and (outcome is not None or number > log.last_ended):
            faults = list(_outcome_faults(record, outcome, head)) if head_is_known else []
            if head_is_known:
                faults += _chain_faults(record, head, checked)
            if faults:
                checked.findings.append(of_entry(FindingKind.BROKEN_CHAIN, record, faults))
            if isinstance(record, Amendment) and outcome is not None:
                amendments.append((record, outcome))
            _sort_in(record, outcome, checked)
        head_is_known = outcome is not None
        head = None if outcome is None else outcome.head
    for record in checked.published.values():
        checked.published[record.synced_at] = _amended(record, amendments)
    for record in (*checked.published.values(), *checked.unpublished):
        faults = list(_own_faults(record))
        # If only some files of a record were replaced, the record describes neither state.
        if faults and not record.keys & checked.lost:
            checked.findings.append(of_entry(FindingKind.WRONG_RECORD, record, faults))
    return checked


def _read(read: Callable[[int], T], number: int, checked: CheckedLog) -> T | None:
    """Return an entry; None, and a finding, if it can't be read."""
    try:
        return read(number)
    except RecordFormatError as error:
        kind, rule = FindingKind.DAMAGED_LOG, error.rule
        checked.findings.append(Finding(kind=kind, synced_at=None, key=error.key, detail=rule))
        return None


def of_entry(kind: FindingKind, record: LogRecord, faults: Iterable[str]) -> Finding:
    """Return the finding about an entry with these faults. Each fault is named once."""
    detail = "; ".join(dict.fromkeys(faults))
    return Finding(kind=kind, synced_at=record.synced_at, key=record.key, detail=detail)


def _sort_in(record: LogRecord, outcome: Outcome | None, checked: CheckedLog) -> None:
    """Add an entry to the contents of the log."""
    if isinstance(record, SyncRecord):
        if outcome is not None and outcome.published:
            checked.published[record.synced_at] = record
        else:
            checked.unpublished.append(record)
        return
    if outcome is None:
        checked.pending = record
        return
    lost = set(outcome.lost) & record.replaced.keys()
    checked.contents.update((k, f) for k, f in record.replaced.items() if k not in lost)
    checked.lost.difference_update(record.replaced)
    checked.lost.update(lost)
    checked.removed.update(record.removed)


def _amended(record: SyncRecord, amendments: list[tuple[Amendment, Outcome]]) -> SyncRecord:
    """Return a record with all later amendments that concern it applied."""
    for amendment, outcome in amendments:
        concerns = record.number in amendment.counts or record.keys & amendment.replaced.keys()
        if amendment.number > record.number and concerns:
            record = amendment.applied_to(record, outcome.lost)
    return record


# --- The chain -------------------------------------------------------------------------


def _chain_faults(record: LogRecord, head: SyncRecord | None, checked: CheckedLog) -> Iterator[str]:
    """Yield the faults of an entry that follows a head."""
    if record.previous != (None if head is None else head.ref):
        yield "it does not continue the head before it"
    if isinstance(record, Amendment):
        yield from _amendment_faults(record, head, checked.published)
        return
    if record.amendment != (None if head is None else head.amendment):
        yield f"amendment: {record.amendment} is not the newest amendment before it"
    if head is not None and record.schema.key != head.schema.key:
        yield f"match_by: the head before it has {head.schema.key!r}"
    if record.adopted and record.number > 1:
        yield "adopted: only the first record of a log can be"


def _amendment_faults(
    record: Amendment, head: SyncRecord | None, published: Mapping[datetime, SyncRecord]
) -> Iterator[str]:
    if head is None:
        yield "there is no sync before it to amend"
        return
    if record.earlier != head.amendment:
        yield f"earlier: {record.earlier} is not the newest amendment before it"
    if record.removed if record.purpose == "forget" else (record.replaced or record.counts):
        yield f"purpose: it changes more than {record.purpose} does"
    records = {sync.number: sync for sync in published.values()}
    if not record.counts.keys() <= records.keys():
        yield "counts: they are of records that are not published"
    for number, counts in record.counts.items():
        if number in records and counts.filled.keys() != records[number].filled.keys():
            yield f"counts: those of {number} have the values of other properties"
    for key in record.removed:
        if CohortFileName.from_key(key)[1].synced_at >= head.synced_at:
            yield "removed: a file is not older than the head"
            break


def _outcome_faults(
    record: LogRecord, outcome: Outcome | None, head: SyncRecord | None
) -> Iterator[str]:
    """Yield the faults of the outcome of an entry that follows a head."""
    after = head
    if outcome is None:
        return
    if isinstance(record, Amendment):
        if not outcome.amended:
            yield "the outcome is that of a sync"
        if not set(outcome.lost) <= record.replaced.keys():
            yield "the outcome names lost files that were not to be replaced"
        after = None if head is None else record.applied_to(head, outcome.lost)
    elif outcome.amended:
        yield "the outcome is that of an amendment"
    elif outcome.published:
        after = record
        if head is not None and record.synced_at <= head.synced_at:
            yield "synced_at: it is not after the time of the head before it"
    if outcome.head != after or _names(outcome.head) != _names(after):
        yield "the outcome has another head"


def _names(record: SyncRecord | None) -> tuple[str, ...]:
    """Return the names of the properties, which the equality of schemas ignores."""
    return () if record is None else record.schema.names


# --- Records ---------------------------------------------------------------------------


def _own_faults(record: SyncRecord) -> Iterator[str]:
    """Yield the contradictions between the values of one record."""
    for diff_type, file in record.files.items():
        for fault in _file_faults(record, file):
            yield f"files.{diff_type.value}.{fault}"
    for name, filled in record.filled.items():
        if filled > record.members:
            members = counted(record.members, "member")
            yield f"filled: {filled:,} recorded for {name!r}, of {members}"
    if record.adopted:
        if record.members_before:
            yield f"members_before: {record.members_before}, but an adopted sync begins with 0"
        if record.existing is not ExistingMeaning.MEMBERS:
            yield "existing: an adopted sync has no meaning but 'members'"
        if record.bucket is not None:
            yield "bucket: an adopted sync names none"
        if record.schema.names != record.schema.properties:
            yield "property_names: those of an adopted sync are its properties"
        return
    if record.skipped and record.schema.key == "amplitude_id":
        yield "skipped: rows without an Amplitude id are refused"
    if (
        has_digest_of_existing(record)
        and record.members_sha256 != record.files[DiffType.EXISTING].sha256
    ):
        yield "members_sha256: it is not the digest of existing"


def has_digest_of_existing(record: SyncRecord) -> bool:
    """Return True if the digest of the members is that of the file existing."""
    parts = record.files[DiffType.EXISTING].parts
    return record.existing is ExistingMeaning.MEMBERS and not record.adopted and not parts


def _file_faults(record: SyncRecord, file: RecordedFile) -> Iterator[str]:
    if file.parts:
        if file.parts[0] != ContentPart.of(record.schema.header_line):
            yield "parts: the first one is not the header"
        if file.size != sum(part.size for part in file.parts):
            yield "size: it is not the sum of the parts"
        if file.sha256 != parts_digest(file.parts):
            yield "sha256: it is not that of the list of the parts"
    if file.staged is None or file.is_compressed:
        return
    if file.staged.size != file.size:
        yield "staged: it has another size"
    if not file.parts and file.staged.sha256 not in (None, file.sha256):
        yield "staged: it has another digest"


def count_faults(
    record: SyncRecord,
    before: SyncRecord | None,
    *,
    has_changes: bool,
) -> Iterator[str]:
    """Yield the contradictions between the counts of a record.

    Args:
        record: The record of a published sync, with all amendments applied.
        before: The record of the sync before it, if nothing between them is missing.
        has_changes: True if its files entering and exiting exist.
    """
    rows = {diff_type.value: file.rows for diff_type, file in record.files.items()}
    if has_changes and not record.adopted:
        members = record.members_before + rows["entering"] - rows["exiting"]
        if record.members != members:
            yield f"members: {record.members:,} recorded, {members:,} after the changes"
    if before is not None and record.members_before != before.members:
        yield f"members_before: {record.members_before:,} recorded, {before.members:,} before"
