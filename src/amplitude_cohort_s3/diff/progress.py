"""Progress as tqdm shows it."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from .._optional import load


class TqdmProgress:
    """A progress callback that draws tqdm's bar, in a terminal or a notebook.

    It appears with the first rows, and begins anew with the next sync.

    Raises:
        MissingExtraError: tqdm is not installed.
    """

    def __init__(self) -> None:
        self._tqdm = load("tqdm.auto", "progress").tqdm
        self._bar: Any = None

    def __call__(self, done: int, expected: int | None) -> None:
        if self._bar is None or done < self._bar.n:
            self._close()
            self._bar = self._tqdm(unit=" rows", unit_scale=True)
        self._bar.total = expected
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()


Progress = Callable[[int, int | None], None]
"""Called now and then with the rows read so far and, where known, the rows expected."""
