"""A proxy on this machine that lies between an S3 client and its server, on demand.

Standard library only. It carries each request to the server and back, except
where a rule tells it to lose, break or invent an answer::

    with LyingProxy("http://127.0.0.1:9000") as proxy:
        storage = S3Storage("bucket", endpoint_url=proxy.url)
        proxy.lie(Lie.LOSE_ANSWER, method="PUT", path=r"/bucket/key$")
        storage.create("key", b"data")  # settled, though its answer was lost
"""

import contextlib
import http.client
import re
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Mapping
from email.message import Message
from enum import Enum
from http.server import BaseHTTPRequestHandler
from typing import Any, Self, cast
from urllib.parse import urlsplit

from attrs import define, frozen


class Lie(Enum):
    """What the proxy can do instead of carrying a request and its answer."""

    RESET_BEFORE = "the connection is reset before the server sees the request"
    RESET_AFTER = "the server answers, the connection is reset instead"
    LOSE_ANSWER = "the server answers, the connection is closed without a word"
    STALL = "the server answers, but the answer comes `seconds` late"
    ERROR_BEFORE = "an error is answered, the server never sees the request"
    ERROR_AFTER = "the server carries the request out, an error is answered"
    CUT_BODY = "the connection is reset in the middle of the answer's body"
    SHORTEN = "half of the answer's body is sent as if it were the whole"
    FLIP_BIT = "one bit in the middle of the answer's body is another"
    ADD_HEADERS = "`headers` are added to the answer"


@frozen(kw_only=True)
class Rule:
    """Which requests are met by which lie.

    Attributes:
        lie: What happens.
        method: The method, such as ``PUT``; any, if empty.
        path: A regular expression that is searched in path and query as sent.
        first: The first of the matching requests that is met, counted from 1.
        times: How many are met from then on.
        status: The status of an invented error. (S3 sends some errors with 200.)
        code: The error's code, such as ``SlowDown``.
        message: The error's message.
        body: The invented answer's body, if it is not to be an error of S3.
        headers: Added to the answer.
        seconds: How long a stalled answer waits.
    """

    lie: Lie
    method: str = ""
    path: str = ""
    first: int = 1
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    message: str = "injected"
    body: str | None = None
    headers: Mapping[str, str] = {}
    seconds: float = 1.0


@define
class _Counted:
    rule: Rule
    seen: int = 0


@frozen
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class LyingProxy:
    """The proxy: a context manager that listens on a free port of 127.0.0.1.

    Args:
        target: The URL of the server, such as ``http://127.0.0.1:9000``.
        tls: Makes the proxy speak HTTPS with this context's certificate.
    """

    def __init__(self, target: str, *, tls: ssl.SSLContext | None = None) -> None:
        self.target = urlsplit(target).netloc
        self.seen: list[str] = []
        """Method and path of every request, in the order of arrival."""
        self.lies_told = 0
        """How many requests met a rule."""
        self._rules: list[_Counted] = []
        self._lock = threading.Lock()
        self._server = _Server(self, tls)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def lie(self, lie: Lie, **fields: Any) -> None:
        """Adds a rule; the arguments are the fields of :class:`Rule`."""
        with self._lock:
            self._rules.append(_Counted(Rule(lie=lie, **fields)))

    def be_honest(self) -> None:
        """Forgets all rules and what was seen."""
        with self._lock:
            self._rules.clear()
            self.seen.clear()
            self.lies_told = 0

    def rule_for(self, method: str, path: str) -> Rule | None:
        """The rule that meets this request, which is counted."""
        met: Rule | None = None
        with self._lock:
            self.seen.append(f"{method} {path}")
            for counted in self._rules:
                rule = counted.rule
                if rule.method not in ("", method) or not re.search(rule.path, path):
                    continue
                counted.seen += 1
                if met is None and rule.first <= counted.seen < rule.first + rule.times:
                    met = rule
            self.lies_told += met is not None
        return met


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: LyingProxy, tls: ssl.SSLContext | None) -> None:
        self.proxy = proxy
        self._tls = tls
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            # The handshake belongs to the handler's thread, not to this one.
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        # A polite shutdown would turn a reset into an ordinary end.
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are the point of this proxy."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silence."""

    def _serve(self) -> None:
        proxy = cast("_Server", self.server).proxy
        body = _read_body(self.rfile, self.headers)
        rule = proxy.rule_for(self.command, self.path)
        lie = None if rule is None else rule.lie
        if rule is not None and lie in (Lie.RESET_BEFORE, Lie.ERROR_BEFORE):
            answer = _invented(rule)
        else:
            answer = self._carry(proxy.target, body)
        if rule is not None and lie is Lie.ERROR_AFTER:
            answer = _invented(rule)
        match lie:
            case Lie.RESET_BEFORE | Lie.RESET_AFTER:
                self._reset()
                return
            case Lie.LOSE_ANSWER:
                self.close_connection = True
                return
            case Lie.STALL:
                time.sleep(rule.seconds if rule else 0)
            case Lie.SHORTEN:
                half = answer.body[: len(answer.body) // 2]
                answer = _Answer(answer.status, answer.headers, half)
            case Lie.FLIP_BIT:
                answer = _Answer(answer.status, answer.headers, _flipped(answer.body))
            case Lie.ADD_HEADERS if rule:
                answer.headers.extend(rule.headers.items())
            case _:
                pass
        self._send(answer, cut=lie is Lie.CUT_BODY)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _carry(self, target: str, body: bytes) -> _Answer:
        connection = http.client.HTTPConnection(target, timeout=120)
        with contextlib.closing(connection):
            # The signature covers the Host that the client knows: it stays.
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            if body or self.command in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            headers = [
                (name, value)
                for name, value in response.getheaders()
                if name.lower() not in _HOP_BY_HOP or self.command == "HEAD"
            ]
            return _Answer(response.status, headers, response.read())

    def _send(self, answer: _Answer, *, cut: bool) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        body = answer.body
        if self.command != "HEAD" and answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            # The half must have arrived: a reset discards what is on its way.
            time.sleep(0.2)
            self._reset()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


_HOP_BY_HOP = {"connection", "content-length", "expect", "keep-alive", "transfer-encoding"}


def _read_body(stream: Any, headers: Message) -> bytes:
    if "chunked" not in headers.get("Transfer-Encoding", ""):
        return bytes(stream.read(int(headers.get("Content-Length", 0))))
    body = bytearray()
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return bytes(body)


def _invented(rule: Rule) -> _Answer:
    if rule.body is not None:
        return _Answer(rule.status, [*rule.headers.items()], rule.body.encode())
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{rule.code}</Code><Message>{rule.message}</Message></Error>"
    )
    headers = [("Content-Type", "application/xml"), *rule.headers.items()]
    return _Answer(rule.status, headers, body.encode())


def _flipped(body: bytes) -> bytes:
    if not body:
        return body
    damaged = bytearray(body)
    damaged[len(body) // 2] ^= 1
    return bytes(damaged)
