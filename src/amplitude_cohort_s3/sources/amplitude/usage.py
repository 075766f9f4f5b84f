"""The limits that Amplitude sets on downloads."""

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from attrs import frozen

from ...errors import AmplitudeLimitError
from ._http import RetryBudget
from ._json import datetime_or_none, int_or_none, object_or_empty

# "There is limit on Cohort Download to request a single cohort: 60 requests per 10 minutes
# per app, and 4 parallel request per minute per app."
# https://amplitude.com/docs/apis/analytics/behavioral-cohorts
_PARALLEL = 4
_WINDOW_REQUESTS, _WINDOW_SECONDS = 60, 600.0
_MONTHLY_DOWNLOADS = 500


@frozen(kw_only=True)
class DownloadUsage:
    """The use of this month's downloads.

    Attributes:
        used: The number of downloads that were requested.
        limit: The number of downloads that are allowed.
        resets_at: The time at which the count starts again, if Amplitude reports it.
    """

    used: int
    limit: int
    resets_at: datetime | None = None


def parse_usage(answer: object) -> DownloadUsage | None:
    """Return the usage that the endpoint reports, or None if its form is unknown.

    The answer of the endpoint is not documented. Two forms have been observed:
    ``{"rest_download": {"limit", "usage", "resets_at"}}`` and ``{"limit", "count"}``.
    """
    outer = object_or_empty(answer)
    inner = object_or_empty(outer.get("rest_download", outer))
    used = int_or_none(inner.get("usage", inner.get("count")))
    limit = int_or_none(inner.get("limit"))
    if used is None or limit is None:
        return None
    return DownloadUsage(used=used, limit=limit, resets_at=datetime_or_none(inner.get("resets_at")))


class DownloadLimits:
    """The count of the downloads of one :class:`Session`, which threads share."""

    def __init__(self, clock: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._slots = threading.BoundedSemaphore(_PARALLEL)
        self._started = deque[float](maxlen=_WINDOW_REQUESTS)
        self._counted = ("", 0)

    @contextmanager
    def slot(self, budget: RetryBudget) -> Generator[None]:
        """Wait until another download may run, and count this one while the block lasts."""
        while not self._slots.acquire(blocking=False):
            budget.pause(1.0)
        try:
            yield
        finally:
            self._slots.release()

    def counted(self) -> DownloadUsage:
        """Return the usage of this month as far as it was counted here."""
        month, count = self._counted
        used = count if month == self._month() else 0
        return DownloadUsage(used=used, limit=_MONTHLY_DOWNLOADS)

    def admit(self, usage: DownloadUsage, budget: RetryBudget) -> None:
        """Wait until the limit per 10 minutes admits one more request, and count it.

        Raise AmplitudeLimitError if the month's downloads are used up.
        """
        if usage.used >= usage.limit:
            raise AmplitudeLimitError(
                "downloads", usage.used, usage.limit, resets_at=usage.resets_at
            )
        if len(self._started) == _WINDOW_REQUESTS:
            free_in = self._started[0] + _WINDOW_SECONDS - self._monotonic()
            if free_in > 0:
                budget.limited(free_in)
        self._started.append(self._monotonic())
        self._counted = (self._month(), self.counted().used + 1)

    def _month(self) -> str:
        return self._clock().astimezone(UTC).strftime("%Y-%m")
