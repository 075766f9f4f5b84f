"""Syncs with PySpark, for cohorts that are too large for one machine.

Spark joins and sorts the members. Its tasks read the previous files and write parts through the
storage, which then composes the parts. Hadoop's connectors are not used, because they do not
support colons in file names. The module needs the extra ``spark``, PySpark 3.5 or later, and this
package on the executors.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Literal
from uuid import uuid4

from .._optional import load
from ..errors import ConfigurationError, DuplicateKeyError, ObjectTooLargeError
from ..format.filename import DiffType
from ..log.stream_events import EventKind, Observer
from ..settings.cohort_sync import CohortSync
from ..settings.guard import Guard
from ..storage.capabilities import require_compose
from ..storage.limits import MAX_PARTS
from ..storage.protocol import Storage, SupportsDelete
from ..sync.commit import SyncResult
from ..sync.plan import keys_of
from ..sync.start import SyncStart, begin_sync
from ._joined import FileSize, JoinedMembers
from ._read import previous_members
from ._tasks import OpenStorage, errors_from_notes
from ._text_frames import as_text, frame_names
from ._write import PartWriter, digest_of, write_parts
from .composition import ComposedDiff
from .frames import EvaluatedMembers, evaluate_members

PART_BYTES = 256 << 20
"""The default size of a part. S3 composes at most 10,000 parts; with this size, these are 2.4
TiB."""


MIN_SHARE_BYTES = 16 << 20
"""The smallest share of the files, in bytes, for which another task is worth its cost."""


def sync_frames(
    sync: CohortSync,
    members: Any,
    storage: OpenStorage,
    *,
    synced_at: datetime | None = None,
    guard: Guard | Literal[False] | None = None,
    staging: str = "_staging",
    part_bytes: int = PART_BYTES,
    log: Storage | None = None,
    observer: Observer | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> SyncResult:
    """Sync a cohort from a data frame of PySpark: either all three files become visible, or none.

    The files have the same bytes as those that ``sync_cohort`` writes for the same members. The
    protocol and the records are the same too, so both functions can sync the same stream. The
    rows do not pass through the driver.

    The parts are stored below the prefix ``staging`` during the sync, and deleted at its end if
    the storage supports that. If the driver dies, they remain. Therefore add a lifecycle rule to
    the bucket that expires objects with this prefix after some days.

    Args:
        sync: The cohort and its destination.
        members: The current members. The frame is evaluated once. Its columns are text or
            integers, with the names of the sync's columns, the ids in either style. Null counts
            as empty.
        storage: A picklable function that opens the bucket or folder, on the driver and in each
            task, such as ``partial(open_storage, "s3://my-bucket")``.
        synced_at: As for ``sync_cohort``.
        guard: As for ``sync_cohort``.
        staging: The prefix of the parts. No consumer may read objects with this prefix.
        part_bytes: The approximate largest size of a part. Parts are smaller if more tasks can
            share the work.
        log: The storage of the log, if it is not ``storage``.
        observer: As for ``sync_cohort``.
        clock: A function that returns the time; for tests.

    Returns:
        The result of the sync, as of ``sync_cohort``.

    Raises:
        ConfigurationError: ``staging`` is empty or begins with the prefix of the stream's files,
            the files are compressed, or ``part_bytes`` is less than 1.
        MissingCapabilityError: The storage can't compose objects.
        ObjectTooLargeError: A file would be larger, or have more parts, than the storage accepts.
            Nothing has been written.
        GuardError, SyncTimeError, UnloggedSyncsError, HeadFilesMissingError,
            MatchByChangedError, ConcurrentSyncError, UnknownOutcomeError: As in ``sync_cohort``.
        EmptyKeyError, DuplicateKeyError, MissingColumnsError, InvalidCellError: The members
            can't be synced.
        MissingExtraError: PySpark, Narwhals or pyarrow is not installed.

    Example::

        sync_frames(sync, spark.table("cohort"), partial(open_storage, "s3://my-bucket"))
    """
    functions = load("pyspark.sql.functions", "spark")
    driver, schema = storage(), sync.schema
    _check_arguments(sync, staging, part_bytes)
    max_bytes = require_compose(driver).max_object_bytes
    start = begin_sync(
        sync, driver, synced_at=synced_at, guard=guard, log=log, observer=observer, clock=clock
    )
    spark = members.sparkSession
    current, ignored = as_text(functions, members, schema)
    with errors_from_notes():
        previous = previous_members(spark, start.head, storage, schema)
        now = _evaluate(start, current)
        members = now.rows.to_native()
        repeated = start.find_repeated_sync(lambda: digest_of(members, schema))
        if repeated is not None:
            return start.result_of_repeated(repeated, ignored)
        existing, began = sync.destination.existing, perf_counter()
        joined = JoinedMembers.join(functions, previous, members, schema=schema, existing=existing)
        sizes = joined.sizes()
        counts = _counts(now, sizes)
        _report(start, "diffed", began, **counts)
        _check_before_writing(start, counts, sizes, max_bytes, part_bytes)
        with _part_prefix(driver, staging) as prefix:
            writer = PartWriter(open=storage, prefix=prefix, schema=schema)
            tasks = _task_count(spark, sizes, part_bytes)
            composed = ComposedDiff.of_parts(
                write_parts(joined.rows_of_files(), writer, tasks),
                schema=schema,
                existing=existing,
                skipped=now.skipped,
                collapsed=now.collapsed,
                ignored_columns=ignored,
                origin={"engine": f"Spark {spark.version}"},
            )
            return start.commit(start.plan(composed), composed)


def _check_arguments(sync: CohortSync, staging: str, part_bytes: int) -> None:
    faults = list[str]()
    if not staging.strip("/") or f"{staging}/".startswith(sync.stream.data_prefix):
        faults.append(f"staging must be a prefix that no consumer reads, not {staging!r}")
    if sync.destination.compression is not None:
        faults.append("files that are composed of parts can't be compressed")
    if part_bytes < 1:
        faults.append(f"part_bytes must be at least 1, not {part_bytes}")
    if faults:
        raise ConfigurationError("sync_frames", tuple(faults))


def _task_count(spark: Any, sizes: dict[DiffType, FileSize], part_bytes: int) -> int:
    """Return the number of tasks that write: more than the parts need if that is faster."""
    total = sum(size.bytes for size in sizes.values())
    parallel = int(spark.conf.get("spark.sql.shuffle.partitions"))
    return max(1, -(-total // part_bytes), min(total // MIN_SHARE_BYTES, parallel))


def _evaluate(start: SyncStart, current: Any) -> EvaluatedMembers:
    """Return the distinct current members; raise if keys are empty or repeated."""
    schema, began = start.sync.schema, perf_counter()
    nw, key = load("narwhals", "frames"), frame_names(schema)[schema.key]
    refuse_empty = schema.key == "amplitude_id"
    try:
        now = evaluate_members(nw, nw.from_native(current), key, refuse_empty=refuse_empty)
    except DuplicateKeyError as error:
        error.column = schema.key  # the name that the user knows
        raise
    _report(start, "read", began, rows=now.members + now.collapsed + now.skipped)
    return now


def _counts(now: EvaluatedMembers, sizes: dict[DiffType, FileSize]) -> dict[str, int]:
    entered, exited = sizes[DiffType.ENTERING].rows, sizes[DiffType.EXITING].rows
    return {
        "members": now.members,
        "members_before": now.members - entered + exited,
        "entered": entered,
        "exited": exited,
        "skipped": now.skipped,
    }


def _report(start: SyncStart, kind: EventKind, began: float, **facts: int) -> None:
    """Report a step that ends now."""
    start.location.report(kind, perf_counter() - began, start.synced_at, **facts)


def _check_before_writing(
    start: SyncStart,
    counts: dict[str, int],
    sizes: dict[DiffType, FileSize],
    max_bytes: int,
    part_bytes: int,
) -> None:
    """Raise if too many members would leave, or if the store would not accept a file."""
    if start.guard:
        start.guard.check(
            members_before=counts["members_before"],
            members=counts["members"],
            exits=counts["exited"],
            skipped=counts["skipped"],
        )
    for diff_type, key in keys_of(start.sync, start.synced_at).items():
        size = sizes[diff_type]
        if size.bytes > max_bytes:
            raise ObjectTooLargeError(key, max_bytes, found=size.bytes)
        if (count := size.part_count(part_bytes)) > MAX_PARTS:
            raise ObjectTooLargeError(key, MAX_PARTS, "parts", count)


@contextmanager
def _part_prefix(storage: Storage, staging: str) -> Generator[str]:
    """Yield a prefix for the parts of one run, and delete everything below it at the end."""
    prefix = f"{staging}/{uuid4().hex}/"
    try:
        yield prefix
    finally:
        if isinstance(storage, SupportsDelete):
            # These objects include the parts of attempts whose results Spark did not use.
            for info in storage.list_objects(prefix):
                storage.delete(info.key)
