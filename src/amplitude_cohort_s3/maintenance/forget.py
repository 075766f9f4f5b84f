"""Forgetting people: the one exception to "no object under a cohort name ever changes".

The files that hold them are written anew without them and put in the place of the old
ones, each at once. Where the stream has a log, one entry of it, an ``Amendment``, is the
decision: it has the new digests and counts and names nobody, takes a number like a sync
so that the two can't cross, and can be finished by any process without knowing whom it
was about.
"""

import hashlib
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain
from os import PathLike

from attrs import define, field, frozen

from .._arguments import check_kind
from .._html import html_table
from ..errors import (
    MissingColumnsError,
    StagedGoneError,
    UnfinishedSyncError,
    WrongArgumentError,
)
from ..format.filename import DiffType, to_utc
from ..format.schema import ID_COLUMNS, Row, RowSchema, read_table, to_text
from ..history.history import CohortHistory
from ..history.members import needed_files, object_source, recorded_source
from ..log.listing import BucketSync, StreamFile, parse_listing
from ..log.records import AmendedCounts, Amendment, RecordedFile, SyncRecord
from ..settings.destination import CohortStream
from ..sources.protocol import CsvSource
from ..storage.protocol import StagedObject, Storage
from ..sync.sync_cohort import amend, log_storage, read_history, recover, replacing, stage_csv

OTHER_COPIES = (
    "Older versions in a bucket that keeps versions, replicas, backups, what consumers have "
    "copied, and Amplitude itself may still hold these people"
)
"""What forgetting can't reach; receipts say it."""


@frozen(kw_only=True)
class AffectedFile:
    """A file that holds people who are to be forgotten.

    Attributes:
        key: Where.
        rows: How many of its rows go.
    """

    key: str
    rows: int


@frozen(kw_only=True)
class ForgetPlan:
    """What ``forget`` would do. It counts people and does not name them.

    Attributes:
        stream: Whose files.
        people: How many of those given the files hold, by the stream's key.
        files: Those that hold them, in the order of their keys.
        files_read: How many were looked through.
    """

    stream: CohortStream
    people: int
    files: tuple[AffectedFile, ...]
    files_read: int

    def __str__(self) -> str:
        """The counts, one file a line."""
        lines = [f"{file.rows:>10,} {file.key}" for file in self.files]
        return "\n".join([self._title, *lines])

    def _repr_html_(self) -> str:
        return html_table(
            self._title, ("rows to forget", "key"), [(f.rows, f.key) for f in self.files]
        )

    @property
    def _title(self) -> str:
        return f"forget {self.people:,} people in {len(self.files):,} of {self.files_read:,} files"


@frozen(kw_only=True)
class ForgetReceipt:
    """What ``forget`` did, to keep as evidence: it names nobody.

    Attributes:
        stream: Whose files.
        forgotten_at: When, in UTC.
        people: How many were found and forgotten, by the stream's key.
        files: The files that were replaced, and how many rows went.
        number: Of the entry in the log; None where nothing was to do or there is no log.
    """

    stream: CohortStream
    forgotten_at: datetime
    people: int
    files: tuple[AffectedFile, ...]
    number: int | None

    def __str__(self) -> str:
        """The counts, one file a line, and what was not reached."""
        title = (
            f"{self.forgotten_at.isoformat()}: forgot {self.people:,} people "
            f"in {len(self.files):,} files"
        )
        lines = [f"{file.rows:>10,} {file.key}" for file in self.files]
        return "\n".join([title, *lines, f"{OTHER_COPIES}."])


def plan_forget(
    storage: Storage,
    stream: CohortStream,
    people: Iterable[str | int],
    *,
    by: str | None = None,
    log: Storage | None = None,
    work_dir: str | PathLike[str] | None = None,
) -> ForgetPlan:
    """Looks which files hold people, and touches nothing.

    Args:
        storage: Where the data is.
        stream: Whose files.
        people: Whom to forget: their ids.
        by: The column of these ids; by default the one that members are matched by.
            Whoever had such an id once is forgotten with all rows of the same key.
        log: Where the log is, if not in ``storage``.
        work_dir: Where temporary files go.

    Raises:
        MissingPowerError: The storage can't replace files.
        UnfinishedSyncError: A sync is at work, or died; ``recover`` finishes it.
        WrongArgumentError: ``people`` is one text, or another argument of another type.
        UnsupportedValueError: ``people`` holds what is no id.
        MissingColumnsError: No file has the column ``by``.
        DigestMismatchError, MalformedCsvError: A file can't be trusted or read.
    """
    return _search(storage, stream, people, by=by, log=log, work_dir=work_dir).plan


