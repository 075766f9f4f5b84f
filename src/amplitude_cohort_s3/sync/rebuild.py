"""Rebuilding the history of a stream from full lists of its members."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from os import PathLike

from .._time import to_utc
from ..errors import ConfigurationError, NothingToAdoptError
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..history.members import Members, object_source
from ..history.read import read_location
from ..log.listing import SyncState
from ..log.location import StreamLocation
from ..log.stream import CohortStream, HasStream
from ..settings.cohort_sync import CohortSync
from ..sources.protocol import CsvSource
from ..storage.capabilities import as_storage
from ..storage.open import StorageLocation
from ..storage.protocol import Storage
from .clock import utc_now
from .commit import SyncResult
from .sync_cohort import sync_cohort


def rebuild_history(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    sync: CohortSync,
    target: Storage | StorageLocation,
    *,
    log: Storage | StorageLocation | None = None,
    work_dir: str | PathLike[str] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> list[SyncResult]:
    r"""Sync the lists of a stream again, oldest first, so that each sync has all three files.

    This is for a bucket that has only the files ``existing``, or lacks other files at some
    syncs. Each ``existing`` without the other two files must contain all members at its sync. A
    sync that is complete has the members that follow from its files. The guard is not
    applied, because these exits are in the past. A repeated run continues where the last
    one stopped.

    Args:
        storage: The storage of the lists.
        stream: The stream of the lists.
        sync: The cohort and destination to write to. Its ``match_by`` and properties are used; a
            property that a list lacks is empty.
        target: The storage for the rebuilt stream. It may be the same one if the path, the
            cohort or the routing key of ``sync`` differs.
        log: The storage of the log of the rebuilt stream, if it is not ``target``.
        work_dir: The folder for temporary files. Default: the system's.
        clock: A function that returns the time; for tests.

    Returns:
        The result of each sync, oldest first.

    Raises:
        NothingToAdoptError: The stream has no file ``existing``.
        MalformedCsvError, MissingColumnsError: A list can't be read.
        ConfigurationError: The rebuilt stream is the stream itself.
        ArgumentTypeError: An argument has the wrong type.

    >>> from amplitude_cohort_s3 import Destination, MemoryStorage, read_history
    >>> lists, target = MemoryStorage(), MemoryStorage()
    >>> for day, ids in enumerate(["1,2", "2,3"], 1):
    ...     rows = "".join(f"{one},\n" for one in ids.split(","))
    ...     data = f"amplitude_id,user_id\n{rows}".encode()
    ...     _ = lists.create(f"1_a_2026-01-0{day}T06:30_existing.csv", data)
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> results = rebuild_history(lists, sync.stream, sync, target)
    >>> [(one.members, one.entered, one.exited) for one in read_history(
    ...     target, sync.stream).churn()]
    [(2, 2, 0), (2, 1, 1)]
    """
    location = StreamLocation.of(storage, stream, None)
    rebuilt = as_storage("target", target)
    now = to_utc(clock(), "clock()")
    if rebuilt is location.data and sync.stream == location.stream:
        fault = "the rebuilt stream must differ from the stream: give sync another path"
        raise ConfigurationError("rebuild_history", (fault,))
    history = read_location(location, match_by=sync.schema.key, work_dir=work_dir)
    members = {one.synced_at: history.members_at(one) for one in history}
    keys = {
        one.synced_at: one.files[DiffType.EXISTING].key
        for one in (*history, *history.unpublished)
        if DiffType.EXISTING in one.files
    }
    for lone in history.unpublished:
        if DiffType.EXISTING in lone.files and lone.state is SyncState.INCOMPLETE:
            source = object_source(lone.files[DiffType.EXISTING].key, location.data.open)
            members[lone.synced_at] = Members(
                schema=sync.schema, sources={DiffType.EXISTING: source}, work_dir=work_dir
            )
    if not members:
        raise NothingToAdoptError(
            location.stream.log_prefix,
            "the stream has no file existing",
            "Check the project, cohort, path and routing key",
        )
    return [
        sync_cohort(
            sync,
            _with_columns(members[synced_at], sync.schema, keys.get(synced_at)),
            rebuilt,
            synced_at=synced_at,
            guard=False,
            log=log,
            work_dir=work_dir,
            clock=lambda: now,
        )
        for synced_at in sorted(members)
    ]


def _with_columns(members: Members, schema: RowSchema, key: str | None) -> CsvSource:
    """Return members in the columns of a schema; a column that they lack is empty.

    Errors about a value name the list, and count the members in the order of their keys.
    """
    found = members.csv_source(schema)
    return CsvSource(
        chunks=lambda: schema.encode(found.rows_of(schema, fill=True)), unit="row", file=key
    )
