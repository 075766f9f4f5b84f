"""Threads that do the same work on many tasks.

They share the work only if it is done without the GIL, as the kernel does it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from ..storage.threads import Answer, Threads

_AHEAD = 2
"""The number of tasks that wait for a thread, so that none waits for a task."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_threads(
    works: Sequence[Callable[[Task], Result]], tasks: Iterable[Task]
) -> Iterator[Result]:
    """Yield the results in the order of the tasks, and raise an error in its place among them.

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

    threads = Threads(len(works), "cohort-diff")
    try:
        running = deque[Answer[Result]]()
        for answer in _submitted(threads, run, tasks):
            running.append(answer)
            if len(running) == len(works) + _AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        threads.stop()
        threads.close(cancel=True)


def _submitted(
    threads: Threads, run: Callable[[Task], Result], tasks: Iterable[Task]
) -> Iterator[Answer[Result]]:
    """Let threads run tasks, and yield their answers.

    An error of the tasks themselves is the last answer. The tasks before it are not done yet, and
    if one of them fails too, its error comes first, however many threads there are.
    """
    try:
        for task in tasks:
            yield threads.submit(partial(run, task))
    except Exception as error:  # noqa: BLE001 -- raised by the answer
        yield Answer.failed(error)


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
