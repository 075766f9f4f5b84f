"""Recording and carrying out an amendment."""

from ..errors import ConcurrentSyncError, TooManyFilesError
from ..log.amendments import Amendment
from ..log.outcomes import Outcome
from ..log.sync_log import MAX_ENTRY_BYTES
from ..storage.protocol import Storage
from .protocol import create_record, outcome_of, settle, staged_of


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
    if (other := create_record(log, amendment)) is not None:
        outcome_of(other, storage, log)
        _discard(amendment, storage)
        raise ConcurrentSyncError(other.key, other.synced_at)
    return settle(amendment, storage, log)


def _discard(amendment: Amendment, storage: Storage) -> None:
    for file in amendment.replaced.values():
        storage.discard(staged_of(file))
