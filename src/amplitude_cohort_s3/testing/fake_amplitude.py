"""Amplitude's Behavioral Cohorts API on this machine, to try a sync with.

Standard library only, written from the API's documentation: the three steps of a download
with its states, the redirect to a pre-signed URL of one minute, the limits, the month's
quota. What the documentation leaves open is an attribute of the fake::

    with FakeAmplitude() as fake:
        fake.set_cohort("26umsb5", [Member("300000000001", "ann", {"plan": "pro"})])
        amplitude = AmplitudeCohorts(fake.api_key, fake.secret_key, base_url=fake.base_url)
        sync_cohort(sync, amplitude.members("26umsb5"), storage)

A lying proxy stands before it, so that answers can be lost, late, cut or damaged::

        fake.lie(Lie.CUT_BODY, path=STORE)
"""

import base64
import csv
import gzip
import io
import json
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self, cast
from urllib.parse import parse_qs, unquote, urlsplit

from attrs import define, field, frozen

from ..format.member import MemberLike
from ..format.schema import RowSchema
from .lying_proxy import Lie, LyingProxy

LIST = r"^/api/3/cohorts$"
"""The requests of each kind, for the ``path`` of a lie."""
USAGE = r"^/api/3/cohorts/usage$"
REQUEST = r"^/api/5/cohorts/request/[^/?]+(\?|$)"
STATUS = r"^/api/5/cohorts/request-status/"
FILE = r"^/api/5/cohorts/request/[^/]+/file$"
STORE = r"^/store/"

_DAY = timedelta(days=1)


@define(kw_only=True)
class FakeCohort:
    """A cohort of the fake.

    Attributes:
        id: Its id.
        members: Who is in it: an iterable that can be read again and again.
        name: What people call it.
        size: The size that the list gives; None where it was never computed.
        last_computed: Seconds since 1970, or None.
        last_modified: Seconds since 1970.
    """

    id: str
    members: Iterable[MemberLike] = field(repr=False)
    name: str
    size: int | None
    last_computed: int | None
    last_modified: int
    _files: dict[tuple[tuple[str, ...], str], bytes] = field(
        factory=dict[tuple[tuple[str, ...], str], bytes], init=False, repr=False
    )

    def packed(self, properties: tuple[str, ...], packing: str) -> bytes:
        """The file of an export, which is made once."""
        if (properties, packing) not in self._files:
            body = b"".join(export_csv(self.members, properties))
            packed = body if packing == "none" else gzip.compress(body, 1, mtime=0)
            self._files[properties, packing] = packed
        return self._files[properties, packing]


@define
class _Export:
    cohort_id: str
    body: bytes
    etag: str
    asked_at: datetime
    polls_left: int


