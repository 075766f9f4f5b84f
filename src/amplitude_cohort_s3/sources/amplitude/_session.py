"""What every call of the API shares: the keys, the deadline, the limits."""

import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlsplit

from attrs import frozen

from ...errors import (
    AmplitudeAccessDeniedError,
    AmplitudeRefusedError,
    AmplitudeUnavailableError,
    DownloadQuotaError,
)
from ._http import PARALLEL, Deadline, Http, Patience, Secret

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

OK, ACCEPTED = 200, 202
GONE = {404, 410}
DENIED = {401, 403}
_REDIRECTS = {301, 302, 303, 307, 308}
_MAX_REDIRECTS = 4

# "There is limit on Cohort Download to request a single cohort: 60 requests per 10 minutes
# per app, and 4 parallel request per minute per app."
# https://amplitude.com/docs/apis/analytics/behavioral-cohorts
_WINDOW_REQUESTS, _WINDOW_SECONDS = 60, 600.0
_MONTHLY_DOWNLOADS = 500


@frozen(kw_only=True)
class DownloadUsage:
    """How many of the month's downloads are spent.

    Attributes:
        used: Downloads asked for.
        limit: How many there may be.
        resets_at: When the count begins anew, where Amplitude says so.
    """

    used: int
    limit: int
    resets_at: datetime | None = None


