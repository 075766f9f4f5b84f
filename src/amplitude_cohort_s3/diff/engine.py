"""The default diff engine, which compares any number of members in bounded memory.

1. The boundaries of the key ranges are chosen from the first current rows.
2. The current rows are partitioned: each row is written to its key range in a spill file on the
   disk. A key range has about ten thousand rows.
3. Previous rows in a canonical file are in key order, so that file is streamed. Other
   previous rows are partitioned too.
4. One range after the other is joined in memory. The ranges are in key order, so the three
   files are written in key order without a sort of all rows.
5. The counts and digests are reported.
"""

import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, islice
from pathlib import Path

from attrs import evolve, frozen

from .._arguments import kind_faults
from .._bytes import read_chunks
from ..errors import ConfigurationError, DuplicateKeyError, EmptyKeyError, InvalidCellError
from ..format.cells import FLOAT_ID_HINT, FLOAT_ID_RULE
from ..format.csv_blocks import Block
from ..format.existing_meaning import ExistingMeaning
from ..format.kernel import HAS_KERNEL
from ..format.reader import LineReader, Table, read_table
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource
from ..storage.temporary import as_disk_full_error
from ._append import appending
from ._boundaries import Boundaries
from ._error_rows import first_conflicts, first_float_ids, first_without_key
from ._join import Job, RangeJoin, RangeResult
from ._memory import keep_freed_memory
from ._native import LineShape, NativeJoin
from ._output import Output
from ._partition import (
    Limits,
    choose_boundaries,
    in_batches,
    initial_key_ranges,
    jobs_with_partitioned_previous,
    jobs_with_sorted_previous,
    partition,
    without_small_ones,
)
from ._spill import RangeIndex
from ._threads import usable_processors
from .progress import Progress, StepProgress
from .protocol import DiffReport, Duplicates, Grown, ignore_growth

_ASSUMED_BYTES = 512 << 20
"""The assumed size of a source of unknown size. If the source is larger, the ranges that are too
large are partitioned again. If it is smaller, small ranges are merged."""

_ASSUMED_ROW_BYTES = 64
"""The assumed size of a row, if only the number of rows is known."""

_MAX_THREADS = 4
"""The default limit of threads. More threads would wait for the one that reads."""


@frozen(kw_only=True)
class PartitionEngine:
    """The default engine.

    If previous members that are not in canonical form have different rows for one key, the row
    with the smaller bytes counts. Their rows without a key are left out. If a new or changed
    current row has the text of a float as its Amplitude id, such as ``7.0`` or ``3e+17``, the
    engine raises ``InvalidCellError``, because digits may be lost.

    Attributes:
        workers: The number of threads that share the work, if the native kernel is in use: see
            ``kernel_state``. Default: the number of processors that the process may use, but at
            most 4. Without the kernel, one thread does all the work, because threads can't run
            Python code at the same time.
        range_bytes: The approximate size of the current rows that are joined at a time. Each
            thread needs about 20 times as much memory.
        batch_bytes: The largest size of rows that a thread writes to their ranges at a time.

    >>> PartitionEngine(workers=2).workers
    2
    """

    workers: int | None = None
    range_bytes: int = 512 << 10
    batch_bytes: int = 3 << 20

    def __attrs_post_init__(self) -> None:
        sizes = {
            "workers": 1 if self.workers is None else self.workers,
            "range_bytes": self.range_bytes,
            "batch_bytes": self.batch_bytes,
        }
        faults = [fault for name, size in sizes.items() for fault in kind_faults(name, size, int)]
        if not faults and min(sizes.values()) < 1:
            faults = ["workers, range_bytes and batch_bytes must be at least 1"]
        if faults:
            raise ConfigurationError("PartitionEngine", tuple(faults))

    def diff(
        self,
        previous: CsvSource,
        current: CsvSource,
        *,
        schema: RowSchema,
        existing: ExistingMeaning,
        duplicates: Duplicates,
        folder: Path,
        progress: Progress | None,
        grown: Grown = ignore_growth,
    ) -> DiffReport:
        """Write the three files: see :class:`~amplitude_cohort_s3.diff.protocol.DiffEngine`.

        ``grown`` is called whenever one of the files has grown.
        """
        keep_freed_memory()
        scratch = folder / "scratch"
        with as_disk_full_error(folder):
            scratch.mkdir()

        has_rows = current.rows is not None or current.unit == "row"
        total = current.rows if has_rows else current.size
        step = StepProgress(progress, "read", total, "rows" if has_rows else "bytes")
        source = _RereadableSource(current, scratch / "source")
        with current.reading(), closing(source.chunks()) as chunks:
            table = read_table(chunks, canonical=current.canonical)
            reader = schema.line_reader(table)
            blocks = table.blocks if has_rows else _reported(table.blocks, step)
            limits, boundaries, blocks = self._choose_boundaries(current, schema, reader, blocks)
            index = partition(
                blocks,
                reader,
                boundaries,
                limits,
                path=scratch / "current",
                progress=step.reach if has_rows else None,
            )
            step.end()
        if index.skipped and schema.key == "amplitude_id":
            lines = first_without_key(source.reopen(), schema)
            raise EmptyKeyError(schema.key, index.skipped, *current.positions(lines))
        output = Output(folder, schema, existing, grown)
        with previous.reading(), _closed_at_end(previous) as before:
            rows = before.read_table()
            jobs = _jobs(before, rows, schema, boundaries, index, scratch, limits)
            joins = _joins(existing, schema, rows.columns, limits)
            with closing(limits.run(joins, jobs)) as results:
                _write(results, output, limits, progress, index.rows - index.skipped)
        _check_keys(output, source, schema, duplicates)
        ignored = _ignored_columns(table, schema, source)
        shutil.rmtree(scratch)
        return output.report(skipped=index.skipped, ignored=ignored)

    def _choose_boundaries(
        self, current: CsvSource, schema: RowSchema, reader: LineReader, blocks: Iterator[Block]
    ) -> tuple[Limits, Boundaries, Iterator[Block]]:
        """Choose the ranges from the first blocks, and return all blocks, including these."""
        native = LineShape(len(schema.columns), schema.key_index) if HAS_KERNEL else None
        workers = self.workers or min(_MAX_THREADS, usable_processors())
        limits = Limits(
            workers=1 if native is None else workers,
            range_bytes=self.range_bytes,
            batch_bytes=self.batch_bytes,
            native=native,
        )
        sample = next(in_batches(blocks, limits.batch_bytes), list[Block]())
        following = list(islice(blocks, 1))
        if not following:
            total = sum(block.size for block in sample)
            limits = evolve(limits, workers=1)
        elif current.size is not None:
            total = current.size
        else:
            rows = current.rows
            total = _ASSUMED_BYTES if rows is None else _ASSUMED_ROW_BYTES * rows
        boundaries = choose_boundaries(reader, sample, total, limits)
        return limits, boundaries, chain(sample, following, blocks)


