"""Sorting more items than fit into memory: sorted runs are written to the disk and merged."""

import heapq
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from ..storage.temporary import as_disk_full_error, temporary_folder

Item = TypeVar("Item", bound=tuple[Any, ...])

RUN_BYTES = 32 << 20
"""The approximate memory of the items that are held before they are written as a run."""

_CHUNK_ITEMS = 1024
_MAX_OPEN_RUNS = 64


def external_sort(
    items: Iterable[Item],
    *,
    work_dir: str | PathLike[str] | None = None,
    run_bytes: int = RUN_BYTES,
) -> Iterator[Item]:
    """Yield items in order, in memory that does not grow with their number.

    Items that fit into one run never touch the disk. Temporary files are removed when the
    iterator ends or is closed.

    Args:
        items: Tuples that begin with a key and end with a row of texts.
        work_dir: The folder for temporary files. Default: the system's.
        run_bytes: The approximate size of a run in memory.

    Raises:
        DiskFullError: The disk of the folder is full.
        ConfigurationError: ``work_dir`` is missing or can't be written.

    >>> list(external_sort([(b"2", ("2", "b")), (b"1", ("1", "a"))]))
    [(b'1', ('1', 'a')), (b'2', ('2', 'b'))]
    """
    with ExitStack() as cleanup:
        runs = list[Path]()
        held = list[Item]()
        held_bytes = 0
        folder: Path | None = None
        for item in items:
            held.append(item)
            held_bytes += _size(item)
            if held_bytes >= run_bytes:
                if folder is None:
                    folder = temporary_folder("cohort-sort-", work_dir)
                    cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
                held.sort()
                runs.append(_write(folder, held))
                held, held_bytes = [], 0
                if len(runs) == _MAX_OPEN_RUNS:
                    # Merging early bounds the number of open files and read buffers.
                    merged = _write(folder, heapq.merge(*map(_items, runs)))
                    for run in runs:
                        run.unlink()
                    runs = [merged]
        held.sort()
        yield from heapq.merge(*map(_items, runs), held)


def _size(item: tuple[Any, ...]) -> int:
    # Python adds about 60 bytes to each short text; this was measured.
    row = item[-1]
    return len(item[0]) + (sum(map(len, row)) if row else 0) + 60 * (len(row) + 4)


def _write(folder: Path, items: Iterable[Item]) -> Path:
    with as_disk_full_error(folder):
        descriptor, name = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            chunk = list[Item]()
            for item in items:
                chunk.append(item)
                if len(chunk) == _CHUNK_ITEMS:
                    pickle.dump(chunk, file)
                    chunk = []
            pickle.dump(chunk, file)
        return Path(name)


def _items(run: Path) -> Iterator[Any]:
    return chain.from_iterable(read_pickled(run))


def read_pickled(path: Path) -> Iterator[Any]:
    """Yield the objects that this process has pickled into a file in its temporary folder."""
    # Unpickling is safe: only the user of this process can read the folder.
    with path.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)  # noqa: S301
            except EOFError:
                return
