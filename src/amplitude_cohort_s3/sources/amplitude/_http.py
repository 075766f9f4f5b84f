"""GET requests with retries and a deadline; no secret reaches an exception or a log.

The requests use ``http.client`` instead of urllib3. urllib3 always writes the target of every
request to its debug log and quotes URLs in its exceptions, but the query of a pre-signed URL is a
secret like a password. Its ``Retry`` also ignores deadlines when it sleeps.
"""

import io
import logging
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from string import punctuation
from time import perf_counter
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlsplit

from attrs import define, field, frozen

from ...errors import AmplitudeTimeoutError, AmplitudeUnavailableError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

logger = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0
_CHUNK_BYTES = 1 << 16

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


class ResponseLost(Exception):  # noqa: N818 -- it is caught here, and never leaves the folder
    """Raised if the rest of a response is lost. The text names only the kind of fault."""


@frozen
class Secret:
    """A text that no repr shows: an ``Authorization`` header or a signed URL."""

    text: str = field(repr=False)


@define
class RetryBudget:
    """The time and the number of tries that one step may take.

    Attributes:
        step: The step, for messages.
        seconds: The total time that is allowed, for messages.
        ends_at: The value of ``monotonic`` at which the time is up.
        monotonic: A function that returns the seconds of a clock that never jumps.
        sleep: A function that waits for a number of seconds.
        tries: The number of failures in a row after which the step fails.
    """

    step: str
    seconds: float
    ends_at: float
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    tries: int = 6
    _failures: int = field(default=0, init=False)

    def remaining(self) -> float:
        """Return the seconds that are left; raise AmplitudeTimeoutError if there are none."""
        left = self.ends_at - self.monotonic()
        if left <= 0:
            raise AmplitudeTimeoutError(self.step, self.seconds)
        return left

    def pause(self, seconds: float) -> None:
        """Wait; raise AmplitudeTimeoutError at once if that would outlast the deadline."""
        if seconds >= self.remaining():
            raise AmplitudeTimeoutError(self.step, self.seconds)
        self.sleep(seconds)

    def failed(self, reason: str, *, retry_after: float | None = None) -> None:
        """Wait before the next try, or raise AmplitudeUnavailableError after too many.

        The reason contains neither a URL nor text of the server.
        """
        self._failures += 1
        if self._failures >= self.tries:
            raise AmplitudeUnavailableError(self.step, reason)
        pause = min(2.0 ** (self._failures - 1), _LONGEST_PAUSE)
        self.pause(max(pause, retry_after or 0.0))

    def limited(self, retry_after: float | None) -> None:
        """Wait for a rate limit, which is not a failure, unless it outlasts the deadline."""
        pause = _LONGEST_PAUSE / 2 if retry_after is None else max(retry_after, 1.0)
        if pause >= self.remaining():
            raise AmplitudeTimeoutError(self.step, pause, rate_limited=True)
        self.sleep(pause)

    def progressed(self) -> None:
        """Forget earlier failures, because bytes have arrived."""
        self._failures = 0
        self.remaining()


class _TimedStream(io.RawIOBase):
    """The bytes that arrive at a socket, until the deadline.

    A timeout of the socket alone limits the wait for the next byte. A server that sends a byte
    now and then, or interim responses (1xx) without an end, would block a caller forever.
    """

    def __init__(self, sock: socket.socket, timeout: float, budget: RetryBudget) -> None:
        self._sock = sock
        self._timeout = timeout
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        left = self._budget.ends_at - self._budget.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(min(self._timeout, left))
        return self._sock.recv_into(buffer)


class _TimedSocket:
    """A socket as ``HTTPResponse`` uses it, whose reads end at the deadline."""

    def __init__(self, sock: socket.socket, timeout: float, budget: RetryBudget) -> None:
        self._stream = _TimedStream(sock, timeout, budget)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._stream)


