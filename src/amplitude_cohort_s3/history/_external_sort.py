"""Sorting more than fits into memory: sorted runs on the disk, merged."""

import heapq
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from operator import itemgetter
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item", bound=tuple[Any, ...])

RUN_BYTES = 32 << 20
"""About how much of the items' own bytes is held before a run goes to the disk."""

_CHUNK_ITEMS = 1024
_FAN_IN = 64


def external_sort(
    items: Iterable[Item],
    *,
    size: Callable[[Item], int],
    work_dir: str | PathLike[str] | None = None,
    run_bytes: int = RUN_BYTES,
) -> Iterator[Item]:
    """The items in order, in memory that does not grow with their number.

    What fits into one run never touches the disk. Temporary files are removed when the
    iterator ends or is closed.

    Args:
        items: Tuples that can be pickled and compared.
        size: About how many bytes an item takes.
        work_dir: Where temporary files go; by default the system's place for them.
        run_bytes: How much is held before a run goes to the disk.

    >>> list(external_sort([(2, "b"), (1, "a")], size=lambda item: 9))
    [(1, 'a'), (2, 'b')]
    """
    with ExitStack() as cleanup:
        runs = list[Path]()
        held = list[Item]()
        held_bytes = 0
        folder: Path | None = None
        for item in items:
            held.append(item)
            held_bytes += size(item)
            if held_bytes >= run_bytes:
                if folder is None:
                    folder = Path(tempfile.mkdtemp(prefix="cohort-sort-", dir=work_dir))
                    cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
                held.sort()
                runs.append(_write(folder, held))
                held, held_bytes = [], 0
                if len(runs) == _FAN_IN:
                    # Few open files and buffers, however many runs there are.
                    merged = _write(folder, heapq.merge(*map(_read, runs)))
                    for run in runs:
                        run.unlink()
                    runs = [merged]
        held.sort()
        yield from heapq.merge(*map(_read, runs), held)


def _write(folder: Path, items: Iterable[Item]) -> Path:
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


def _read(run: Path) -> Iterator[Any]:
    # The files are of this process, in a folder that only its user can read.
    with run.open("rb") as file:
        while True:
            try:
                chunk = pickle.load(file)  # noqa: S301
            except EOFError:
                return
            yield from chunk


def group_by_first(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Neighbours that share their first element, as a list each.

    >>> list(group_by_first([(1, "a"), (1, "b"), (2, "c")]))
    [[(1, 'a'), (1, 'b')], [(2, 'c')]]
    """
    group = list[Item]()
    first = itemgetter(0)
    for item in items:
        if group and first(group[0]) != first(item):
            yield group
            group = []
        group.append(item)
    if group:
        yield group
