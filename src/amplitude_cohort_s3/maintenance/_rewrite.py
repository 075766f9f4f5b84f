"""Files rewritten without the rows of forgotten people."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime

from attrs import define

from .._bytes import Hashed
from ..errors import StagedGoneError
from ..format.columns import ID_COLUMNS, Row
from ..format.compression import stage_csv
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..history.members import needed_files
from ..log.amendments import AmendedCounts, Amendment
from ..log.listing import BucketSync
from ..log.location import StreamLocation
from ..log.records import RecordedFile, SyncRecord
from ..storage.capabilities import require_replace
from ..storage.protocol import Storage
from ..sync.amend import amend
from ..sync.commit_protocol import replacement
from ._search import SearchedFile, SearchResult, Subjects


@define
class _RewrittenFile:
    """A file without the rows of subjects, counted while its bytes are produced."""

    file: SearchedFile
    subjects: Subjects
    rows: int = 0

    def staged(self, storage: Storage) -> RecordedFile:
        """Stage the file in the place of the old one, and return its description for the log."""
        schema = self.file.schema or _own_schema(self.file)
        content = Hashed(schema.encode(self._kept_rows(schema)))
        staged = stage_csv(storage, self.file.key, content)
        return RecordedFile(
            key=self.file.key,
            rows=self.rows,
            size=content.size,
            sha256=content.sha256,
            staged=staged,
        )

    def _kept_rows(self, schema: RowSchema) -> Iterator[Row]:
        is_subject = self.subjects.matcher(schema.columns)
        for row in self.file.source.rows_of(schema, fill=True):
            if not is_subject(row):
                self.rows += 1
                yield row


def _own_schema(file: SearchedFile) -> RowSchema:
    """Return the columns of a file that another tool wrote; it is rewritten in canonical form."""
    table = file.source.read_table()
    api = any(cell.strip().lower() in ID_COLUMNS for cell in table.reader.header.cells)
    key = next(name for name in ID_COLUMNS if name in table.columns)
    return RowSchema(
        properties=table.properties, key=key, header_style="api" if api else "documented"
    )


def replace_unlogged(location: StreamLocation, found: SearchResult) -> None:
    """Replace the affected files of a stream without a log; a rerun replaces the rest."""
    storage = require_replace(location.data, "forget")
    for affected in found.plan.files:
        rewritten = _RewrittenFile(found.files[affected.key], found.subjects)
        storage.replace(replacement(rewritten.staged(location.data)))


def amend_log(
    location: StreamLocation, found: SearchResult, head: SyncRecord, now: datetime
) -> int:
    """Stage the new files, record them, and replace the old ones.

    Returns:
        The number of the amendment.

    Raises:
        StagedGoneError: Some of the new files were removed before they replaced the old.
        ConcurrentSyncError, LogLimitError: As ``amend``.
    """
    with ExitStack() as discarding:
        replaced = dict[str, RecordedFile]()
        for affected in found.plan.files:
            rewritten = _RewrittenFile(found.files[affected.key], found.subjects)
            replaced[affected.key] = file = rewritten.staged(location.data)
            discarding.callback(location.data.discard, replacement(file))
        amendment = Amendment(
            number=found.history.log.last_ended + 1,
            previous=head.ref,
            stream=found.plan.stream,
            requested_at=now,
            purpose="forget",
            replaced=replaced,
            counts=dict(_changed_counts(found, replaced)),
            earlier=head.amendment,
            writer=uuid.uuid4().hex,
        )
        discarding.pop_all()
    outcome = amend(location, amendment, found.history.log)
    if outcome.lost:
        raise StagedGoneError(outcome.lost[0])
    return amendment.number


def _changed_counts(
    found: SearchResult, replaced: Mapping[str, RecordedFile]
) -> Iterator[tuple[int, AmendedCounts]]:
    """Yield the new counts of each sync whose counts change, with the number of its record."""
    history = found.history
    subjects = frozenset[str]()
    earlier = earlier_members = 0
    for sync in history:
        subjects = _subjects_at(found, sync, subjects)
        record = history.record(sync)
        if record is None:
            continue
        # If an earlier amendment was carried out in part, its counts describe neither state.
        partial = bool(record.keys & history.log.lost)
        members, sha256 = record.members - len(subjects), record.members_sha256
        if subjects or partial:
            members, sha256 = _members_left(found, sync, record, replaced, members, count=partial)
        if record.previous is None:
            members_before = record.members_before
        elif record.previous.number == earlier:
            members_before = earlier_members
        else:
            members_before = record.members_before - len(_subjects_before(found, sync))
        earlier, earlier_members = record.number, members
        counts = AmendedCounts(
            members=members, members_before=members_before, members_sha256=sha256
        )
        if counts != AmendedCounts.of(record):
            yield record.number, counts


def _subjects_in(
    found: SearchResult, sync: BucketSync
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return the subjects in the files entering, exiting and existing of a sync."""
    entering, exiting, existing = (
        found.keys_in.get(sync.files[t].key, frozenset()) if t in sync.files else frozenset[str]()
        for t in DiffType
    )
    return entering, exiting, existing


def _subjects_at(found: SearchResult, sync: BucketSync, before: frozenset[str]) -> frozenset[str]:
    """Return the subjects who were members at a sync."""
    entering, exiting, existing = _subjects_in(found, sync)
    known = existing if found.history.has_snapshot(sync) else before
    return (entering | known) - exiting


def _subjects_before(found: SearchResult, sync: BucketSync) -> frozenset[str]:
    """Return the subjects who were members before a sync."""
    entering, exiting, existing = _subjects_in(found, sync)
    return (existing - entering) | exiting


def _members_left(
    found: SearchResult,
    sync: BucketSync,
    record: SyncRecord,
    replaced: Mapping[str, RecordedFile],
    members: int,
    *,
    count: bool,
) -> tuple[int, str]:
    """Return the number and the digest of the members without the subjects.

    If the members of a pruned sync are no longer known, its digest stays as it is.
    """
    if not found.history.has_snapshot(sync):
        return members, record.members_sha256
    if needed_files(record) == (DiffType.EXISTING,):
        file = record.files[DiffType.EXISTING]
        file = replaced.get(file.key, file)
        # The digest of a composed file is not that of its bytes; it was not replaced.
        sha256 = record.members_sha256 if file.parts else file.sha256
        return file.rows if count else members, sha256
    is_subject = found.subjects.matcher(record.schema.columns)
    left = 0

    def rows() -> Iterator[Row]:
        nonlocal left
        for row in found.history.members_at(sync):
            if not is_subject(row):
                left += 1
                yield row

    content = Hashed(record.schema.encode(rows())).read()
    return left, content.sha256
