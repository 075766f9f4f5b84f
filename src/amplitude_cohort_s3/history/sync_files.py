"""The syncs of a stream, with the columns and the rows of their files."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import itemgetter
from os import PathLike
from typing import Any, BinaryIO, Self

from attrs import field, frozen

from ..format.columns import ID_COLUMNS, Row
from ..format.filename import CohortFileName, DiffType
from ..format.schema import RowSchema
from ..log.amendments import Amendment
from ..log.files import RecordedFile
from ..log.listing import BucketSync
from ..log.sync_log import OpenObject
from ..sources.protocol import CsvSource
from .listed_syncs import ListedSyncs
from .member_rows import KeyedRow, RowTally, member_rows
from .members import are_sorted, object_source, recorded_source
from .stays import ChangeKind

CHANGES = {DiffType.ENTERING: ChangeKind.ENTERED, DiffType.EXITING: ChangeKind.EXITED}
"""The files of changes, and the kind of change of their rows."""


@frozen(kw_only=True)
class SyncFiles(ListedSyncs):
    """The syncs of a stream, oldest first, with their log and their files.

    Attributes:
        match_by: The column by which members are matched.
        work_dir: The folder for temporary files. Default: the system's.
    """

    match_by: str = "amplitude_id"
    work_dir: str | PathLike[str] | None = field(default=None, repr=False)
    _open: OpenObject = field(repr=False, alias="open")
    _read_again: Callable[[], Any] = field(repr=False, eq=False, alias="read_again")
    _headers: dict[str, tuple[str, ...]] = field(
        factory=dict[str, tuple[str, ...]], init=False, repr=False, eq=False
    )

    def newer(self) -> Self | None:
        """Return the history as new listings show it, or None if they show nothing new.

        Files change only with a new entry of the log: a sync is published, or ``forget`` or
        ``prune`` runs. So after a contradiction, the caller lists the bucket again, once.
        """
        found: Self = self._read_again()
        if found.log.newest == self.log.newest and found.syncs == self.syncs:
            return None
        return found

    # --- Columns -------------------------------------------------------------------------

    @property
    def schema(self) -> RowSchema:
        """The columns of all syncs, in the order in which they first appeared.

        Raises:
            RecordFormatError, MalformedCsvError: The log or a file can't be read.
        """
        self.check_log()
        return self._schema_of(name for sync in self.syncs for name in self._properties(sync))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the cells in the rows of stays."""
        return self.schema.columns

    def _schema_of(self, properties: Iterable[str]) -> RowSchema:
        names = dict.fromkeys(properties)
        if self.match_by not in ID_COLUMNS:
            names.setdefault(self.match_by)
        return RowSchema(properties=tuple(names), key=self.match_by)

    def _properties(
        self, sync: BucketSync, diff_types: Iterable[DiffType] = tuple(DiffType)
    ) -> tuple[str, ...]:
        """Return the properties of a sync: see :meth:`_columns_of`."""
        return tuple(c for c in self._columns_of(sync, diff_types) if c not in ID_COLUMNS)

    def _columns_of(
        self, sync: BucketSync, diff_types: Iterable[DiffType] = tuple(DiffType)
    ) -> tuple[str, ...]:
        """Return the columns of a sync: those of its record, or those of some of its files."""
        record = self.record(sync)
        if record is not None:
            return record.schema.columns
        headers = (self._header(sync, t) for t in diff_types if t in sync.files)
        return tuple(dict.fromkeys(name for header in headers for name in header))

    def _header(self, sync: BucketSync, diff_type: DiffType) -> tuple[str, ...]:
        """Return the columns of a file, whose header is read once."""
        key = sync.files[diff_type].key
        if key not in self._headers:
            source = self.source(sync, diff_type)
            with source.reading():
                self._headers[key] = source.read_table().columns
        return self._headers[key]

    # --- Rows ----------------------------------------------------------------------------

    def source(self, sync: BucketSync, diff_type: DiffType) -> CsvSource:
        """Return the bytes of one file, verified while they are read if it has a record."""
        record = self.record(sync)
        if record is None:
            return object_source(sync.files[diff_type].key, self._open)
        others = partial(self._other_contents, sync, diff_type)
        return recorded_source(record, diff_type, self._open, others)

    def _other_contents(self, sync: BucketSync, diff_type: DiffType) -> Iterator[RecordedFile]:
        """Yield the contents that a recorded file may have by now, because of an amendment."""
        yield from self._pending_content(sync, diff_type)
        newer = self.newer()
        record = None if newer is None else newer.record(sync)
        if newer is not None and record is not None:
            yield record.files[diff_type]
            yield from newer._pending_content(sync, diff_type)  # noqa: SLF001 -- of this class

    def _pending_content(self, sync: BucketSync, diff_type: DiffType) -> Iterator[RecordedFile]:
        pending = self.log.pending
        if pending is not None and sync.files[diff_type].key in pending.replaced:
            yield pending.replaced[sync.files[diff_type].key]

    def stored(self, sync: BucketSync, diff_type: DiffType) -> BinaryIO:
        """Open one file as it is stored: compressed if it was, and not verified."""
        return self._open(sync.files[diff_type].key)

    def rows(self, sync: BucketSync, diff_type: DiffType) -> Iterator[Row]:
        """Yield the rows of one file, in the order and the columns of the file.

        Raises:
            MalformedCsvError: The file is not valid CSV of a cohort.
        """
        source = self.source(sync, diff_type)
        with source.reading():
            for batch in source.read_table().batches:
                yield from batch

    def _key_batches(self, sync: BucketSync, diff_type: DiffType) -> Iterator[list[str]]:
        """Yield the keys of all rows of a file, many at a time."""
        source = self.source(sync, diff_type)
        with source.reading():
            table = source.read_table()
            # With all columns of the file, its lines need not be split into cells.
            reader = self._schema_of(table.properties).line_reader(table, fill=True)
            for block in table.blocks:
                yield reader.lines(block).key_list()

    def member_rows(
        self,
        sync: BucketSync,
        diff_type: DiffType,
        schema: RowSchema | None = None,
        tally: RowTally | None = None,
    ) -> Iterator[KeyedRow]:
        """Yield the rows of one file that count: one for each key, in the order of the keys.

        Which rows count does not depend on the columns in ``schema``.

        Args:
            sync: The sync.
            diff_type: The file, which must be visible.
            schema: The columns to return. Default: those of the sync.
            tally: The counts of rows to add to: see ``RowTally``.

        Raises:
            MalformedCsvError, MissingColumnsError: The file can't be read.
        """
        of_changes = () if diff_type is DiffType.EXISTING else tuple(CHANGES)
        own = self._schema_of(self._properties(sync, of_changes or tuple(DiffType)))
        rows = member_rows(
            self.source(sync, diff_type),
            own,
            is_sorted=are_sorted(self.record(sync), own.key),
            work_dir=self.work_dir,
            tally=tally,
        )
        if schema is None or schema.columns == own.columns:
            return rows
        found = own.columns
        places = [found.index(c) if c in found else len(found) for c in schema.columns]
        return ((key, tuple([(*row, "")[place] for place in places])) for key, row in rows)

    def _merged_rows(
        self, sync: BucketSync, diff_types: Iterable[DiffType], schema: RowSchema
    ) -> Iterator[tuple[bytes, dict[DiffType, Row]]]:
        """Yield each key of some files of a sync, with its row in each file, in order."""

        def rows_of(diff_type: DiffType) -> Iterator[tuple[bytes, DiffType, Row]]:
            for key, row in self.member_rows(sync, diff_type, schema):
                yield key, diff_type, row

        files = [rows_of(t) for t in diff_types if t in sync.files]
        merged = heapq.merge(*files, key=itemgetter(0))
        for key, same_key in groupby(merged, key=itemgetter(0)):
            yield key, {diff_type: row for _, diff_type, row in same_key}


Files = frozenset[tuple[datetime, DiffType]]
"""Files of a stream, each by the time of its sync and its type."""


def absent_files(removed: Iterable[str], pending: Amendment | None) -> Files:
    """Return the files that were removed, or that an unfinished amendment is removing.

    Args:
        removed: The keys of the files that were removed.
        pending: The amendment, or None.
    """
    removing = () if pending is None else pending.removed
    names = [CohortFileName.from_key(key)[1] for key in (*removed, *removing)]
    return frozenset((name.synced_at, name.diff_type) for name in names)
