"""Writing parts in Spark's tasks."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from attrs import frozen

from .._optional import load
from ..format.columns import Row
from ..format.schema import RowSchema
from ..storage.protocol import ObjectInfo
from ._tasks import OpenStorage, errors_told
from ._text_frames import frame_names
from .composition import Part, members_digest, row_digest, write_part
from .frames import FrameDiff

_PART_COLUMNS = (
    "number int, key string, size long, url string, rows long, sha256 string, "
    "rows_digest string, first_key string, last_key string"
)


# --- Writing -----------------------------------------------------------------------------


@frozen(kw_only=True)
class PartWriter:
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
        with errors_told():
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


def write_parts(frame: Any, writer: PartWriter, divisions: int) -> list[Part]:
    """The parts of a frame, in the order of the key: Spark's text sorts by its UTF-8 bytes."""
    if not divisions:
        return []
    names = frame_names(writer.schema)
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


def digest_of(diff: FrameDiff, schema: RowSchema) -> str:
    """The digest of the members now, where nothing may be written."""
    sums = diff.current.mapInArrow(_sum_digests, "total string").collect()
    return members_digest(schema, sum(int(row["total"]) for row in sums))


def _sum_digests(batches: Iterable[Any]) -> Iterator[Any]:
    total = sum(map(row_digest, _rows(batches)))
    yield load("pyarrow", "spark").RecordBatch.from_pydict({"total": [str(total)]})
