"""A pool of processes that do the same work on many tasks.

The processes are started with a command line and get their work through a pipe. The
standard library's pools would run the caller's main module again in each process, which
fails in a notebook and runs a script without a main guard twice. A fork would copy the
caller's threads and locks.
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
    """Yield the results in the order of the tasks.

    Args:
        works: The work of each process. A single one is done in this process; several
            must be picklable, like their tasks, results and errors.
        tasks: The tasks, which are read a few ahead of the results.

    Raises:
        WorkerDiedError: A process ended before its work was done.
    """
    if len(works) == 1:
        yield from map(works[0], tasks)
        return
    processes = list[_Process[Task, Result]]()
    # Each process has its next task before it is done with one, so it never has to wait.
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
        # This also runs if the caller is interrupted or stops reading. A thread that waits
        # for its process then gets an error.
        for process in processes:
            process.kill()
        pool.shutdown(cancel_futures=True)
        for process in processes:
            process.close()


class _Process(Generic[Task, Result]):
    """A process that does its work on one task after another."""

    def __init__(self, work: Callable[[Task], Result]) -> None:
        start = _START.format(path=sys.path, module=__name__)
        self._process = subprocess.Popen(  # noqa: S603 -- this interpreter, this module
            [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._work: Callable[[Task], Result] | None = work
        self._sending, self._receiving = Lock(), Lock()

    def run(self, task: Task) -> Result:
        """Return the result of one task.

        Raises:
            WorkerDiedError: The process ended.
            Exception: The error that the work raised.
        """
        inlet, outlet = self._process.stdin, self._process.stdout
        if inlet is None or outlet is None:
            raise AssertionError  # Both are pipes.
        try:
            with self._sending:
                # The work is sent with the first task, as a process takes a while to start.
                if self._work is not None:
                    pickle.dump(self._work, inlet, pickle.HIGHEST_PROTOCOL)
                    self._work = None
                _send(inlet, task)
                # Results arrive in the order of the tasks, so no other thread may send
                # before this one is in line for its result.
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
        """End the process at once."""
        self._process.kill()

    def close(self) -> None:
        """Wait for the process to end, and close its pipes."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # Unsent bytes can't be flushed.
                    pipe.close()


def _send(pipe: IO[bytes], task: object) -> None:
    """Send a task with one write: every further write would wait for the GIL again.

    Buffers, such as the bytes of blocks, are sent beside the pickle. Inside of it they
    would be copied several times while it grows.
    """
    buffers = list[pickle.PickleBuffer]()
    value = pickle.dumps(task, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
    pieces = [memoryview(value), *(buffer.raw() for buffer in buffers)]
    pipe.write(b"".join([pickle.dumps([*map(len, pieces)]), *pieces]))
    pipe.flush()


def _receive(pipe: IO[bytes]) -> object:
    """Receive a task that :func:`_send` sent.

    Raises:
        EOFError: The pipe is closed.
        pickle.UnpicklingError: The pipe was closed in the middle of a task.
    """
    value, *buffers = [pipe.read(size) for size in pickle.load(pipe)]  # noqa: S301 -- our own
    return pickle.loads(value, buffers=buffers)  # noqa: S301 -- as above


def serve() -> None:
    """Work on tasks until the pipe is closed; the main function of a process."""
    # Ctrl-C reaches all processes of the terminal; the main process ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inlet, outlet = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Anything else that is printed must not come between the results.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    work = pickle.load(inlet)  # noqa: S301 -- from the process that started this one
    while True:
        try:
            task = _receive(inlet)
        except (EOFError, pickle.UnpicklingError):  # closed, perhaps in the middle of a task
            return
        try:
            answer = (True, work(task))
        except Exception as error:  # noqa: BLE001 -- raised in the main process
            answer = (False, error)
        pickle.dump(answer, outlet, pickle.HIGHEST_PROTOCOL)
        outlet.flush()
