"""The stays of all users of a stream, from its files."""

import heapq
from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from attrs import frozen

from .._optional import load
from .._time import epoch_microseconds
from ..format.content import first_fault_of
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource
from ._copies import HELD_BYTES, Copies
from ._stay_lines import StayLines, StaySide, stay_lines
from .line_batches import line_batch
from .member_rows import KeyedRow
from .members import are_sorted
from .origins import Origin
from .replay import Replay
from .stays import ChangeKind, Stay, snapshots_to_show
from .sync_files import CHANGES

_MAX_STREAMED = 2
"""The largest number of files of changes that are streamed from the storage side by side."""

_KeyedRows = Callable[[], Iterator[KeyedRow]]


@frozen(kw_only=True)
class Intervals(Replay):
    """The syncs of a stream, and the stays that follow from their files."""

    def _stays(self) -> Iterator[Stay]:
        schema, times = self.schema, self._times
        for found in self._stay_lines(schema):
            rows = schema.decode([schema.header_line, found.lines], canonical=True)
            for entered, exited, row in zip(found.entered, found.exited, rows, strict=True):
                yield Stay(
                    entered=times[entered], exited=times[exited], row=row, columns=schema.columns
                )

    @property
    def _times(self) -> list[datetime | None]:
        return [None, *(sync.synced_at for sync in self.syncs)]

    def _stay_batches(self, table_schema: Any) -> Iterator[Any]:
        """Yield all stays as record batches of a ``pyarrow.Schema``."""
        pa, schema = load("pyarrow", "arrow"), self.schema
        times = _times_array(self._times, table_schema.types[0])
        texts = pa.schema(list(table_schema)[2:])
        for found in self._stay_lines(schema):
            columns = [
                times.take(pa.Array.from_buffers(pa.uint32(), len(of), [None, pa.py_buffer(of)]))
                for of in (found.entered, found.exited)
            ]
            cells = line_batch(found.lines, texts)
            yield pa.record_batch([*columns, *cells.columns], schema=table_schema)

    def _stay_lines(self, schema: RowSchema) -> Iterator[StayLines]:
        """Yield the stays of all users as lines, in the order of the key."""
        self._check_known(range(len(self.syncs)))
        with Copies(self.work_dir) as copies:
            sides = [*self._change_sides(schema, copies), *self._member_sides(schema)]
            sides.sort(key=attrgetter("number", "kind"))
            yield from stay_lines(sides, schema, self._row_merge(schema))

    def _member_sides(self, schema: RowSchema) -> Iterator[StaySide]:
        """Yield the members of the snapshots that show the newest cells."""
        snapshots = [n for n, origin in enumerate(self._origins) if origin is Origin.FILES]
        for number in snapshots_to_show(snapshots, self._columns_at):
            source = self.members_at(self.syncs[number]).csv_source(schema)
            sizes = [info.size for info in self.syncs[number].files.values()]
            yield StaySide(
                number=number,
                kind=ChangeKind.PRESENT,
                source=source,
                size=source.size or max(sizes),
                check=partial(self._members, number, schema),
            )

    def _change_sides(self, schema: RowSchema, copies: Copies) -> Iterator[StaySide]:
        """Yield the changes of each sync; most files are copied first."""
        places = [(n, diff_type) for n in range(len(self.syncs)) for diff_type in CHANGES]
        files = {(n, t): self.source(self.syncs[n], t) for n, t in places if self._is_sorted(n, t)}
        sizes = {place: source.size or 0 for place, source in files.items()}
        large = [place for place, size in sizes.items() if size > HELD_BYTES]
        streamed = heapq.nlargest(_MAX_STREAMED, large, key=sizes.__getitem__)
        for number, diff_type in places:
            check = partial(self._rows_of_changes, number, diff_type, schema)
            source = files.get((number, diff_type))
            if source is None:
                source = CsvSource(chunks=partial(_encoded, check, schema), canonical=True)
            if (number, diff_type) not in streamed:
                source = _copied(source, copies, check)
            yield StaySide(
                number=number,
                kind=CHANGES[diff_type],
                source=source,
                size=source.size or 0,
                check=check,
            )

    def _rows_of_changes(
        self, number: int, diff_type: DiffType, schema: RowSchema
    ) -> Iterator[KeyedRow]:
        return self._changed_rows(number, diff_type, schema)[1]

    def _is_sorted(self, number: int, diff_type: DiffType) -> bool:
        """Return True if a file lists the changes, with one row for each key, in order."""
        record = self.record(self.syncs[number])
        return self._is_listed(number, diff_type) and are_sorted(record, self.match_by)


def _times_array(times: Sequence[datetime | None], kind: Any) -> Any:
    """Return times as an Arrow array of microseconds."""
    pa = load("pyarrow", "arrow")
    # pyarrow.array() would import pandas, if it is installed: that takes longer than the rest.
    known = sum(1 << place for place, when in enumerate(times) if when is not None)
    values = array("q", [0 if when is None else epoch_microseconds(when) for when in times])
    bits = known.to_bytes(len(times) // 8 + 1, "little")
    buffers = [pa.py_buffer(bits), pa.py_buffer(values)]
    return pa.Array.from_buffers(kind, len(times), buffers)


def _encoded(rows_of: _KeyedRows, schema: RowSchema) -> Iterator[bytes]:
    return schema.encode(map(itemgetter(1), rows_of()))


def _copied(source: CsvSource, copies: Copies, check: _KeyedRows) -> CsvSource:
    with first_fault_of(check):
        return copies.copy(source)
