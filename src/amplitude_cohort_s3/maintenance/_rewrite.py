"""Files rewritten without the rows of forgotten people."""

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from itertools import chain

from attrs import define

from ..errors import StagedGoneError
from ..format.columns import ID_COLUMNS, Row
from ..format.compression import stage_csv
from ..format.filename import DiffType
from ..format.reader import read_table
from ..format.schema import RowSchema
from ..history.members import needed_files
from ..log.amendments import AmendedCounts, Amendment
from ..log.listing import BucketSync
from ..log.location import StreamLocation
from ..log.records import RecordedFile, SyncRecord
from ..storage.capabilities import require_replace
from ..storage.protocol import StagedObject
from ..sync.amend import amend
from ._search import File, Found, Who

# --- Doing ---------------------------------------------------------------------------


@define
class _Rewriting:
    """The bytes of a file without those who go, and what they come to."""

    file: File
    who: Who
    rows: int = 0
    size: int = 0
    sha256: str = ""

    def chunks(self) -> Iterator[bytes]:
        """The CSV that is left."""
        digest = hashlib.sha256()
        schema = self.file.schema or _own_schema(self.file)
        for chunk in schema.encode(self._kept(schema)):
            digest.update(chunk)
            self.size += len(chunk)
            yield chunk
        self.sha256 = digest.hexdigest()

    def recorded(self, staged: StagedObject) -> RecordedFile:
        """What to record of the file, once its bytes are stored."""
        return RecordedFile(
            key=self.file.key, rows=self.rows, size=self.size, sha256=self.sha256, staged=staged
        )

    def _kept(self, schema: RowSchema) -> Iterator[Row]:
        goes = self.who.tester(schema.columns)
        for row in self.file.source.rows_of(schema, fill=True):
            if not goes(row):
                self.rows += 1
                yield row


_API_HEADER = re.compile(rb"\b(amplitude_id|user_id)\b")


def _own_schema(file: File) -> RowSchema:
    """The columns of a file that somebody else wrote; it comes out in the canonical form."""
    chunks = file.source.chunks()
    first = next(chunks, b"")
    table = read_table(chain([first], chunks))
    api = _API_HEADER.search(first.split(b"\n", 1)[0].lower())
    key = next(name for name in ID_COLUMNS if name in table.columns)
    return RowSchema(
        properties=table.properties, key=key, header_style="api" if api else "documented"
    )


def replace_unlogged(location: StreamLocation, found: Found) -> None:
    """Without a log each file is for itself, and a rerun sees which are still to do."""
    store = require_replace(location.data, "forget")
    for affected in found.plan.files:
        rewriting = _Rewriting(found.files[affected.key], found.who)
        store.replace(stage_csv(location.data, affected.key, rewriting.chunks()))


def amend_log(location: StreamLocation, found: Found, head: SyncRecord, now: datetime) -> int:
    """Stages the new files, records them, puts them in place; the number of the amendment."""
    with ExitStack() as discarding:
        replaced = dict[str, RecordedFile]()
        for affected in found.plan.files:
            key = affected.key
            rewriting = _Rewriting(found.files[key], found.who)
            staged = stage_csv(location.data, key, rewriting.chunks())
            discarding.callback(location.data.discard, staged)
            replaced[key] = rewriting.recorded(staged)
        amendment = Amendment(
            number=found.history.log.last_ended + 1,
            previous=head.ref,
            stream=found.plan.stream,
            requested_at=now,
            purpose="forget",
            replaced=replaced,
            counts=dict(_counts(found, replaced)),
            earlier=head.amendment,
            writer=uuid.uuid4().hex,
        )
        discarding.pop_all()
    outcome = amend(location, amendment)
    if outcome.lost:
        raise StagedGoneError(outcome.lost[0])
    return amendment.number


def _counts(
    found: Found, replaced: Mapping[str, RecordedFile]
) -> Iterator[tuple[int, AmendedCounts]]:
    """The numbers of the syncs that change."""
    history = found.history
    gone = frozenset[str]()
    earlier = members = 0
    for sync in history:
        gone = _gone_at(found, sync, gone)
        record = history.record(sync)
        if record is None:
            continue
        # Where an earlier amendment was carried out in part, its counts fit neither state.
        partial = bool(record.keys & history.log.lost)
        sha256 = record.members_sha256
        now = record.members - len(gone)
        if gone or partial:
            now, sha256 = _members(found, sync, record, replaced, now, count=partial)
        if record.previous is None:
            members_before = record.members_before
        elif record.previous.number == earlier:
            members_before = members
        else:
            members_before = record.members_before - len(_gone_before(found, sync))
        earlier, members = record.number, now
        counts = AmendedCounts(members=now, members_before=members_before, members_sha256=sha256)
        if counts != AmendedCounts.of(record):
            yield record.number, counts


def _in(found: Found, sync: BucketSync, diff_type: DiffType) -> frozenset[str]:
    info = sync.files.get(diff_type)
    return frozenset() if info is None else found.keys_in.get(info.key, frozenset())


def _gone_at(found: Found, sync: BucketSync, before: frozenset[str]) -> frozenset[str]:
    """Which of the people were members at a sync."""
    entering, exiting, existing = (_in(found, sync, t) for t in DiffType)
    known = existing if found.history.has_snapshot(sync) else before
    return (entering | known) - exiting


def _gone_before(found: Found, sync: BucketSync) -> frozenset[str]:
    """Which of the people were members before a sync."""
    entering, exiting, existing = (_in(found, sync, t) for t in DiffType)
    return (existing - entering) | exiting


def _members(
    found: Found,
    sync: BucketSync,
    record: SyncRecord,
    replaced: Mapping[str, RecordedFile],
    members: int,
    *,
    count: bool,
) -> tuple[int, str]:
    """The number of members without those who go, and the digest of a file of them.

    Where a pruned sync can't tell its members any more, the digest stays as it is.
    """
    if not found.history.has_snapshot(sync):
        return members, record.members_sha256
    if needed_files(record) == (DiffType.EXISTING,):
        file = record.files[DiffType.EXISTING]
        file = replaced.get(file.key, file)
        # The digest of a composed file is not that of its bytes; it was not replaced.
        sha256 = record.members_sha256 if file.parts else file.sha256
        return file.rows if count else members, sha256
    goes = found.who.tester(record.schema.columns)
    kept = [0]

    def rows() -> Iterator[Row]:
        for row in found.history.members_at(sync):
            if not goes(row):
                kept[0] += 1
                yield row

    digest = hashlib.sha256()
    for chunk in record.schema.encode(rows()):
        digest.update(chunk)
    return kept[0], digest.hexdigest()
