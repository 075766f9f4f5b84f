"""Threads that do the same work on many tasks.

Threads are useful only for work that releases the GIL, such as that of the kernel.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from ..storage.threads import Answer, Threads

_AHEAD = 2
"""The number of tasks that wait for a thread, so that no thread waits for a task."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_threads(
    works: Sequence[Callable[[Task], Result]], tasks: Iterable[Task]
) -> Iterator[Result]:
    """Yield the results in the order of the tasks; raise a task's error in place of its result.

    Close the iterator to stop early: this waits until all threads have ended.

    Args:
        works: A function for each thread. Each is called by one thread at a time.
        tasks: The tasks. The calling thread reads them, a few ahead of the results.
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
        # The loops are in a function of their own: an interrupt at the end of a loop in this block
        # could make Python 3.13 skip ``finally``.
        yield from _results(_submitted(threads, run, tasks), len(works) + _AHEAD)
    finally:
        threads.stop()
        threads.close(cancel=True)


def _results(answers: Iterable[Answer[Result]], ahead: int) -> Iterator[Result]:
    """Yield the results of the answers, and submit this many tasks ahead."""
    running = deque[Answer[Result]]()
    for answer in answers:
        running.append(answer)
        if len(running) == ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _submitted(
    threads: Threads, run: Callable[[Task], Result], tasks: Iterable[Task]
) -> Iterator[Answer[Result]]:
    """Submit each task to the threads, and yield the answers.

    If the iterable of tasks itself raises an error, that error is the last answer. The tasks
    before it may still be running. If one of them fails too, its error comes first, with any
    number of threads.
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
