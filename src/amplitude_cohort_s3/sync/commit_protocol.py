"""The commit protocol: one decision makes three files visible, or none.

No store publishes three objects at once, so each sync is one entry of the stream's log:

1. **Stage.** The three files are uploaded; nobody can see them.
2. **Record.** One small object with the next number is created, if it does not exist yet.
   This single write decides the sync: it names the three staged files with their digests,
   and its predecessor. If two writers race, the store lets one of them create the object;
   the other discards what it staged.
3. **Publish.** The files become visible: entering, exiting, and ``existing`` last.
4. **Outcome.** A second small object records ``published``, or ``void`` if a staged file was
   gone or its name was taken.

A writer may die between any two of these steps, or within one. A record without an outcome
is *unfinished*: any process that finds it carries out steps 3 and 4 in its place, with the
handles in the record. Two processes that do so at the same time write the same bytes, so
neither disturbs the other. The first thing they do is to create the record again, which a
storage accepts because the bytes are the same: the record is then safe from a power cut.

A store may refuse to publish. If it refuses the *object* (its name, its parts), nobody can
ever publish it: the sync becomes void, as if a staged file was gone. If it refuses the
*caller* (access, expired credentials), the record stays unfinished, because another process
may be able to finish it. If there is none, ``recover`` can *abandon* the record: it revokes
everything that is staged, and then creates the outcome that follows.

The order of two rules matters. A staged file is discarded, which revokes it for everyone,
*before* its sync is recorded as void: otherwise a slow writer could publish the rest later. And
nothing is discarded before another writer's record has been *read* under our number, or the
store has certainly refused ours: if the answer to our own write was lost, our record may well
exist.

An amendment (see ``Amendment``) is an entry of the log too. It gets a number like a sync, so
that an amendment and a sync can't interfere, and is finished in the same way. It overwrites
and deletes files, so each process checks it against the log before it carries it out. The log
alone is not enough: a writer who may add to it can add a head too. So nothing is deleted unless the
files of the head are there.
"""

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

from ..errors import (
    CohortS3Error,
    HeadFilesMissingError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectRefusedError,
    ObjectTooLargeError,
    RecordFormatError,
    StagedGoneError,
)
from ..format.filename import DiffType
from ..log.amendment_rules import check_amendment, head_to_amend
from ..log.amendments import Amendment, LogRecord
from ..log.files import RecordedFile
from ..log.keys import LogEntry, outcome_key
from ..log.location import StreamLocation
from ..log.outcomes import Outcome
from ..log.records import SyncRecord
from ..log.sync_log import SyncLog, read_outcome, read_record
from ..storage.capabilities import require_delete, require_replace
from ..storage.protocol import StagedObject, StagedState, Storage
from .head import visible_files


def _ignore(_: CohortS3Error) -> None:
    pass


def create_record(location: StreamLocation, record: LogRecord) -> LogRecord | None:
    """Create a record, or return the one that another writer created under its number.

    Raises:
        UnknownOutcomeError: The storage did not answer; the record may exist.
    """
    try:
        location.log.create(record.key, record.to_bytes())
    except ObjectExistsError:
        found = read_record(location.log.open, location.stream, record.number)
        # A client may repeat a create whose answer was lost; the store then reports our own.
        return None if found == record else found
    return None


def carry_out(
    location: StreamLocation,
    record: LogRecord,
    *,
    on_refusal: Callable[[CohortS3Error], None] = _ignore,
) -> Outcome:
    """Publish the files of a record, or carry out its amendment, and create its outcome.

    The writer of the record calls this, and every process that recovers it.

    Args:
        location: The stream.
        record: The record.
        on_refusal: A function that is called with the error of a storage that refuses a file.
    """
    if isinstance(record, Amendment):
        outcome = _amend(location.data, record, _log_before(location, record))
    else:
        published = _publish(location.data, staged_files(record), on_refusal)
        outcome = _sync_outcome(location, record, published=published)
    return _conclude(location, outcome)


