"""The progress of a call that takes long: events for a callback, and bars.

A call does its work in steps, one after the other. Each step begins with an event with ``done=0``,
and ends with one in which ``done`` is the total. Between them there are at most four events a
second, so a callback may be slow, and reporting costs nearly nothing. All are reported in the
thread of the call, and none after the call has ended.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain, islice
from time import monotonic
from typing import Any, BinaryIO, Literal, Self, TypeVar, cast

from attrs import frozen

from .._optional import load
from ..errors import ArgumentTypeError

Step = Literal["read", "compare", "store", "verify", "search", "rewrite"]
"""A part of a call. A sync reads the members, compares them with those before, and stores the
three files. ``verify`` has one step; ``forget`` searches the files and rewrites some of them."""

Unit = Literal["rows", "bytes"]
"""The unit of a step. Files are read in bytes, all other members in rows."""

INTERVAL = 0.25
"""The seconds between two events of a step."""

_MAX_ROWS = 1024
"""The largest number of rows that are read before the clock is."""

T = TypeVar("T")


@frozen
class ProgressEvent:
    """The progress of one step. It contains no user.

    Attributes:
        step: The step.
        done: The number of rows or bytes that are done.
        total: The number that will be done, if it is known; it may be an estimate before the end.
        unit: The unit of ``done`` and ``total``.

    >>> print(ProgressEvent("read", 20_000, 60_000))
    read: 20,000 of 60,000 rows
    """

    step: Step
    done: int
    total: int | None = None
    unit: Unit = "rows"

    def __str__(self) -> str:
        of_total = "" if self.total is None else f" of {self.total:,}"
        return f"{self.step}: {self.done:,}{of_total} {self.unit}"


Progress = Callable[[ProgressEvent], None]
"""A callback for the progress of a call. If it raises, the call ends with its error."""


class StepProgress:
    """The events of one step, which begins now.

    Attributes:
        done: The number that is done by now.

    Args:
        progress: The callback, or None.
        step: The step.
        total: The number that will be done, if it is known.
        unit: The unit of the numbers.
    """

    def __init__(
        self, progress: Progress | None, step: Step, total: int | None, unit: Unit = "rows"
    ) -> None:
        self._progress = progress
        self._step: Step = step
        self._total = total
        self._unit: Unit = unit
        self.done = 0
        self.reach(0)

    def reach(self, done: int) -> None:
        """Report the number that is done by now."""
        self.done = done
        if self._progress is not None:
            self._progress(ProgressEvent(self._step, done, self._total, self._unit))

    def add(self, count: int) -> None:
        """Report that more is done."""
        self.reach(self.done + count)

    def end(self) -> None:
        """Report the end of the step, whose total is the number that is done by now."""
        self._total = self.done
        self.reach(self.done)


class ReadProgress:
    """The progress of steps that read stored files, in bytes as stored.

    The bytes that a step will read of a file are an estimate, which is corrected after each file.

    Args:
        progress: The callback, or None.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._step: StepProgress | None = None
        self._sizes: Iterator[int] = iter(())
        self._end = 0
        self._error: BaseException | None = None

    def begin(self, step: Step, sizes: Sequence[int]) -> None:
        """Begin a step that will read files in order; ``sizes`` are the bytes of each."""
        self._step = StepProgress(self._progress, step, sum(sizes), "bytes")
        self._sizes, self._end = iter(sizes), 0

    def next(self) -> None:
        """Report that a file is done. Later bytes belong to the next file.

        An error of the callback is raised again here, because the code that read the file may
        have handled it as a fault of the file.
        """
        if self._error is not None:
            raise self._error
        if self._step is not None:
            self._step.reach(self._end)
            self._end += next(self._sizes, 0)

    def end(self) -> None:
        """Report the end of the step. Later bytes are not reported."""
        self.next()
        self._step = None

    def opening(self, open_object: Callable[[str], BinaryIO]) -> Callable[[str], BinaryIO]:
        """Return a function that opens objects, whose bytes are reported while they are read."""
        return lambda key: cast("BinaryIO", _CountedStream(open_object(key), self._add))

    def _add(self, count: int) -> None:
        if self._error is not None:
            raise self._error
        if self._step is not None:
            try:
                self._step.reach(min(self._step.done + count, self._end))
            except BaseException as error:
                self._error = error
                raise


