"""The members at one sync, as rows that can be read again and again."""

import heapq
from collections.abc import Iterator, Mapping
from itertools import chain, groupby
from operator import itemgetter

from attrs import field, frozen

from .._bytes import read_chunks
from .._html import html_columns
from ..diff.cohort_diff import diff_members
from ..format.columns import Row
from ..format.compression import decompress_chunks
from ..format.content import verified
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..log.records import RecordedFile, SyncRecord
from ..log.sync_log import OpenObject
from ..sources.protocol import CsvSource
from .tables import ArrowTable, RowTable


@frozen(kw_only=True)
class Members(ArrowTable):
    """Everyone in the cohort at one sync: ``(entering | existing) - exiting``.

    Iterating opens the files anew each time and streams: rows are never all in memory.
    As a data frame all columns are text, and nothing is null: see ``ArrowTable``.
    The repr counts and does not name; a notebook shows the columns.

    Attributes:
        schema: The columns of the rows, and the key by whose bytes they are ordered.
        rows: How many members there are, where a record says it.
    """

    schema: RowSchema
    rows: int | None = None
    _sources: Mapping[DiffType, CsvSource] = field(repr=False, alias="sources")

    @classmethod
    def of_record(
        cls,
        record: SyncRecord,
        open_object: OpenObject,
        replacing: Mapping[str, RecordedFile] | None = None,
    ) -> "Members":
        """The members at a recorded sync.

        Args:
            record: The sync.
            open_object: ``storage.open``.
            replacing: Files that may have been replaced already: see :func:`recorded_source`.
        """
        sources = {
            t: recorded_source(record, t, open_object, replacing) for t in needed_files(record)
        }
        return cls(schema=record.schema, rows=record.members, sources=sources)

    def __iter__(self) -> Iterator[Row]:
        """The rows in the order of the key.

        Raises:
            DigestMismatchError: A file's bytes are not those that were recorded; at the end.
        """
        return self.csv_source(self.schema).rows_of(self.schema)

    def to_list(self) -> list[Row]:
        """All rows as tuples."""
        return list(self)

    def _repr_html_(self) -> str:
        count = "" if self.rows is None else f"{self.rows:,} "
        return html_columns(f"{count}members", self.schema.columns)

    @property
    def _table(self) -> RowTable:
        return RowTable(
            columns=dict.fromkeys(self.schema.columns, "text"),
            rows=lambda: self,
            csv=lambda: self.csv_source(self.schema).chunks(),
        )

    def csv_source(self, schema: RowSchema) -> CsvSource:  # noqa: ARG002 -- our columns are what there is
        """The members as canonical CSV, in the columns of their own schema."""
        if len(self._sources) == 1:
            (source,) = self._sources.values()
            if source.canonical:
                return source
        ordered = all(source.canonical for source in self._sources.values())
        return CsvSource(
            chunks=self._merged if ordered else self._sorted, canonical=True, rows=self.rows
        )

    def _merged(self) -> Iterator[bytes]:
        """From files that are in order: one pass over each, side by side."""
        rank = {DiffType.EXITING: 0, DiffType.ENTERING: 1, DiffType.EXISTING: 2}
        keyed = [self._keyed(diff_type, rank[diff_type]) for diff_type in self._sources]
        rows = heapq.merge(*keyed, key=itemgetter(0, 1))
        return self.schema.encode(
            row
            for _, same_key in groupby(rows, key=itemgetter(0))
            for _, first, row in [next(same_key)]
            if first != rank[DiffType.EXITING]
        )

    def _keyed(self, diff_type: DiffType, rank: int) -> Iterator[tuple[bytes, int, Row]]:
        key = self.schema.key_index
        for row in self._rows(diff_type):
            yield row[key].encode(), rank, row

    def _sorted(self) -> Iterator[bytes]:
        """From files in any order: who would enter if only the leavers were there before."""
        current = chain(self._rows(DiffType.ENTERING), self._rows(DiffType.EXISTING))
        with diff_members(
            self._rows(DiffType.EXITING),
            current,
            schema=self.schema,
            duplicates="keep_smallest",
        ) as diff:
            yield from diff.entering.chunks()

    def _rows(self, diff_type: DiffType) -> Iterator[Row]:
        return self._sources[diff_type].rows_of(self.schema, fill=True)


def needed_files(record: SyncRecord) -> tuple[DiffType, ...]:
    """The files of a sync from which its members can be told."""
    # An adopted file was not written by this library, so its meaning is unknown.
    return tuple(DiffType) if record.adopted else record.existing.member_files


def object_source(key: str, open_object: OpenObject) -> CsvSource:
    """A file that no record describes.

    Args:
        key: The object's; one that ends in ``.gz`` is decompressed.
        open_object: ``storage.open``.
    """

    def chunks() -> Iterator[bytes]:
        stored = read_chunks(open_object(key))
        return decompress_chunks(stored) if key.endswith(".gz") else stored

    return CsvSource(chunks=chunks, file=key)


def recorded_source(
    record: SyncRecord,
    diff_type: DiffType,
    open_object: OpenObject,
    replacing: Mapping[str, RecordedFile] | None = None,
) -> CsvSource:
    """A file that a record describes: its bytes are verified as they are read.

    Args:
        record: The sync.
        diff_type: Which of its files.
        open_object: ``storage.open``.
        replacing: By their keys, files that an unfinished amendment may have put in the
            place of recorded ones: their bytes are as good.
    """
    file = record.files[diff_type]
    found = object_source(file.key, open_object)
    allowed = [file]
    if replacing is not None and file.key in replacing:
        allowed.append(replacing[file.key])
    return CsvSource(
        chunks=lambda: verified(found.chunks(), allowed, file.key),
        canonical=not record.adopted,
        rows=file.rows,
        size=file.size,
        file=file.key,
    )