def finish(location: StreamLocation, record: LogRecord) -> Outcome:
    """Carry out a record that another process wrote, and return its outcome.

    Raises:
        RecordFormatError: The record does not continue the head of the log, or it is an
            amendment that no process of this library makes.
        HeadFilesMissingError: Files of the head are missing, so nothing is deleted or adopted.
    """
    _check(location, record)
    check_files(location, record)
    began = perf_counter()
    _make_durable(location, record)
    return _reported(location, record, carry_out(location, record), began)


def abandon_record(location: StreamLocation, record: LogRecord) -> Outcome:
    """Revoke what a record has staged, and create the outcome that the visible files determine.

    Nobody can publish or replace anything of the record afterwards, however late. Files that
    a prune has not deleted yet stay.

    Raises:
        RecordFormatError: As :func:`finish`.
    """
    _check(location, record)
    began = perf_counter()
    _make_durable(location, record)
    if isinstance(record, Amendment):
        log = _log_before(location, record)
        lost = tuple(
            file.key
            for file in record.replaced.values()
            if not _revoke(location.data, [replacement(file)])
        )
        outcome = _conclude(location, _amended(record, log, lost=lost))
        return _reported(location, record, outcome, began)
    published = _revoke(location.data, staged_files(record))
    outcome = _conclude(location, _sync_outcome(location, record, published=published))
    return _reported(location, record, outcome, began)


def _reported(
    location: StreamLocation, record: LogRecord, outcome: Outcome, began: float
) -> Outcome:
    """Report that a record of another process was finished, and return its outcome."""
    ended = "amended" if outcome.amended else "published" if outcome.published else "void"
    location.report(
        "recovered", perf_counter() - began, record.synced_at, number=record.number, outcome=ended
    )
    return outcome


def outcome_of(
    location: StreamLocation, record: LogRecord, end: Callable[[LogRecord], Outcome]
) -> Outcome:
    """Return the outcome of a record of another process; if it has none, call ``end``."""
    try:
        return read_outcome(location.log.open, location.stream, record.number)
    except ObjectNotFoundError:
        return end(record)


def predict(location: StreamLocation, record: LogRecord) -> Outcome:
    """Return the outcome that :func:`finish` would create, without writing anything.

    Raises:
        RecordFormatError: As :func:`finish`.
    """
    _check(location, record)
    if isinstance(record, Amendment):
        _check_capabilities(location.data, record)
        return _amended(record, _log_before(location, record), lost=())
    states = {_state(location.data, staged) for staged in staged_files(record)}
    published = not states & {StagedState.GONE, StagedState.TAKEN}
    return _sync_outcome(location, record, published=published)


def staged_files(record: SyncRecord) -> list[StagedObject]:
    """Return the handles of a record's files, in the order in which they are published."""
    handles = (record.files[diff_type].staged for diff_type in DiffType)
    return [staged for staged in handles if staged is not None]


def replacement(file: RecordedFile) -> StagedObject:
    """Return the handle of a file of an amendment; it always has one."""
    if file.staged is None:
        raise ValueError("a file of an amendment has no handle")
    return file.staged


def _publish(
    storage: Storage, staged: list[StagedObject], on_refusal: Callable[[CohortS3Error], None]
) -> bool:
    """Publish the three files; return whether all of them are visible."""
    # Inspect all three first: if one is lost, publish none.
    states = {_state(storage, s) for s in staged}
    if not states & {StagedState.GONE, StagedState.TAKEN}:
        try:
            for s in staged:
                storage.publish(s)
        except (StagedGoneError, ObjectExistsError):
            pass
        except _REFUSALS as error:
            on_refusal(error)
        else:
            return True
    return _revoke(storage, staged)


def _revoke(storage: Storage, staged: list[StagedObject]) -> bool:
    """Discard what is not published yet; return whether all files are visible.

    After that nobody can publish the rest, so this is done before the sync is recorded as void.
    """
    for s in staged:
        # A forged record may have a handle that the storage can't have made: nothing to revoke.
        with suppress(InvalidKeyError):
            storage.discard(s)
    return all(_state(storage, s) is StagedState.PUBLISHED for s in staged)


_REFUSALS = (ObjectRefusedError, ObjectTooLargeError, InvalidKeyError)
"""The errors of a storage that refuses an object from everybody."""


