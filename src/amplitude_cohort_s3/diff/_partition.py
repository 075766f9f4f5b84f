"""Dividing rows in any order into ranges of the key that are small enough to be held."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from attrs import field, frozen

from ..format.csv_blocks import Block
from ..format.reader import LineReader, Lines
from ._join import Canonical, Job
from ._spill import SEPARATOR, Index, Ranges, Spill, Spilled, Written
from ._workers import run_tasks

_MAX_RANGES = 2048
_SAMPLED_FOR_EACH = 50
"""So many keys for a range make ranges of equal size, give or take a third."""
_LEAST_BATCH_BYTES = 1 << 20
_BATCH_BYTES_FOR_EACH = 8 << 10
"""So many bytes for a range, on average, are read again at a disk's speed."""


@frozen(kw_only=True)
class Limits:
    """How large things may grow.

    Attributes:
        workers: Processes.
        range_bytes: What a range should have.
        batch_bytes: What is read, at most, before it is written to its ranges.
    """

    workers: int
    range_bytes: int
    batch_bytes: int

    @property
    def range_limit(self) -> int:
        """Beyond this a range is divided again."""
        return 4 * self.range_bytes

    def batch_for(self, ranges: Ranges) -> int:
        """How much is read before it is written: little, so that the cache holds it."""
        return min(self.batch_bytes, max(_LEAST_BATCH_BYTES, _BATCH_BYTES_FOR_EACH * len(ranges)))


class Divider:
    """Writes blocks into ranges; each process has one, with a file of its own."""

    def __init__(self, reader: LineReader, ranges: Ranges, path: Path) -> None:
        self._reader = reader
        self._spill = Spill(path, ranges)

    def __call__(self, blocks: list[Block]) -> Written:
        return self._spill.add(map(self._reader.lines, blocks))


@frozen
class Divided:
    """All rows of one side, in ranges.

    Attributes:
        index: Where they are.
        skipped: How many rows had no key; they are not among them.
    """

    index: Index
    skipped: int


def batches_of(blocks: Iterable[Block], size: int) -> Iterator[list[Block]]:
    """Blocks in lists of about so many bytes."""
    batch = list[Block]()
    gathered = 0
    for block in blocks:
        batch.append(block)
        gathered += len(block.data)
        if gathered >= size:
            yield batch
            batch, gathered = [], 0
    if batch:
        yield batch


