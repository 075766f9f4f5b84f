"""The shell: the only module that reads and writes storages to sync a cohort.

The protocol, per stream: stage three files that nobody sees; create one record, which
is the decision; publish the files, ``existing`` last; create the outcome. Whoever finds
a record without an outcome finishes it the same way. Nothing is ever overwritten, but
by an ``Amendment``, which is a record too: see ``forgetting`` and ``pruning``.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from os import PathLike
from typing import Literal

from attrs import frozen

from .._arguments import check_kind
from .._html import html_table
from ..diff.cohort_diff import CohortDiff, diff_members
from ..diff.protocol import DiffEngine, Duplicates, Progress
from ..distributed.composition import ComposedDiff, ComposedFile
from ..errors import (
    ClockSkewError,
    ConcurrentSyncError,
    ConfigurationError,
    FutureTimeError,
    HeadFilesMissingError,
    MissingPowerError,
    NothingToAdoptError,
    ObjectExistsError,
    ObjectNotFoundError,
    PlanMismatchError,
    RecordFormatError,
    StagedGoneError,
    SyncOrderError,
    SyncTimeTakenError,
    SyncVoidError,
    TooManyFilesError,
    UnfinishedSyncError,
    UnloggedSyncsError,
    WrongArgumentError,
)
from ..format.compression import compress_chunks, content_type_of
from ..format.filename import DiffType, to_utc
from ..history.history import CohortHistory, build_history
from ..history.members import Head
from ..log.listing import StreamFile, StreamOverview, overview, parse_listing
from ..log.records import (
    Amendment,
    LogRecord,
    Outcome,
    RecordedFile,
    SyncRecord,
    outcome_key,
    record_key,
)
from ..log.sync_log import MAX_ENTRY_BYTES, SyncLog, read_outcome, read_record
from ..settings.destination import CohortStream, CohortSync, check_is_stream, check_is_sync
from ..sources import MemberFile
from ..sources.protocol import MemberSource
from ..storage.protocol import (
    StagedObject,
    StagedState,
    Storage,
    SupportsCompose,
    SupportsDelete,
    SupportsReplace,
)
from .adopt import baseline
from .plan import SyncPlan, check_match_by, next_free_moment, plan_sync, statement_of

_VERBS = [name for name in vars(Storage) if not name.startswith("_")]

CLOCK_TOLERANCE = timedelta(minutes=15)
"""How far a clock may be off. Requests to S3 are refused beyond the same distance."""


@frozen(kw_only=True)
class SyncResult:
    """A sync that is published.

    Attributes:
        record: What was recorded of it.
        already_done: Whether an earlier run, or another writer, had done the same.
        ignored_columns: Columns of the source that the sync does not have.
    """

    record: SyncRecord
    already_done: bool = False
    ignored_columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The counts, one file a line."""
        lines = [f"{file.rows:>10,} {file.key}" for file in self.record.files.values()]
        return "\n".join([self._title, *lines])

    def _repr_html_(self) -> str:
        return html_table(
            self._title,
            ("file", "rows", "bytes", "key"),
            [(str(t), file.rows, file.size, file.key) for t, file in self.record.files.items()],
        )

    @property
    def _title(self) -> str:
        done = "already done" if self.already_done else "done"
        return f"sync of {self.record.synced_at.isoformat()}: {done}"


@frozen(kw_only=True)
class RecoveryReport:
    """What ``recover`` found and did.

    Attributes:
        outcome: ``"nothing"`` was unfinished, or the unfinished sync is now ``"published"``
            or ``"void"``, or what ``forget`` or ``prune`` had begun is done: ``"amended"``.
        record: The sync that was unfinished, or None.
    """

    outcome: Literal["nothing", "published", "void", "amended"]
    record: SyncRecord | None = None


