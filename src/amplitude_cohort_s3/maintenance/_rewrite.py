"""Files rewritten without the rows of forgotten people."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Self

from attrs import evolve, frozen

from .._bytes import Hashed
from ..diff.progress import ReadProgress
from ..errors import StagedGoneError
from ..format.columns import ID_COLUMNS
from ..format.compression import stage_csv
from ..format.filename import DiffType
from ..format.filled import CountedCsv
from ..format.schema import RowSchema
from ..history.members import needed_files
from ..log.amendments import AmendedCounts, Amendment
from ..log.files import RecordedFile
from ..log.listing import BucketSync
from ..log.location import StreamLocation
from ..log.records import SyncRecord
from ..storage.capabilities import require_replace
from ..storage.protocol import Storage
from ..sync.amend import amend
from ..sync.commit_protocol import replacement
from ._search import SearchedFile, SearchResult, Subjects


@frozen
class _RewrittenFile:
    """A file without the rows of subjects, which is staged to replace the old one.

    Attributes:
        file: The description of the file for the log.
        filled: The number of its rows with a value, for each property.
    """

    file: RecordedFile
    filled: Mapping[str, int]

    @classmethod
    def staged(cls, file: SearchedFile, subjects: Subjects, storage: Storage) -> Self:
        """Stage a file of the stream without the rows of the subjects."""
        schema = file.schema or _own_schema(file)
        is_subject = subjects.matcher(schema.columns)
        rows = file.source.rows_of(schema, fill=True)
        kept = CountedCsv(schema, (row for row in rows if not is_subject(row)))
        content = Hashed(kept)
        staged = stage_csv(storage, file.key, content)
        return cls(
            RecordedFile(
                key=file.key,
                rows=kept.rows,
                size=content.size,
                sha256=content.sha256,
                staged=staged,
            ),
            kept.filled,
        )


def _own_schema(file: SearchedFile) -> RowSchema:
    """Return the schema in which a file of another tool is rewritten; the form is canonical."""
    table = file.source.read_table()
    api = any(cell.strip().lower() in ID_COLUMNS for cell in table.reader.header.cells)
    key = next(name for name in ID_COLUMNS if name in table.columns)
    return RowSchema(
        properties=table.properties, key=key, header_style="api" if api else "documented"
    )


def _affected_files(found: SearchResult, reads: ReadProgress) -> Iterator[SearchedFile]:
    """Yield the files to rewrite, and report how much of them has been read."""
    files = [found.files[affected.key] for affected in found.plan.files]
    reads.begin("rewrite", [file.size for file in files])
    for file in files:
        reads.next()
        yield file
    reads.end()


def replace_unlogged(location: StreamLocation, found: SearchResult, reads: ReadProgress) -> None:
    """Replace the affected files of a stream without a log; a rerun replaces the remaining ones."""
    storage = require_replace(location.data, "forget")
    for file in _affected_files(found, reads):
        rewritten = _RewrittenFile.staged(file, found.subjects, location.data)
        storage.replace(replacement(rewritten.file))


def amend_log(
    location: StreamLocation,
    found: SearchResult,
    head: SyncRecord,
    now: datetime,
    reads: ReadProgress,
) -> int:
    """Stage the new files, record them, and replace the old ones.

    Returns:
        The number of the amendment.

    Raises:
        StagedGoneError: Some new files were removed before they replaced the old ones.
        ConcurrentSyncError, LogLimitError: As ``amend``.
    """
    with ExitStack() as discarding:
        rewritten = dict[str, _RewrittenFile]()
        for file in _affected_files(found, reads):
            new = _RewrittenFile.staged(file, found.subjects, location.data)
            rewritten[file.key] = new
            discarding.callback(location.data.discard, replacement(new.file))
        amendment = Amendment(
            number=found.history.log.last_ended + 1,
            previous=head.ref,
            stream=found.plan.stream,
            requested_at=now,
            purpose="forget",
            replaced={key: new.file for key, new in rewritten.items()},
            counts=dict(_changed_counts(found, rewritten)),
            earlier=head.amendment,
            writer=uuid.uuid4().hex,
        )
        discarding.pop_all()
    outcome = amend(location, amendment, found.history.log)
    if outcome.lost:
        raise StagedGoneError(outcome.lost[0])
    return amendment.number


def _changed_counts(
    found: SearchResult, rewritten: Mapping[str, _RewrittenFile]
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
        left = evolve(AmendedCounts.of(record), members=record.members - len(subjects))
        # If the members of a pruned sync are no longer known, its digest stays as it is.
        if (subjects or partial) and history.has_snapshot(sync):
            left = _members_left(found, sync, record, rewritten)
        if record.previous is None:
            members_before = record.members_before
        elif record.previous.number == earlier:
            members_before = earlier_members
        else:
            members_before = record.members_before - len(_subjects_before(found, sync))
        earlier, earlier_members = record.number, left.members
        counts = evolve(left, members_before=members_before)
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
    rewritten: Mapping[str, _RewrittenFile],
) -> AmendedCounts:
    """Return the counts and the digest of the members without the subjects."""
    before = AmendedCounts.of(record)
    existing = record.files[DiffType.EXISTING]
    only_existing = needed_files(record) == (DiffType.EXISTING,)
    if only_existing and (new := rewritten.get(existing.key)) is not None:
        file = new.file
        return evolve(before, members=file.rows, members_sha256=file.sha256, filled=new.filled)
    is_subject = found.subjects.matcher(record.schema.columns)
    members = found.history.members_at(sync)
    left = CountedCsv(record.schema, (row for row in members if not is_subject(row)))
    sha256 = Hashed(left).read().sha256
    if only_existing and existing.parts:
        # The recorded digest of a composed file is not that of its bytes, and the file has not
        # changed.
        sha256 = record.members_sha256
    return evolve(before, members=left.rows, members_sha256=sha256, filled=left.filled)
