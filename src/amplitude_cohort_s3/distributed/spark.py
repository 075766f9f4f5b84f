"""Syncs of cohorts that outgrow one machine, with PySpark: the shell of a cluster.

Spark joins and sorts; its tasks read the previous files and write parts through the
Storage, so no connector of Hadoop sees a name with a colon; the storage puts the parts
together. Needs the extra ``spark``, PySpark 3.5 or later, and this package on the machines
of the executors.
"""

import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Any, cast
from uuid import uuid4

from attrs import AttrsInstance, astuple, frozen

from .. import errors
from .._optional import load
from ..errors import (
    CohortS3Error,
    ConfigurationError,
    DuplicateKeyError,
    InvalidTextError,
    ObjectTooLargeError,
    TooManyPartsError,
    UnsupportedValueError,
)
from ..format.content import ContentPart, FileContent, verified
from ..format.filename import DiffType, to_utc
from ..format.schema import ID_COLUMNS, Row, RowSchema, id_column
from ..history.members import Head, Members, needed_files
from ..log.records import RecordedFile, SyncRecord
from ..settings.destination import CohortSync
from ..sources.arrow import csv_batches
from ..storage.protocol import ObjectInfo, Storage, SupportsDelete
from ..sync.plan import check_exits, plan_sync
from ..sync.sync_cohort import SyncResult, begin_sync, commit, composing, done_before
from .composition import ComposedDiff, Part, members_digest, row_digest, write_part
from .frames import FrameDiff, diff_frames

OpenStorage = Callable[[], Storage]
"""Opens the storage, on the driver and in each task: picklable, such as
``functools.partial(open_storage, "s3://my-bucket")``."""

PART_BYTES = 256 << 20
"""About how large a part is: ten thousand of these, the most that S3 joins, are 2.5 TiB."""