def sync_cohort(
    sync: CohortSync,
    members: MemberSource | str | PathLike[str],
    storage: Storage,
    *,
    synced_at: datetime | None = None,
    max_exits: int | None = None,
    duplicates: Duplicates = "refuse",
    engine: DiffEngine | None = None,
    work_dir: str | PathLike[str] | None = None,
    log: Storage | None = None,
    progress: Progress | Literal[True] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> SyncResult:
    """Syncs a cohort: three files appear, or none.

    It does what you can do by hand::

        recover(storage, sync.stream)
        head = read_head(storage, sync.stream)
        before = head.members() if head else ()
        with diff_members(before, members, schema=sync.schema) as diff:
            plan = plan_sync(sync, diff, synced_at=now, previous=head)
            result = commit(plan, diff, storage)

    A run that is repeated, with the same time and the same members, finds that it is
    done: schedulers may retry.

    Args:
        sync: What is synced where.
        members: Who is in the cohort now: an iterable of ``Member``, mappings or
            sequences; a data frame that speaks Arrow; an object that gives CSV; or the
            location of a file, as ``MemberFile`` takes it.
        storage: The bucket or folder.
        synced_at: An aware datetime, floored to what the names can spell. By default
            the first free moment from now on.
        max_exits: How many members may leave, instead of the sync's exit guard.
        duplicates: What to do with different rows of one key.
        engine: Another diff engine than the default one.
        work_dir: Where temporary files go.
        log: Another storage for the log, so that ``storage`` holds data files only.
        progress: Told of the rows read so far; ``True`` draws a bar with tqdm.
        clock: Gives the time; for tests.

    Raises:
        MassExitError: So many members would leave that the source looks broken.
        SyncTimeTakenError, SyncOrderError, FutureTimeError, ClockSkewError: The time
            can't be that of the next sync.
        UnloggedSyncsError, HeadFilesMissingError: The state of the stream is undecided.
        MatchByChangedError: The stream matches members by another column.
        ConcurrentSyncError: Another writer was faster; nothing of this sync is visible.
        UnknownOutcomeError: The storage did not say what became of a write.
        EmptyKeyError, DuplicateKeyError, MalformedCsvError, MissingColumnsError,
            UnsupportedValueError, InvalidTextError: The members can't be synced.
        WrongArgumentError: An argument is of another type: text where a storage or a time
            is wanted, a destination in place of a sync.
    """
    now = to_utc(clock(), "clock()")
    head, synced_at = begin_sync(sync, storage, synced_at=synced_at, now=now, log=log)
    with diff_members(
        head.members() if head is not None else (),
        MemberFile(members) if isinstance(members, str | PathLike) else members,
        schema=sync.schema,
        existing=sync.destination.existing,
        duplicates=duplicates,
        engine=engine,
        work_dir=work_dir,
        progress=progress,
    ) as diff:
        report = diff.report
        done = done_before(sync, head, synced_at, lambda: report.members_sha256)
        if done is not None:
            return SyncResult(
                record=done, already_done=True, ignored_columns=report.ignored_columns
            )
        plan = plan_sync(
            sync,
            diff,
            synced_at=synced_at,
            previous=head,
            requested_at=now,
            max_exits=max_exits,
        )
        return commit(plan, diff, storage, log=log)


def begin_sync(
    sync: CohortSync,
    storage: Storage,
    *,
    synced_at: datetime | None,
    now: datetime,
    log: Storage | None = None,
) -> tuple[Head | None, datetime]:
    """What a sync continues, and its time: for syncs whose diff you make yourself.

    An unfinished sync is recovered first.

    Args:
        sync: What is synced where.
        storage: Where the data is.
        synced_at: As for ``sync_cohort``.
        now: The present, in UTC.
        log: Where the log is, if not in ``storage``.

    Returns:
        The head, or None before the first sync; and the time, floored to what the names
        can spell.

    Raises:
        SyncTimeTakenError, FutureTimeError, ClockSkewError: The time can't be that of the
            next sync.
        UnloggedSyncsError, HeadFilesMissingError: The state of the stream is undecided.
        MatchByChangedError: The stream matches members by another column.
        WrongArgumentError: An argument is of another type.
    """
    check_is_sync(sync)
    log = log_storage(storage, log)
    check_bucket(sync, storage)
    if synced_at is not None:
        synced_at = sync.name_style.floor(to_utc(synced_at, "synced_at"))
        if synced_at > now + CLOCK_TOLERANCE:
            raise FutureTimeError(synced_at, now)
    head, left_over = _finished_head(storage, sync.stream, log)
    check_match_by(sync, head)
    if synced_at is None:
        if head is not None and now + CLOCK_TOLERANCE < head.record.synced_at:
            raise ClockSkewError(now, head.record.synced_at)
        synced_at = next_free_moment(sync, head, now, left_over=left_over)
    if head is None and synced_at in left_over:
        free = next_free_moment(sync, head, synced_at, left_over=left_over)
        raise SyncTimeTakenError(synced_at, free)
    return head, synced_at


def done_before(
    sync: CohortSync,
    head: Head | None,
    synced_at: datetime,
    members_sha256: Callable[[], str],
) -> SyncRecord | None:
    """The earlier sync that a run would only repeat; None if the run is a new one.

    Args:
        sync: What is synced where.
        head: What it would continue.
        synced_at: A time that the names can spell.
        members_sha256: Gives the digest of the members now; asked only if there may be
            such a sync.

    Raises:
        SyncTimeTakenError: The earlier sync of this time is different.
        SyncOrderError: There is none of this time, and the head is newer.
    """
    if head is None or synced_at > head.record.synced_at:
        return None
    earlier = head.log.published_at(synced_at)
    if earlier is None:
        raise SyncOrderError(synced_at, head.record.synced_at)
    if earlier.statement != statement_of(sync, members_sha256(), synced_at):
        raise SyncTimeTakenError(synced_at, next_free_moment(sync, head, synced_at))
    return earlier


def read_head(storage: Storage, stream: CohortStream, *, log: Storage | None = None) -> Head | None:
    """The newest published sync, or None before the first.

    Args:
        storage: Where the data is.
        stream: Whose head.
        log: Where the log is, if not in ``storage``.

    Raises:
        UnfinishedSyncError: The newest record has no outcome; ``recover`` gives it one.
        HeadFilesMissingError: Files of the newest published sync are gone.
        UnloggedSyncsError: Files of the stream, as new as the head, are in no record.
        RecordFormatError: The log can't be read.
        WrongArgumentError: An argument is of another type.
    """
    head, _ = _read_head(storage, stream, log_storage(storage, log))
    return head


def commit(
    plan: SyncPlan,
    diff: CohortDiff | ComposedDiff,
    storage: Storage,
    *,
    log: Storage | None = None,
) -> SyncResult:
    """Makes a planned sync happen: all three files become visible, or none.

    Args:
        plan: From ``plan_sync``.
        diff: The one that the plan was made from, still open; or one whose files are
            composed in the storage of the parts that an engine wrote there.
        storage: Where the data goes.
        log: Where the log is, if not in ``storage``.

    Raises:
        PlanMismatchError: The diff is another one, or its files were changed.
        DiffClosedError: The diff is closed.
        LogFullError: The log has had its last number.
        ConcurrentSyncError: Another writer was faster; nothing of this sync is visible.
        SyncVoidError: What was staged disappeared, or a stranger took a name.
        UnknownOutcomeError: The storage did not say what became of a write; run again.
        ConfigurationError, MissingPowerError: The sync can't be composed here.
        WrongArgumentError: An argument is of another type.
    """
    check_kind("plan", plan, SyncPlan, "make it with plan_sync(sync, diff, ...)")
    plan.check_diff(diff)
    log = log_storage(storage, log)
    check_bucket(plan.sync, storage)
    if isinstance(diff, ComposedDiff):
        composing(plan.sync, storage)
    with ExitStack() as discarding:
        staged = dict[DiffType, StagedObject]()
        for diff_type in DiffType:
            staged[diff_type] = _stage(plan, diff, diff_type, storage)
            discarding.callback(storage.discard, staged[diff_type])
        record = plan.record(number=plan.number, staged=staged, writer=uuid.uuid4().hex)
        undecided = discarding.pop_all()
    while (other := _create_record(log, record)) is not None:
        ended = _outcome_of(other, storage, log)
        if not ended.published and (ended.head and ended.head.ref) == plan.previous:
            # That one never happened, so the next number continues the same head.
            record = plan.record(number=record.number + 1, staged=staged, writer=record.writer)
            continue
        # Only now is it certain that our record is not, and will never be, in the log.
        undecided.close()
        if (
            isinstance(other, SyncRecord)
            and ended.published
            and record.statement == other.statement
        ):
            return SyncResult(record=other, already_done=True)
        raise ConcurrentSyncError(other.key, other.synced_at)
    if not _settle(record, storage, log).published:
        raise SyncVoidError(record.key, record.synced_at)
    return SyncResult(record=record, ignored_columns=plan.ignored_columns)


def recover(
    storage: Storage, stream: CohortStream, *, log: Storage | None = None
) -> RecoveryReport:
    """Finishes the newest sync if its writer did not: any process may, at any time.

    It becomes published if all its files still can be, and void otherwise. A writer
    that is still at work is not disturbed: both write the same.

    Args:
        storage: Where the data is.
        stream: Whose newest sync.
        log: Where the log is, if not in ``storage``.

    Raises:
        RecordFormatError: The log can't be read.
        UnknownOutcomeError: The storage did not say what became of a write; run again.
        MissingPowerError: What ``forget`` or ``prune`` began needs a storage that can do it.
        WrongArgumentError: An argument is of another type.
    """
    log = log_storage(storage, log)
    found = read_log(log, stream)
    record = found.unfinished
    if record is None:
        return RecoveryReport(outcome="nothing")
    outcome = _finish(record, storage, log)
    if isinstance(record, Amendment):
        return RecoveryReport(outcome="amended")
    return RecoveryReport(outcome="published" if outcome.published else "void", record=record)


def read_history(
    storage: Storage,
    stream: CohortStream,
    *,
    match_by: str | None = None,
    log: Storage | None = None,
    work_dir: str | PathLike[str] | None = None,
) -> CohortHistory:
    """All syncs of a stream, whoever wrote them: from listings alone, no file is read.

    Args:
        storage: Where the data is.
        stream: Whose syncs.
        match_by: The column by which members are told apart; by default the log's, or
            the Amplitude id where there is none.
        log: Where the log is, if not in ``storage``; a stream that Amplitude wrote has none.
        work_dir: Where temporary files go.

    Raises:
        RecordFormatError: The log can't be read.
        WrongArgumentError: An argument is of another type.
    """
    log = log_storage(storage, log)
    check_is_stream(stream)
    history = _list_history(storage, stream, match_by=match_by, log=log, work_dir=work_dir)
    if any(sync.missing for sync in history):
        # Perhaps it was published between our two listings; then its files are there now.
        history = _list_history(storage, stream, match_by=match_by, log=log, work_dir=work_dir)
    return history


def list_streams(storage: Storage, path: str = "") -> Iterator[StreamOverview]:
    """The streams of a bucket, whoever wrote them, from one listing.

    Args:
        storage: Where the data is.
        path: The folder to look in, with all below it; by default the whole bucket.

    Raises:
        WrongArgumentError: ``storage`` is none.
    """
    check_is_storage("storage", storage)
    return overview(storage.list_objects(f"{path}/" if path else ""))


def adopt(
    storage: Storage,
    stream: CohortStream,
    *,
    match_by: str = "amplitude_id",
    log: Storage | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Head:
    """Takes over a stream that Amplitude wrote: its newest complete sync becomes the baseline.

    Nothing of the data is touched; the log begins with a record of these files.

    Args:
        storage: Where the data is.
        stream: Whose syncs.
        match_by: The column by which members are told apart: an id column or the name
            of a property's column.
        log: Where the log goes, if not in ``storage``.
        clock: Gives the time; for tests.

    Raises:
        NothingToAdoptError: There is a log already, no complete sync, or a newer one
            that is not complete.
        ConcurrentSyncError: Another process began a log at the same time.
        MalformedCsvError, MissingColumnsError, EmptyKeyError: The files can't be read.
        WrongArgumentError: An argument is of another type.
    """
    log = log_storage(storage, log)
    if read_log(log, stream).newest is not None:
        raise NothingToAdoptError(
            stream.log_prefix, "the stream has a log already", "sync without adopt()"
        )
    history = read_history(storage, stream, match_by=match_by, log=log)
    if not history or history[-1].missing:
        raise NothingToAdoptError(
            stream.log_prefix,
            "there is no complete sync",
            "check project, cohort, path and routing key; a new stream is synced without adopt()",
        )
    if any(sync.synced_at > history[-1].synced_at for sync in history.unpublished):
        raise NothingToAdoptError(
            stream.log_prefix,
            "a sync newer than the newest complete one lacks files",
            "wait until it is whole, or remove what there is of it",
        )
    record = baseline(history, now=to_utc(clock(), "clock()"), writer=uuid.uuid4().hex)
    if (other := _create_record(log, record)) is not None:
        raise ConcurrentSyncError(other.key, other.synced_at)
    _settle(record, storage, log)
    return Head(record=record, log=read_log(log, stream), open=storage.open)


def amend(amendment: Amendment, storage: Storage, log: Storage) -> Outcome:
    """Records an amendment and carries it out, or does nothing.

    Args:
        amendment: It continues the head of the log.
        storage: Where the data is.
        log: Where the log is.

    Raises:
        ConcurrentSyncError: A sync or another amendment came first; nothing is changed.
        TooManyFilesError: It would be larger than an entry of the log may be.
        MissingPowerError: The storage can't do it.
        UnknownOutcomeError: The storage did not say what became of a write; run again.
    """
    if len(amendment.to_bytes()) > MAX_ENTRY_BYTES:
        _discard(amendment, storage)
        files = len(amendment.replaced) + len(amendment.removed)
        raise TooManyFilesError(files, amendment.purpose)
    if (other := _create_record(log, amendment)) is not None:
        _outcome_of(other, storage, log)
        _discard(amendment, storage)
        raise ConcurrentSyncError(other.key, other.synced_at)
    return _settle(amendment, storage, log)


def _discard(amendment: Amendment, storage: Storage) -> None:
    for file in amendment.replaced.values():
        storage.discard(staged_of(file))


def check_is_storage(argument: str, value: object) -> None:
    """That an argument is a storage.

    Raises:
        WrongArgumentError: It is the name or URL of a bucket, a folder, a destination.
    """
    # Not isinstance: from Python 3.12 on it finds no verb that a wrapper passes on.
    lacking = [f"{verb}()" for verb in _VERBS if not hasattr(value, verb)]
    if lacking:
        cure = 'open it first: open_storage("s3://my-bucket"), or LocalStorage("folder")'
        if len(lacking) < len(_VERBS) / 2:  # one of your own; a Path has open() too
            cure = f"give it {', '.join(lacking)} as well: see the protocol Storage"
        raise WrongArgumentError(argument, type(value).__name__, cure)


def log_storage(storage: Storage, log: Storage | None) -> Storage:
    """Where the log is; whoever takes the two has them looked at here.

    Raises:
        WrongArgumentError: One of them is no storage.
    """
    check_is_storage("storage", storage)
    if log is None:
        return storage
    check_is_storage("log", log)
    return log


def replacing(storage: Storage, purpose: str) -> SupportsReplace:
    """The storage, as one that can replace.

    Raises:
        MissingPowerError: It can't.
        WrongArgumentError: It is no storage.
    """
    check_is_storage("storage", storage)
    if not isinstance(storage, SupportsReplace):
        raise MissingPowerError(type(storage).__name__, "replace", purpose)
    return storage


def deleting(storage: Storage, purpose: str) -> SupportsDelete:
    """The storage, as one that can delete.

    Raises:
        MissingPowerError: It can't.
        WrongArgumentError: It is no storage.
    """
    check_is_storage("storage", storage)
    if not isinstance(storage, SupportsDelete):
        raise MissingPowerError(type(storage).__name__, "delete", purpose)
    return storage


def staged_of(file: RecordedFile) -> StagedObject:
    """The handle of a file that has one."""
    if file.staged is None:
        msg = "a file of an amendment has no handle"
        raise ValueError(msg)
    return file.staged


def stage_csv(storage: Storage, key: str, chunks: Iterable[bytes]) -> StagedObject:
    """Stages a cohort file in the form that its name tells: ``.csv.gz`` is compressed.

    Args:
        storage: Where to.
        key: Under which key it is to appear.
        chunks: Its CSV.
    """
    stored = compress_chunks(chunks) if key.endswith(".gz") else chunks
    return storage.stage(key, stored, content_type=content_type_of(key))


def check_bucket(sync: CohortSync, storage: Storage) -> None:
    """That the storage is the destination's bucket, where both name one.

    Raises:
        ConfigurationError: They differ.
    """
    wanted, given = sync.destination.bucket, getattr(storage, "bucket", None)
    if wanted is not None and given is not None and wanted != given:
        fault = f"its bucket is {wanted!r}, and the storage's {given!r}"
        raise ConfigurationError(f"Destination {sync.destination.name!r}", (fault,))


def composing(sync: CohortSync, storage: Storage) -> SupportsCompose:
    """The storage, if files of the sync can be composed in it.

    Raises:
        MissingPowerError: It does not compose.
        ConfigurationError: The files are to be compressed, and parts are not.
    """
    if sync.destination.compression is not None:
        fault = "files that are composed of parts can't be compressed: leave compression out"
        raise ConfigurationError(f"Destination {sync.destination.name!r}", (fault,))
    if not isinstance(storage, SupportsCompose):
        raise MissingPowerError(type(storage).__name__, "compose", "a sync of parts")
    return storage


# --- The protocol's steps ------------------------------------------------------------


def _stage(
    plan: SyncPlan, diff: CohortDiff | ComposedDiff, diff_type: DiffType, storage: Storage
) -> StagedObject:
    key, file = plan.files[diff_type].key, diff.report.files[diff_type]
    if isinstance(file, ComposedFile):
        header = plan.sync.schema.header_line
        return composing(plan.sync, storage).compose(key, file.stored, header=header)
    if plan.sync.destination.compression is not None:
        return stage_csv(storage, key, _checked(file.chunks(), plan, diff_type))
    staged = stage_csv(storage, key, file.chunks())
    # The storage has computed the digest of these bytes anyway.
    if staged.sha256 != plan.files[diff_type].sha256:
        storage.discard(staged)
        raise _changed(diff_type)
    return staged


def _checked(chunks: Iterator[bytes], plan: SyncPlan, diff_type: DiffType) -> Iterator[bytes]:
    """The chunks; an error in the place of their end if they are not those that were planned."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != plan.files[diff_type].sha256:
        raise _changed(diff_type)


def _changed(diff_type: DiffType) -> PlanMismatchError:
    return PlanMismatchError(f"the file {diff_type.value} was changed since")


def _create_record(log: Storage, record: LogRecord) -> LogRecord | None:
    """Writes the decision, or returns the record that another writer put there first."""
    try:
        log.create(record.key, record.to_bytes())
    except ObjectExistsError:
        found = read_record(log.open, record.stream, record.number)
        # A store that repeats a write whose answer was lost is told of its own.
        return None if found == record else found
    return None


def _settle(record: LogRecord, storage: Storage, log: Storage) -> Outcome:
    """Carries out what is recorded, and says how it ended; the owner and recovery alike.

    A sync is published whole or becomes void.
    """
    if isinstance(record, Amendment):
        outcome = _amended(record, storage, _predecessor(record, log))
    else:
        staged = [record.files[t].staged for t in DiffType]
        published = _publish(storage, [s for s in staged if s is not None])
        head = record if published else _predecessor(record, log)
        outcome = Outcome(number=record.number, published=published, head=head)
    try:
        log.create(outcome_key(record.stream, record.number), outcome.to_bytes())
    except ObjectExistsError:
        return read_outcome(log.open, record.stream, record.number)
    return outcome


def _publish(storage: Storage, staged: list[StagedObject]) -> bool:
    # Each is asked after before any is published, so that a sync which lost a file shows none.
    states = {storage.inspect(s) for s in staged}
    if not states & {StagedState.GONE, StagedState.TAKEN}:
        try:
            for s in staged:
                storage.publish(s)
        except (StagedGoneError, ObjectExistsError):
            pass
        else:
            return True
    # Revoked before it is called void: nobody can publish the rest behind our back.
    for s in staged:
        storage.discard(s)
    return all(storage.inspect(s) is StagedState.PUBLISHED for s in staged)


def _amended(amendment: Amendment, storage: Storage, head: SyncRecord | None) -> Outcome:
    """Replaces and removes what an amendment names; each step may be done twice."""
    if head is None:
        raise RecordFormatError(amendment.key, "there is no sync before it to amend")
    lost = list[str]()
    if amendment.replaced:
        store = replacing(storage, amendment.purpose)
        for file in amendment.replaced.values():
            try:
                store.replace(staged_of(file))
            except StagedGoneError:
                # It was never replaced, and can't be any more: what is staged goes for good.
                lost.append(file.key)
    if amendment.removed:
        remover = deleting(storage, amendment.purpose)
        for key in amendment.removed:
            remover.delete(key)
    return Outcome(
        number=amendment.number,
        published=False,
        head=amendment.applied_to(head, lost),
        amended=True,
        lost=tuple(lost),
    )


def _outcome_of(record: LogRecord, storage: Storage, log: Storage) -> Outcome:
    try:
        return read_outcome(log.open, record.stream, record.number)
    except ObjectNotFoundError:
        return _finish(record, storage, log)


def _finish(record: LogRecord, storage: Storage, log: Storage) -> Outcome:
    """Settles a record that this process only found: it must continue the log's own head."""
    _predecessor(record, log)
    return _settle(record, storage, log)


def _predecessor(record: LogRecord, log: Storage) -> SyncRecord | None:
    """The head before a record.

    Raises:
        RecordFormatError: It is not the one that the record names.
    """
    before = record.number - 1
    head = read_outcome(log.open, record.stream, before).head if before else None
    if record.previous != (None if head is None else head.ref):
        raise RecordFormatError(record.key, "it names another head than the log has before it")
    return head


def _finished_head(
    storage: Storage, stream: CohortStream, log: Storage
) -> tuple[Head | None, frozenset[datetime]]:
    while True:
        try:
            return _read_head(storage, stream, log)
        except UnfinishedSyncError:
            recover(storage, stream, log=log)


# --- Reading the log and the names ---------------------------------------------------


def _read_head(
    storage: Storage, stream: CohortStream, log: Storage
) -> tuple[Head | None, frozenset[datetime]]:
    """The head, and the times from it on under which void syncs left files."""
    while True:
        found = read_log(log, stream)
        if found.is_unfinished:
            raise UnfinishedSyncError(record_key(stream, found.last_ended + 1))
        record = found.head
        times = _keys_from(storage, stream, record)
        recorded = set[str]() if record is None else record.keys
        missing = tuple(sorted(recorded - times.keys()))
        unknown = times.keys() - recorded
        taken = frozenset[datetime]()
        if unknown:
            strangers = _unrecorded(found, unknown)
            taken = frozenset(times[key] for key in unknown - strangers)
            unknown = strangers
        if (missing or unknown) and read_log(log, stream).newest != found.newest:
            continue  # Another writer went on between our two listings.
        if missing:
            raise HeadFilesMissingError(missing)
        if unknown:
            raise UnloggedSyncsError(stream.log_prefix, tuple(sorted(unknown)))
        if record is None:
            return None, taken
        return Head(record=record, log=found, taken=taken, open=storage.open), taken


def read_log(log: Storage, stream: CohortStream) -> SyncLog:
    """The log of a stream as one listing shows it.

    Args:
        log: Where it is.
        stream: Whose.

    Raises:
        WrongArgumentError: ``stream`` is none.
    """
    check_is_stream(stream)
    return SyncLog.from_listing(stream, log.list_objects(stream.log_prefix), log.open)


def _unrecorded(log: SyncLog, keys: set[str]) -> set[str]:
    """Those keys that no record names.

    From the newest record down, until all are found: a void sync that left files may
    have a later time than the head, and yet a smaller number.
    """
    number = log.last_ended
    while keys and number:
        record = log.record(number)
        if isinstance(record, SyncRecord):
            keys = keys - record.keys
        number -= 1
    return keys


def _list_history(
    storage: Storage,
    stream: CohortStream,
    *,
    match_by: str | None,
    log: Storage,
    work_dir: str | PathLike[str] | None,
) -> CohortHistory:
    # The data before the log: what the log calls published is then whole, or was published
    # in between; the other way round, what is listed could be unknown to the log.
    listed = list(parse_listing(stream, storage.list_objects(stream.data_prefix)))
    found = read_log(log, stream)
    return build_history(listed, found, storage.open, match_by=match_by, work_dir=work_dir)


def _keys_from(
    storage: Storage, stream: CohortStream, record: SyncRecord | None
) -> dict[str, datetime]:
    """The keys of the stream's visible files, and their times, from a record's time on."""
    start_after = None
    if record is not None:
        # Names of one stream sort by their date and hour, whatever their style.
        hour = record.synced_at.isoformat()[: len("YYYY-MM-DDTHH")]
        start_after = stream.data_prefix + hour
    listing = storage.list_objects(stream.data_prefix, start_after=start_after)
    return {
        item.info.key: item.name.synced_at
        for item in parse_listing(stream, listing)
        if isinstance(item, StreamFile)
        and (record is None or item.name.synced_at >= record.synced_at)
    }
