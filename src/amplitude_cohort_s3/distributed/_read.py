"""The reader of the previous members in Spark's tasks."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from attrs import frozen

from .._bytes import CHUNK_BYTES
from .._optional import load
from ..format.content import FileContent, verified
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..history.line_batches import csv_batches
from ..history.members import Members, needed_files
from ..log.records import SyncRecord
from ..sync.head import Head
from ._tasks import OpenStorage, errors_to_notes
from ._text_frames import frame_names


def previous_members(spark: Any, head: Head | None, storage: OpenStorage, schema: RowSchema) -> Any:
    """Return the previous members as a frame that Spark's tasks read.

    The tasks read and verify the parts of composed files in parallel, because each part begins
    with a whole row. If a file is not composed, one task reads all members: a line end may be
    inside of quotes, so the file can be split only by reading it from its start.
    """
    names = frame_names(schema)
    columns = ", ".join(f"{name} string" for name in names.values())
    if head is None:
        return spark.createDataFrame([], columns)
    record = head.record

    def read(diff_type: DiffType | None) -> Any:
        reader = MemberReader(open=storage, record=record, schema=schema, diff_type=diff_type)
        # Part 0 is the header, and a file without rows has no other part.
        tasks = 1 if diff_type is None else len(record.files[diff_type].parts) - 1
        numbers = spark.range(1, tasks + 1, 1, max(tasks, 1))
        return numbers.mapInArrow(reader, columns)

    needed = needed_files(record)
    if not all(record.files[t].parts for t in needed):
        return read(None)
    frame = read(DiffType.EXISTING)
    if DiffType.ENTERING in needed:
        frame = frame.union(read(DiffType.ENTERING))
    if DiffType.EXITING in needed:
        frame = frame.join(read(DiffType.EXITING), on=names[schema.key], how="left_anti")
        frame = frame.select(*names.values())
    return frame


@frozen(kw_only=True)
class MemberReader:
    """The function for ``mapInArrow`` that reads previous members.

    The rows of its input are numbers of parts. With ``diff_type``, it reads these parts of that
    composed file. Without, it reads all members, for any number.
    """

    open: OpenStorage
    record: SyncRecord
    schema: RowSchema
    diff_type: DiffType | None

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        pa = load("pyarrow", "spark")
        recorded = self.record.schema.columns
        text = pa.schema([(column, pa.string()) for column in recorded])
        with errors_to_notes():
            for number in (n for batch in batches for n in batch.column(0).to_pylist()):
                for rows in csv_batches(self._csv(number), text):
                    # A property that the previous sync did not have is empty.
                    empty = pa.repeat(pa.scalar(""), rows.num_rows)
                    cells = {
                        name: rows.column(column) if column in recorded else empty
                        for column, name in frame_names(self.schema).items()
                    }
                    yield pa.RecordBatch.from_pydict(cells)

    def _csv(self, number: int) -> Iterator[bytes]:
        record, storage = self.record, self.open()
        if self.diff_type is None:
            members = Members.of_record(record, storage.open)
            yield from members.csv_source(record.schema).chunks()
            return
        file = record.files[self.diff_type]
        part = file.parts[number]
        content = FileContent(rows=0, size=part.size, sha256=part.sha256)
        yield record.schema.header_line
        with storage.open(file.key) as stream:
            begin = sum(earlier.size for earlier in file.parts[:number])
            if stream.seekable():
                stream.seek(begin)
            else:
                deque(_next_chunks(stream, begin), maxlen=0)
            yield from verified(_next_chunks(stream, part.size), content, file.key)


def _next_chunks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    while size and (chunk := stream.read(min(size, CHUNK_BYTES))):
        size -= len(chunk)
        yield chunk
