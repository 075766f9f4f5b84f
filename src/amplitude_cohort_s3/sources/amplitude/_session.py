"""Requests to the API: the keys, JSON, redirects and the limits of downloads."""

import base64
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from attrs import evolve

from ...errors import (
    AmplitudeAccessDeniedError,
    AmplitudeRefusedError,
    AmplitudeUnavailableError,
    CompressionError,
)
from ...format.compression import unpack_chunks
from ._http import Http, Response, ResponseLost, RetryBudget, Secret
from .usage import DownloadLimits, DownloadUsage, parse_usage

OK, ACCEPTED = 200, 202
GONE = {404, 410}
DENIED = {401, 403}
_REDIRECTS = {301, 302, 303, 307, 308}
_MAX_REDIRECTS = 4

# The longest answer is the list of cohorts, with about a KiB for each cohort.
_MAX_ANSWER_BYTES = 64 << 20


class Session:
    """Requests with the keys of one project; threads may share it.

    The arguments are those of :class:`AmplitudeCohorts`.
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
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.base_url = base_url
        pair = base64.b64encode(f"{api_key}:{secret_key}".encode()).decode()
        self._authorization = Secret(f"Basic {pair}")
        self._deadline = deadline
        self.monotonic = monotonic
        self._sleep = sleep
        self._http = Http(timeout=timeout, clock=clock)
        self.limits = DownloadLimits(clock, monotonic)
        self._admitting = threading.Lock()

    def budget(self, step: str) -> RetryBudget:
        """Return the budget of one call, whose deadline starts now."""
        ends_at = self.monotonic() + self._deadline
        return RetryBudget(step, self._deadline, ends_at, self.monotonic, self._sleep)

    def get_json(
        self, path: str, budget: RetryBudget, *, before_try: Callable[[], None] | None = None
    ) -> tuple[int, Any]:
        """Return the status, and the JSON of a success."""
        url = Secret(self.base_url + path)
        while True:
            response = self._get(url, budget, before_try)
            try:
                if response.status not in (OK, ACCEPTED):
                    return response.status, None
                # A RecursionError means that the JSON is nested too deeply.
                with suppress(ValueError, RecursionError, ResponseLost, CompressionError):
                    return response.status, json.loads(_read_answer(response, budget))
            finally:
                response.close()
            budget.failed("the answer is not whole JSON")

    def _get(
        self, url: Secret, budget: RetryBudget, before_try: Callable[[], None] | None = None
    ) -> Response:
        """Send a request with the keys; raise if Amplitude refuses them."""
        response = self._http.get(
            url, budget, authorization=self._authorization, before_try=before_try
        )
        if response.status in DENIED:
            response.close()
            raise AmplitudeAccessDeniedError(self.base_url)
        return response

    def request_download(self, path: str, budget: RetryBudget) -> tuple[int, Any]:
        """Call :meth:`get_json` as soon as the limits on downloads allow one more."""
        # Requests are made one at a time, so that each is counted before the next is admitted.
        with self._admitting:
            return self.get_json(
                path, budget, before_try=lambda: self.limits.admit(self.usage(budget), budget)
            )

    def open_file(
        self, path: str, budget: RetryBudget, headers: Mapping[str, str]
    ) -> tuple[Response, bool]:
        """Open a file of the API or of the store that the API redirects to.

        The headers are sent only to the store, and the keys only to Amplitude.

        Returns:
            The response, and whether it is the store's.
        """
        url = Secret(self.base_url + path)
        response = self._get(url, budget)
        for hop in range(_MAX_REDIRECTS + 1):
            if response.status not in _REDIRECTS:
                return response, hop > 0
            response.close()
            target = self._redirected(url, response.headers.get("Location", ""))
            if target is None:
                break
            url = target
            response = self._http.get(url, budget, headers=headers)
        response.close()
        raise AmplitudeRefusedError(budget.step, response.status)

    def usage(self, budget: RetryBudget) -> DownloadUsage:
        """Return the month's usage as the API reports it, or else as it was counted here."""
        budget = evolve(budget, step="the usage", tries=2)
        try:
            status, answer = self.get_json("/api/3/cohorts/usage", budget)
        except AmplitudeUnavailableError:
            status, answer = 0, None
        reported = parse_usage(answer) if status == OK else None
        return reported or self.limits.counted()

    def _redirected(self, url: Secret, location: str) -> Secret | None:
        """Return the target of a redirect, or None if its connection would not be secure."""
        with suppress(ValueError):  # it is not a URL
            target = urljoin(url.text, location)
            downgraded = self.base_url.startswith("https:") and not target.startswith("https:")
            if is_safe(target) and not downgraded:
                return Secret(target)
        return None


def _read_answer(response: Response, budget: RetryBudget) -> bytearray:
    """Return the body of an answer, decompressed.

    Raises:
        AmplitudeUnavailableError: It is longer than any answer of the API.
    """
    answer = bytearray()
    for chunk in unpack_chunks(response.chunks()):
        answer += chunk
        if len(answer) > _MAX_ANSWER_BYTES:
            reason = f"the answer is longer than {_MAX_ANSWER_BYTES >> 20} MiB"
            raise AmplitudeUnavailableError(budget.step, reason)
    return answer


def is_safe(url: str) -> bool:
    """Return whether a URL uses HTTPS or is local, and contains no password."""
    try:
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
        usable = parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return (parts.scheme == "https" or local) and parts.username is None and usable
