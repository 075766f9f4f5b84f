"""Partitioning, which writes rows in any order into key ranges that fit in memory.

The boundaries of the ranges are chosen from the first rows. The other rows may have other keys,
for example if the file is sorted. A range that turns out to be too large is therefore partitioned
again before it is joined.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from attrs import evolve, field, frozen

from ..format.csv_blocks import Block
from ..format.reader import LineReader, Lines, cells_at
from ._boundaries import Boundaries
from ._join import Job, SortedPrevious
from ._native import LineShape, NativePartition
from ._spill import SEPARATOR, BatchLayout, RangeIndex, RangeRows, SpillFile
from ._threads import run_in_threads

_MAX_RANGES = 2048

_SAMPLED_KEYS_PER_RANGE = 50
"""The size of the sample. With it, the sizes of the ranges differ by about a third."""

_MIN_BATCH_BYTES = 1 << 20

_BATCH_BYTES_PER_RANGE = 8 << 10
"""The average size of a span at which spans are read at the full speed of a disk."""

Item = TypeVar("Item", Block, RangeRows)
Task = TypeVar("Task")
Result = TypeVar("Result")


@frozen(kw_only=True)
class Limits:
    """Limits of threads and memory.

    Attributes:
        workers: The number of threads that share the work.
        range_bytes: The intended size of a range.
        batch_bytes: The limit of the size of a batch, which is read before it is written.
        native: The shape of the lines, if the kernel is used.
    """

    workers: int
    range_bytes: int
    batch_bytes: int
    native: LineShape | None = None

    @property
    def max_range_bytes(self) -> int:
        """The size above which a range is partitioned again."""
        return 4 * self.range_bytes

    def run(
        self, works: Sequence[Callable[[Task], Result]], tasks: Iterable[Task]
    ) -> Generator[Result]:
        """Yield the results in the order of the tasks.

        With one worker, the calling thread does everything. With more, each of ``works`` runs in
        a thread of its own, while the calling thread reads the tasks.
        """
        yield from map(works[0], tasks) if self.workers == 1 else run_in_threads(works, tasks)

    def batch_bytes_for(self, boundaries: Boundaries) -> int:
        """Return the size of a batch that fits in the cache and has large enough spans."""
        wanted = max(_MIN_BATCH_BYTES, _BATCH_BYTES_PER_RANGE * len(boundaries))
        return min(self.batch_bytes, wanted)


class Partitioner:
    """The function that writes a batch of blocks into key ranges.

    Each worker has its own, with its own file.
    """

    def __init__(
        self, reader: LineReader, boundaries: Boundaries, path: Path, native: LineShape | None
    ) -> None:
        self._reader = reader
        self._file = SpillFile(path, boundaries)
        self._native = None if native is None else NativePartition(native, boundaries)

    def __call__(self, blocks: list[Block]) -> BatchLayout:
        """Write a batch."""
        if self._native is not None:
            data = b"".join([block.data for block in blocks])
            found = self._native.rows(data, self._reader)
            if found is not None:
                return self._file.write_lines(*found)
        return self._file.write(map(self._reader.lines, blocks))


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of consecutive items that have about ``size`` bytes each."""
    batch = list[Item]()
    gathered = 0
    for item in items:
        batch.append(item)
        gathered += item.size
        if gathered >= size:
            yield batch
            batch, gathered = [], 0
    if batch:
        yield batch


