"""Syncs with PySpark, for cohorts that outgrow one machine.

Spark joins and sorts. Its tasks read the previous files and write parts through the storage,
so that no connector of Hadoop sees a file name with a colon; the storage composes the parts.
Needs the extra ``spark``, PySpark 3.5 or later, and this package on the executors.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from .._optional import load
from ..errors import ConfigurationError, DuplicateKeyError, ObjectTooLargeError
from ..format.filename import DiffType
from ..settings.cohort_sync import CohortSync
from ..storage.limits import MAX_PARTS
from ..storage.protocol import Storage, SupportsDelete
from ..sync.commit import SyncResult
from ..sync.exits import check_exits
from ..sync.plan import keys_of
from ..sync.start import SyncStart, begin_sync
from ._read import previous_members
from ._tasks import OpenStorage, errors_from_notes
from ._text_frames import FileSize, as_text, frame_names, size_of
from ._write import PartWriter, digest_of, write_parts
from .composition import ComposedDiff, StoredPart, require_compose
from .frames import FrameDiff, diff_frames

PART_BYTES = 256 << 20
"""The default size of a part: 10,000 of these, the most that S3 composes, are 2.5 TiB."""


def sync_frames(
    sync: CohortSync,
    members: Any,
    storage: OpenStorage,
    *,
    synced_at: datetime | None = None,
    max_exits: int | None = None,
    staging: str = "_staging",
    part_bytes: int = PART_BYTES,
    log: Storage | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> SyncResult:
    """Sync a cohort that is a data frame of PySpark: three files appear, or none.

    The files are, byte for byte, those that ``sync_cohort`` writes for the same members. The
    protocol and the record are the same too, so both can sync the same stream in turn. The
    rows do not pass through the driver.

    The parts are below ``staging`` until the sync is published. They are then deleted, if the
    storage supports that. A driver that dies leaves its parts: add a lifecycle rule to the
    bucket that expires objects with that prefix after some days.

    Args:
        sync: The cohort and its destination.
        members: The current members. The frame is evaluated once. Its columns are named as in
            mappings, ids in either style; they are text or integers, and null is empty.
        storage: A function that opens the bucket or folder, on the driver and in each task.
        synced_at: As for ``sync_cohort``.
        max_exits: As for ``sync_cohort``.
        staging: The prefix of the parts, which no consumer reads.
        part_bytes: The approximate size of a part.
        log: The storage of the log, if it is not ``storage``.
        clock: A function that returns the time; for tests.

    Raises:
        ConfigurationError: ``staging`` is a prefix of the files, or these are compressed.
        MissingCapabilityError: The storage does not compose.
        ObjectTooLargeError: A file would be larger, or have more parts, than the storage
            accepts. Nothing has been written then.
        MassExitError, SyncTimeError, UnloggedSyncsError, HeadFilesMissingError,
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
    start = begin_sync(sync, driver, synced_at=synced_at, max_exits=max_exits, log=log, clock=clock)
    current, ignored = as_text(functions, members, schema)
    spark = members.sparkSession
    with errors_from_notes():
        diff = _diff(sync, previous_members(spark, start.head, storage, schema), current)
        repeated = start.find_repeated_sync(lambda: digest_of(diff.current, schema))
        if repeated is not None:
            return SyncResult(record=repeated, already_done=True, ignored_columns=ignored)
        frames = {t: getattr(diff, t.value) for t in DiffType}
        sizes = {t: size_of(functions, frame, schema) for t, frame in frames.items()}
        _check_before_writing(start, diff, sizes, max_bytes, part_bytes)
        with _part_prefix(driver, staging) as prefix:
            parts = dict[DiffType, list[StoredPart]]()
            for t, size in sizes.items():
                writer = PartWriter(open=storage, prefix=f"{prefix}{t}-", schema=schema)
                count = size.part_count(part_bytes)
                parts[t] = write_parts(frames[t], writer, count) if size.rows else []
            composed = ComposedDiff.of_parts(
                parts,
                schema=schema,
                existing=sync.destination.existing,
                skipped=diff.skipped,
                collapsed=diff.collapsed,
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


def _diff(sync: CohortSync, before: Any, current: Any) -> FrameDiff:
    key = sync.schema.key
    try:
        return diff_frames(
            before, current, on=frame_names(sync.schema)[key], existing=sync.destination.existing
        )
    except DuplicateKeyError as error:
        error.column = key  # the name that the user knows
        raise


def _check_before_writing(
    start: SyncStart,
    diff: FrameDiff,
    sizes: dict[DiffType, FileSize],
    max_bytes: int,
    part_bytes: int,
) -> None:
    """Raise if too many members would leave, or if the store would not accept a file."""
    check_exits(
        start.sync,
        members_before=diff.members_before,
        members_now=diff.members_now,
        exits=sizes[DiffType.EXITING].rows,
        skipped=diff.skipped,
        max_exits=start.max_exits,
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
            # This includes the parts of attempts whose result Spark did not use.
            for info in storage.list_objects(prefix):
                storage.delete(info.key)
