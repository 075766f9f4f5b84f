"""Threads that work for another thread, which may be interrupted at any moment.

``concurrent.futures``, ``threading.Condition`` and ``Thread.start`` acquire locks in Python code.
An interrupt of the main thread, such as Ctrl-C, can happen right after that, and the lock is then
never released: the other threads wait for the lock forever, and the main thread waits for them.
Here, the main thread starts other threads and submits work only with functions that are written
in C, during which no interrupt can happen.
"""

import _thread
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, NoReturn, Self, TypeVar

Result = TypeVar("Result")


class Answer(Generic[Result]):
    """The result of a function that another thread calls, or the error that it raises."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self._found = list[Result]()
        self._error: BaseException | None = None
        self._running = _locked()

    @classmethod
    def failed(cls, error: BaseException) -> Self:
        """Return the answer of a function that raises this error."""

        def fail() -> Result:
            raise error

        answer = cls(fail)
        answer.run()
        return answer

    def run(self) -> None:
        """Call the function."""
        function, self._function = self._function, _raise_cancelled
        try:
            self._found.append(function())
        except BaseException as error:  # noqa: BLE001 -- raised by result()
            self._error = error
        finally:
            del function
            self._running.release()

    def cancel(self) -> None:
        """Prevent the call of the function, if it has not been called yet."""
        self._function = _raise_cancelled

    def error(self) -> BaseException | None:
        """Wait for the end of the function; return the error that it raised, or None."""
        with self._running:
            pass
        return self._error

    def result(self) -> Result:
        """Wait for the end of the function; return its result, or raise its error."""
        error = self.error()
        try:
            if error is not None:
                raise error
            return self._found[0]
        finally:
            # Otherwise the error, its traceback and this frame would keep each other alive.
            del error, self


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _raise_cancelled() -> NoReturn:
    raise CancelledError


class Threads:
    """Daemon threads, which start when the first function is submitted.

    Args:
        count: The number of threads.
        name: The beginning of their names.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._answers = SimpleQueue[Answer[Any] | None]()
        self._threads = list[threading.Thread]()
        self._starting: threading.Lock | None = None
        self._is_cancelled = False
        self.stop: Callable[[], None] = partial(self._answers.put, None)
        """Let the threads end after the submitted functions. No interrupt can prevent this call."""

    def submit(self, function: Callable[[], Result]) -> Answer[Result]:
        """Let one of the threads call a function, after those that were submitted earlier."""
        answer = Answer(function)
        self._answers.put(answer)
        if self._starting is None:
            self._starting = starting = _locked()
            _thread.start_new_thread(self._start, (starting,))
        return answer

    def close(self, *, cancel: bool = False) -> None:
        """End the threads, and wait until they have ended.

        Args:
            cancel: True to skip the functions that have not been called yet.
        """
        self._is_cancelled = cancel
        self.stop()
        if self._starting is None:
            return
        with self._starting:
            pass
        for thread in self._threads:
            # The garbage collector may close a generator in one of these threads.
            if thread is not threading.current_thread():
                thread.join()

    def _start(self, starting: threading.Lock) -> None:
        """Start the threads, in a thread that is never interrupted."""
        try:
            for number in range(self._count):
                thread = threading.Thread(
                    target=self._serve, name=f"{self._name}_{number}", daemon=True
                )
                thread.start()
                self._threads.append(thread)
        except RuntimeError:  # The system can't start more threads.
            if not self._threads:
                self._serve()
        finally:
            starting.release()

    def _serve(self) -> None:
        while (answer := self._answers.get()) is not None:
            if self._is_cancelled:
                answer.cancel()
            answer.run()
            del answer  # Its result may be large.
        self.stop()  # the next thread too