class _CountedStream:
    """A stream whose bytes are counted while they are read."""

    def __init__(self, stream: BinaryIO, count: Callable[[int], None]) -> None:
        self._stream = stream
        self._count = count

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._count(len(data))
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()


class TqdmProgress:
    """A progress callback that shows tqdm bars in a terminal or a notebook, one for each step.

    Raises:
        MissingExtraError: tqdm is not installed.
    """

    def __init__(self) -> None:
        self._tqdm = load("tqdm.auto", "progress").tqdm
        self._bar: Any = None
        self._step: Step | None = None

    def __call__(self, event: ProgressEvent) -> None:
        """Show an event."""
        if event.step != self._step or event.done < self._bar.n:
            self._close()
            scale = {"unit": "B", "unit_divisor": 1024} if event.unit == "bytes" else {}
            self._bar = self._tqdm(
                **{"unit": " rows", "unit_scale": True, **scale}, desc=event.step, total=event.total
            )
            self._step = event.step
        self._bar.total = event.total
        self._bar.update(event.done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()


class Reporter:
    """A callback that passes on the events that another one needs.

    These are the first and the last event of each step, and others if ``INTERVAL`` is over. An
    event that would go back is left out, unless its ``done`` is 0: then the step begins again.

    Args:
        callback: The other callback.
        clock: A function that returns seconds; for tests.
    """

    def __init__(self, callback: Progress, clock: Callable[[], float] = monotonic) -> None:
        self._callback: Progress | None = callback
        self._clock = clock
        self._last: ProgressEvent | None = None
        self._is_held = False
        self._due = 0.0

    def __call__(self, event: ProgressEvent) -> None:
        """Pass an event on, hold it back until the next one, or drop it."""
        last = self._last
        is_first = last is None or event.step != last.step or event.done == 0
        if event == last or not (is_first or last is None or event.done >= last.done):
            return
        if is_first:
            self.flush()
        self._last, self._is_held = event, True
        if is_first or event.done == event.total or self._clock() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Pass on the event that is held back."""
        if self._is_held and self._last is not None and self._callback is not None:
            self._is_held = False
            self._due = self._clock() + INTERVAL
            self._callback(self._last)

    def close(self) -> None:
        """Stop passing on events."""
        self._callback = None

    def rows(self, members: Iterable[T]) -> Iterator[T]:
        """Yield members, and report how many were read, also if they come slowly."""
        return chain.from_iterable(self._batches(members))

    def _batches(self, members: Iterable[T]) -> Iterator[list[T]]:
        """Yield a few members at a time, so that they need no Python code one by one."""
        total = len(members) if isinstance(members, Sized) else None
        remaining, done, size = iter(members), 0, 1
        began = self._clock()
        while batch := list(islice(remaining, size)):
            # If these rows came slowly, the next event comes after a single one.
            size = min(2 * size, _MAX_ROWS) if self._clock() - began < INTERVAL / 4 else 1
            done += len(batch)
            self(ProgressEvent("read", done, total))
            yield batch
            began = self._clock()


def _call_all(callbacks: Iterable[Progress], event: ProgressEvent) -> None:
    for callback in callbacks:
        callback(event)


@contextmanager
def reporting(
    progress: Progress | Literal[True] | None, also: Progress | None = None
) -> Generator[Reporter | None]:
    """Yield the reporter for an argument ``progress``, or None if nothing is to be reported.

    After the context, the reporter calls nothing and changes no bar, even if it is still called.

    Args:
        progress: The argument.
        also: Another callback for the same events, or None.

    Raises:
        MissingExtraError: It is True, and tqdm is not installed.
        ArgumentTypeError: It is neither a function nor True nor None.
    """
    if progress is None and also is None:
        yield None
        return
    if progress is not None and progress is not True and not callable(progress):
        hint = "pass True for bars, a function of a ProgressEvent, such as print, or None"
        raise ArgumentTypeError("progress", type(progress).__name__, hint)
    with TqdmProgress() if progress is True else nullcontext(progress) as callback:
        reporter = Reporter(
            partial(_call_all, [one for one in (callback, also) if one is not None])
        )
        try:
            yield reporter
        finally:
            reporter.close()