class Response:
    """A response whose body is not read yet. The caller of ``Http.get`` must close it."""

    def __init__(self, raw: HTTPResponse, connection: HTTPConnection) -> None:
        self.status = raw.status
        self.headers = raw.headers
        self._raw = raw
        self._connection = connection

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it was sent; raise ResponseLost if it ends early."""
        length = self.headers.get("Content-Length", "")
        missing = int(length) if re.fullmatch("[0-9]{1,18}", length) else None
        while True:
            fault = ""
            try:
                chunk = self._raw.read(_CHUNK_BYTES)
            except (HTTPException, OSError, ValueError) as error:
                chunk, fault = b"", type(error).__name__
            if not chunk:
                break
            if missing is not None:
                missing -= len(chunk)
            yield chunk
        # http.client reports a body without chunks that ends early as a normal end.
        if fault or missing:  # raised here, so that no traceback leads into http.client
            raise ResponseLost(fault or "the response ended early")

    def close(self) -> None:
        """Close the connection as well."""
        self._raw.close()
        self._connection.close()


class Http:
    """GET requests that are repeated until the server answers.

    Each request uses a connection of its own: a sync makes about twenty requests, most of them
    seconds apart. Redirects are not followed, because the caller decides which headers to send.
    """

    def __init__(self, *, timeout: float, clock: Callable[[], datetime]) -> None:
        self._timeout = timeout
        self._clock = clock

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # It takes 30 ms to load the certificates.

    def get(
        self,
        url: Secret,
        budget: RetryBudget,
        *,
        authorization: Secret | None = None,
        headers: Mapping[str, str] | None = None,
        before_try: Callable[[], None] | None = None,
    ) -> Response:
        """Repeat a request until the status is neither 429 nor 5xx, or the budget is spent."""
        while True:
            if before_try is not None:
                before_try()
            began = perf_counter()
            response = self._try(url, authorization, headers or {}, budget)
            outcome = response if isinstance(response, str) else f"HTTP {response.status}"
            # Only the host: the rest of a pre-signed URL is a secret.
            host = urlsplit(url.text).hostname
            with suppress(Exception):  # A handler may raise. That must not stop a sync.
                logger.debug("GET from %s: %s (%.3f s)", host, outcome, perf_counter() - began)
            if isinstance(response, str):
                budget.failed(response)
            elif response.status == _TOO_MANY_REQUESTS:
                response.close()
                budget.limited(self._retry_after(response))
            elif response.status >= _SERVER_ERROR:
                response.close()
                budget.failed(f"HTTP {response.status}", retry_after=self._retry_after(response))
            else:
                return response

    def _try(
        self,
        url: Secret,
        authorization: Secret | None,
        headers: Mapping[str, str],
        budget: RetryBudget,
    ) -> Response | str:
        """Return the response, or the kind of fault.

        The fault is not raised, because the frames of its traceback would contain the URL.
        """
        sent = {"Accept-Encoding": "gzip", "User-Agent": "amplitude_cohort_s3", **headers}
        if authorization is not None:
            sent["Authorization"] = authorization.text
        seconds = min(self._timeout, budget.remaining())
        parts = urlsplit(url.text)
        host = parts.hostname or ""
        connection = HTTPConnection(host, parts.port, timeout=seconds)
        if parts.scheme == "https":
            connection = HTTPSConnection(host, parts.port, timeout=seconds, context=self._tls)
        connection.set_debuglevel(0)  # a global debug level would print the headers
        # The percent sign is safe, so that existing escapes stay as they are.
        target = quote(f"{parts.path or '/'}?{parts.query}".removesuffix("?"), safe=punctuation)
        try:
            connection.request("GET", target, headers={**sent, "Connection": "close"})
            raw = HTTPResponse(
                cast("socket.socket", _TimedSocket(connection.sock, self._timeout, budget)),
                method="GET",
            )
            raw.begin()
            return Response(raw, connection)
        except (HTTPException, OSError, ValueError) as error:
            connection.close()
            return type(error).__name__

    def _retry_after(self, response: Response) -> float | None:
        """Return the seconds to wait: the header is a number or a date (RFC 9110, 10.2.3)."""
        text = response.headers.get("Retry-After", "")
        if re.fullmatch("[0-9]+", text):
            return float(text)
        with suppress(ValueError, OverflowError, TypeError):  # it is not a date
            when = parsedate_to_datetime(text)
            when = when if when.tzinfo else when.replace(tzinfo=UTC)
            return max(0.0, (when - self._clock()).total_seconds())
        return None
