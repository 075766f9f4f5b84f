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

The order of two rules matters. A staged file is discarded, which revokes it for everyone,
*before* its sync is called void: otherwise a slow writer could publish the rest later. And
nothing is discarded before another writer's record has been *read* under our number: if the
answer to our own write was lost, our record may well exist.

An amendment (see ``Amendment``) is an entry of the log too. It gets a number like a sync, so
that an amendment and a sync can't interfere, and is finished in the same way.
"""

from ..errors import ObjectExistsError, ObjectNotFoundError, RecordFormatError, StagedGoneError
from ..format.filename import DiffType
from ..log.amendments import Amendment, LogRecord
from ..log.keys import outcome_key
from ..log.location import StreamLocation
from ..log.outcomes import Outcome
from ..log.records import RecordedFile, SyncRecord
from ..log.sync_log import read_outcome, read_record
from ..storage.capabilities import require_delete, require_replace
from ..storage.protocol import StagedObject, StagedState, Storage


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


def carry_out(location: StreamLocation, record: LogRecord) -> Outcome:
    """Publish the files of a record, or carry out its amendment, and create its outcome.

    The writer of the record calls this, and every process that recovers it.
    """
    if isinstance(record, Amendment):
        outcome = _amend(location.data, record, _head_to_amend(location, record))
    elif _publish(location.data, staged_files(record)):
        outcome = Outcome(number=record.number, published=True, head=record)
    else:
        head = _head_before(location, record)
        outcome = Outcome(number=record.number, published=False, head=head)
    try:
        location.log.create(outcome_key(location.stream, record.number), outcome.to_bytes())
    except ObjectExistsError:
        return read_outcome(location.log.open, location.stream, record.number)
    return outcome


def finish(location: StreamLocation, record: LogRecord) -> Outcome:
    """Carry out a record that another process wrote, and return its outcome.

    Raises:
        RecordFormatError: The record does not continue the head of the log.
    """
    _head_before(location, record)
    # The writer may have died between creating the record and flushing it to the disk. Creating
    # it again flushes it, so that no power cut can undo the decision that we act on.
    location.log.create(record.key, record.to_bytes())
    return carry_out(location, record)


def outcome_of(location: StreamLocation, record: LogRecord) -> Outcome:
    """Return the outcome of a record that another process wrote; finish it if it has none."""
    try:
        return read_outcome(location.log.open, location.stream, record.number)
    except ObjectNotFoundError:
        return finish(location, record)


def predict(location: StreamLocation, record: LogRecord) -> Outcome:
    """Return the outcome that :func:`finish` would create, without writing anything.

    Raises:
        RecordFormatError: The record does not continue the head of the log.
    """
    if isinstance(record, Amendment):
        head_to_amend = _head_to_amend(location, record)
        _check_capabilities(location.data, record)
        return _amended(record, head_to_amend, lost=())
    head = _head_before(location, record)
    states = {location.data.inspect(staged) for staged in staged_files(record)}
    published = not states & {StagedState.GONE, StagedState.TAKEN}
    return Outcome(number=record.number, published=published, head=record if published else head)


def staged_files(record: SyncRecord) -> list[StagedObject]:
    """Return the handles of a record's files, in the order in which they are published."""
    handles = (record.files[diff_type].staged for diff_type in DiffType)
    return [staged for staged in handles if staged is not None]


def replacement(file: RecordedFile) -> StagedObject:
    """Return the handle of a file of an amendment; it always has one."""
    if file.staged is None:
        msg = "a file of an amendment has no handle"
        raise ValueError(msg)
    return file.staged


def _publish(storage: Storage, staged: list[StagedObject]) -> bool:
    """Publish the three files; return whether all of them are visible."""
    # Inspect all three first: if one is lost, publish none.
    states = {storage.inspect(s) for s in staged}
    if not states & {StagedState.GONE, StagedState.TAKEN}:
        try:
            for s in staged:
                storage.publish(s)
        except (StagedGoneError, ObjectExistsError):
            pass
        else:
            return True
    # Revoke before the sync is called void: from here on nobody can publish the rest.
    for s in staged:
        storage.discard(s)
    return all(storage.inspect(s) is StagedState.PUBLISHED for s in staged)


def _amend(storage: Storage, amendment: Amendment, head: SyncRecord) -> Outcome:
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
    if amendment.removed:
        deletes = require_delete(storage, amendment.purpose)
        for key in amendment.removed:
            deletes.delete(key)
    return _amended(amendment, head, lost=tuple(lost))


def _check_capabilities(storage: Storage, amendment: Amendment) -> None:
    """Raise unless the storage can carry out an amendment.

    Raises:
        MissingCapabilityError: It can't replace or delete.
    """
    if amendment.replaced:
        require_replace(storage, amendment.purpose)
    if amendment.removed:
        require_delete(storage, amendment.purpose)


def _amended(amendment: Amendment, head: SyncRecord, *, lost: tuple[str, ...]) -> Outcome:
    return Outcome(
        number=amendment.number,
        published=False,
        head=amendment.applied_to(head, lost),
        amended=True,
        lost=lost,
    )


def _head_before(location: StreamLocation, record: LogRecord) -> SyncRecord | None:
    """Return the head that a record continues.

    Raises:
        RecordFormatError: The record names another head than the log has before it.
    """
    before = record.number - 1
    log = location.log
    head = read_outcome(log.open, location.stream, before).head if before else None
    if record.previous != (None if head is None else head.ref):
        raise RecordFormatError(record.key, "it names another head than the log has before it")
    return head


def _head_to_amend(location: StreamLocation, amendment: Amendment) -> SyncRecord:
    """Return the head that an amendment continues; it always continues one.

    Raises:
        RecordFormatError: As :func:`_head_before`; or there is no head.
    """
    head = _head_before(location, amendment)
    if head is None:
        raise RecordFormatError(amendment.key, "there is no sync before it to amend")
    return head
