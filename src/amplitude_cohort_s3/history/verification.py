"""Verification: checks that the syncs of a history, its files and its log agree."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from attrs import evolve, frozen

from .._display import counted
from ..diff.progress import Progress, ReadProgress
from ..errors import LogError, ObjectChangedError, RecordFormatError
from ..format.columns import ID_COLUMNS
from ..format.content import verified
from ..format.filename import DiffType
from ..log.listing import SAME_SYNC, BucketSync
from ..log.records import SyncRecord
from ..storage.protocol import ObjectInfo
from ._file_checks import (
    FileFacts,
    content_fault,
    of_file,
    part_faults,
    read_canonical,
    read_foreign,
    stored_faults,
)
from ._log_checks import (
    CheckedLog,
    amendments_of,
    check_log,
    count_faults,
    has_digest_of_existing,
    of_entry,
)
from ._set_checks import compare_sets, filled_faults, member_faults
from .findings import Finding, FindingKind, Findings
from .members import needed_files
from .replay import Replay
from .sync_files import CHANGES, Files


def verify(replay: Replay, progress: Progress | None) -> Findings:
    """Return the faults of a history: see ``CohortHistory.verify``."""
    findings, known = _findings(replay, progress), None
    while findings and (newer := replay.newer()) is not None:
        # A sync, ``forget`` or ``prune`` changed the bucket in the meantime. Syncs count only
        # once: they change no other files, and there may be one during each verification.
        if (amendments := amendments_of(newer.log)) == known:
            break
        replay, known = newer, amendments
        findings = _findings(replay, progress)
    return findings


def _findings(replay: Replay, progress: Progress | None) -> Findings:
    if not (replay.log.newest or replay.syncs or replay.unpublished):
        raise replay.no_sync_yet()
    reads = ReadProgress(progress)
    reads.begin("verify", _bytes_to_read(replay.syncs))
    log = check_log(replay.log)
    match_by = replay.match_by
    try:
        replay.check_log()
    except RecordFormatError:
        # The damaged entries have been found; what does not need them is verified.
        newest = max(log.published, default=None)
        match_by = match_by if newest is None else log.published[newest].schema.key
    # A listing that is being verified must not be replaced by a newer one.
    still: Replay = evolve(
        replay,
        log_fault=None,
        match_by=match_by,
        read_again=lambda: still,
        open=reads.opening(replay._open),  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    )
    found = _Verification(
        replay=still, log=log, absent=log.absent, changing=log.changing, reads=reads
    ).findings()
    beginning = datetime.min.replace(tzinfo=UTC)
    unique = dict.fromkeys(found)
    reads.end()
    ordered = sorted(unique, key=lambda finding: finding.synced_at or beginning)
    return Findings(ordered, len(replay.syncs))


def _bytes_to_read(syncs: Sequence[BucketSync]) -> list[int]:
    """Return about how many bytes are read for each sync.

    Its files are read twice, and are compared with ``existing`` of the sync before.
    """
    sizes = list[int]()
    before = 0
    for sync in syncs:
        sizes.append(2 * sum(info.size for info in sync.files.values()) + before)
        existing = sync.files.get(DiffType.EXISTING)
        before = 0 if existing is None else existing.size
    return sizes


_READABLE = {
    FindingKind.MISSING_FILE,
    FindingKind.ROWS_WITHOUT_KEY,
    FindingKind.DUPLICATE_KEY,
}
"""The faults of files that can still be compared with others."""

Fault = tuple[FindingKind, int, str]
"""A kind, a count and a detail."""


@frozen(kw_only=True)
class _Verification:
    """The verification of one history.

    Attributes:
        replay: The history.
        log: Its log, which has been read completely.
        absent: The files that were removed, or are being removed.
        changing: The keys of files that may be in one of two states.
        reads: The progress, which counts what the history reads.
    """

    replay: Replay
    log: CheckedLog
    absent: Files
    changing: frozenset[str]
    reads: ReadProgress

    def findings(self) -> Iterator[Finding]:
        """Yield all faults."""
        yield from self.log.findings
        yield from self._unpublished_syncs()
        yield from self._amended_files()
        yield from self._missing_syncs()
        for skipped in self.replay.skipped:
            if skipped.reason == SAME_SYNC:
                yield of_file(FindingKind.DUPLICATE_FILE, skipped.key)
        was_readable = True
        for number, sync in enumerate(self.replay.syncs):
            self.reads.next()
            facts = dict[DiffType, FileFacts]()
            of_files = list(self._files_of(sync, facts))
            yield from of_files
            readable = all(finding.kind in _READABLE for finding in of_files)
            yield from self._members_of(number, facts, compare=readable and was_readable)
            was_readable = readable

    # --- The syncs in the listing and in the log -------------------------------------------

    def _unpublished_syncs(self) -> Iterator[Finding]:
        """Yield the syncs that are not part of the history, and the files that they left."""
        # The fields are those of a class of this folder.
        partial = self.replay._partial  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        visible = {sync.synced_at: sync.files for sync in (*self.replay.syncs, *partial)}
        unlogged = visible.keys() - self.log.published.keys()
        in_window = [r for r in self.log.unpublished if self.replay.window.contains(r.synced_at)]
        for record in in_window:
            count = len(visible[record.synced_at]) if record.synced_at in unlogged else 0
            is_void = record.number <= self.replay.log.last_ended
            if count or not is_void:
                kind = FindingKind.LEFTOVER if is_void else FindingKind.UNFINISHED_SYNC
                yield Finding(kind=kind, synced_at=record.synced_at, count=count)
        incomplete = {sync.synced_at for sync in partial}
        covered = self.log.covers_from
        for when in unlogged - {record.synced_at for record in self.log.unpublished}:
            if when in incomplete:
                kind = FindingKind.INCOMPLETE_SYNC
            elif covered is not None and when >= covered:
                kind = FindingKind.UNLOGGED_SYNC
            else:
                continue
            yield Finding(kind=kind, synced_at=when, count=len(visible[when]))

    def _amended_files(self) -> Iterator[Finding]:
        """Yield the files that are not as the amendments would have them."""
        pending = self.log.pending
        if pending is not None:
            yield Finding(
                kind=FindingKind.UNFINISHED_AMENDMENT,
                synced_at=pending.requested_at,
                key=pending.key,
                count=len(pending.replaced) + len(pending.removed),
            )
        for key in sorted(self.log.lost):
            detail = "its replacement is lost: call forget again"
            yield of_file(FindingKind.UNFINISHED_AMENDMENT, key, detail)
        for sync in self.replay.syncs:
            for info in sync.files.values():
                if info.key in self.log.removed:
                    yield of_file(FindingKind.REMOVED_FILE, info.key)

    def _missing_syncs(self) -> Iterator[Finding]:
        """Yield the files of published syncs of which no file is there."""
        visible = {sync.synced_at for sync in self.replay.syncs}
        for record in self.log.published.values():
            if record.synced_at not in visible and self.replay.window.contains(record.synced_at):
                for diff_type, file in record.files.items():
                    if (record.synced_at, diff_type) not in self.absent:
                        detail = f"{diff_type.value}; the whole sync is missing"
                        yield of_file(FindingKind.MISSING_FILE, file.key, detail)

    # --- Files -----------------------------------------------------------------------------

    def _files_of(self, sync: BucketSync, found: dict[DiffType, FileFacts]) -> Iterator[Finding]:
        """Yield the faults of the single files of a sync; add what can be read to a mapping."""
        record = self.log.published.get(sync.synced_at)
        for diff_type in DiffType:
            info = sync.files.get(diff_type)
            if info is None:
                if (sync.synced_at, diff_type) not in self.absent:
                    yield self._missing_file(sync, diff_type, record)
                continue
            faults = list[Fault]()
            try:
                found[diff_type] = self._read(sync, diff_type, info, record, faults)
            except LogError:
                continue  # The entry has its own finding.
            except ObjectChangedError:
                faults = [(FindingKind.EDITED_FILE, 1, "")]
            except Exception as error:
                fault = content_fault(error)
                if fault is None:
                    raise
                faults = [(FindingKind.UNREADABLE_FILE, 1, fault)]
            for kind, count, detail in faults:
                when, key = sync.synced_at, info.key
                yield Finding(kind=kind, synced_at=when, key=key, count=count, detail=detail)
        if record is not None and record.adopted and not sync.missing:
            columns = dict.fromkeys(column for facts in found.values() for column in facts.columns)
            properties = tuple(name for name in columns if name not in ID_COLUMNS)
            if not {*record.schema.properties, record.schema.key} >= set(properties):
                fault = f"properties: the files have {properties}"
                yield of_entry(FindingKind.WRONG_RECORD, record, [fault])

    def _missing_file(
        self, sync: BucketSync, diff_type: DiffType, record: SyncRecord | None
    ) -> Finding:
        derived = diff_type is DiffType.EXISTING or self.replay.is_derived(sync, diff_type)
        content = "follows from the syncs around it" if derived else "is unknown"
        return Finding(
            kind=FindingKind.MISSING_FILE,
            synced_at=sync.synced_at,
            key=None if record is None else record.files[diff_type].key,
            detail=f"{diff_type.value}; its content {content}",
        )

    def _read(
        self,
        sync: BucketSync,
        diff_type: DiffType,
        info: ObjectInfo,
        record: SyncRecord | None,
        faults: list[Fault],
    ) -> FileFacts:
        """Read a file, and add its faults to a list."""
        source = self.replay.source(sync, diff_type)
        file = self.log.contents.get(info.key) if record is None else record.files[diff_type]
        if record is None and file is not None:
            stored = source.chunks
            source = evolve(source, chunks=lambda: verified(stored(), file, file.key))
        if record is None or record.adopted:
            key = self.replay.match_by if record is None else record.schema.key
            facts = read_foreign(source, key, self.replay.work_dir)
        else:
            facts = read_canonical(source, record.schema)
        faults += facts.faults
        if file is None or info.key in self.changing:
            return facts
        if facts.rows != file.rows:
            rows = f"{counted(facts.rows, 'row')}, {file.rows:,} recorded"
            faults.append((FindingKind.EDITED_FILE, 1, rows))
        open_object = self.replay._open  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        differences = list(stored_faults(info, file, open_object))
        if file.parts:
            differences += part_faults(source.chunks(), file.parts)
        faults += [(FindingKind.EDITED_FILE, 1, detail) for detail in differences]
        return facts

    # --- Members ---------------------------------------------------------------------------

    def _members_of(
        self, number: int, files: Mapping[DiffType, FileFacts], *, compare: bool
    ) -> Iterator[Finding]:
        """Yield the contradictions between a sync, its record, and the sync before it.

        Args:
            number: The number of the sync in the history.
            files: What the files of the sync show.
            compare: True if the files of this sync and of the one before it can be read.
        """
        near = self.replay.syncs[max(number - 1, 0) : number + 1]
        if any(info.key in self.changing for sync in near for info in sync.files.values()):
            return  # One of the files may be replaced already while another is not.
        sync = near[-1]
        record = self.log.published.get(sync.synced_at)
        faults = list[str]()
        try:
            if record is not None:
                faults += self._wrong_counts(record, near)
                existing = files.get(DiffType.EXISTING)
                if needed_files(record) == (DiffType.EXISTING,) and existing and existing.filled:
                    faults += filled_faults(record, existing.filled)
            if compare:
                yield from self._compare(number, record, faults)
        except LogError:
            pass  # The entry has its own finding.
        except Exception as error:
            # A file of an earlier sync, which has its own finding.
            if content_fault(error) is None:
                raise
        if faults and record is not None:
            yield of_entry(FindingKind.WRONG_RECORD, record, faults)

    def _wrong_counts(self, record: SyncRecord, near: Sequence[BucketSync]) -> Iterator[str]:
        before = self.log.published.get(near[0].synced_at) if len(near) > 1 else None
        if before is not None and self.replay.has_gap_before(near[-1]):
            before = None
        has_changes = CHANGES.keys() <= near[-1].files.keys()
        return count_faults(record, before, has_changes=has_changes)

    def _compare(
        self, number: int, record: SyncRecord | None, faults: list[str]
    ) -> Iterator[Finding]:
        """Compare the sets of users; add the faults of the record to a list."""
        replay = self.replay
        sync = replay.syncs[number]
        if not replay.has_snapshot(sync):
            return
        known_before = not replay.has_gap_before(sync) and (number > 0 or replay.has_known_start)
        facts = compare_sets(
            replay,
            sync,
            replay.syncs[number - 1] if number else None,
            comparable=known_before and CHANGES.keys() <= sync.files.keys(),
        )
        if not sync.missing:
            wrong = record is not None and not record.adopted
            if not facts.meanings or (record and wrong and record.existing not in facts.meanings):
                yield Finding(kind=FindingKind.MEANING_BROKEN, synced_at=sync.synced_at)
        for kind, count in facts.faults.items():
            yield Finding(kind=kind, synced_at=sync.synced_at, count=count)
        if record is None or record.schema.key != replay.match_by:
            return
        if facts.members != record.members:
            faults.append(f"members: {record.members:,} recorded, {facts.members:,} found")
        before = 0 if record.adopted else facts.members_before
        if not sync.missing and before != record.members_before:
            faults.append(f"members_before: {record.members_before:,} recorded, {before:,} found")
        # The digest of ``existing`` alone is compared with its record already.
        if not has_digest_of_existing(record):
            faults += member_faults(record, replay.members_at(sync))