def forget(
    storage: Storage,
    stream: CohortStream,
    people: Iterable[str | int],
    *,
    by: str | None = None,
    log: Storage | None = None,
    work_dir: str | PathLike[str] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ForgetReceipt:
    """Takes people out of all files of a stream, of published syncs and of others.

    Counts and digests of the log follow. A run that dies is completed by running it again,
    or, once it is recorded, by ``recover`` and by the next sync. Each file changes at
    once: whoever reads meanwhile sees some of them as before and some as after.

    Take the people out of the source of the next sync too, or they will enter again. They
    do not show as exiting. Where there is no log, nothing keeps a writer from adding files
    meanwhile: run it while none is at work, or twice.

    Args:
        storage: Where the data is.
        stream: Whose files; a person may be in several streams (see ``list_streams``).
        people: Whom to forget: their ids.
        by: The column of these ids; by default the one that members are matched by.
            Whoever had such an id once is forgotten with all rows of the same key.
        log: Where the log is, if not in ``storage``.
        work_dir: Where temporary files go.
        clock: Gives the time; for tests.

    Raises:
        MissingPowerError: The storage can't replace files.
        ConcurrentSyncError: A sync came first; nothing is changed, run it again.
        TooManyFilesError: They are in more files than one entry of the log can hold, some
            15,000; nothing is changed.
        StagedGoneError: Some of the new files were removed before they came into place;
            the others are done, run it again.
        WrongArgumentError: ``people`` is one text, or another argument of another type.
        UnsupportedValueError: ``people`` holds what is no id.
        MissingColumnsError: No file has the column ``by``.
        DigestMismatchError, MalformedCsvError: A file can't be trusted or read.
        UnknownOutcomeError: The storage did not say what became of a write; run it again.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, sync_cohort
    >>> bucket = MemoryStorage()
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> _ = sync_cohort(sync, [("1", "ann"), ("2", "bob")], bucket)
    >>> receipt = forget(bucket, sync.stream, ["ann"], by="user_id")
    >>> receipt.people, len(receipt.files)
    (1, 2)
    """
    log = log_storage(storage, log)
    replacing(storage, "forget")
    recover(storage, stream, log=log)
    found = _search(storage, stream, people, by=by, log=log, work_dir=work_dir)
    now = to_utc(clock(), "clock()")
    number = None
    if found.plan.files:
        head = found.history.log.head
        if head is None:
            _replace_unlogged(storage, found)
        else:
            number = _amend(storage, log, found, head, now)
    return ForgetReceipt(
        stream=stream,
        forgotten_at=now,
        people=found.plan.people,
        files=found.plan.files,
        number=number,
    )


# --- Looking -------------------------------------------------------------------------


@frozen(kw_only=True)
class _Who:
    """Whose rows go: those with one of the keys, or with one of the ids in a column."""

    key: str
    keys: frozenset[str] = field(repr=False)
    by: str
    ids: frozenset[str] = field(repr=False)

    def tester(self, columns: Sequence[str]) -> Callable[[Row], bool]:
        """A function that says of rows with these columns whether they go."""
        sets = [(self.key, self.keys), (self.by, self.ids)]
        places = [(columns.index(name), ids) for name, ids in sets if name in columns]
        return lambda row: any(row[place] in ids for place, ids in places)


@frozen(kw_only=True)
class _File:
    """One file of the stream, with what the log says of it."""

    key: str
    source: CsvSource
    schema: RowSchema | None
    """Of a file that the library wrote; of others what their own header says."""


@frozen(kw_only=True)
class _Found:
    """What a search found."""

    history: CohortHistory
    who: _Who
    files: Mapping[str, _File]
    plan: ForgetPlan
    keys_in: Mapping[str, frozenset[str]] = field(repr=False)
    """By the keys of files: the keys of the people in them."""


def _search(
    storage: Storage,
    stream: CohortStream,
    people: Iterable[str | int],
    *,
    by: str | None,
    log: Storage | None,
    work_dir: str | PathLike[str] | None,
) -> _Found:
    replacing(storage, "forget")
    cure = "give a list of ids"
    check_kind("people", people, Iterable, cure)
    if isinstance(people, str | bytes):
        raise WrongArgumentError("people", type(people).__name__, cure)
    history = read_history(storage, stream, log=log, work_dir=work_dir)
    if history.log.unfinished is not None:
        raise UnfinishedSyncError(history.log.unfinished.key)
    files = {file.key: file for file in _files(storage, history)}
    column = history.match_by if by is None else by
    # An empty id is nobody's: it stands where there is none.
    ids = frozenset(to_text(one, column) for one in people) - {""}
    if column not in (*ID_COLUMNS, *history.columns):
        raise MissingColumnsError((column,))
    who = _Who(key=history.match_by, keys=frozenset(), by=column, ids=ids)
    if column != history.match_by and ids:
        keys = {key for file in files.values() for key, _ in _matches(file, who)} - {""}
        who = _Who(key=history.match_by, keys=frozenset(keys), by=column, ids=ids)
    affected, keys_in = list[AffectedFile](), dict[str, frozenset[str]]()
    for key, file in files.items():
        counts = Counter(dict(_matches(file, who))) if ids else Counter[str]()
        if counts:
            keys_in[key] = frozenset(counts)
            affected.append(AffectedFile(key=key, rows=counts.total()))
    everyone = frozenset[str]().union(*keys_in.values()) - {""}
    plan = ForgetPlan(
        stream=stream, people=len(everyone), files=tuple(affected), files_read=len(files)
    )
    return _Found(history=history, who=who, files=files, plan=plan, keys_in=keys_in)


def _files(storage: Storage, history: CohortHistory) -> Iterator[_File]:
    """Every file of the stream, of void syncs, of doubled names and of none too."""
    for item in parse_listing(history.stream, storage.list_objects(history.stream.data_prefix)):
        if not isinstance(item, StreamFile):
            continue
        name, key = item.name, item.info.key
        record = history.log.published_at(name.synced_at)
        if record is None or key not in record.keys:
            source, schema = object_source(key, storage.open), None
        else:
            source = recorded_source(record, name.diff_type, storage.open)
            schema = None if record.adopted else record.schema
        yield _File(key=key, source=source, schema=schema)


def _matches(file: _File, who: _Who) -> list[tuple[str, int]]:
    """The keys of those in a file who are to go, and how many rows each has."""
    found = Counter[str]()
    with file.source.reading():
        table = read_table(file.source.chunks(), vouched=file.source.vouched)
        goes = who.tester(table.columns)
        place = table.columns.index(who.key) if who.key in table.columns else None
        for rows in table.batches:
            found.update("" if place is None else row[place] for row in rows if goes(row))
    return list(found.items())


# --- Doing ---------------------------------------------------------------------------


@define
class _Rewriting:
    """The bytes of a file without those who go, and what they come to."""

    file: _File
    who: _Who
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


def _own_schema(file: _File) -> RowSchema:
    """The columns of a file that somebody else wrote; it comes out in the canonical form."""
    chunks = file.source.chunks()
    first = next(chunks, b"")
    table = read_table(chain([first], chunks))
    api = _API_HEADER.search(first.split(b"\n", 1)[0].lower())
    key = next(name for name in ID_COLUMNS if name in table.columns)
    return RowSchema(
        properties=table.properties, key=key, header_style="api" if api else "documented"
    )


def _replace_unlogged(storage: Storage, found: _Found) -> None:
    """Without a log each file is for itself, and a rerun sees which are still to do."""
    store = replacing(storage, "forget")
    for affected in found.plan.files:
        rewriting = _Rewriting(found.files[affected.key], found.who)
        store.replace(stage_csv(storage, affected.key, rewriting.chunks()))


def _amend(storage: Storage, log: Storage, found: _Found, head: SyncRecord, now: datetime) -> int:
    """Stages the new files, records them, puts them in place; the number of the amendment."""
    with ExitStack() as discarding:
        replaced = dict[str, RecordedFile]()
        for affected in found.plan.files:
            key = affected.key
            rewriting = _Rewriting(found.files[key], found.who)
            staged = stage_csv(storage, key, rewriting.chunks())
            discarding.callback(storage.discard, staged)
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
    outcome = amend(amendment, storage, log)
    if outcome.lost:
        raise StagedGoneError(outcome.lost[0])
    return amendment.number


def _counts(
    found: _Found, replaced: Mapping[str, RecordedFile]
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


def _in(found: _Found, sync: BucketSync, diff_type: DiffType) -> frozenset[str]:
    info = sync.files.get(diff_type)
    return frozenset() if info is None else found.keys_in.get(info.key, frozenset())


def _gone_at(found: _Found, sync: BucketSync, before: frozenset[str]) -> frozenset[str]:
    """Which of the people were members at a sync."""
    entering, exiting, existing = (_in(found, sync, t) for t in DiffType)
    known = existing if found.history.has_snapshot(sync) else before
    return (entering | known) - exiting


def _gone_before(found: _Found, sync: BucketSync) -> frozenset[str]:
    """Which of the people were members before a sync."""
    entering, exiting, existing = (_in(found, sync, t) for t in DiffType)
    return (existing - entering) | exiting


def _members(
    found: _Found,
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
        # What was composed of parts has none, and was not replaced.
        return file.rows if count else members, file.sha256 or record.members_sha256
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
