"""The writer of parts in Spark's tasks."""

import pickle
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from attrs import frozen

from .._optional import load
from ..format.digests import members_digest
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ._encoded_rows import encode_batch
from ._joined import FILE_COLUMN
from ._tasks import OpenStorage, errors_to_notes
from ._text_frames import frame_names
from .composition import StoredPart, write_encoded_part


@frozen(kw_only=True)
class PartWriter:
    """The function for ``mapInArrow`` that writes the rows of a task as one part for each file.

    The rows must be sorted by the number of the file, and then by the key. The result has a row
    for each part, with the pickled ``StoredPart``.
    """

    open: OpenStorage
    prefix: str
    schema: RowSchema

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        pa, context = load("pyarrow", "spark"), load("pyspark", "spark").TaskContext.get()
        # Spark may run a task twice, after a failure or because it is slow. Each attempt has
        # another id, so no two attempts write the same key. Spark uses the result of only one of
        # them.
        task = f"{context.partitionId():05}-attempt-{context.taskAttemptId()}"
        remaining = _OneFileBatches(batches)
        with errors_to_notes():
            while (number := remaining.next_file()) is not None:
                rows = map(partial(encode_batch, schema=self.schema), remaining.of_file(number))
                key = f"{self.prefix}{tuple(DiffType)[number]}-{task}.csv"
                part = write_encoded_part(self.open(), key, rows, schema=self.schema)
                described = {"file": pa.array([number], pa.int32()), "part": [pickle.dumps(part)]}
                yield pa.RecordBatch.from_pydict(described)


class _OneFileBatches:
    """Batches of rows in the order of the files, split so that each has the rows of one file."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = iter(batches)
        self._next: Any = None

    def next_file(self) -> int | None:
        """Return the number of the file to which the next row belongs; None at the end."""
        while self._next is None or not self._next.num_rows:
            self._next = next(self._batches, None)
            if self._next is None:
                return None
        number: int = self._next.column(FILE_COLUMN)[0].as_py()
        return number

    def of_file(self, number: int) -> Iterator[Any]:
        """Yield batches until the first row of another file, without the column of the file."""
        while self.next_file() == number:
            rows = self._next.column(FILE_COLUMN).value_counts()[0]["counts"].as_py()
            batch, self._next = self._next.slice(0, rows), self._next.slice(rows)
            yield batch.drop_columns([FILE_COLUMN])


def write_parts(rows: Any, writer: PartWriter, count: int) -> Mapping[DiffType, list[StoredPart]]:
    """Write the parts of the files, and return the parts of each file in the order of the key.

    Args:
        rows: The rows of all files: see ``JoinedMembers``.
        writer: The function for the tasks.
        count: The number of tasks. Each task writes one part for each file of which it has rows.
            Most tasks have rows of a single file.
    """
    order = (FILE_COLUMN, frame_names(writer.schema)[writer.schema.key])
    # Spark compares strings by their UTF-8 bytes, which is also the order of rows in the files.
    ordered = rows.repartitionByRange(count, *order).sortWithinPartitions(*order)
    written = ordered.mapInArrow(writer, "file int, part binary").collect()
    parts: dict[DiffType, list[StoredPart]] = {diff_type: [] for diff_type in DiffType}
    for row in written:
        part = pickle.loads(row["part"])  # noqa: S301 -- our own task pickled it
        parts[tuple(DiffType)[row["file"]]].append(part)
    for of_file in parts.values():
        of_file.sort(key=lambda part: part.first_key)
    return parts


def digest_of(members: Any, schema: RowSchema) -> str:
    """Return the digest of a frame of members, without writing anything."""
    sums = members.mapInArrow(partial(_sum_digests, schema=schema), "total string").collect()
    return members_digest(schema, sum(int(row["total"]) for row in sums))


def _sum_digests(batches: Iterable[Any], *, schema: RowSchema) -> Iterator[Any]:
    total = sum(encode_batch(batch, schema=schema).digest for batch in batches if batch.num_rows)
    yield load("pyarrow", "spark").RecordBatch.from_pydict({"total": [str(total)]})