@contextmanager
def _closed_at_end(source: CsvSource) -> Generator[CsvSource]:
    """Yield the same source, and close its generators at the end."""
    with ExitStack() as opened:

        def chunks() -> Iterator[bytes]:
            found = source.chunks()
            close: Callable[[], None] | None = getattr(found, "close", None)
            if close is not None:  # It is a generator.
                opened.callback(close)
            return found

        yield evolve(source, chunks=chunks)


def _jobs(
    previous: CsvSource,
    table: Table,
    schema: RowSchema,
    boundaries: Boundaries,
    current: RangeIndex,
    scratch: Path,
    limits: Limits,
) -> Iterator[Job]:
    """Read the previous rows, and yield the join of each range."""
    reader = schema.line_reader(table, fill=True)
    index = RangeIndex(len(boundaries))
    if not previous.canonical:
        index = partition(table.blocks, reader, boundaries, limits, path=scratch / "previous")
    ranges = (
        part
        for range_ in without_small_ones(initial_key_ranges(boundaries, current, index), limits)
        for part in range_.split(scratch, limits)
    )
    if previous.canonical:
        return jobs_with_sorted_previous(table.blocks, reader, ranges, limits)
    return jobs_with_partitioned_previous(ranges, limits)


def _reported(blocks: Iterable[Block], step: StepProgress) -> Iterator[Block]:
    """Yield blocks, and report the bytes of those that have been read."""
    for block in blocks:
        step.add(block.size)
        yield block


def _write(
    results: Iterator[RangeResult],
    output: Output,
    limits: Limits,
    progress: Progress | None,
    total: int,
) -> None:
    """Write the results; one thread writes the files, and one computes their digests.

    Args:
        results: The results.
        output: The files.
        limits: The limits.
        progress: A callback for the number of current rows that have been compared.
        total: The number of current rows with a key.
    """
    step = StepProgress(progress, "compare", total)
    with (
        closing(limits.run([output.write], results)) as written,
        closing(limits.run([output.count], written)) as counted,
    ):
        for rows in counted:
            step.add(rows)
    step.end()


def _joins(
    existing: ExistingMeaning, schema: RowSchema, previous: Sequence[str], limits: Limits
) -> Sequence[Callable[[Job], RangeResult]]:
    """Return the join of each worker.

    A column that the previous members lack must not make every member a changed one.
    """
    columns = schema.columns
    compared = tuple(place for place, name in enumerate(columns) if name in previous)
    join = RangeJoin(existing, len(columns), schema.key_index, compared)
    return [join if limits.native is None else NativeJoin(join)] * limits.workers


def _ignored_columns(
    table: Table, schema: RowSchema, source: "_RereadableSource"
) -> tuple[str, ...]:
    """Return the columns that the schema lacks, and ``""`` if a column has no name."""
    names = table.columns
    if table.reader.header.repeated_properties:
        names = source.reopen().read_table().columns  # without properties that are equal
    unnamed = ("",) if "" in table.reader.header.names else ()
    return (*(name for name in names if name not in schema.columns), *unnamed)


class _RereadableSource:
    """A source that can be read a second time, to find the rows that cause an error."""

    def __init__(self, source: CsvSource, path: Path) -> None:
        self._source = source
        self._path = path

    def chunks(self) -> Generator[bytes]:
        """Yield the bytes, and keep them in a file if the source can be read only once."""
        if self._source.repeatable:
            yield from self._source.chunks()
            return
        with appending(self._path) as append_to_copy:
            for chunk in self._source.chunks():
                append_to_copy(chunk)
                yield chunk

    def reopen(self) -> CsvSource:
        """Return a source with the same bytes."""
        if self._source.repeatable:
            return self._source
        return evolve(
            self._source, chunks=lambda: read_chunks(self._path.open("rb")), repeatable=True
        )


def _check_keys(
    output: Output, source: _RereadableSource, schema: RowSchema, duplicates: Duplicates
) -> None:
    """Raise if current rows have ids that are the texts of floats, or share a key.

    Different ids may be equal after they have lost digits, so floats are reported first.
    """
    if output.has_float_ids:
        again = source.reopen()
        lines = first_float_ids(again, schema)
        where = again.positions(lines)
        raise InvalidCellError("amplitude_id", FLOAT_ID_RULE, FLOAT_ID_HINT, *where)
    if output.conflicts and duplicates == "refuse":
        again = source.reopen()
        lines = first_conflicts(again, schema, {*output.conflicting_keys})
        raise DuplicateKeyError(schema.key, output.conflicts, *again.positions(lines))
