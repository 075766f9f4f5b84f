"""Progress callbacks, and a progress bar."""

from collections.abc import Callable
from typing import Any, Self

from .._optional import load


class TqdmProgress:
    """A progress callback that shows a tqdm bar in a terminal or a notebook.

    The bar appears with the first rows; each further sync starts a new bar.

    Raises:
        MissingExtraError: tqdm is not installed.
    """

    def __init__(self) -> None:
        self._tqdm = load("tqdm.auto", "progress").tqdm
        self._bar: Any = None

    def __call__(self, done: int, expected: int | None) -> None:
        """Show the number of rows."""
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

    def __exit__(self, *error: object) -> None:
        self._close()


Progress = Callable[[int, int | None], None]
"""A callback for the number of rows read so far and the expected number, if it is known."""
