"""The default diff engine: any size in bounded memory.

The current rows are divided into ranges of the key, each of a few ten thousand rows, in
a temporary file. Members before that a record vouches for are in order already and are
streamed; others are divided too. Then one range after the other is joined in memory and
written, so the files come out in order without a sort of the whole.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path

from attrs import evolve, frozen

from .._arguments import kind_faults
from ..errors import ConfigurationError, DuplicateKeyError, EmptyKeyError
from ..format.csv_blocks import Block
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.reader import read_table
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource
from ._error_rows import first_conflicts, first_without_key
from ._join import Job, Join, Joined, Part, StoringJoin
from ._partition import (
    Limits,
    batches_of,
    cells_of,
    choose_ranges,
    divide,
    jobs_along,
    jobs_of,
)
from ._spill import Index, append, room_in
from ._workers import run_tasks
from .progress import Progress
from .protocol import DiffFile, DiffReport, Duplicates

_UNKNOWN_BYTES = 512 << 20
"""Assumed for a source that does not know its size: if it has more, ranges are divided
again; if it has less, they are small, which costs little."""

_ROW_BYTES = 64
"""Assumed for a row where only their number is known."""

_CONFLICTING = 10_000
"""So many keys with different rows are looked up to say where they stand."""


@frozen(kw_only=True)
class PartitionEngine:
    """The default engine.

    Where members before, which nothing vouches for, have different rows of one key, the
    one with the smaller bytes counts; their rows without a key are left out.

    Attributes:
        workers: How many processes share the work; 1 is this process alone. The result
            is the same. Worth it from a few million rows on.
        range_bytes: About how much of the current rows is joined at a time. Each worker
            takes about 20 times as much memory.
        batch_bytes: About how much is read, at most, before it is written to its
            ranges; the workers share it.

    >>> PartitionEngine(workers=2).workers
    2
    """

    workers: int = 1
    range_bytes: int = 512 << 10
    batch_bytes: int = 4 << 20

    def __attrs_post_init__(self) -> None:
        faults = [
            *kind_faults("workers", self.workers, int),
            *kind_faults("range_bytes", self.range_bytes, int),
            *kind_faults("batch_bytes", self.batch_bytes, int),
        ]
        if faults:
            raise ConfigurationError("PartitionEngine", tuple(faults))
        if min(self.workers, self.range_bytes, self.batch_bytes) < 1:
            raise ConfigurationError(
                "PartitionEngine", ("workers, range_bytes and batch_bytes must be at least 1",)
            )

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
    ) -> DiffReport:
        """See :class:`~amplitude_cohort_s3.diff.protocol.DiffEngine`."""
        limits = Limits(
            workers=self.workers,
            range_bytes=self.range_bytes,
            batch_bytes=-(-self.batch_bytes // self.workers),
        )
        scratch = folder / "scratch"
        with room_in(folder):
            scratch.mkdir()

        def tell(rows: int) -> None:
            if progress is not None:
                progress(rows, current.rows)

        source = _Rereadable(current, scratch / "source")
        with current.reading():
            table = read_table(source.chunks(), canonical=current.canonical)
            reader = schema.line_reader(table)
            sample = next(batches_of(table.blocks, limits.batch_bytes), list[Block]())
            ahead = list(islice(table.blocks, 1))
            if not ahead:
                total = sum(len(block.data) for block in sample)
                limits = evolve(limits, workers=1)
            elif current.size is not None:
                total = current.size
            else:
                total = _UNKNOWN_BYTES if current.rows is None else _ROW_BYTES * current.rows
            ranges = choose_ranges(reader, sample, total, limits)
            now = divide(
                chain(sample, ahead, table.blocks),
                reader,
                ranges,
                limits,
                path=scratch / "current",
                progress=tell,
            )
        if now.skipped and schema.key == "amplitude_id":
            lines = first_without_key(source.again(), schema)
            raise EmptyKeyError(schema.key, now.skipped, lines, current.unit)

        with previous.reading():
            old = read_table(previous.chunks(), canonical=previous.canonical)
            old_reader = schema.line_reader(old, fill=True)
            if previous.canonical:
                before = Index(len(ranges))
            else:
                before = divide(
                    old.blocks,
                    old_reader,
                    ranges,
                    limits,
                    path=scratch / "previous",
                    progress=lambda _: None,
                ).index
            cells = (
                small
                for cell in cells_of(ranges, now.index, before)
                for small in cell.balanced(scratch, limits)
            )
            jobs = (
                jobs_along(old.blocks, old_reader, cells, limits)
                if previous.canonical
                else jobs_of(cells, limits)
            )
            output = _Output(folder, schema, existing)
            join = Join(existing)
            joins: list[Callable[[Job], Joined]] = [join]
            if limits.workers > 1:
                joins = [StoringJoin(join, scratch / f"part.{n}") for n in range(limits.workers)]
            for joined in run_tasks(joins, jobs):
                output.add(joined)
        if output.conflicts and duplicates == "refuse":
            lines = first_conflicts(source.again(), schema, {*output.conflicting})
            raise DuplicateKeyError(schema.key, output.conflicts, lines, current.unit)
        shutil.rmtree(scratch)
        return output.report(
            skipped=now.skipped,
            ignored=tuple(c for c in table.columns if c not in schema.columns),
        )


class _Rereadable:
    """A source that can be read again where an error needs to say where a row is."""

    def __init__(self, source: CsvSource, path: Path) -> None:
        self._source = source
        self._path = path

    def chunks(self) -> Iterator[bytes]:
        if self._source.repeatable:
            return self._source.chunks()
        return self._kept()

    def _kept(self) -> Iterator[bytes]:
        for chunk in self._source.chunks():
            append(self._path, chunk)
            yield chunk

    def again(self) -> CsvSource:
        if self._source.repeatable:
            return self._source
        path, source = self._path, self._source

        def chunks() -> Iterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    yield chunk

        return CsvSource(chunks=chunks, canonical=source.canonical, unit=source.unit)


class _File:
    def __init__(self, path: Path, header: bytes) -> None:
        self.path = path
        self.digest = hashlib.sha256()
        self.size = self.rows = 0
        self.add(Part(0, header))

    def add(self, part: Part) -> None:
        data = part.text()
        append(self.path, data)
        self.digest.update(data)
        self.size += len(data)
        self.rows += part.rows


class _Output:
    """The three files as they grow, range by range, and the counts."""

    def __init__(self, folder: Path, schema: RowSchema, existing: ExistingMeaning) -> None:
        self._files = {t: _File(folder / f"{t}.csv", schema.header_line) for t in DiffType}
        # The digest of the members is that of ``existing`` where it holds just them.
        self._members = (
            self._files[DiffType.EXISTING].digest
            if existing.contains_entering
            else hashlib.sha256(schema.header_line)
        )
        self._before = self._now = self._collapsed = self.conflicts = 0
        self.conflicting = list[str]()

    def add(self, joined: Joined) -> None:
        self._files[DiffType.ENTERING].add(joined.entering)
        self._files[DiffType.EXITING].add(joined.exiting)
        self._files[DiffType.EXISTING].add(joined.existing)
        if joined.now is not None:
            self._members.update(joined.now.text())
        self._before += joined.members_before
        self._now += joined.members_now
        self._collapsed += joined.collapsed
        self.conflicts += joined.conflicts
        room = max(0, _CONFLICTING - len(self.conflicting))
        self.conflicting += joined.conflicting[:room]

    def report(self, *, skipped: int, ignored: tuple[str, ...]) -> DiffReport:
        return DiffReport(
            files={
                diff_type: DiffFile(
                    path=file.path,
                    rows=file.rows,
                    size=file.size,
                    sha256=file.digest.hexdigest(),
                )
                for diff_type, file in self._files.items()
            },
            members_before=self._before,
            members_now=self._now,
            members_sha256=self._members.hexdigest(),
            skipped=skipped,
            collapsed=self._collapsed,
            ignored_columns=ignored,
        )
