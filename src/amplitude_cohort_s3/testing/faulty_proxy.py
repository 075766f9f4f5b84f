"""A local proxy between an HTTP client and its server, which causes network failures on demand.

It needs only the standard library. It forwards each request to the server, and the response to
the client, unless a rule makes it lose, damage or invent the response::

    with FaultyProxy("http://127.0.0.1:9000") as proxy:
        storage = S3Storage("bucket", endpoint_url=proxy.url)
        proxy.cause(NetworkFault.LOSE_ANSWER, method="PUT", path=r"/bucket/key$")
        storage.create("key", b"data")  # succeeds, although the response is lost
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


class NetworkFault(Enum):
    """A failure that the proxy causes instead of forwarding a request and its response."""

    RESET_BEFORE = "the connection is reset before the server sees the request"
    RESET_AFTER = "the server responds, but the client's connection is reset"
    LOSE_ANSWER = "the server responds, but the client's connection is closed without a response"
    STALL = "the response arrives after `seconds`"
    ERROR_BEFORE = "the client receives an error, and the server does not see the request"
    ERROR_AFTER = "the server carries the request out, but the client receives an error"
    CUT_BODY = "the connection is reset in the middle of the response's body"
    SHORTEN = "half of the response's body is sent as if it were complete"
    FLIP_BIT = "one bit in the middle of the response's body is flipped"
    ADD_HEADERS = "`headers` are added to the response"


@frozen(kw_only=True)
class Rule:
    """A failure, and the requests for which the proxy causes it.

    Attributes:
        fault: The failure.
        method: The method of the requests, such as ``PUT``; empty for any.
        path: A regular expression to search in the path and query of the requests, as sent.
        first: The number of the first matching request that fails, from 1.
        times: The number of consecutive matching requests that fail.
        status: The status of an invented error. (S3 sends some errors with 200.)
        code: The code of an invented error, such as ``SlowDown``.
        message: The message of an invented error.
        body: The body of an invented response that is not an error of S3.
        headers: The headers that are added to the response.
        seconds: The delay of a stalled response, in seconds.
    """

    fault: NetworkFault
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
class _Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class FaultyProxy:
    """The proxy: a context manager that listens on a free port of 127.0.0.1.

    Args:
        target: The URL of the server, such as ``http://127.0.0.1:9000``.
        tls: A context with the certificate for HTTPS. Default: plain HTTP.
    """

    def __init__(self, target: str, *, tls: ssl.SSLContext | None = None) -> None:
        self.target = urlsplit(target).netloc
        self.seen: list[str] = []
        """The method and path of every request, in the order of arrival."""
        self.faults = 0
        """The number of requests to which a rule applied."""
        self._rules: list[_Counted] = []
        self._lock = threading.Lock()
        self._server = _Server(self, tls)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # On Linux, this wakes the thread, which otherwise looks twice a second whether to stop.
        with contextlib.suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def cause(self, fault: NetworkFault, **fields: Any) -> None:
        """Add a rule; the arguments are the fields of :class:`Rule`."""
        with self._lock:
            self._rules.append(_Counted(Rule(fault=fault, **fields)))

    def clear_faults(self) -> None:
        """Remove all rules, and clear ``seen`` and ``faults``."""
        with self._lock:
            self._rules.clear()
            self.seen.clear()
            self.faults = 0

    def rule_for(self, method: str, path: str) -> Rule | None:
        """Count a request, and return the rule that applies to it, or None."""
        found: Rule | None = None
        with self._lock:
            self.seen.append(f"{method} {path}")
            for counted in self._rules:
                rule = counted.rule
                if rule.method not in ("", method) or not re.search(rule.path, path):
                    continue
                counted.seen += 1
                if found is None and rule.first <= counted.seen < rule.first + rule.times:
                    found = rule
            self.faults += found is not None
        return found


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: FaultyProxy, tls: ssl.SSLContext | None) -> None:
        self.proxy = proxy
        self._tls = tls
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            # The thread of the handler makes the handshake, so that no other client waits for it.
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        # The inherited method would end the connection normally instead of resetting it.
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect, because this is what the proxy causes."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""

    def _serve(self) -> None:
        proxy = cast("_Server", self.server).proxy
        body = _read_body(self.rfile, self.headers)
        rule = proxy.rule_for(self.command, self.path)
        fault = None if rule is None else rule.fault
        if rule is not None and fault in (NetworkFault.RESET_BEFORE, NetworkFault.ERROR_BEFORE):
            answer = _invented(rule)
        else:
            answer = self._pass_on(proxy.target, body)
        if rule is not None and fault is NetworkFault.ERROR_AFTER:
            answer = _invented(rule)
        match fault:
            case NetworkFault.RESET_BEFORE | NetworkFault.RESET_AFTER:
                self._reset()
                return
            case NetworkFault.LOSE_ANSWER:
                self.close_connection = True
                return
            case NetworkFault.STALL:
                time.sleep(rule.seconds if rule else 0)
            case NetworkFault.SHORTEN:
                half = answer.body[: len(answer.body) // 2]
                answer = _Response(answer.status, answer.headers, half)
            case NetworkFault.FLIP_BIT:
                answer = _Response(answer.status, answer.headers, _flipped(answer.body))
            case NetworkFault.ADD_HEADERS if rule:
                answer.headers.extend(rule.headers.items())
            case _:
                pass
        self._send(answer, cut=fault is NetworkFault.CUT_BODY)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _pass_on(self, target: str, body: bytes) -> _Response:
        connection = http.client.HTTPConnection(target, timeout=120)
        with contextlib.closing(connection):
            # The signature covers the Host header of the client, so it must not change.
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
            return _Response(response.status, headers, response.read())

    def _send(self, answer: _Response, *, cut: bool) -> None:
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
            # The half must arrive before the reset, which discards bytes in transit.
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


def _invented(rule: Rule) -> _Response:
    if rule.body is not None:
        return _Response(rule.status, [*rule.headers.items()], rule.body.encode())
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{rule.code}</Code><Message>{rule.message}</Message></Error>"
    )
    headers = [("Content-Type", "application/xml"), *rule.headers.items()]
    return _Response(rule.status, headers, body.encode())


def _flipped(body: bytes) -> bytes:
    if not body:
        return body
    damaged = bytearray(body)
    damaged[len(body) // 2] ^= 1
    return bytes(damaged)
