"""The same work for many things, in this process or in several.

The processes are started by their command and get what they need through a pipe. The
standard library's pools would run the caller's main module again in each of them, which
fails in a notebook, and does everything twice in a script without a main guard; a fork
would copy the caller's threads and locks.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import IO, Generic, TypeVar, cast

from ..errors import WorkerDiedError

Task = TypeVar("Task")
Result = TypeVar("Result")

_START = "import sys; sys.path[:] = {path!r}; from {module} import serve; serve()"


def run_tasks(works: Sequence[Callable[[Task], Result]], tasks: Iterable[Task]) -> Iterator[Result]:
    """The results in the order of the tasks.

    Args:
        works: The work as each process has it; one alone is done in this process.
            Several must be picklable, as must be their tasks, results and errors.
        tasks: Taken as they are needed, a few ahead.

    Raises:
        WorkerDiedError: A process ended before its work did.
    """
    if len(works) == 1:
        yield from map(works[0], tasks)
        return
    processes = list[_Process[Task, Result]]()
    # A process has its next task before it is done with one, so it never waits for us.
    ahead = 2 * len(works)
    pool = ThreadPoolExecutor(ahead, thread_name_prefix="cohort-diff")
    try:
        free = SimpleQueue[_Process[Task, Result]]()
        for work in works:
            processes.append(_Process(work))
        for process in 2 * processes:
            free.put(process)

        def run(task: Task) -> Result:
            process = free.get()
            try:
                return process.run(task)
            finally:
                free.put(process)

        running = deque[Future[Result]]()
        for task in tasks:
            running.append(pool.submit(run, task))
            if len(running) == 2 * ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        # Also where the caller is interrupted, or wants no more. A thread that waits for
        # its process sees it die.
        for process in processes:
            process.kill()
        pool.shutdown(cancel_futures=True)
        for process in processes:
            process.close()


class _Process(Generic[Task, Result]):
    """A process that does one work again and again."""

    def __init__(self, work: Callable[[Task], Result]) -> None:
        start = _START.format(path=sys.path, module=__name__)
        self._process = subprocess.Popen(  # noqa: S603 -- this interpreter, this module
            [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._work: Callable[[Task], Result] | None = work
        self._sending, self._receiving = Lock(), Lock()

    def run(self, task: Task) -> Result:
        """The work on one task.

        Raises:
            WorkerDiedError: The process ended.
            Exception: Whatever the work raised.
        """
        inlet, outlet = self._process.stdin, self._process.stdout
        if inlet is None or outlet is None:
            raise AssertionError  # both were asked for
        try:
            with self._sending:
                # Sent with the first task, for a process takes a while to start.
                if self._work is not None:
                    pickle.dump(self._work, inlet, pickle.HIGHEST_PROTOCOL)
                    self._work = None
                _send(inlet, task)
                # Before the next is sent, as results come in the order of the tasks.
                self._receiving.acquire()
            try:
                succeeded, result = pickle.load(outlet)  # noqa: S301 -- from our own process
            finally:
                self._receiving.release()
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise WorkerDiedError(self._process.wait()) from error
        if not succeeded:
            raise result
        return cast(Result, result)

    def kill(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()

    def close(self) -> None:
        """Waits for the process, and closes its pipes."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not sent can't be
                    pipe.close()


def _send(pipe: IO[bytes], task: object) -> None:
    """Writes a task, in one piece: a thread that writes many waits for its turn as often.

    Bytes that offer themselves as buffers are copied once, and not within a pickle that
    grows by copying itself.
    """
    buffers = list[pickle.PickleBuffer]()
    value = pickle.dumps(task, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
    pieces = [memoryview(value), *(buffer.raw() for buffer in buffers)]
    pipe.write(b"".join([pickle.dumps([*map(len, pieces)]), *pieces]))
    pipe.flush()


def _receive(pipe: IO[bytes]) -> object:
    """The inverse of :func:`_send`.

    Raises:
        EOFError: The pipe is closed.
        pickle.UnpicklingError: It was closed amid a task.
    """
    value, *buffers = [pipe.read(size) for size in pickle.load(pipe)]  # noqa: S301 -- our own
    return pickle.loads(value, buffers=buffers)  # noqa: S301 -- as above


def serve() -> None:
    """What a process does: works until its pipe is closed."""
    # Ctrl-C reaches the whole group; whoever started this process ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inlet, outlet = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Nothing else that is printed may come between the results.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    work = pickle.load(inlet)  # noqa: S301 -- from the process that started this one
    while True:
        try:
            task = _receive(inlet)
        except (EOFError, pickle.UnpicklingError):  # closed, perhaps amid a task
            return
        try:
            answer = (True, work(task))
        except Exception as error:  # noqa: BLE001 -- raised where the task came from
            answer = (False, error)
        pickle.dump(answer, outlet, pickle.HIGHEST_PROTOCOL)
        outlet.flush()
