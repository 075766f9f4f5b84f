"""Recovering a sync, or an amendment, whose writer did not finish it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self

from attrs import frozen

from ..errors import UnfinishedSyncError
from ..history.members import needed_files
from ..log.amendments import Amendment, LogRecord
from ..log.location import StreamLocation
from ..log.outcomes import Outcome
from ..log.records import SyncRecord
from ..log.stream import CohortStream, HasStream
from ..log.stream_events import Observer
from ..storage.open import StorageLocation
from ..storage.protocol import StagedState, Storage
from .commit_protocol import abandon_record, finish, predict
from .leftovers import discard_old_leftovers


@frozen(kw_only=True)
class RecoveryReport:
    """The result of ``recover``.

    Attributes:
        outcome: ``"nothing"`` if nothing was unfinished; ``"published"`` or ``"void"`` for a
            sync; ``"amended"`` for a ``forget`` or a ``prune``.
        record: The sync that was unfinished, or None.
    """

    outcome: Literal["nothing", "published", "void", "amended"]
    record: SyncRecord | None = None

    @classmethod
    def of(cls, record: LogRecord, outcome: Outcome) -> Self:
        """Return the report about a record that was finished with an outcome."""
        if isinstance(record, Amendment):
            return cls(outcome="amended")
        return cls(outcome="published" if outcome.published else "void", record=record)

    def to_json(self) -> dict[str, str | None]:
        """Return the outcome, and the time of the sync, as JSON values."""
        when = None if self.record is None else self.record.synced_at.isoformat()
        return {"outcome": self.outcome, "synced_at": when}

    def __str__(self) -> str:
        """Return a sentence about what was finished."""
        match self.record:
            case None if self.outcome == "nothing":
                return "nothing was unfinished"
            case None:
                return "an unfinished forget or prune was finished"
            case record:
                return f"the unfinished sync of {record.synced_at.isoformat()} is {self.outcome}"


def recover(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    *,
    log: Storage | StorageLocation | None = None,
    observer: Observer | None = None,
    abandon: bool = False,
) -> RecoveryReport:
    """Finish the newest entry of the log if its writer did not.

    A sync becomes published if all its files can still be published, and void otherwise.
    Any process may call this at any time: a writer that is still at work is not disturbed,
    because both write the same.

    If the storage refuses the caller (access, expired credentials, a KMS key), the entry stays
    unfinished, because a process with access can still finish it. If there will never be such a
    process, pass ``abandon=True``: everything that is staged is revoked first, so that no process
    can publish it later, and then the sync is void. This needs access to discard staged files.

    Args:
        storage: The storage of the data, or its location.
        stream: The stream, or a sync of it.
        log: The storage of the log, if it is not ``storage``.
        observer: A function that is called with a ``StreamEvent`` at the end of each step.
        abandon: True to give up an unfinished entry instead of finishing it. A sync all of
            whose files are visible already is still published. Files that ``forget`` has not
            replaced, and that ``prune`` has not deleted, stay as they are.

    Returns:
        The outcome of the entry.

    Raises:
        RecordFormatError: The log can't be read, or its newest entry breaks a rule.
        HeadFilesMissingError: A prune was begun, and the newest sync has lost files since.
        AccessDeniedError, CredentialsError: The storage refuses the caller.
        UnknownOutcomeError: The storage did not answer a write; run it again.
        MissingCapabilityError: The storage can't replace or delete, as the entry requires.
        ArgumentTypeError: An argument has the wrong type.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, sync_cohort
    >>> bucket = MemoryStorage()
    >>> sync = CohortSync(destination=Destination("d"), project_id=1, cohort_id="a")
    >>> _ = sync_cohort(sync, [("1", "ann"), ("2", "bob")], bucket)
    >>> recover(bucket, sync).outcome  # nothing is unfinished
    'nothing'
    """
    end = abandon_record if abandon else finish
    return recover_location(StreamLocation.of(storage, stream, log, observer), end)


def recover_location(
    location: StreamLocation, end: Callable[[StreamLocation, LogRecord], Outcome] = finish
) -> RecoveryReport:
    """Finish the newest entry of a log: see :func:`recover`."""
    discard_old_leftovers(location)
    record = location.read_log().unfinished
    if record is None:
        return RecoveryReport(outcome="nothing")
    return RecoveryReport.of(record, end(location, record))


def recovering(
    location: StreamLocation, recoveries: list[RecoveryReport]
) -> Callable[[LogRecord], Outcome]:
    """Return a function that finishes a record, and adds a report about it to a list."""

    def finish_it(record: LogRecord) -> Outcome:
        outcome = finish(location, record)
        recoveries.append(RecoveryReport.of(record, outcome))
        return outcome

    return finish_it


def predict_for_dry_run(location: StreamLocation, record: LogRecord) -> Outcome:
    """Predict the outcome of an unfinished record, for a dry run.

    The members of the predicted head must be readable now, but nobody can read
    a file that is staged and not published, or that ``forget`` will replace.

    Raises:
        UnfinishedSyncError: They are not readable before the record is recovered.
    """
    outcome = predict(location, record)
    head = outcome.head
    if head is None:
        return outcome
    needed = [head.files[diff_type] for diff_type in needed_files(head)]
    if isinstance(record, Amendment):
        readable = not any(file.key in record.replaced for file in needed)
    else:
        states = (location.data.inspect(file.staged) for file in needed if file.staged is not None)
        readable = not outcome.published or set(states) <= {StagedState.PUBLISHED}
    if not readable:
        raise UnfinishedSyncError(record.key)
    return outcome
