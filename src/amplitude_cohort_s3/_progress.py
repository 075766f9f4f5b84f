"""Progress as tqdm shows it."""

from types import TracebackType
from typing import Self

from ._optional import load


class TqdmProgress:
    """A progress callback that draws tqdm's bar, in a terminal or a notebook.

    Raises:
        MissingExtraError: tqdm is not installed.
    """

    def __init__(self) -> None:
        self._bar = load("tqdm.auto", "progress").tqdm(unit=" rows", unit_scale=True)

    def __call__(self, done: int, expected: int | None) -> None:
        self._bar.total = expected
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()