def _state(storage: Storage, staged: StagedObject) -> StagedState:
    try:
        return storage.inspect(staged)
    except _REFUSALS:
        # No object can have this key, for example because a folder has it.
        return StagedState.TAKEN


def _sync_outcome(location: StreamLocation, record: SyncRecord, *, published: bool) -> Outcome:
    head = record if published else _log_before(location, record).head
    return Outcome(number=record.number, published=published, head=head)


def _conclude(location: StreamLocation, outcome: Outcome) -> Outcome:
    """Create an outcome, or return the one that another process created."""
    try:
        location.log.create(outcome_key(location.stream, outcome.number), outcome.to_bytes())
    except ObjectExistsError:
        return read_outcome(location.log.open, location.stream, outcome.number)
    return outcome


def _amend(storage: Storage, amendment: Amendment, log: SyncLog) -> Outcome:
    """Replace and remove the files that an amendment names; each step can be repeated."""
    lost = list[str]()
    if amendment.replaced:
        replaces = require_replace(storage, amendment.purpose)
        for file in amendment.replaced.values():
            try:
                replaces.replace(replacement(file))
            except StagedGoneError:
                # It was not replaced, and never will be: a discarded file stays discarded.
                lost.append(file.key)
            except _REFUSALS:
                if not _revoke(storage, [replacement(file)]):
                    lost.append(file.key)
    if amendment.removed:
        deletes = require_delete(storage, amendment.purpose)
        for key in amendment.removed:
            deletes.delete(key)
    return _amended(amendment, log, lost=tuple(lost))


def _check_capabilities(storage: Storage, amendment: Amendment) -> None:
    """Raise unless the storage can carry out an amendment.

    Raises:
        MissingCapabilityError: It can't replace or delete.
    """
    if amendment.replaced:
        require_replace(storage, amendment.purpose)
    if amendment.removed:
        require_delete(storage, amendment.purpose)


def _amended(amendment: Amendment, log: SyncLog, *, lost: tuple[str, ...]) -> Outcome:
    return Outcome(
        number=amendment.number,
        published=False,
        head=amendment.applied_to(head_to_amend(amendment, log), lost),
        amended=True,
        lost=lost,
    )


def _make_durable(location: StreamLocation, record: LogRecord) -> None:
    """Create another process's record again, which flushes it to the disk.

    Its writer may have died between creating and flushing it. No power cut may undo the
    decision that we act on.
    """
    location.log.create(record.key, record.to_bytes())


def _log_before(location: StreamLocation, record: LogRecord) -> SyncLog:
    """Return the log as it was before a record."""
    before = record.number - 1
    newest = LogEntry(before, is_outcome=True) if before else None
    return SyncLog(location.stream, newest, location.log.open)


def _check(location: StreamLocation, record: LogRecord) -> None:
    """Raise unless a record can follow the log before it.

    Raises:
        RecordFormatError: It names another head than the log has before it, it is not newer
            than this head, or it is an amendment that changes more than it may.
    """
    log = _log_before(location, record)
    head = log.head
    if isinstance(record, Amendment):
        check_amendment(record, log)
        return
    if record.previous != (None if head is None else head.ref):
        raise RecordFormatError(record.key, "it names another head than the log has before it")
    if head is not None and record.synced_at <= head.synced_at:
        raise RecordFormatError(record.key, "it is not newer than the head before it")


def check_files(location: StreamLocation, record: LogRecord) -> None:
    """Raise unless all files of the head are visible, if a record depends on them.

    A prune deletes files that are older than the head, and an adopted sync publishes nothing. If
    the record is forged, such a head may exist only in the log.

    Raises:
        HeadFilesMissingError: Files of the head are not visible.
    """
    head: SyncRecord | None = None
    if isinstance(record, SyncRecord):
        head = record if record.adopted else None
    elif record.removed:
        head = _log_before(location, record).head
    missing = set[str]() if head is None else head.keys - visible_files(location, head).keys()
    if missing:
        raise HeadFilesMissingError(tuple(sorted(missing)))