class Session:
    """Requests to the API in one project's name; threads may share it.

    Args:
        base_url: The API's host, without a slash at the end.
        api_key: The project's API key.
        secret_key: Its secret key.
        deadline: Seconds that each call may take.
        timeout: Seconds that a connection, an answer or its next bytes may take.
        clock: Gives the time of day.
        sleep: Waits for so many seconds.
        monotonic: Gives the seconds of a clock that never jumps.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        secret_key: str,
        *,
        deadline: float,
        timeout: float,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.base_url = base_url
        pair = base64.b64encode(f"{api_key}:{secret_key}".encode()).decode()
        self._authorization = Secret(f"Basic {pair}")
        self._seconds = deadline
        self._clock = clock
        self._sleep = sleep
        self._monotonic = monotonic
        self._http = Http(timeout=timeout, wall_clock=clock)
        self._slots = threading.BoundedSemaphore(PARALLEL)
        self._admitting = threading.Lock()
        self._begun = deque[float](maxlen=_WINDOW_REQUESTS)
        self._counted = ("", 0)

    def patience(self, step: str) -> Patience:
        """Patience for one call, which ends at the deadline.

        Args:
            step: What is done, for messages.
        """
        deadline = Deadline(
            seconds=self._seconds,
            ends_at=self._monotonic() + self._seconds,
            clock=self._monotonic,
            sleep=self._sleep,
        )
        return Patience(step, deadline)

    @contextmanager
    def slot(self, patience: Patience) -> Generator[None, None, None]:
        """Waits until fewer than the allowed downloads are under way, and is one of them."""
        while not self._slots.acquire(blocking=False):
            patience.deadline.pause(1.0, patience.step)
        try:
            yield
        finally:
            self._slots.release()

    def ask(
        self, path: str, patience: Patience, *, before_try: Callable[[], None] | None = None
    ) -> tuple[int, Any]:
        """The status, and what the JSON of a success holds.

        Args:
            path: Path and query.
            patience: How often, and until when.
            before_try: Called before each try.

        Raises:
            AmplitudeAccessDeniedError: A key is wrong, or the region.
            AmplitudeUnavailableError, AmplitudeBusyError, ExportTimeoutError: No answer.
        """
        url = Secret(self.base_url + path)
        while True:
            response = self._http.get(
                url, patience, authorization=self._authorization, before_try=before_try
            )
            if response.status in DENIED:
                raise AmplitudeAccessDeniedError(self.base_url)
            if response.status not in (OK, ACCEPTED):
                return response.status, None
            try:
                return response.status, json.loads(response.data)
            except ValueError:
                pass
            patience.failed("the answer is no JSON")

    def ask_for_download(self, path: str, patience: Patience) -> tuple[int, Any]:
        """As :meth:`ask`, once the limits on downloads admit one more.

        Raises:
            DownloadQuotaError: The month's are used up.
            AmplitudeBusyError: It would take longer than the deadline.
        """
        # One at a time, so that none is admitted before the one ahead of it is counted.
        with self._admitting:
            return self.ask(path, patience, before_try=lambda: self._admit(patience))

    def open_file(
        self, path: str, patience: Patience, headers: Mapping[str, str]
    ) -> tuple["BaseHTTPResponse", bool]:
        """Opens what the API gives itself, or what it redirects to.

        Args:
            path: Of the API.
            patience: How often, and until when.
            headers: For the store that it redirects to; the keys never go there.

        Returns:
            The answer, and whether it is the store's.

        Raises:
            AmplitudeAccessDeniedError: A key is wrong, or the region.
            AmplitudeRefusedError: It redirects to where it should not.
            AmplitudeUnavailableError, AmplitudeBusyError, ExportTimeoutError: No answer.
        """
        url = Secret(self.base_url + path)
        response = self._http.get(url, patience, authorization=self._authorization, stream=True)
        if response.status in DENIED:
            response.close()
            raise AmplitudeAccessDeniedError(self.base_url)
        for hop in range(_MAX_REDIRECTS + 1):
            if response.status not in _REDIRECTS:
                return response, hop > 0
            response.drain_conn()
            target = self._redirected(url, response.headers.get("Location", ""))
            if target is None:
                break
            url = target
            response = self._http.get(url, patience, headers=headers, stream=True)
        response.close()
        raise AmplitudeRefusedError(patience.step, response.status)

    def _redirected(self, url: Secret, location: str) -> Secret | None:
        """Where a redirect leads; None if what comes from there could be read on its way."""
        with suppress(ValueError):  # it is no URL
            target = urljoin(url.text, location)
            downgraded = self.base_url.startswith("https:") and not target.startswith("https:")
            if is_safe(target) and not downgraded:
                return Secret(target)
        return None

    # --- limits -------------------------------------------------------------------------

    def usage(self, deadline: Deadline) -> DownloadUsage:
        """What is spent of the month's downloads: as the API says, or as was counted here.

        Raises:
            AmplitudeAccessDeniedError: A key is wrong, or the region.
            AmplitudeBusyError, ExportTimeoutError: The API can't be asked.
        """
        patience = Patience("the usage", deadline, tries=2)
        try:
            status, answer = self.ask("/api/3/cohorts/usage", patience)
        except AmplitudeUnavailableError:
            status, answer = 0, None
        told = _told_usage(answer) if status == OK else None
        if told is not None:
            return told
        return DownloadUsage(used=self._counted_in(self._month()), limit=_MONTHLY_DOWNLOADS)

    def _admit(self, patience: Patience) -> None:
        usage = self.usage(patience.deadline)
        if usage.used >= usage.limit:
            raise DownloadQuotaError(usage.used, usage.limit, usage.resets_at)
        if len(self._begun) == _WINDOW_REQUESTS:
            free_in = self._begun[0] + _WINDOW_SECONDS - self._monotonic()
            if free_in > 0:
                patience.limited(free_in)
        self._begun.append(self._monotonic())
        month = self._month()
        self._counted = (month, self._counted_in(month) + 1)

    def _month(self) -> str:
        return self._clock().astimezone(UTC).strftime("%Y-%m")

    def _counted_in(self, month: str) -> int:
        counted, count = self._counted
        return count if counted == month else 0


def is_safe(url: str) -> bool:
    """Whether what is sent to a URL can't be read on the way; and it holds no password."""
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    return (parts.scheme == "https" or local) and parts.username is None


def whole(value: object) -> int | None:
    """A whole number of the API's JSON, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def instant(value: object) -> datetime | None:
    """A time of the API's JSON, seconds since 1970 or ISO 8601, or None."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _told_usage(answer: object) -> DownloadUsage | None:
    """What the usage endpoint says; None if it says nothing that we understand.

    Its answer is not documented. Seen are ``{"rest_download": {"limit", "usage",
    "resets_at"}}`` and ``{"limit", "count"}``.
    """
    told = entries(answer)
    spent = entries(told.get("rest_download", told))
    used, limit = whole(spent.get("usage", spent.get("count"))), whole(spent.get("limit"))
    if used is None or limit is None:
        return None
    return DownloadUsage(used=used, limit=limit, resets_at=instant(spent.get("resets_at")))


def entries(value: object) -> Mapping[str, Any]:
    """An object of the API's JSON; empty if it is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
