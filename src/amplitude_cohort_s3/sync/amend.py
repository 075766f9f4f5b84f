"""Recording an amendment and carrying it out."""

from functools import partial

from ..errors import (
    ConcurrentSyncError,
    HeadFilesMissingError,
    LogLimitError,
    RecordFormatError,
)
from ..log.amendment_rules import check_amendment
from ..log.amendments import Amendment
from ..log.location import StreamLocation
from ..log.outcomes import Outcome
from ..log.sync_log import MAX_ENTRY_BYTES, SyncLog
from .commit_protocol import carry_out, check_files, finish, outcome_of, replacement
from .decision import create_or_discard


def amend(location: StreamLocation, amendment: Amendment, log: SyncLog) -> Outcome:
    """Record an amendment, carry it out, and return its outcome; or raise and change nothing.

    Args:
        location: The stream.
        amendment: The amendment; it continues the head of the log.
        log: The log before it.

    Raises:
        RecordFormatError: The log contradicts itself, so that no amendment can follow it.
        HeadFilesMissingError: Files are to be deleted, and the head lacks files.
        ConcurrentSyncError: A sync or another amendment came first; nothing is changed.
        LogLimitError: The amendment is larger than an entry of the log may be.
        MissingCapabilityError: The storage can't replace or delete.
        UnknownOutcomeError: The storage did not answer a write; run it again.
    """
    discard = partial(_discard, location, amendment)
    if len(amendment.to_bytes()) > MAX_ENTRY_BYTES:
        discard()
        files = len(amendment.replaced) + len(amendment.removed)
        raise LogLimitError(
            f"it would name {files:,} files, more than one entry can contain; nothing was changed",
            f"Prune old syncs first, in several steps, then run {amendment.purpose} again",
        )
    try:
        # Each process that recovers it checks it too, so one that breaks a rule can't be finished.
        check_amendment(amendment, log)
        check_files(location, amendment)
    except (RecordFormatError, HeadFilesMissingError):
        discard()
        raise
    if (other := create_or_discard(location, amendment, discard)) is not None:
        outcome_of(location, other, partial(finish, location))
        discard()
        raise ConcurrentSyncError(other.key, other.synced_at)
    return carry_out(location, amendment)


def _discard(location: StreamLocation, amendment: Amendment) -> None:
    for file in amendment.replaced.values():
        location.data.discard(replacement(file))