def choose_boundaries(
    reader: LineReader, sample: list[Block], total: int, limits: Limits
) -> Boundaries:
    """Return boundaries for the rows of a file, chosen from its first rows.

    Args:
        reader: The reader of the file.
        sample: The first blocks.
        total: The estimated number of bytes of all rows.
        limits: The limits.
    """
    count = min(-(-total // limits.range_bytes), _MAX_RANGES)
    if count == 1:
        return Boundaries()
    keys = list[str]()
    for block in sample:
        keys += reader.lines(block).key_list()
        if len(keys) >= count * _SAMPLED_KEYS_PER_RANGE:
            break
    return Boundaries.from_sample(keys, count)


def partition(
    blocks: Iterable[Block],
    reader: LineReader,
    boundaries: Boundaries,
    limits: Limits,
    *,
    path: Path,
    progress: Callable[[int], None] | None = None,
) -> RangeIndex:
    """Write rows into key ranges, and return an index of them.

    Args:
        blocks: The rows.
        reader: The reader of the file.
        boundaries: The boundaries of the ranges.
        limits: The limits.
        path: The spill file without its suffix; each thread writes one.
        progress: A callback for the number of rows so far.
    """
    native = limits.native
    index = _index_of(boundaries, limits)
    partitioners = [
        Partitioner(reader, boundaries, path.with_suffix(f".{n}"), native)
        for n in range(limits.workers)
    ]
    batches = in_batches(blocks, limits.batch_bytes_for(boundaries))
    with closing(limits.run(partitioners, batches)) as layouts:
        for layout in layouts:
            index.add(layout)
            if progress is not None:
                progress(index.rows)
    return index


def _index_of(boundaries: Boundaries, limits: Limits) -> RangeIndex:
    return RangeIndex(len(boundaries), 0 if limits.native is None else limits.native.key)


@frozen
class KeyRange:
    """A range of keys, and the rows in it.

    Attributes:
        begin: The first possible key; None for no lower bound.
        end: The first possible key after the range; None for no upper bound.
        current: The current rows.
        previous: The previous rows, if they were partitioned.
    """

    begin: str | None
    end: str | None
    current: RangeRows
    previous: RangeRows = field(factory=RangeRows)

    @property
    def size(self) -> int:
        """The number of bytes of the larger side."""
        return max(self.current.size, self.previous.size)

    def job(
        self,
        previous: SortedPrevious | RangeRows,
        limits: Limits,
        begin: str | None,
        end: str | None,
    ) -> Job:
        """Return the join of the range, or of the part within the given bounds."""
        partial = (begin, end) != (self.begin, self.end)
        return Job(previous, self.current, begin, end, limits.max_range_bytes, partial=partial)

    def split(self, folder: Path, limits: Limits) -> Iterator["KeyRange"]:
        """Yield the range itself, or smaller ones if it is too large to be joined.

        If all rows of a range have one key, it can't be split, and is yielded as it is.
        """
        largest = max(self.current, self.previous, key=lambda rows: rows.size)
        count = -(-largest.size // limits.range_bytes)
        boundaries = Boundaries()
        if largest.size > limits.max_range_bytes:
            boundaries = Boundaries.from_sample(_sample_keys(largest, count), count)
        if len(boundaries) == 1:
            yield self
            return
        current = _partition_again(self.current, boundaries, folder, limits)
        previous = _partition_again(self.previous, boundaries, folder, limits)
        for part in initial_key_ranges(boundaries, current, previous):
            inner = evolve(
                part,
                begin=self.begin if part.begin is None else part.begin,
                end=self.end if part.end is None else part.end,
            )
            yield from inner.split(folder, limits)


def initial_key_ranges(
    boundaries: Boundaries, current: RangeIndex, previous: RangeIndex
) -> Iterator[KeyRange]:
    """Yield the key ranges with the rows of both sides."""
    for (begin, end), now, before in zip(boundaries.bounds(), current, previous, strict=True):
        yield KeyRange(begin, end, now, before)


def without_small_ones(ranges: Iterable[KeyRange], limits: Limits) -> Iterator[KeyRange]:
    """Yield the ranges, with consecutive small ones merged.

    There are many small ranges if a source of unknown size has fewer rows than was assumed. Each
    join has a fixed cost, even for few rows.
    """
    last: KeyRange | None = None
    for range_ in ranges:
        if last is not None and last.size + range_.size <= limits.range_bytes:
            current, previous = last.current + range_.current, last.previous + range_.previous
            last = KeyRange(last.begin, range_.end, current, previous)
            continue
        if last is not None:
            yield last
        last = range_
    if last is not None:
        yield last


def _sample_keys(rows: RangeRows, count: int) -> list[str]:
    """Return keys from all portions, so that the order of the rows does not matter."""
    portions = list(rows.in_portions())
    share = max(2, count * _SAMPLED_KEYS_PER_RANGE // len(portions))
    sample = list[str]()
    for portion in portions:
        keys = _as_lines(portion).key_list()
        sample += keys[:: max(1, len(keys) // share)]
    return sample


def _partition_again(
    rows: RangeRows, boundaries: Boundaries, folder: Path, limits: Limits
) -> RangeIndex:
    index = _index_of(boundaries, limits)
    file = SpillFile(folder / f"again-{sum(1 for _ in folder.iterdir())}", boundaries)
    native = None if limits.native is None else NativePartition(limits.native, boundaries)
    for batch in in_batches(rows.in_portions(), limits.batch_bytes):
        found = None
        if native is not None and not any(portion.keyed for portion in batch):
            found = native.lines(b"\n".join([portion.text() for portion in batch]))
        if found is None:
            index.add(file.write(map(_as_lines, batch)))
        else:
            index.add(file.write_lines(*found))
    return index


def _as_lines(rows: RangeRows) -> Lines:
    if not rows.keyed:
        lines = rows.load(keyed=False)
        return Lines(lines, cells_at(lines, rows.key) if rows.key else None)
    records = [record.split(SEPARATOR, 1) for record in rows.load(keyed=True)]
    return Lines([line for _, line in records], [key for key, _ in records])


def jobs_with_partitioned_previous(ranges: Iterable[KeyRange], limits: Limits) -> Iterator[Job]:
    """Yield the join of each range; both sides are partitioned."""
    for range_ in ranges:
        yield range_.job(range_.previous, limits, range_.begin, range_.end)


def jobs_with_sorted_previous(
    blocks: Iterable[Block], reader: LineReader, ranges: Iterable[KeyRange], limits: Limits
) -> Iterator[Job]:
    """Yield the join of each range; the previous rows are sorted.

    Both the ranges and the blocks of the previous file are in key order, so the file is
    streamed: each job gets the blocks that overlap its range. A block that overlaps
    several ranges is part of the job of each, so that no job depends on another one.

    A range has a limited number of current rows, but may have very many previous ones, if nearly
    all of its members have left. It is then joined by several jobs, and the bound between two of
    them is the first key of a block. Each job gets all current rows of the range, and uses those
    within its bounds.
    """
    upcoming = _with_first_key(blocks, reader)
    following = next(upcoming, None)
    overlapping = list[Block]()
    for range_ in ranges:
        begin = range_.begin
        size = sum(block.size for block in overlapping)
        while following is not None and (range_.end is None or following[0] < range_.end):
            first_key, block = following
            if size >= limits.max_range_bytes and begin != first_key:
                previous = SortedPrevious(tuple(overlapping), reader)
                yield range_.job(previous, limits, begin, first_key)
                begin, overlapping = first_key, overlapping[-1:]
                size = overlapping[0].size
            overlapping.append(block)
            size += block.size
            following = next(upcoming, None)
        previous = SortedPrevious(tuple(overlapping), reader)
        yield range_.job(previous, limits, begin, range_.end)
        overlapping = overlapping[-1:]


def _with_first_key(blocks: Iterable[Block], reader: LineReader) -> Iterator[tuple[str, Block]]:
    for block in blocks:
        key = reader.first_key(block)
        if key is not None:
            yield key, block