_MAX_PARTS = 10_000
_READ_BYTES = 1 << 20
_PART_COLUMNS = (
    "number int, key string, size long, url string, rows long, sha256 string, "
    "rows_digest string, first_key string, last_key string"
)


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
        MissingPowerError: The storage does not compose.
        ObjectTooLargeError, TooManyPartsError: A file would be larger than the storage
            takes, or of more parts. It shows before anything is written.
        MassExitError, SyncTimeTakenError, SyncOrderError, FutureTimeError, ClockSkewError,
            UnloggedSyncsError, HeadFilesMissingError, MatchByChangedError,
            ConcurrentSyncError, UnknownOutcomeError: As ``sync_cohort``.
        EmptyKeyError, DuplicateKeyError, MissingColumnsError, UnsupportedValueError,
            InvalidTextError: The members can't be synced.
        MissingExtraError: PySpark, Narwhals or pyarrow is not installed.

    Example::

        sync_frames(sync, spark.table("cohort"), partial(open_storage, "s3://my-bucket"))
    """
    functions = load("pyspark.sql.functions", "spark")
    driver = storage()
    _check_staging(sync, staging, part_bytes)
    limit = composing(sync, driver).max_object_bytes
    now = to_utc(clock(), "clock()")
    head, synced_at = begin_sync(sync, driver, synced_at=synced_at, now=now, log=log)
    current, ignored = _as_text(functions, members, sync.schema)
    spark = members.sparkSession
    with _errors_of_tasks():
        before = _previous(spark, head, storage, sync.schema)
        diff = _diff(sync, before, current)
        frames = {
            DiffType.ENTERING: diff.entering,
            DiffType.EXITING: diff.exiting,
            DiffType.EXISTING: diff.existing,
        }
        done = done_before(sync, head, synced_at, lambda: _digest_of(diff, sync.schema))
        if done is not None:
            return SyncResult(record=done, already_done=True, ignored_columns=ignored)
        sizes = {t: _size_of(functions, frame, sync.schema) for t, frame in frames.items()}
        check_exits(
            sync,
            before=diff.members_before,
            now=diff.members_now,
            exits=sizes[DiffType.EXITING].rows,
            max_exits=max_exits,
        )
        for diff_type, size in sizes.items():
            name = sync.stream.name(synced_at, diff_type, sync.name_style)
            key = name.key(sync.destination.path)
            if size.bytes > limit:
                raise ObjectTooLargeError(key, limit)
            if size.divisions(part_bytes) > _MAX_PARTS:
                raise TooManyPartsError(key, size.divisions(part_bytes), _MAX_PARTS)
        with _staged(driver, f"{staging}/{uuid4().hex}/") as run:
            parts = {
                t: _write(
                    frame,
                    _PartWriter(open=storage, prefix=f"{run}{t}-", schema=sync.schema),
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
            plan = plan_sync(
                sync,
                composed,
                synced_at=synced_at,
                previous=head,
                requested_at=now,
                max_exits=max_exits,
            )
            return commit(plan, composed, driver, log=log)


def _diff(sync: CohortSync, before: Any, current: Any) -> FrameDiff:
    key = sync.schema.key
    try:
        return diff_frames(
            before, current, on=_names(sync.schema)[key], existing=sync.destination.existing
        )
    except DuplicateKeyError as error:
        error.column = key  # as the user knows it
        raise


def _check_staging(sync: CohortSync, staging: str, part_bytes: int) -> None:
    faults = list[str]()
    if not staging.strip("/") or f"{staging}/".startswith(sync.stream.data_prefix):
        faults.append("staging must be a prefix of its own, where no consumer looks")
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


# --- Frames of text --------------------------------------------------------------------


def _names(schema: RowSchema) -> dict[str, str]:
    """What the columns of a schema are called in frames.

    Not as in the files: Spark takes a dot in a name for a field of a structure, and names
    that differ in their case for one.
    """
    properties = [f"property_{number}" for number, _ in enumerate(schema.properties)]
    return dict(zip(schema.columns, (*ID_COLUMNS, *properties), strict=True))


def _as_text(functions: Any, frame: Any, schema: RowSchema) -> tuple[Any, tuple[str, ...]]:
    """The frame in the columns of the schema, all text and nothing null; and what it has more.

    Its columns are called as :func:`_names` says.

    Raises:
        MissingColumnsError: It lacks the key or a property.
        UnsupportedValueError: A column holds what has no one text form.
        InvalidTextError: A cell holds a NUL.
    """
    named = {id_column(name) or name: name for name in frame.columns}
    schema.check_columns(named, fill=False)
    types = {field.name: field.dataType for field in frame.schema.fields}
    names = _names(schema)
    cells: list[Any] = []
    for column in schema.columns:
        if column not in named:
            cells.append(functions.lit("").alias(names[column]))
            continue
        name = named[column]
        kind = types[name].simpleString()
        whole = kind.startswith("decimal") and kind.endswith(",0)")
        if kind not in ("string", "tinyint", "smallint", "int", "bigint", "void") and not whole:
            cure = "cast it to text at the source"
            raise UnsupportedValueError(column, kind, cure)
        # In backquotes, as a dot would be taken for a field of a structure.
        cell = frame["`" + name.replace("`", "``") + "`"].cast("string")
        cells.append(functions.coalesce(cell, functions.lit("")).alias(names[column]))
    ignored = tuple(sorted(name for key, name in named.items() if key not in schema.columns))
    return frame.select(*cells), ignored


@frozen
class _Size:
    """How many rows and bytes a file will have."""

    rows: int
    bytes: int

    def divisions(self, part_bytes: int) -> int:
        return max(1, -(-self.bytes // part_bytes))


def _size_of(functions: Any, frame: Any, schema: RowSchema) -> _Size:
    """The exact size of the file, before a byte of it is written.

    Raises:
        InvalidTextError: A cell holds a NUL.
    """
    size = functions.lit(len(schema.columns))  # commas and the line end
    nuls: list[Any] = []
    for name in _names(schema).values():
        cell = frame[name]
        quotes = functions.length(cell) - functions.length(functions.regexp_replace(cell, '"', ""))
        quoted = cell.rlike('[,"\\n\\r]')
        size = size + functions.octet_length(cell)
        size = size + functions.when(quoted, quotes + 2).otherwise(0)
        nuls.append(functions.max(cell.contains("\0")).alias(f"nul_{len(nuls)}"))
    found = frame.agg(functions.count("*"), functions.sum(size.cast("long")), *nuls).collect()[0]
    for column, has_nul in zip(schema.columns, found[2:], strict=True):
        if has_nul:
            raise InvalidTextError(column, "holds a NUL, which ends a text for many databases")
    return _Size(found[0], len(schema.header_line) + (found[1] or 0))


# --- Reading -----------------------------------------------------------------------------


@frozen
class _Piece:
    """Rows that one task reads: a part of a composed file, or all members."""

    diff_type: DiffType | None
    begin: int
    content: ContentPart | None


@frozen(kw_only=True)
class _Reader:
    """Reads members before, in a task.

    Where a file was composed, its parts begin at rows, so that each task can read and
    verify one. A line end may stand in quotes, so no other file can be divided: one task
    reads all.
    """

    open: OpenStorage
    record: SyncRecord
    schema: RowSchema
    pieces: tuple[_Piece, ...]

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        pa = load("pyarrow", "spark")
        recorded = self.record.schema.columns
        text = pa.schema([(column, pa.string()) for column in recorded])
        with _errors_told():
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    for rows in csv_batches(self._chunks(self.pieces[int(number)]), text):
                        # A column that is new since then is empty.
                        empty = pa.repeat(pa.scalar(""), rows.num_rows)
                        cells = {
                            name: rows.column(column) if column in recorded else empty
                            for column, name in _names(self.schema).items()
                        }
                        yield pa.RecordBatch.from_pydict(cells)

    def _chunks(self, piece: _Piece) -> Iterator[bytes]:
        storage, record = self.open(), self.record
        if piece.diff_type is None or piece.content is None:
            return Members.of_record(record, storage.open).csv_source(record.schema).chunks()
        return self._range(storage, record.files[piece.diff_type], piece.begin, piece.content)

    def _range(
        self, storage: Storage, file: RecordedFile, begin: int, content: ContentPart
    ) -> Iterator[bytes]:
        def chunks() -> Iterator[bytes]:
            with storage.open(file.key) as stream:
                if stream.seekable():
                    stream.seek(begin)
                else:
                    skip = begin
                    while skip and (skipped := len(stream.read(min(skip, _READ_BYTES)))):
                        skip -= skipped
                left = content.size
                while left and (chunk := stream.read(min(left, _READ_BYTES))):
                    left -= len(chunk)
                    yield chunk

        whole = FileContent(rows=0, size=content.size, sha256=content.sha256)
        yield self.record.schema.header_line
        yield from verified(chunks(), [whole], file.key)


def _previous(spark: Any, head: Head | None, storage: OpenStorage, schema: RowSchema) -> Any:
    """The members before as a frame that is read by the tasks."""
    names = _names(schema)
    columns = ", ".join(f"{name} string" for name in names.values())
    if head is None:
        return spark.createDataFrame([], columns)
    record = head.record
    needed = needed_files(record)

    def read(pieces: list[_Piece]) -> Any:
        if not pieces:
            return spark.createDataFrame([], columns)
        reader = _Reader(open=storage, record=record, schema=schema, pieces=tuple(pieces))
        numbers = spark.range(0, len(pieces), 1, len(pieces))
        return numbers.mapInArrow(reader, columns)

    def file(diff_type: DiffType) -> list[_Piece]:
        found, begin = list[_Piece](), 0
        for part in record.files[diff_type].parts:
            found.append(_Piece(diff_type, begin, part))
            begin += part.size
        return found[1:]  # the first one is the header

    if not all(record.files[t].parts for t in needed):
        return read([_Piece(None, 0, None)])
    frame = read([p for t in needed if t is not DiffType.EXITING for p in file(t)])
    if DiffType.EXITING in needed:
        frame = frame.join(read(file(DiffType.EXITING)), on=names[schema.key], how="left_anti")
        frame = frame.select(*names.values())
    return frame


# --- Writing -----------------------------------------------------------------------------


@frozen(kw_only=True)
class _PartWriter:
    """Writes the rows of a task as one part, and says what it wrote."""

    open: OpenStorage
    prefix: str
    schema: RowSchema

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        pa = load("pyarrow", "spark")
        context = load("pyspark", "spark").TaskContext.get()
        rows = _rows(batches)
        first = next(rows, None)
        if first is None:
            return
        # Each attempt of the application has another id, so that those that run twice,
        # by retry or by speculation, do not meet; the driver hears of the winners only.
        number = context.partitionId()
        key = f"{self.prefix}{number:05}-attempt-{context.taskAttemptId()}.csv"
        with _errors_told():
            part = write_part(self.open(), key, chain([first], rows), schema=self.schema)
        told = {
            "number": pa.array([number], pa.int32()),
            "key": [part.stored.key],
            "size": pa.array([part.stored.size], pa.int64()),
            "url": [part.stored.url],
            "rows": pa.array([part.rows], pa.int64()),
            "sha256": [part.sha256],
            "rows_digest": [str(part.rows_digest)],
            "first_key": [part.first_key],
            "last_key": [part.last_key],
        }
        yield pa.RecordBatch.from_pydict(told)


def _rows(batches: Iterable[Any]) -> Iterator[Row]:
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _write(frame: Any, writer: _PartWriter, divisions: int) -> list[Part]:
    """The parts of a frame, in the order of the key: Spark's text sorts by its UTF-8 bytes."""
    if not divisions:
        return []
    names = _names(writer.schema)
    key = names[writer.schema.key]
    rows = frame.select(*names.values())
    ordered = rows.repartitionByRange(divisions, key).sortWithinPartitions(key)
    told = ordered.mapInArrow(writer, _PART_COLUMNS).collect()
    return [
        Part(
            stored=ObjectInfo(key=row["key"], size=row["size"], url=row["url"]),
            rows=row["rows"],
            sha256=row["sha256"],
            rows_digest=int(row["rows_digest"]),
            first_key=row["first_key"],
            last_key=row["last_key"],
        )
        for row in sorted(told, key=lambda row: row["number"])
    ]


