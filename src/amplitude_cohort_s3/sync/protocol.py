"""The steps of the commit protocol."""

from collections.abc import Iterable

from ..errors import ObjectExistsError, ObjectNotFoundError, RecordFormatError, StagedGoneError
from ..format.compression import compress_chunks, content_type_of
from ..format.filename import DiffType
from ..log.amendments import Amendment, LogRecord
from ..log.keys import outcome_key
from ..log.outcomes import Outcome
from ..log.records import RecordedFile, SyncRecord
from ..log.sync_log import read_outcome, read_record
from ..storage.capabilities import deleting, replacing
from ..storage.protocol import StagedObject, StagedState, Storage


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


def create_record(log: Storage, record: LogRecord) -> LogRecord | None:
    """Writes the decision, or returns the record that another writer put there first."""
    try:
        log.create(record.key, record.to_bytes())
    except ObjectExistsError:
        found = read_record(log.open, record.stream, record.number)
        # A store that repeats a write whose answer was lost is told of its own.
        return None if found == record else found
    return None


def settle(record: LogRecord, storage: Storage, log: Storage) -> Outcome:
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


def outcome_of(record: LogRecord, storage: Storage, log: Storage) -> Outcome:
    try:
        return read_outcome(log.open, record.stream, record.number)
    except ObjectNotFoundError:
        return finish(record, storage, log)


def finish(record: LogRecord, storage: Storage, log: Storage) -> Outcome:
    """Settles a record that this process only found: it must continue the log's own head."""
    _predecessor(record, log)
    return settle(record, storage, log)


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