@frozen
class _Answer:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class FakeAmplitude:
    """The server: a context manager that listens on a free port of 127.0.0.1.

    Its attributes may be changed at any time.

    Args:
        clock: Gives the time, which decides on expiry, limits and months.

    Attributes:
        api_key: The key pair that it accepts.
        secret_key: Its other half.
        project_id: The number of the project.
        polls: How often a new export is still in progress when its status is asked for.
        final_state: What its state is then.
        inline_bytes: Larger files come from a pre-signed URL.
        packing: ``"gzip"`` says so in ``Content-Encoding``; ``"unsaid gzip"`` does not.
        ranges: Whether the store knows ETags and serves a part of a file.
        usage_form: What the usage endpoint answers; None for 404.
        downloads: How many were asked for in the present month.
        monthly_limit: How many may be.
        window_limit: How many may be begun within 10 minutes.
        parallel_limit: How many exports of the last minute may be in progress.
        max_users: The largest cohort that can be exported.
        retry_after: Seconds that a 429 asks to wait, or None.
        url_seconds: How long a pre-signed URL lives.
        export_days: How long an export lives.
        limited: What every 429 of the fake was for, in order.
    """

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.clock = clock
        self.api_key = "fake-api-key"
        self.secret_key = "fake-secret-key"  # noqa: S105 -- of no use anywhere else
        self.project_id = 123
        self.polls = 1
        self.final_state = "JOB COMPLETED"
        self.inline_bytes = 64 << 10
        self.packing: Literal["gzip", "unsaid gzip", "none"] = "gzip"
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
        self._exports = dict[str, _Export]()
        self._urls = dict[str, tuple[str, datetime]]()
        self._begun = deque[datetime]()
        self._month = ""
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._proxy = LyingProxy(f"http://127.0.0.1:{self._server.server_address[1]}")

    @property
    def base_url(self) -> str:
        """For ``AmplitudeCohorts(base_url=...)``."""
        return self._proxy.url

    @property
    def requests(self) -> list[str]:
        """Method and path of every request, in the order of arrival."""
        return self._proxy.seen

    def set_cohort(
        self,
        cohort_id: str,
        members: Iterable[MemberLike],
        *,
        name: str | None = None,
        size: int | None = None,
    ) -> FakeCohort:
        """Makes a cohort, or computes one anew with these members.

        Args:
            cohort_id: Its id.
            members: Who is in it: ``Member``, mappings, or pairs of both ids; an iterable
                that can be read again and again. Properties that one lacks are empty.
            name: What people call it.
            size: The size in the list, if it is not to be the number of members.

        Returns:
            What the list gives of it; its attributes may be changed.
        """
        with self._lock:
            before = self._cohorts.get(cohort_id)
            now = int(self.clock().timestamp())
            # Times are whole seconds, and a computation is never as old as the one before.
            if before is not None and before.last_computed is not None:
                now = max(now, before.last_computed + 1)
            cohort = FakeCohort(
                id=cohort_id,
                members=members,
                name=name or f"Cohort {cohort_id}",
                size=sum(1 for _ in members) if size is None else size,
                last_computed=now,
                last_modified=now if before is None else before.last_modified,
            )
            self._cohorts[cohort_id] = cohort
            return cohort

    def remove_cohort(self, cohort_id: str) -> None:
        """Takes a cohort away."""
        with self._lock:
            del self._cohorts[cohort_id]

    def replace_exports(self, body: bytes) -> None:
        """Gives every export that was made other bytes, as a store does that is overwritten."""
        with self._lock:
            for export in self._exports.values():
                export.body, export.etag = body, _new_etag()

    def lie(self, lie: Lie, **fields: Any) -> None:
        """Adds a rule of the proxy: see :class:`~amplitude_cohort_s3.testing.lying_proxy.Rule`."""
        self._proxy.lie(lie, **fields)

    def be_honest(self) -> None:
        """Forgets all lies, and what was asked for."""
        self._proxy.be_honest()

    def start(self) -> Self:
        """Begins to answer; ``with`` does it too, and stops at its end."""
        self._thread.start()
        self._proxy.__enter__()
        return self

    def stop(self) -> None:
        """Ends the server."""
        self._proxy.__exit__()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- the API ------------------------------------------------------------------------

    def answer(self, target: str, headers: Message) -> _Answer:
        """The answer to one GET."""
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        with self._lock:
            if parts.path.startswith("/store/"):
                return self._store(parts.path, query, headers)
            if headers.get("Authorization") != self._expected_authorization():
                return _error(403, "Invalid API/Secret Key combination")
            match [unquote(part) for part in parts.path.split("/")[1:]]:
                case ["api", "3", "cohorts"]:
                    return _json({"cohorts": [self._listed(c) for c in self._cohorts.values()]})
                case ["api", "3", "cohorts", "usage"]:
                    return self._usage()
                case ["api", "5", "cohorts", "request", cohort_id]:
                    return self._request(cohort_id, query.get("propKeys", []))
                case ["api", "5", "cohorts", "request-status", export_id]:
                    return self._status(export_id)
                case ["api", "5", "cohorts", "request", export_id, "file"]:
                    return self._file(export_id, headers)
                case _:
                    return _error(404, "no such page")

    def _expected_authorization(self) -> str:
        pair = f"{self.api_key}:{self.secret_key}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def _listed(self, cohort: FakeCohort) -> dict[str, Any]:
        return {
            "appId": self.project_id,
            "archived": False,
            "definition": {},
            "description": "",
            "finished": True,
            "id": cohort.id,
            "name": cohort.name,
            "owners": ["owner@example.com"],
            "published": True,
            "size": cohort.size,
            "type": "redshift",
            "lastMod": cohort.last_modified,
            "createdAt": cohort.last_modified,
            "lastComputed": cohort.last_computed,
        }

    def _usage(self) -> _Answer:
        self._turn_month()
        following = (self.clock().replace(day=28) + 4 * _DAY).strftime("%Y-%m-01T00:00:00Z")
        match self.usage_form:
            case "nested":
                spent = {"limit": self.monthly_limit, "usage": self.downloads}
                return _json({"rest_download": {**spent, "resets_at": following}})
            case "flat":
                return _json({"limit": self.monthly_limit, "count": self.downloads})
            case None:
                return _error(404, "no such page")

    def _turn_month(self) -> None:
        month = self.clock().strftime("%Y-%m")
        if month != self._month:
            self.downloads = 0 if self._month else self.downloads
            self._month = month

    def _request(self, cohort_id: str, properties: list[str]) -> _Answer:
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
            return _error(404, "unknown cohort")
        if (cohort.size or 0) > self.max_users:
            return _error(400, "the cohort is too large")
        self.downloads += 1
        self._begun.append(now)
        body = cohort.packed(tuple(properties), self.packing)
        export_id = secrets.token_urlsafe(6)
        self._exports[export_id] = _Export(cohort_id, body, _new_etag(), now, self.polls)
        return _json({"request_id": export_id, "cohort_id": cohort_id}, 202)

    def _too_many(self, which: str) -> _Answer:
        self.limited.append(which)
        headers = () if self.retry_after is None else (("Retry-After", str(self.retry_after)),)
        return _Answer(429, json.dumps({"error": f"exceeded {which}"}).encode(), headers)

    def _export(self, export_id: str) -> _Export | None:
        export = self._exports.get(export_id)
        if export is None or self.clock() - export.asked_at > self.export_days * _DAY:
            return None
        return export

    def _status(self, export_id: str) -> _Answer:
        export = self._export(export_id)
        if export is None:
            return _error(404, "unknown request")
        told = {"request_id": export_id, "cohort_id": export.cohort_id}
        if export.polls_left:
            export.polls_left -= 1
            return _json({**told, "async_status": "JOB INPROGRESS"}, 202)
        return _json({**told, "async_status": self.final_state})

    def _file(self, export_id: str, headers: Message) -> _Answer:
        export = self._export(export_id)
        if export is None:
            return _error(404, "unknown request")
        if export.polls_left or self.final_state != "JOB COMPLETED":
            return _error(400, "the export is not made")
        if len(export.body) <= self.inline_bytes:
            return _Answer(200, export.body, self._packed())
        signature = secrets.token_hex(32)
        self._urls[signature] = (export_id, self.clock() + timedelta(seconds=self.url_seconds))
        # By the host that was asked, so that the proxy is in the way here too.
        url = f"http://{headers['Host']}/store/{export_id}.csv?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        return _Answer(
            302,
            headers=(
                ("Location", f"{url}&X-Amz-Expires={self.url_seconds}&X-Amz-Signature={signature}"),
            ),
        )

    def _packed(self) -> tuple[tuple[str, str], ...]:
        encoding = (("Content-Encoding", "gzip"),) if self.packing == "gzip" else ()
        return (("Content-Type", "text/csv"), *encoding)

    # --- the store behind the pre-signed URLs ---------------------------------------------

    def _store(self, path: str, query: dict[str, list[str]], headers: Message) -> _Answer:
        if "Authorization" in headers:
            return _Answer(400, b"<Error><Code>InvalidArgument</Code></Error>")
        export_id, ends = self._urls.get(
            query.get("X-Amz-Signature", [""])[0], ("", datetime.min.replace(tzinfo=UTC))
        )
        if path != f"/store/{export_id}.csv" or self.clock() > ends:
            return _Answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        export = self._exports[export_id]
        described = self._packed()
        if not self.ranges:
            return _Answer(200, export.body, described)
        described = (*described, ("ETag", export.etag), ("Accept-Ranges", "bytes"))
        if headers.get("If-Match", export.etag) != export.etag:
            return _Answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        wanted = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
        if wanted is None:
            return _Answer(200, export.body, described)
        begin, size = int(wanted[1]), len(export.body)
        if begin >= size:
            return _Answer(416, b"<Error><Code>InvalidRange</Code></Error>")
        part = ("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        return _Answer(206, export.body[begin:], (*described, part))


def export_csv(members: Iterable[MemberLike], properties: Sequence[str]) -> Iterator[bytes]:
    """The bytes of an export as the API gives it: every cell in quotes, LF.

    Args:
        members: As :meth:`FakeAmplitude.set_cohort` takes them.
        properties: The user properties that are asked for.
    """
    schema = RowSchema(properties=tuple(properties), header_style="api")
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(schema.header)
    for member in members:
        if isinstance(member, list | tuple):
            writer.writerow([*member, *("" for _ in properties)])
        else:
            writer.writerow(schema.row(member, fill=True))
        if text.tell() > 1 << 20:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _new_etag() -> str:
    return f'"{secrets.token_hex(8)}"'


def _json(value: object, status: int = 200) -> _Answer:
    return _Answer(status, json.dumps(value).encode(), (("Content-Type", "application/json"),))


def _error(status: int, details: str) -> _Answer:
    return _json({"error": {"http_code": status, "metadata": {"details": details}}}, status)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    fake: FakeAmplitude

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The proxy goes away when its client does."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silence."""

    def do_GET(self) -> None:
        answer = cast("_Server", self.server).fake.answer(self.path, self.headers)
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
