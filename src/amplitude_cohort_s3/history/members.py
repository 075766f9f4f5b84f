"""The members at one sync, as rows that can be read repeatedly."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from os import PathLike
from typing import Any, TypeGuard

from attrs import field, frozen

from .._bytes import read_chunks
from .._display import counted, html_columns
from ..format.columns import Row
from ..format.compression import unpack_chunks
from ..format.content import verified
from ..format.filename import DiffType
from ..format.named_rows import ColumnType, MemberRow, row_class
from ..format.schema import RowSchema
from ..log.records import RecordedFile, SyncRecord
from ..log.sync_log import OpenObject
from ..sources.protocol import CsvSource
from ._external_sort import external_sort
from ._merged_lines import merged_lines
from .line_batches import file_batches
from .member_rows import keyed_rows, smallest_row
from .tables import RowTable


@frozen(kw_only=True)
class Members(RowTable[MemberRow]):
    """All members of the cohort at one sync: ``(entering | existing) - exiting``.

    Each iteration opens the files again and streams; the rows are never all in memory. A row
    is a tuple of texts, and ``row["plan"]`` is the cell of a column. In a data frame all columns
    are text and nothing is null. The repr shows no rows; a notebook shows the columns.

    Attributes:
        schema: The columns of the rows, and the key by whose bytes they are ordered.
        rows: The number of members, if a record states it.
    """

    schema: RowSchema
    rows: int | None = None
    _sources: Mapping[DiffType, CsvSource] = field(repr=False, alias="sources")
    _work_dir: str | PathLike[str] | None = field(default=None, repr=False, alias="work_dir")

    @classmethod
    def of_record(
        cls,
        record: SyncRecord,
        open_object: OpenObject,
    ) -> "Members":
        """Return the members at a recorded sync.

        Args:
            record: The sync.
            open_object: ``storage.open``.
        """
        sources = {t: recorded_source(record, t, open_object) for t in needed_files(record)}
        return cls(schema=record.schema, rows=record.members, sources=sources)

    def __iter__(self) -> Iterator[MemberRow]:
        """Iterate over the rows in the order of the key.

        Raises:
            ObjectChangedError: The bytes of a file differ from the record; at the end.
        """
        rows = self.csv_source(self.schema).rows_of(self.schema)
        return map(row_class(self.schema.columns), rows)

    def _known_length(self) -> int | None:
        return self.rows

    def _repr_html_(self) -> str:
        title = "members" if self.rows is None else counted(self.rows, "member")
        return html_columns(title, self.schema.columns)

    def _columns(self) -> Mapping[str, ColumnType]:
        return dict.fromkeys(self.schema.columns, "text")

    def _batches(self, schema: Any) -> Iterator[Any]:
        required = (self.schema.key, *self.schema.properties)
        return file_batches(self.csv_source(self.schema), schema, required, self.__iter__)

    def csv_source(self, schema: RowSchema) -> CsvSource:  # noqa: ARG002 -- no other columns are known
        """Return the members as canonical CSV, in the columns of their own schema."""
        if len(self._sources) == 1:
            (source,) = self._sources.values()
            if source.canonical:
                return source
        return CsvSource(
            chunks=self._computed_chunks,
            canonical=True,
            rows=self.rows,
        )

    def _computed_chunks(self) -> Iterator[bytes]:
        if all(source.canonical for source in self._sources.values()):
            yield self.schema.header_line
            yield from merged_lines(self._sources, self.schema)
        else:
            yield from self.schema.encode(self._computed_rows())

    def _computed_rows(self) -> Iterator[Row]:
        """Yield the members in the order of the key, from files that must be sorted first.

        Rows of ``exiting`` sort before other rows of the same key, and then the user is not
        a member. :mod:`.member_rows` decides which other row counts.
        """
        files = map(self._keyed_rows, self._sources)
        rows = external_sort(chain.from_iterable(files), work_dir=self._work_dir)
        for _, same_key in groupby(rows, key=itemgetter(0)):
            first = next(same_key)
            if first[1]:
                yield smallest_row(row for _, _, row in chain([first], same_key))

    def _keyed_rows(self, diff_type: DiffType) -> Iterator[tuple[bytes, bool, Row]]:
        is_member = diff_type is not DiffType.EXITING
        for key, row in keyed_rows(self._sources[diff_type], self.schema):
            yield key, is_member, row


def needed_files(record: SyncRecord | None) -> tuple[DiffType, ...]:
    """Return the files of a sync from which its members follow; all three without a record."""
    # An adopted file was not written by this library, so its meaning is unknown.
    if record is None or record.adopted:
        return tuple(DiffType)
    return record.existing.member_files


def are_sorted(record: SyncRecord | None, key: str) -> TypeGuard[SyncRecord]:
    """Return whether the files of a sync are known to be canonical, and in the order of a key.

    Then they have one row for each key, unless somebody has changed them, which is noticed
    while they are read.
    """
    return record is not None and not record.adopted and record.schema.key == key


def object_source(key: str, open_object: OpenObject) -> CsvSource:
    """Return a file that no record describes.

    Args:
        key: The object's key. A compressed object is decompressed, whatever its name.
        open_object: ``storage.open``.
    """
    # It is not a nested function, because that could not be pickled.
    return CsvSource(chunks=partial(_stored_chunks, key, open_object), file=key)


def _stored_chunks(key: str, open_object: OpenObject) -> Iterator[bytes]:
    return unpack_chunks(read_chunks(open_object(key)), file=key)


def recorded_source(
    record: SyncRecord,
    diff_type: DiffType,
    open_object: OpenObject,
    others: Callable[[], Iterable[RecordedFile]] = tuple,
) -> CsvSource:
    """Return a file that a record describes; its bytes are verified while they are read.

    Args:
        record: The sync.
        diff_type: The file of the sync.
        open_object: ``storage.open``.
        others: A function that returns the files that an amendment may have written in place
            of the recorded file; their bytes are accepted too.
    """
    file = record.files[diff_type]
    found = object_source(file.key, open_object)
    return CsvSource(
        chunks=partial(_verified_chunks, found, file, others),
        canonical=not record.adopted,
        rows=file.rows,
        size=file.size,
        file=file.key,
    )


def _verified_chunks(
    found: CsvSource, file: RecordedFile, others: Callable[[], Iterable[RecordedFile]]
) -> Iterator[bytes]:
    return verified(found.chunks(), file, file.key, others)
