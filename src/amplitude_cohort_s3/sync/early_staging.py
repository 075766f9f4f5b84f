"""Storing the files of a diff while the diff is still being computed.

There are two kinds of storages. If a storage takes over finished files, the files are written to
its disk early, so that the flush at the end has little left to do. If a storage stages bytes, the
staging of a large file begins while the file grows, and ends when the sync is committed.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from attrs import define, field, frozen

from .._bytes import CHUNK_BYTES
from ..diff.cohort_diff import CohortDiff, checked, stage_chunks
from ..diff.progress import Progress, StepProgress
from ..diff.protocol import DiffSummary
from ..errors import CohortS3Error
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..storage.protocol import StagedObject, Storage
from ..storage.threads import Answer, Threads

EARLY_BYTES = 8 << 20
"""The size from which a file is staged while it grows: the size of a part of an S3 upload."""

_FLUSHED_BYTES = 8 << 20
"""The growth after which the new bytes of a file are written to the disk."""


class EarlyFlush:
    """Writes files to the disk while they grow, so that a later ``fsync`` has little left to do."""

    def __init__(self) -> None:
        self._flushed = dict[Path, int]()

    def grown(self, _: DiffType, path: Path, size: int) -> None:
        """Begin to write the new bytes to the disk, if they are at least ``_FLUSHED_BYTES``."""
        flushed = self._flushed.get(path, 0)
        if size - flushed < _FLUSHED_BYTES or not hasattr(os, "posix_fadvise"):
            return
        self._flushed[path] = size
        # Linux begins to write pages that it is advised to drop, and does not wait. A disk error
        # is then still reported by the later fsync; fdatasync in another thread would consume it.
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, flushed, size - flushed, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


class _AbandonedError(Exception):
    """Raised when a growing file is no longer needed."""


class _GrowingFile:
    """The bytes of a file that grows until it is complete.

    Args:
        path: The path of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._is_complete = False
        self._is_abandoned = False
        # Each item is a size, and whether it is the last. The queue is in C: see storage.threads.
        self._sizes = SimpleQueue[tuple[int, bool]]()
        self._positions = SimpleQueue[int | None]()

    def grow(self, size: int) -> None:
        """Allow the reader to read up to a size."""
        self._sizes.put((size, False))

    def complete(self, size: int) -> None:
        """Allow the reader to read to the end, which is at this size."""
        self._sizes.put((size, True))

    def abandon(self) -> None:
        """Make the reader fail, unless it has read everything."""
        self._is_abandoned = True
        self._sizes.put((0, True))

    def stage(self, storage: Storage, key: str) -> tuple[StagedObject, str | None]:
        """Stage the file while it grows, in a thread of its own."""
        try:
            return stage_chunks(storage, key, self.chunks())
        finally:
            self._positions.put(None)

    def positions(self) -> Iterator[int]:
        """Yield how many bytes the storage has received, whenever there are more, to the end."""
        while (position := self._positions.get()) is not None:
            yield position
        self._positions.put(None)  # If it is called again, this is the end too.

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they appear, and wait for the end.

        Raises:
            _AbandonedError: The file was abandoned.
        """
        position = 0
        with self._path.open("rb", buffering=0) as file:
            while (ready := self._wait(position)) > position:
                while position < ready:
                    chunk = file.read(min(CHUNK_BYTES, ready - position))
                    if not chunk:
                        return  # The file was cut short: its digest will differ.
                    position += len(chunk)
                    yield chunk
                    self._positions.put(position)

    def _wait(self, position: int) -> int:
        """Return the size up to which the file can be read, which is ``position`` at its end."""
        while not self._is_complete and self._size - position < CHUNK_BYTES:
            self._size, self._is_complete = self._sizes.get()
        if self._is_abandoned:
            raise _AbandonedError
        return self._size


@frozen
class _Underway:
    """A file that is being staged."""

    file: _GrowingFile
    staged: Answer[tuple[StagedObject, str | None]]


class EarlyStaging:
    """Stages files under their keys while they grow.

    No file is completely staged before :meth:`stage` is called for it, because until then the sync
    may still be refused, for example by the guard. :meth:`close` makes ``Storage.stage`` of
    all other files fail, so that the storage keeps nothing of them.

    Args:
        storage: The storage of the data.
        keys: The keys of the files.
    """

    def __init__(self, storage: Storage, keys: Mapping[DiffType, str]) -> None:
        self._storage = storage
        self._keys = keys
        self._underway = dict[DiffType, _Underway]()
        self._threads = Threads(len(DiffType), "stage")

    def grown(self, diff_type: DiffType, path: Path, size: int) -> None:
        """Continue the staging of a file, or begin it if the file is large by now."""
        underway = self._underway.get(diff_type)
        if underway is None:
            if size < EARLY_BYTES:
                return
            file = _GrowingFile(path)
            key = self._keys[diff_type]
            staged = self._threads.submit(partial(file.stage, self._storage, key))
            underway = self._underway[diff_type] = _Underway(file, staged)
        underway.file.grow(size)

    def stage(
        self,
        diff: CohortDiff,
        diff_type: DiffType,
        storage: Storage,
        key: str,
        *,
        progress: Callable[[int], None],
    ) -> StagedObject:
        """Complete the staging of a file, or stage it now if it was not begun."""
        underway = self._underway.get(diff_type)
        if underway is None or storage is not self._storage or key != self._keys[diff_type]:
            return diff.stage(diff_type, storage, key, progress=progress)
        file = diff.report.files[diff_type]
        underway.file.complete(file.size)
        for position in underway.file.positions():
            progress(position)
        staged, sha256 = underway.staged.result()
        del self._underway[diff_type]  # From now on the caller may publish or discard it.
        return checked(file, diff_type, storage, staged, sha256)

    def close(self) -> None:
        """Stop all staging that is underway, and wait until nothing of it is left."""
        for underway in self._underway.values():
            underway.file.abandon()
        self._threads.close()
        for underway in self._underway.values():
            # The file may have been complete when its sync was interrupted. If discarding fails
            # too, this is a leftover like that of a dead writer.
            if underway.staged.error() is None:
                with suppress(CohortS3Error, OSError):
                    self._storage.discard(underway.staged.result()[0])
        self._underway.clear()


@define
class FollowedDiff:
    """A diff whose staging is reported, and may have begun already: see ``StageableDiff``.

    Attributes:
        diff: The diff.
        early: The staging that has begun, or None.
        progress: A callback for the progress, or None.
    """

    diff: CohortDiff
    early: EarlyStaging | None
    progress: Progress | None
    _step: StepProgress | None = field(init=False, default=None)

    @property
    def schema(self) -> RowSchema:
        """The columns and the key of its rows."""
        return self.diff.schema

    @property
    def existing_meaning(self) -> ExistingMeaning:
        """The users that its file ``existing`` contains."""
        return self.diff.existing_meaning

    @property
    def report(self) -> DiffSummary:
        """Its counts and its files."""
        return self.diff.report

    @property
    def origin(self) -> Mapping[str, str]:
        """The ``origin`` of the current members."""
        return self.diff.origin

    def stage(self, diff_type: DiffType, storage: Storage, key: str) -> StagedObject:
        """Stage one of the files, or complete its staging."""
        files = self.diff.report.files
        if self._step is None:
            total = sum(file.size for file in files.values())
            self._step = StepProgress(self.progress, "store", total, "bytes")
        step, before = self._step, self._step.done

        def report(done: int) -> None:
            step.reach(before + done)

        stage = self.diff.stage if self.early is None else partial(self.early.stage, self.diff)
        staged = stage(diff_type, storage, key, progress=report)
        try:
            report(files[diff_type].size)
        except BaseException:
            storage.discard(staged)  # The caller does not know it yet.
            raise
        return staged
