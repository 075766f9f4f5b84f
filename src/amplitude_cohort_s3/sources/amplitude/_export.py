"""One export of a cohort: requested once, and read completely although connections break."""

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from urllib.parse import quote, urlencode

from attrs import define, evolve, field

from ..._bytes import Hashed
from ...errors import (
    AmplitudeRefusedError,
    CompressionError,
    ExportFailedError,
    UnknownCohortError,
)
from ...format.compression import decompress_chunks, unpack_chunks
from ._http import Response, ResponseLost, RetryBudget
from ._json import object_or_empty
from ._session import ACCEPTED, DENIED, GONE, OK, Session

_PARTIAL_CONTENT = 206

# The store's answers to a request for a part of a version that it does not have.
_OTHER_VERSION = {412, 416}

# Exports commonly take 30 to 60 seconds, whatever their size.
_FIRST_POLL, _POLL_GROWTH, _LONGEST_POLL = 2.0, 1.5, 30.0

# Only "JOB INPROGRESS" and "JOB COMPLETED" are documented.
_FAILED = re.compile(r"fail|error|cancel|abort|expire|kill", re.IGNORECASE)

_EXPIRED = "Amplitude keeps an export for 7 days and no longer has this one"
_CHANGED = "its download broke off, and the file has changed since"


@define
class Export:
    """An export that is requested when it is first read. Later readings download the same one."""

    _session: Session
    _cohort_id: str
    _properties: tuple[str, ...]
    _id: str | None = field(default=None, init=False)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the file, decompressed."""
        budget = self._session.budget(f"the download of {self._cohort_id!r}")
        with self._session.limits.slot(budget):
            if self._id is None:
                self._id = self._request(budget)
            export_id = quote(self._id, safe="")
            self._wait(f"/api/5/cohorts/request-status/{export_id}", budget)
            path = f"/api/5/cohorts/request/{export_id}/file"
            yield from read_export(
                lambda headers: self._open(path, headers, budget), budget, self._cohort_id
            )

    def _request(self, budget: RetryBudget) -> str:
        path = f"/api/5/cohorts/request/{quote(self._cohort_id, safe='')}"
        if self._properties:
            keys = [("propKeys", name) for name in self._properties]
            path += f"?{urlencode([('props', '1'), *keys])}"
        status, answer = self._session.request_download(path, budget)
        if status in GONE:
            raise UnknownCohortError(self._cohort_id)
        export_id = object_or_empty(answer).get("request_id")
        if not isinstance(export_id, str) or not re.fullmatch(r"[!-~]{1,200}", export_id):
            raise AmplitudeRefusedError(budget.step, status)
        return export_id

    def _wait(self, path: str, budget: RetryBudget) -> None:
        """Poll until the export is complete; raise if it failed or expired."""
        pause = _FIRST_POLL
        while True:
            status, answer = self._session.get_json(path, budget)
            if status in GONE:
                raise ExportFailedError(self._cohort_id, _EXPIRED)
            if status not in (OK, ACCEPTED):
                raise AmplitudeRefusedError(budget.step, status)
            state = str(object_or_empty(answer).get("async_status"))
            if status == OK and state == "JOB COMPLETED":
                return
            if status == OK or _FAILED.search(state):
                shown = re.sub(r"[^A-Za-z _-]", "", state)[:40]
                reason = f"Amplitude reports the state {shown!r}"
                raise ExportFailedError(self._cohort_id, reason)
            budget.pause(pause)
            pause = min(pause * _POLL_GROWTH, _LONGEST_POLL)

    def _open(self, path: str, headers: Mapping[str, str], budget: RetryBudget) -> Response:
        """Open the file; request a new URL if that of the store has expired."""
        while True:
            response, is_stored = self._session.open_file(path, budget, headers)
            status = response.status
            if status in (OK, _PARTIAL_CONTENT):
                return response
            response.close()
            if is_stored and status in DENIED | GONE:
                budget.failed("the store refused the URL, as it does after the URL has expired")
            elif is_stored and status in _OTHER_VERSION:
                headers = {}
                budget.failed("the store has another version of the file")
            elif status in GONE:
                raise ExportFailedError(self._cohort_id, _EXPIRED)
            else:
                raise AmplitudeRefusedError(budget.step, status)


# --- The bytes of the file -------------------------------------------------------------
#
# A download that breaks off is resumed where it broke off, if the store supports ranges and
# a strong ETag shows that the file is still the same. Otherwise it starts again, and must
# begin with the bytes that were delivered already: their size and digest are kept for that.
# So the caller receives the whole file or an error, never a part that looks like the whole.

OpenFile = Callable[[Mapping[str, str]], Response]
"""A function that opens an export's file with these headers."""


def read_export(open_file: OpenFile, budget: RetryBudget, cohort_id: str) -> Iterator[bytes]:
    """Yield the bytes of the file, decompressed; raise if a restart delivers another file."""
    delivered = Hashed()
    restarts = evolve(budget)
    while True:
        response = open_file({})
        # Some responses are gzip without the header for it.
        is_gzip = response.headers.get("Content-Encoding") == "gzip"
        unpack = decompress_chunks if is_gzip else unpack_chunks
        try:
            # The connection is closed even if an error ends the loop early.
            with closing(_resumed(response, open_file, budget)) as sent:
                for chunk in _remaining(unpack(sent), delivered, cohort_id):
                    delivered.update(chunk)
                    yield chunk
        except ResponseLost:
            fault = "the connection broke and could not be resumed"
        except CompressionError:
            fault = "the bytes arrived damaged or cut off"
        else:
            return
        restarts.failed(fault)


def _resumed(response: Response, open_file: OpenFile, budget: RetryBudget) -> Generator[bytes]:
    """Yield the bytes as they were sent, resumed after each break if that is possible."""
    offset = 0
    etag = response.headers.get("ETag", "")
    while True:
        try:
            with closing(response):
                for chunk in response.chunks():
                    offset += len(chunk)
                    budget.progressed()
                    yield chunk
        except ResponseLost as lost:
            fault = str(lost)
        else:
            return
        budget.failed(fault)
        # A weak ETag (W/"...") does not guarantee equal bytes.
        if not offset or not etag.startswith('"'):
            raise ResponseLost(fault)
        response = open_file({"Range": f"bytes={offset}-", "If-Match": etag})
        # A server may ignore either header.
        part = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        same = response.status == _PARTIAL_CONTENT and response.headers.get("ETag") == etag
        if not same or part is None or int(part[1]) != offset:
            response.close()
            raise ResponseLost(fault)


def _remaining(whole: Iterable[bytes], delivered: Hashed, cohort_id: str) -> Iterator[bytes]:
    """Yield the bytes after the delivered ones, in a download from the start."""
    missing, expected, seen = delivered.size, delivered.sha256, Hashed()
    for chunk in whole:
        seen.update(chunk[:missing])
        rest = chunk[missing:]
        missing = max(0, missing - len(chunk))
        if rest:
            if seen.sha256 != expected:
                raise ExportFailedError(cohort_id, _CHANGED)
            yield rest
    if missing or seen.sha256 != expected:
        raise ExportFailedError(cohort_id, _CHANGED)
