"""Writing parts in Spark's tasks."""

import pickle
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from attrs import frozen

from .._optional import load
from ..format.columns import Row
from ..format.digests import members_digest, row_digest
from ..format.schema import RowSchema
from ._tasks import OpenStorage, errors_to_notes
from ._text_frames import frame_names
from .composition import StoredPart, write_part


@frozen(kw_only=True)
class PartWriter:
    """Writes the rows of a task as one part, and returns its description: for ``mapInArrow``."""

    open: OpenStorage
    prefix: str
    schema: RowSchema

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        context = load("pyspark", "spark").TaskContext.get()
        rows = _rows(batches)
        first = next(rows, None)
        if first is None:
            return
        # Spark may run a task twice, after a failure or because it is slow. Each attempt has
        # another id, so that no two write the same key; Spark passes on the part of only one.
        key = f"{self.prefix}{context.partitionId():05}-attempt-{context.taskAttemptId()}.csv"
        with errors_to_notes():
            part = write_part(self.open(), key, chain([first], rows), schema=self.schema)
        yield load("pyarrow", "spark").RecordBatch.from_pydict({"part": [pickle.dumps(part)]})


def _rows(batches: Iterable[Any]) -> Iterator[Row]:
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def write_parts(frame: Any, writer: PartWriter, count: int) -> list[StoredPart]:
    """Write a frame as about this many parts, and return them in the order of the key."""
    names = frame_names(writer.schema)
    key = names[writer.schema.key]
    rows = frame.select(*names.values())
    # Spark compares strings by their UTF-8 bytes, which is also our order of the rows.
    ordered = rows.repartitionByRange(count, key).sortWithinPartitions(key)
    written = ordered.mapInArrow(writer, "part binary").collect()
    parts: list[StoredPart] = [
        pickle.loads(row["part"])  # noqa: S301 -- our own task pickled it
        for row in written
    ]
    return sorted(parts, key=lambda part: part.first_key)


def digest_of(members: Any, schema: RowSchema) -> str:
    """Return the digest of a frame of members, without writing anything."""
    sums = members.mapInArrow(_sum_digests, "total string").collect()
    return members_digest(schema, sum(int(row["total"]) for row in sums))


def _sum_digests(batches: Iterable[Any]) -> Iterator[Any]:
    total = sum(map(row_digest, _rows(batches)))
    yield load("pyarrow", "spark").RecordBatch.from_pydict({"total": [str(total)]})
