"""Finishing a sync whose writer did not."""

from typing import Literal

from attrs import frozen

from ..log.amendments import Amendment
from ..log.records import SyncRecord
from ..log.stream import CohortStream
from ..log.sync_log import read_log
from ..storage.capabilities import log_storage
from ..storage.protocol import Storage
from .protocol import finish


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
    outcome = finish(record, storage, log)
    if isinstance(record, Amendment):
        return RecoveryReport(outcome="amended")
    return RecoveryReport(outcome="published" if outcome.published else "void", record=record)
