"""The stays of one user, found by a search in files instead of reading all of them."""

import hashlib
import io
from collections.abc import Iterator

from attrs import frozen

from .._arguments import check_kind
from ..errors import ConfigurationError, ObjectChangedError, ObjectNotFoundError
from ..format.cells import broken_rule
from ..format.columns import Row
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..log.files import RecordedFile
from ..log.listing import BucketSync
from ..log.records import SyncRecord
from ._sorted_file import find_row
from .member_rows import smallest_row
from .members import are_sorted, needed_files
from .origins import Origin
from .replay import Replay
from .stays import Change, ChangeKind, Stay, snapshots_to_show, stays_of
from .sync_files import CHANGES

_SMALL_BYTES = 1 << 20
"""Smaller files are read whole, with one request, and their digest is verified."""


@frozen(kw_only=True)
class MemberSearch(Replay):
    """The syncs of a stream, and the search for one user in their files.

    A file is searched if a record describes it, so that it is canonical and in the order of
    the key. Then a few reads of a part of it are enough: see :mod:`._sorted_file`. All other
    files are read completely: files of other writers, adopted, composed and compressed files,
    and files in a storage whose streams can't seek.
    """

    def member_history(self, key: str) -> list[Stay]:
        """Return the stays of one user; the list is empty if no user ever had the key.

        Large files that the library wrote are not read, but searched: a few reads find the
        user in the order of the keys. Of such a file the size is compared with the record
        and the digest is not; ``verify`` compares it. Other files are read whole.

        Args:
            key: The user's cell in the column that members are matched by.

        Raises:
            ArgumentTypeError: ``key`` is not a text.
            ConfigurationError: ``key`` is a text that no file can contain.
            UnknownMembersError: As in ``intervals``.
        """
        check_kind("key", key, str, "pass it as text, as in the files")
        if (rule := broken_rule(key)) is not None:
            raise ConfigurationError("member_history", (f"key {rule}: pass it as in the files",))
        schema, times = self.schema, [sync.synced_at for sync in self.syncs]
        stays = stays_of(self._changes_of(key, schema), self._row_merge(schema))
        return [
            Stay(
                entered=None if stay.entered is None else times[stay.entered],
                exited=None if stay.exited is None else times[stay.exited],
                row=stay.row,
                columns=schema.columns,
            )
            for stay in stays
        ]

    def _changes_of(self, key: str, schema: RowSchema) -> list[Change]:
        numbers = range(len(self.syncs))
        self._check_known(numbers)
        wanted = key.encode()
        snapshots = [n for n in numbers if self._origins[n] is Origin.FILES]
        found = list[Change]()
        for number in snapshots_to_show(snapshots, self._columns_at):
            for row in self._row_at(number, schema, wanted):
                found.append((wanted, number, ChangeKind.PRESENT, row))
        for number in numbers:
            for diff_type, kind in CHANGES.items():
                for row in self._changed_row(number, diff_type, schema, wanted):
                    found.append((wanted, number, kind, row))
        return sorted(found)

    def _row_at(self, number: int, schema: RowSchema, wanted: bytes) -> Iterator[Row]:
        """Yield the row of the user at a sync whose own files show its members."""
        sync = self.syncs[number]
        record = self.record(sync)
        rows = None if record is None else self._rows_of_files(sync, record, wanted)
        if record is None or rows is None:
            for key, row in self._members(number, schema):
                if key == wanted:
                    yield row
        elif rows:
            yield _in_columns(smallest_row(sorted(rows)), record.schema, schema)

    def _rows_of_files(
        self, sync: BucketSync, record: SyncRecord, wanted: bytes
    ) -> list[Row] | None:
        """Return the rows of the user in the needed files; None if a whole file must be read."""
        rows = list[Row]()
        for diff_type in needed_files(record):
            try:
                found = self._searched_row(sync, diff_type, record, wanted)
            except ObjectNotFoundError:
                return None  # It may have been pruned since the listing.
            if found is None:
                return None
            if found and diff_type is DiffType.EXITING:
                return []
            rows += [found] if found else []
        return rows

    def _changed_row(
        self, number: int, diff_type: DiffType, schema: RowSchema, wanted: bytes
    ) -> Iterator[Row]:
        """Yield the row of the user if the user entered or left at a sync."""
        sync = self.syncs[number]
        record = self.record(sync)
        if record is not None and self._is_listed(number, diff_type):
            found = self._searched_row(sync, diff_type, record, wanted)
            if found is not None:
                if found:
                    yield _in_columns(found, record.schema, schema)
                return
        for key, row in self._changed_rows(number, diff_type, schema)[1]:
            if key == wanted:
                yield row

    def _searched_row(
        self, sync: BucketSync, diff_type: DiffType, record: SyncRecord, wanted: bytes
    ) -> Row | None:
        """Return the row of the user in a file; no cells if there is none.

        Only the size of a large file is compared with the record. Its digest is not, because
        that would require all of its bytes; ``verify`` reads them.

        Returns:
            The row, or no cells. None if the whole file must be read.

        Raises:
            ObjectNotFoundError: There is no such file any more.
        """
        file = record.files[diff_type]
        is_sorted = are_sorted(record, self.match_by) and not file.parts
        if not is_sorted or diff_type not in sync.files:
            return None
        with self._open(file.key) as stream:
            if file.size <= _SMALL_BYTES:
                return _row_in_small(stream.read(file.size + 1), file, record.schema, wanted)
            try:
                if stream.seekable() and stream.seek(0, io.SEEK_END) == file.size:
                    return find_row(stream, file.size, record.schema, wanted)
            except (ObjectChangedError, io.UnsupportedOperation):
                pass
        return None


def _row_in_small(data: bytes, file: RecordedFile, schema: RowSchema, wanted: bytes) -> Row | None:
    if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
        return None
    return find_row(io.BytesIO(data), file.size, schema, wanted)


def _in_columns(row: Row, schema: RowSchema, wanted: RowSchema) -> Row:
    """Return a row in the columns of another schema; those that it lacks are empty."""
    cells = dict(zip(schema.columns, row, strict=True))
    return tuple([cells.get(column, "") for column in wanted.columns])
