"""Creating a record, and discarding what is staged if the creation has certainly failed."""

import errno
from collections.abc import Callable

from ..errors import InvalidKeyError, RetryableError, StorageError
from ..log.amendments import LogRecord
from ..log.location import StreamLocation
from .commit_protocol import create_record


def create_or_discard(
    location: StreamLocation, record: LogRecord, discard: Callable[[], None]
) -> LogRecord | None:
    """Create a record: see ``create_record``.

    Args:
        location: The stream.
        record: The record.
        discard: A function that discards what the record names. It is called if the record was
            certainly refused; after any other failure the record may exist.
    """
    try:
        return create_record(location, record)
    except (StorageError, InvalidKeyError, OSError) as error:
        if _is_certain(error):
            discard()
        raise


def _is_certain(error: StorageError | InvalidKeyError | OSError) -> bool:
    """Return whether a write that failed with this error has certainly not happened."""
    if isinstance(error, StorageError | InvalidKeyError):
        return not isinstance(error, RetryableError)
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
