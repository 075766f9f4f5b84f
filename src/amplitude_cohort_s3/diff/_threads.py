"""Threads that do the same work on many tasks.

They share the work only if it is done without the GIL, as the kernel does it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_threads(
    works: Sequence[Callable[[Task], Result]], tasks: Iterable[Task]
) -> Iterator[Result]:
    """Yield the results in the order of the tasks.

    Close the iterator to stop early: it then waits until no thread works any more.

    Args:
        works: The work of each thread.
        tasks: The tasks, which are read a few ahead of the results, in the calling thread.
    """
    free = SimpleQueue[Callable[[Task], Result]]()
    for work in works:
        free.put(work)

    def run(task: Task) -> Result:
        work = free.get()
        try:
            return work(task)
        finally:
            free.put(work)

    pool = ThreadPoolExecutor(len(works), thread_name_prefix="cohort-diff")
    try:
        running = deque[Future[Result]]()
        for task in tasks:
            running.append(pool.submit(run, task))
            if len(running) == 2 * len(works):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
