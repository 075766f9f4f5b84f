"""Patient HTTP: pooled, with time-outs, and no secret in what is raised or logged.

A request that is answered with 429 waits as long as it is told to; one that fails is
made again after growing pauses. Redirects are never followed here: whoever follows one
decides which headers go along.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import urllib3
from attrs import define, field, frozen
from urllib3.exceptions import HTTPError

from ...errors import AmplitudeBusyError, AmplitudeUnavailableError, ExportTimeoutError

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse  # urllib3 1.26 has no such name

PARALLEL = 4
"""Connections to one host at a time."""

_LONGEST_PAUSE = 60.0
_CHUNK_BYTES = 1 << 16

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


class NoAnswer(Exception):  # noqa: N818 -- it is caught here, and never leaves the sources
    """A request, or the rest of an answer, was lost.

    The text is the kind of fault alone, as what urllib3 says holds the URL.
    """


@frozen
class Secret:
    """A text that is in no repr: a header that proves who asks, a URL that is signed."""

    text: str = field(repr=False)


@frozen(kw_only=True)
class Deadline:
    """The end of all patience.

    Attributes:
        seconds: How long it was at the beginning.
        ends_at: When it ends, in seconds of the clock.
        clock: Gives the seconds of a clock that never jumps.
        sleep: Waits for so many seconds.
    """

    seconds: float
    ends_at: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def remaining(self, step: str) -> float:
        """Seconds that are left.

        Raises:
            ExportTimeoutError: None.
        """
        left = self.ends_at - self.clock()
        if left <= 0:
            raise ExportTimeoutError(step, self.seconds)
        return left

    def pause(self, seconds: float, step: str) -> None:
        """Waits.

        Raises:
            ExportTimeoutError: It would take longer than what is left.
        """
        if seconds >= self.remaining(step):
            raise ExportTimeoutError(step, self.seconds)
        self.sleep(seconds)


@define
class Patience:
    """How often one step may fail in a row, and how long it waits in between.

    Attributes:
        step: What is being done, for messages.
        deadline: When to give up in any case.
        tries: How many.
    """

    step: str
    deadline: Deadline
    tries: int = 6
    _failures: int = field(default=0, init=False)

    def failed(self, reason: str, *, asked: float | None = None) -> None:
        """Waits before the next try.

        Args:
            reason: What went wrong; no URL and no text of the server.
            asked: How many seconds the server asks to wait.

        Raises:
            AmplitudeUnavailableError: It went wrong too often.
            ExportTimeoutError: The time is up.
        """
        self._failures += 1
        if self._failures >= self.tries:
            raise AmplitudeUnavailableError(self.step, reason)
        pause = min(2.0 ** (self._failures - 1), _LONGEST_PAUSE)
        self.deadline.pause(max(pause, asked or 0.0), self.step)

    def limited(self, asked: float | None) -> None:
        """Waits for a limit to let the next request through; that is no failure.

        Raises:
            AmplitudeBusyError: It would take longer than the deadline.
        """
        pause = _LONGEST_PAUSE / 2 if asked is None else max(asked, 1.0)
        if pause >= self.deadline.remaining(self.step):
            raise AmplitudeBusyError(self.step, pause)
        self.deadline.sleep(pause)

    def progressed(self) -> None:
        """Something arrived: earlier failures are forgotten."""
        self._failures = 0
        self.deadline.remaining(self.step)


class Http:
    """Requests with GET, through one pool of connections.

    Args:
        timeout: Seconds that a connection, an answer or its next bytes may take.
        wall_clock: Gives the time of day, for a ``Retry-After`` that names one.
    """

    def __init__(self, *, timeout: float, wall_clock: Callable[[], datetime]) -> None:
        self._timeout = timeout
        self._wall_clock = wall_clock
        self._pool = urllib3.PoolManager(maxsize=PARALLEL)
        logging.getLogger("urllib3.connectionpool").addFilter(_hide_queries)

    def get(
        self,
        url: Secret,
        patience: Patience,
        *,
        authorization: Secret | None = None,
        headers: Mapping[str, str] | None = None,
        before_try: Callable[[], None] | None = None,
        stream: bool = False,
    ) -> "BaseHTTPResponse":
        """Asks until there is an answer other than 429 and 5xx.

        Args:
            url: What is asked for.
            patience: How often, and until when.
            authorization: A header that this very host may see.
            headers: Other headers.
            before_try: Called before each try, as each counts where requests are limited.
            stream: Leave the body to be read by :func:`chunks`.

        Raises:
            AmplitudeUnavailableError, AmplitudeBusyError, ExportTimeoutError: There is none.
        """
        while True:
            if before_try is not None:
                before_try()
            response = self._try(url, patience, authorization, headers or {}, stream=stream)
            if isinstance(response, str):
                patience.failed(response)
            elif response.status == _TOO_MANY_REQUESTS:
                response.close()
                patience.limited(self._retry_after(response))
            elif response.status >= _SERVER_ERROR:
                response.close()
                patience.failed(f"HTTP {response.status}", asked=self._retry_after(response))
            else:
                return response

    def _try(
        self,
        url: Secret,
        patience: Patience,
        authorization: Secret | None,
        headers: Mapping[str, str],
        *,
        stream: bool,
    ) -> "BaseHTTPResponse | str":
        """The answer, or the kind of fault: returned, so that no traceback leads into urllib3."""
        seconds = min(self._timeout, patience.deadline.remaining(patience.step))
        sent = {"Accept-Encoding": "gzip", "User-Agent": "amplitude_cohort_s3", **headers}
        if authorization is not None:
            sent["Authorization"] = authorization.text
        hidden = _queries_hidden.set(True)
        try:
            return self._pool.request(
                "GET",
                url.text,
                headers=sent,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=seconds, read=seconds),
                preload_content=not stream,
            )
        except (HTTPError, OSError) as error:
            return type(error).__name__
        finally:
            _queries_hidden.reset(hidden)

    def _retry_after(self, response: "BaseHTTPResponse") -> float | None:
        """Seconds; the header has them, or a date.

        https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
        """
        text = response.headers.get("Retry-After", "")
        if text.isascii() and text.isdigit():
            return float(text)
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return max(0.0, (when - self._wall_clock()).total_seconds())


def chunks(response: "BaseHTTPResponse") -> Iterator[bytes]:
    """The body as it was sent, not decoded. The caller closes the answer.

    Raises:
        NoAnswer: It ended before it was whole.
    """
    stream = response.stream(_CHUNK_BYTES, decode_content=False)
    length = response.headers.get("Content-Length", "")
    expected = int(length) if length.isdigit() else None
    received = 0
    while True:
        fault = ""
        try:
            chunk = next(stream, None)
        except (HTTPError, OSError) as error:
            chunk, fault = None, type(error).__name__
        if chunk is None:
            break
        received += len(chunk)
        yield chunk
    if not fault and expected not in (None, received):
        fault = "the answer ended early"
    if fault:  # raised here, so that no traceback leads into urllib3
        raise NoAnswer(fault)


# urllib3 logs the target of each request at DEBUG, and that of a pre-signed URL is as good
# as a password. The filter stays with urllib3's logger and does nothing but in the midst
# of a request of ours.
_queries_hidden: ContextVar[bool] = ContextVar("queries_hidden", default=False)


def _hide_queries(record: logging.LogRecord) -> bool:
    if _queries_hidden.get() and isinstance(record.args, tuple):
        record.args = tuple(
            re.sub(r"\?.*", "?...", arg) if isinstance(arg, str) else arg for arg in record.args
        )
    return True
