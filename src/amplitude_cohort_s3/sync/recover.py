"""Recovering a sync, or an amendment, whose writer did not finish it."""

from typing import Literal

from attrs import frozen

from ..log.amendments import Amendment
from ..log.location import StreamLocation
from ..log.records import SyncRecord
from ..log.stream import CohortStream
from ..storage.protocol import Storage
from .commit_protocol import finish
from .leftovers import discard_old_leftovers


@frozen(kw_only=True)
class RecoveryReport:
    """The result of ``recover``.

    Attributes:
        outcome: ``"nothing"`` if nothing was unfinished; ``"published"`` or ``"void"`` for a
            sync; ``"amended"`` for what ``forget`` or ``prune`` had begun.
        record: The sync that was unfinished, or None.
    """

    outcome: Literal["nothing", "published", "void", "amended"]
    record: SyncRecord | None = None


def recover(
    storage: Storage, stream: CohortStream, *, log: Storage | None = None
) -> RecoveryReport:
    """Finish the newest entry of the log if its writer did not.

    A sync becomes published if all its files can still be published, and void otherwise.
    Any process may call this at any time: a writer that is still at work is not disturbed,
    because both write the same.

    Args:
        storage: The storage of the data.
        stream: The stream.
        log: The storage of the log, if it is not ``storage``.

    Raises:
        RecordFormatError: The log can't be read.
        UnknownOutcomeError: The storage did not answer a write; run it again.
        MissingCapabilityError: ``forget`` or ``prune`` was begun, which this storage can't finish.
        ArgumentTypeError: An argument has the wrong type.
    """
    return recover_location(StreamLocation.of(storage, stream, log))


def recover_location(location: StreamLocation) -> RecoveryReport:
    """Finish the newest entry of a log: see :func:`recover`."""
    discard_old_leftovers(location)
    record = location.read_log().unfinished
    if record is None:
        return RecoveryReport(outcome="nothing")
    outcome = finish(location, record)
    if isinstance(record, Amendment):
        return RecoveryReport(outcome="amended")
    return RecoveryReport(outcome="published" if outcome.published else "void", record=record)
