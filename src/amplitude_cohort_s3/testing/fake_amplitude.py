"""A fake of Amplitude's Behavioral Cohorts API on this machine, for trying out a sync.

It follows the API's documentation, and needs only the standard library. It has the three steps of
a download with their states, the redirect to a URL that is signed for one minute, the rate limits
and the monthly quota. Its attributes determine what the documentation does not state::

    with FakeAmplitude() as fake:
        fake.set_cohort("26umsb5", [Member("300000000001", "ann", {"plan": "pro"})])
        amplitude = AmplitudeCohorts(fake.api_key, fake.secret_key, base_url=fake.base_url)
        sync_cohort(sync, amplitude.members("26umsb5"), storage)

Requests go through a proxy that can lose, delay, cut or damage answers::

        fake.cause(NetworkFault.CUT_BODY, path=STORE)
"""

import base64
import json
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from ..format.member import MemberLike
from ._fake_exports import Export, FakeCohort, FakeStore, Packing, file_headers
from ._fake_server import Answer, FakeServer, error_answer, json_answer
from .faulty_proxy import FaultyProxy, NetworkFault

LIST = r"^/api/3/cohorts$"
"""The pattern of requests for the list of cohorts, for ``path`` of :meth:`FakeAmplitude.cause`. The
following constants are the patterns of the other requests."""
USAGE = r"^/api/3/cohorts/usage$"
REQUEST = r"^/api/5/cohorts/request/[^/?]+(\?|$)"
STATUS = r"^/api/5/cohorts/request-status/"
FILE = r"^/api/5/cohorts/request/[^/]+/file$"
STORE = r"^/store/"

_DAY = timedelta(days=1)


