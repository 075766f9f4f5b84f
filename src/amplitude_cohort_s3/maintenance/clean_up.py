"""Removing the files that dead writers have left in a storage."""

from datetime import timedelta

from ..log.location import StreamLocation
from ..log.stream import CohortStream, HasStream
from ..storage.capabilities import require_list_staged
from ..storage.open import StorageLocation
from ..storage.protocol import Storage
from ..sync.leftovers import LEFTOVER_AGE, discard_leftovers, find_leftovers


def plan_clean_up(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    *,
    log: Storage | StorageLocation | None = None,
    older_than: timedelta = LEFTOVER_AGE,
) -> tuple[str, ...]:
    """Return the keys of the files that ``clean_up`` would discard, without changing anything.

    Args:
        storage: The storage of the data, or its location.
        stream: The stream, or a sync of it.
        log: The storage of the log, if it is not ``storage``.
        older_than: The smallest age of a file.

    Raises:
        MissingCapabilityError: The storage can't list what is staged.
        AccessDeniedError: As for ``clean_up``.
        ArgumentTypeError: An argument has the wrong type.

    >>> import tempfile
    >>> from amplitude_cohort_s3 import CohortStream, LocalStorage
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plan_clean_up(folder, CohortStream(project_id=1, cohort_id="a"))
    ()
    """
    location = StreamLocation.of(storage, stream, log)
    require_list_staged(location.data)
    return find_leftovers(location, older_than)


def clean_up(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    *,
    log: Storage | StorageLocation | None = None,
    older_than: timedelta = LEFTOVER_AGE,
) -> tuple[str, ...]:
    """Discard the staged and temporary files of writers that died before creating their record.

    Nobody can see these files, but they contain rows of users, and a bucket charges for them.
    Files that an unfinished record names stay: ``recover`` publishes or discards them. In a local
    folder, each sync and each ``recover`` also does this. In a bucket, the rules of
    ``lifecycle_rules`` let the store do it.

    Args:
        storage: The storage of the data, or its location.
        stream: The stream, or a sync of it.
        log: The storage of the log, if it is not ``storage``.
        older_than: The smallest age of a file. A sync that is still uploading files older than
            this becomes void, and a sync whose temporary files have been unchanged for this long
            fails.

    Returns:
        The keys under which the files would have become visible.

    Raises:
        MissingCapabilityError: The storage can't list what is staged.
        AccessDeniedError: The bucket's policy refuses to list uploads or to read the log. The
            purposes ``"maintain"`` and ``"read"`` of ``bucket_policy`` allow both.
        ArgumentTypeError: An argument has the wrong type.

    >>> import tempfile
    >>> from amplitude_cohort_s3 import CohortStream, LocalStorage
    >>> folder = tempfile.TemporaryDirectory()
    >>> storage = LocalStorage(folder.name)
    >>> _ = storage.stage("1_a_2026-11-23T14:05_entering.csv", [b"amplitudeID"])
    >>> stream = CohortStream(project_id=1, cohort_id="a")
    >>> clean_up(storage, stream, older_than=timedelta(0))
    ('1_a_2026-11-23T14:05_entering.csv',)
    >>> folder.cleanup()
    """
    location = StreamLocation.of(storage, stream, log)
    require_list_staged(location.data)
    return discard_leftovers(location, older_than)