def choose_ranges(reader: LineReader, sample: list[Block], total: int, limits: Limits) -> Ranges:
    """Ranges for rows of which the first are known.

    Args:
        reader: Of the file.
        sample: The first blocks.
        total: About how many bytes there are in all.
        limits: How large a range should be.
    """
    count = min(-(-total // limits.range_bytes), _MAX_RANGES)
    if count == 1:
        return Ranges()
    keys = list[str]()
    for block in sample:
        keys += reader.lines(block).key_list()
        if len(keys) >= count * _SAMPLED_FOR_EACH:
            break
    return Ranges.from_sample(keys, count)


def divide(
    blocks: Iterable[Block],
    reader: LineReader,
    ranges: Ranges,
    limits: Limits,
    *,
    path: Path,
    progress: Callable[[int], None],
) -> Divided:
    """Writes rows into ranges.

    Args:
        blocks: The rows.
        reader: Of the file.
        ranges: To be written to.
        limits: How many processes there are, and how much is written at a time.
        path: Of the file to write; workers write further ones beside it.
        progress: Told of the rows so far.

    Raises:
        DiskFullError: There is no room.
        MalformedCsvError: The rows are no CSV.
    """
    index = Index(len(ranges))
    rows = skipped = 0
    dividers = [Divider(reader, ranges, path.with_suffix(f".{n}")) for n in range(limits.workers)]
    for written in run_tasks(dividers, batches_of(blocks, limits.batch_for(ranges))):
        index.add(written)
        rows += written.rows
        skipped += written.skipped
        progress(rows)
    return Divided(index, skipped)


@frozen
class Cell:
    """A range of the key, small enough to be joined.

    Attributes:
        begin: Its first key; None for the very first range.
        end: The first key behind it; None for the very last range.
        current: The members now.
        previous: The members before, where they had to be divided too.
    """

    begin: str | None
    end: str | None
    current: Spilled
    previous: Spilled = field(factory=Spilled)

    def balanced(self, folder: Path, limits: Limits) -> Iterator["Cell"]:
        """The range itself, or smaller ones where it is too large.

        That happens where the first rows say little about the others: in a file that
        is in order already, or with keys that all begin alike.
        """
        sides = (self.current, self.previous)
        largest = max(sides, key=lambda side: side.size)
        if largest.size <= limits.range_limit:
            yield self
            return
        count = -(-largest.size // limits.range_bytes)
        ranges = Ranges.from_sample(_sample(largest, count), count)
        if len(ranges) == 1:
            yield self
            return
        current, previous = (
            _divide_again(side, ranges, _new_path(folder), limits) for side in sides
        )
        for (begin, end), now, before in zip(ranges.bounds(), current, previous, strict=True):
            yield from Cell(
                self.begin if begin is None else begin,
                self.end if end is None else end,
                now,
                before,
            ).balanced(folder, limits)


def cells_of(ranges: Ranges, current: Index, previous: Index) -> Iterator[Cell]:
    """The ranges as they were divided at first."""
    for (begin, end), now, before in zip(ranges.bounds(), current, previous, strict=True):
        yield Cell(begin, end, now, before)


def _new_path(folder: Path) -> Path:
    return folder / f"again-{sum(1 for _ in folder.iterdir())}"


def _sample(side: Spilled, count: int) -> list[str]:
    """Keys from all parts of a range, so that its order doesn't matter."""
    pieces = list(side.pieces())
    each = max(2, count * _SAMPLED_FOR_EACH // len(pieces))
    sample = list[str]()
    for piece in pieces:
        keys = _lines(piece).key_list()
        sample += keys[:: max(1, len(keys) // each)]
    return sample


def _divide_again(side: Spilled, ranges: Ranges, path: Path, limits: Limits) -> Index:
    index = Index(len(ranges))
    spill = Spill(path, ranges)
    batch = list[Spilled]()
    gathered = 0
    for piece in side.pieces():
        batch.append(piece)
        gathered += piece.size
        if gathered >= limits.batch_bytes:
            index.add(spill.add(map(_lines, batch)))
            batch, gathered = [], 0
    index.add(spill.add(map(_lines, batch)))
    return index


def _lines(piece: Spilled) -> Lines:
    if not piece.keyed:
        return Lines(piece.load(keyed=False), None)
    records = [record.split(SEPARATOR, 1) for record in piece.load(keyed=True)]
    return Lines([line for _, line in records], [key for key, _ in records])


def jobs_of(cells: Iterable[Cell], limits: Limits) -> Iterator[Job]:
    """What there is to join where both sides are divided."""
    for cell in cells:
        yield Job(cell.previous, cell.current, cell.begin, cell.end, limits.range_limit)


def jobs_along(
    blocks: Iterable[Block], reader: LineReader, cells: Iterable[Cell], limits: Limits
) -> Iterator[Job]:
    """What there is to join where the members before are in order: they are streamed.

    Each job gets the blocks that its range lies in, so each process reads and checks its
    own; a block on the edge of two ranges is read for both.
    """
    ahead = _with_first_key(blocks, reader)
    coming = next(ahead, None)
    kept = list[Block]()
    for cell in cells:
        begin, partial = cell.begin, False
        size = sum(len(block.data) for block in kept)
        while coming is not None and (cell.end is None or coming[0] < cell.end):
            if size >= limits.range_limit and begin != coming[0]:
                # Nearly all of these are leaving, or the range would be smaller.
                yield Job(
                    Canonical(tuple(kept), reader),
                    cell.current,
                    begin,
                    coming[0],
                    limits.range_limit,
                    partial=True,
                )
                begin, partial = coming[0], True
                kept = kept[-1:]
                size = len(kept[0].data)
            kept.append(coming[1])
            size += len(coming[1].data)
            coming = next(ahead, None)
        yield Job(
            Canonical(tuple(kept), reader),
            cell.current,
            begin,
            cell.end,
            limits.range_limit,
            partial=partial,
        )
        kept = kept[-1:]


def _with_first_key(blocks: Iterable[Block], reader: LineReader) -> Iterator[tuple[str, Block]]:
    for block in blocks:
        key = reader.first_key(block)
        if key is not None:
            yield key, block