class FakeAmplitude:
    """The fake: a context manager with a server on a free port of 127.0.0.1.

    Its attributes may be changed at any time.

    Args:
        clock: A function that returns the time, for the expiry, the limits and the monthly quota.

    Attributes:
        api_key: The API key that is accepted.
        secret_key: The secret key that is accepted.
        project_id: The number of the project.
        polls: The number of status requests for which a new export is still in progress.
        final_state: The state of an export after that.
        inline_bytes: The size in bytes above which a file is served from a pre-signed URL.
        packing: The compression; ``"unsaid gzip"`` means gzip without ``Content-Encoding``.
        ranges: True if the store sends ETags and serves parts of a file.
        usage_form: The form of the usage endpoint's answer; None for the status 404.
        downloads: The number of downloads that were requested this month.
        monthly_limit: The largest number of downloads in a month.
        window_limit: The largest number of downloads requested within 10 minutes.
        parallel_limit: The largest number of exports in progress; an export that was requested
            more than a minute ago does not count.
        max_users: The size of the largest cohort that can be exported.
        retry_after: The header ``Retry-After`` of a 429, in seconds; None for no header.
        url_seconds: The lifetime of a pre-signed URL, in seconds.
        export_days: The lifetime of an export, in days.
        limited: The limit that caused each 429, in order.
    """

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.clock = clock
        self.api_key = "fake-api-key"
        self.secret_key = "fake-secret-key"  # noqa: S105 -- accepted only by this fake
        self.project_id = 123
        self.polls = 1
        self.final_state = "JOB COMPLETED"
        self.inline_bytes = 64 << 10
        self.packing: Packing = "gzip"
        self.ranges = True
        self.usage_form: Literal["nested", "flat"] | None = "nested"
        self.downloads = 0
        self.monthly_limit = 500
        self.window_limit = 60
        self.parallel_limit = 4
        self.max_users = 2_000_000
        self.retry_after: int | None = 5
        self.url_seconds = 60
        self.export_days = 7
        self.limited = list[str]()
        self._cohorts = dict[str, FakeCohort]()
        self._exports = dict[str, Export]()
        self._store = FakeStore()
        self._begun = deque[datetime]()
        self._month = ""
        self._lock = threading.RLock()
        self._server = FakeServer(self.answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._proxy = FaultyProxy(f"http://127.0.0.1:{self._server.server_address[1]}")

    @property
    def base_url(self) -> str:
        """The URL for ``AmplitudeCohorts(base_url=...)``."""
        return self._proxy.url

    @property
    def requests(self) -> list[str]:
        """The method and path of every request, in the order of arrival."""
        return self._proxy.seen

    def set_cohort(
        self,
        cohort_id: str,
        members: Iterable[MemberLike],
        *,
        name: str | None = None,
        size: int | None = None,
    ) -> FakeCohort:
        """Create a cohort, or replace an existing one as if it was computed again.

        Args:
            cohort_id: The id.
            members: ``Member`` objects, mappings, or pairs of both ids, in an iterable that can
                be read more than once. Properties that a member lacks are empty.
            name: The name of the cohort in Amplitude. Default: as before, or made of the id.
            size: The size in the list of cohorts. Default: the number of members.

        Returns:
            The cohort, whose attributes may be changed.
        """
        with self._lock:
            before = self._cohorts.get(cohort_id)
            now = int(self.clock().timestamp())
            # Times are whole seconds, and each computation is later than the one before.
            if before is not None and before.last_computed is not None:
                now = max(now, before.last_computed + 1)
            cohort = FakeCohort(
                id=cohort_id,
                members=members,
                name=name or (before.name if before else f"Cohort {cohort_id}"),
                size=sum(1 for _ in members) if size is None else size,
                last_computed=now,
                last_modified=now if before is None else before.last_modified,
            )
            self._cohorts[cohort_id] = cohort
            return cohort

    def remove_cohort(self, cohort_id: str) -> None:
        """Remove a cohort."""
        with self._lock:
            del self._cohorts[cohort_id]

    def replace_exports(self, body: bytes) -> None:
        """Overwrite the file of each export that was requested so far."""
        with self._lock:
            for export in self._exports.values():
                export.replace(body)

    def cause(self, fault: NetworkFault, **fields: Any) -> None:
        """Add a rule to the proxy: see :class:`~amplitude_cohort_s3.testing.faulty_proxy.Rule`."""
        self._proxy.cause(fault, **fields)

    def clear_faults(self) -> None:
        """Remove all rules of the proxy, and clear :attr:`requests`."""
        self._proxy.clear_faults()

    def start(self) -> Self:
        """Start the server. A ``with`` block calls this, and :meth:`stop` at its end."""
        self._thread.start()
        self._proxy.__enter__()
        return self

    def stop(self) -> None:
        """Stop the server."""
        self._proxy.__exit__()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- the API ------------------------------------------------------------------------

    def answer(self, target: str, headers: Message) -> Answer:
        """Return the answer to a GET request."""
        parts = urlsplit(target)
        with self._lock:
            if parts.path.startswith("/store/"):
                return self._store.answer(
                    target, headers, now=self.clock(), packing=self.packing, ranges=self.ranges
                )
            if headers.get("Authorization") != self._expected_authorization():
                return error_answer(403, "Invalid API/Secret Key combination")
            match [unquote(part) for part in parts.path.split("/")[1:]]:
                case ["api", "3", "cohorts"]:
                    cohorts = [one for one in self._cohorts.values() if one.published]
                    listed = [cohort.listed(self.project_id) for cohort in cohorts]
                    return json_answer({"cohorts": listed})
                case ["api", "3", "cohorts", "usage"]:
                    return self._usage()
                case ["api", "5", "cohorts", "request", cohort_id]:
                    return self._request(cohort_id, parse_qs(parts.query).get("propKeys", []))
                case ["api", "5", "cohorts", "request-status", export_id]:
                    return self._status(export_id)
                case ["api", "5", "cohorts", "request", export_id, "file"]:
                    return self._file(export_id, headers)
                case _:
                    return error_answer(404, "no such page")

    def _expected_authorization(self) -> str:
        pair = f"{self.api_key}:{self.secret_key}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def _usage(self) -> Answer:
        self._turn_month()
        following = (self.clock().replace(day=28) + 4 * _DAY).strftime("%Y-%m-01T00:00:00Z")
        match self.usage_form:
            case "nested":
                spent = {"limit": self.monthly_limit, "usage": self.downloads}
                return json_answer({"rest_download": {**spent, "resets_at": following}})
            case "flat":
                return json_answer({"limit": self.monthly_limit, "count": self.downloads})
            case None:
                return error_answer(404, "no such page")

    def _turn_month(self) -> None:
        month = self.clock().strftime("%Y-%m")
        if month != self._month:
            self.downloads = 0 if self._month else self.downloads
            self._month = month

    def _request(self, cohort_id: str, properties: list[str]) -> Answer:
        self._turn_month()
        now = self.clock()
        while self._begun and now - self._begun[0] >= timedelta(minutes=10):
            self._begun.popleft()
        if self.downloads >= self.monthly_limit:
            return self._too_many("downloads per month")
        if len(self._begun) >= self.window_limit:
            return self._too_many("requests per 10 minutes")
        minute_ago = now - timedelta(minutes=1)
        running = [e for e in self._exports.values() if e.polls_left and e.asked_at > minute_ago]
        if len(running) >= self.parallel_limit:
            return self._too_many("parallel requests")
        cohort = self._cohorts.get(cohort_id)
        if cohort is None:
            return error_answer(404, "unknown cohort")
        if (cohort.size or 0) > self.max_users:
            return error_answer(400, "the cohort is too large")
        self.downloads += 1
        self._begun.append(now)
        body = cohort.packed(tuple(properties), self.packing)
        export_id = secrets.token_urlsafe(6)
        self._exports[export_id] = Export(cohort_id, body, now, self.polls)
        return json_answer({"request_id": export_id, "cohort_id": cohort_id}, 202)

    def _too_many(self, which: str) -> Answer:
        self.limited.append(which)
        headers = () if self.retry_after is None else (("Retry-After", str(self.retry_after)),)
        return Answer(429, json.dumps({"error": f"exceeded {which}"}).encode(), headers)

    def _export(self, export_id: str) -> Export | None:
        export = self._exports.get(export_id)
        if export is None or self.clock() - export.asked_at > self.export_days * _DAY:
            return None
        return export

    def _status(self, export_id: str) -> Answer:
        export = self._export(export_id)
        if export is None:
            return error_answer(404, "unknown request")
        ids = {"request_id": export_id, "cohort_id": export.cohort_id}
        if export.polls_left:
            export.polls_left -= 1
            return json_answer({**ids, "async_status": "JOB INPROGRESS"}, 202)
        return json_answer({**ids, "async_status": self.final_state})

    def _file(self, export_id: str, headers: Message) -> Answer:
        export = self._export(export_id)
        if export is None:
            return error_answer(404, "unknown request")
        if export.polls_left or self.final_state != "JOB COMPLETED":
            return error_answer(400, "the export is not complete")
        if len(export.body) <= self.inline_bytes:
            return Answer(200, export.body, file_headers(self.packing))
        # The URL has the host of the request, so that requests for it go through the proxy too.
        url = self._store.sign(headers["Host"], export_id, export, self.clock(), self.url_seconds)
        return Answer(302, headers=(("Location", url),))
