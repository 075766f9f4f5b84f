"""Syncs of cohorts that outgrow one machine, with PySpark: the shell of a cluster.

Spark joins and sorts; its tasks read the previous files and write parts through the
Storage, so no connector of Hadoop sees a name with a colon; the storage puts the parts
together. Needs the extra ``spark``, PySpark 3.5 or later, and this package on the machines
of the executors.
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
from ..sync.plan import check_exits, keys_of
from ..sync.prepare import begin_sync
from ._read import previous_members
from ._tasks import OpenStorage, errors_of_tasks
from ._text_frames import as_text, frame_names, size_of
from ._write import PartWriter, digest_of, write_parts
from .composition import ComposedDiff, require_compose
from .frames import FrameDiff, diff_frames

PART_BYTES = 256 << 20
"""About how large a part is: ten thousand of these, the most that S3 joins, are 2.5 TiB."""


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
    """Syncs a cohort that is a data frame of PySpark: three files appear, or none.

    The files are, byte for byte, those that ``sync_cohort`` writes for the same members,
    and so are the protocol and the record; a stream may be synced by either. The rows do
    not pass through the driver.

    Parts lie below ``staging`` until the sync is published, and are then deleted, where the
    storage supports that. A run that dies leaves its parts: give that prefix a rule of
    the bucket that expires objects after some days.

    Args:
        sync: What is synced where.
        members: Who is in the cohort now. It is evaluated once. Columns as in mappings:
            ids in either style, text or integers, a null is empty.
        storage: Opens the bucket or folder, on the driver and in each task.
        synced_at: As for ``sync_cohort``.
        max_exits: As for ``sync_cohort``.
        staging: The prefix for parts, outside of what consumers look at.
        part_bytes: About how many bytes of a file make a part.
        log: Where the log is, if not in the storage.
        clock: Gives the time; for tests.

    Raises:
        ConfigurationError: ``staging`` is where the files go, or these are compressed.
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
    driver = storage()
    _check_staging(sync, staging, part_bytes)
    limit = require_compose(driver).max_object_bytes
    start = begin_sync(sync, driver, synced_at=synced_at, max_exits=max_exits, log=log, clock=clock)
    current, ignored = as_text(functions, members, sync.schema)
    spark = members.sparkSession
    with errors_of_tasks():
        before = previous_members(spark, start.head, storage, sync.schema)
        diff = _diff(sync, before, current)
        repeated = start.find_repeated_sync(lambda: digest_of(diff, sync.schema))
        if repeated is not None:
            return SyncResult(record=repeated, already_done=True, ignored_columns=ignored)
        frames = {
            DiffType.ENTERING: diff.entering,
            DiffType.EXITING: diff.exiting,
            DiffType.EXISTING: diff.existing,
        }
        sizes = {t: size_of(functions, frame, sync.schema) for t, frame in frames.items()}
        check_exits(
            sync,
            members_before=diff.members_before,
            members_now=diff.members_now,
            exits=sizes[DiffType.EXITING].rows,
            max_exits=max_exits,
        )
        for diff_type, key in keys_of(sync, start.synced_at).items():
            size = sizes[diff_type]
            if size.bytes > limit:
                raise ObjectTooLargeError(key, limit, found=size.bytes)
            if size.divisions(part_bytes) > MAX_PARTS:
                raise ObjectTooLargeError(key, MAX_PARTS, "parts", size.divisions(part_bytes))
        with _staged(driver, f"{staging}/{uuid4().hex}/") as run:
            parts = {
                t: write_parts(
                    frame,
                    PartWriter(open=storage, prefix=f"{run}{t}-", schema=sync.schema),
                    sizes[t].divisions(part_bytes) if sizes[t].rows else 0,
                )
                for t, frame in frames.items()
            }
            composed = ComposedDiff.of_parts(
                parts,
                schema=sync.schema,
                existing=sync.destination.existing,
                skipped=diff.skipped,
                collapsed=diff.collapsed,
                ignored_columns=ignored,
                origin={"engine": f"Spark {spark.version}"},
            )
            return start.commit(start.plan(composed), composed)


def _diff(sync: CohortSync, before: Any, current: Any) -> FrameDiff:
    key = sync.schema.key
    try:
        return diff_frames(
            before, current, on=frame_names(sync.schema)[key], existing=sync.destination.existing
        )
    except DuplicateKeyError as error:
        error.column = key  # as the user knows it
        raise


def _check_staging(sync: CohortSync, staging: str, part_bytes: int) -> None:
    faults = list[str]()
    if not staging.strip("/") or f"{staging}/".startswith(sync.stream.data_prefix):
        faults.append("staging must be a prefix of its own, where no consumer looks")
    if sync.destination.compression is not None:
        faults.append("files that are composed of parts can't be compressed")
    if part_bytes < 1:
        faults.append("part_bytes must be at least 1")
    if faults:
        raise ConfigurationError("sync_frames", tuple(faults))


@contextmanager
def _staged(storage: Storage, run: str) -> Generator[str]:
    """The prefix for the parts of one run, which are deleted whatever comes of it."""
    try:
        yield run
    finally:
        if isinstance(storage, SupportsDelete):
            # All of them: those of attempts that lost, too.
            for info in storage.list_objects(run):
                storage.delete(info.key)
