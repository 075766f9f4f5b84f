"""The same work for many things, in this process or in several."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    workers: Sequence[Callable[[Task], Result]], tasks: Iterable[Task]
) -> Iterator[Result]:
    """The results in the order of the tasks."""
    if len(workers) == 1:
        return map(workers[0], tasks)
    raise NotImplementedError