def _digest_of(diff: FrameDiff, schema: RowSchema) -> str:
    """The digest of the members now, where nothing may be written."""
    sums = diff.current.mapInArrow(_sum_digests, "total string").collect()
    return members_digest(schema, sum(int(row["total"]) for row in sums))


def _sum_digests(batches: Iterable[Any]) -> Iterator[Any]:
    total = sum(map(row_digest, _rows(batches)))
    yield load("pyarrow", "spark").RecordBatch.from_pydict({"total": [str(total)]})


# --- Errors in tasks ---------------------------------------------------------------------

_TOLD = "amplitude_cohort_s3 raised "


@contextmanager
def _errors_told() -> Generator[None]:
    """In a task: a note in the trace of an error of ours says which one it is.

    The text of a trace is all that Spark brings from a task to the driver.
    """
    try:
        yield
    except CohortS3Error as error:
        error.add_note(
            _TOLD + json.dumps([type(error).__name__, astuple(cast(AttrsInstance, error))])
        )
        raise


@contextmanager
def _errors_of_tasks() -> Generator[None]:
    """On the driver: the error of ours that failed a task as often as Spark tries one.

    Spark may well try again: what a network or a store did once, it may not do twice.
    """
    try:
        yield
    except Exception as error:  # Spark's class for it differs by version and by what was asked
        told = re.search(rf"^{_TOLD}(.+)$", str(error), re.MULTILINE)
        if told is None:
            raise
        name, facts = cast(tuple[str, list[str | list[str]]], json.loads(told[1]))
        # JSON has no tuples, and the errors no lists.
        raise getattr(errors, name)(
            *(tuple(f) if isinstance(f, list) else f for f in facts)
        ) from error
