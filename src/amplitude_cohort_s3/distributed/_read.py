"""Reading previous members in Spark's tasks."""

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import frozen

from .._optional import load
from ..format.content import ContentPart, FileContent, verified
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..history.members import Members, needed_files
from ..history.tables import csv_batches
from ..log.records import RecordedFile, SyncRecord
from ..storage.protocol import Storage
from ..sync.head import Head
from ._tasks import OpenStorage, errors_told
from ._text_frames import frame_names

_READ_BYTES = 1 << 20


# --- Reading -----------------------------------------------------------------------------


@frozen
class Piece:
    """Rows that one task reads: a part of a composed file, or all members."""

    diff_type: DiffType | None
    begin: int
    content: ContentPart | None


@frozen(kw_only=True)
class Reader:
    """Reads members before, in a task.

    Where a file was composed, its parts begin at rows, so that each task can read and
    verify one. A line end may stand in quotes, so no other file can be divided: one task
    reads all.
    """

    open: OpenStorage
    record: SyncRecord
    schema: RowSchema
    pieces: tuple[Piece, ...]

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        pa = load("pyarrow", "spark")
        recorded = self.record.schema.columns
        text = pa.schema([(column, pa.string()) for column in recorded])
        with errors_told():
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    for rows in csv_batches(self._chunks(self.pieces[int(number)]), text):
                        # A column that is new since then is empty.
                        empty = pa.repeat(pa.scalar(""), rows.num_rows)
                        cells = {
                            name: rows.column(column) if column in recorded else empty
                            for column, name in frame_names(self.schema).items()
                        }
                        yield pa.RecordBatch.from_pydict(cells)

    def _chunks(self, piece: Piece) -> Iterator[bytes]:
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


def previous_members(spark: Any, head: Head | None, storage: OpenStorage, schema: RowSchema) -> Any:
    """The members before as a frame that is read by the tasks."""
    names = frame_names(schema)
    columns = ", ".join(f"{name} string" for name in names.values())
    if head is None:
        return spark.createDataFrame([], columns)
    record = head.record
    needed = needed_files(record)

    def read(pieces: list[Piece]) -> Any:
        if not pieces:
            return spark.createDataFrame([], columns)
        reader = Reader(open=storage, record=record, schema=schema, pieces=tuple(pieces))
        numbers = spark.range(0, len(pieces), 1, len(pieces))
        return numbers.mapInArrow(reader, columns)

    def file(diff_type: DiffType) -> list[Piece]:
        found, begin = list[Piece](), 0
        for part in record.files[diff_type].parts:
            found.append(Piece(diff_type, begin, part))
            begin += part.size
        return found[1:]  # the first one is the header

    if not all(record.files[t].parts for t in needed):
        return read([Piece(None, 0, None)])
    frame = read([p for t in needed if t is not DiffType.EXITING for p in file(t)])
    if DiffType.EXITING in needed:
        frame = frame.join(read(file(DiffType.EXITING)), on=names[schema.key], how="left_anti")
        frame = frame.select(*names.values())
    return frame
