"""HTTP servers that are not S3, or that change what an S3 server receives and sends.

``HostileServer(answer)`` answers each request with the page that ``answer`` returns. With
``pass_on`` in it, the server is a proxy::

    with HostileServer(lambda request: pass_on(request, moto.url)) as proxy:
        client = moto.client(proxy.url)
"""

import contextlib
import http.client
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from attrs import frozen


@frozen
class Request:
    """A request; the names of its headers are lower-case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@frozen
class Page:
    """A response, and how its end is marked."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    framing: Literal["length", "chunked", "close"] = "length"


class HostileServer:
    """A server on a free port of 127.0.0.1 that answers as a function decides."""

    def __init__(self, answer: Callable[[Request], Page]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def pass_on(request: Request, target: str) -> Page:
    """Send a request to another server, and return its response."""
    connection = http.client.HTTPConnection(urlsplit(target).netloc, timeout=60)
    with contextlib.closing(connection):
        # The signature covers the Host header of the client, so it must not change.
        connection.putrequest(
            request.method, request.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in request.headers.items():
            if name not in ("connection", "expect", "content-length"):
                connection.putheader(name, value)
        connection.putheader("content-length", str(len(request.body)))
        connection.endheaders(request.body)
        response = connection.getresponse()
        left_out = {"connection", "transfer-encoding"}
        if request.method != "HEAD":
            left_out.add("content-length")
        headers = tuple((n, v) for n, v in response.getheaders() if n.lower() not in left_out)
        return Page(response.status, response.read(), headers)


def _handler_of(server: HostileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Log nothing."""

        def _serve(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            request = Request(self.command, self.path, headers, body)
            server.requests.append(request)
            page = server.answer(request)
            self.send_response_only(page.status)
            for name, value in page.headers:
                self.send_header(name, value)
            if self.command == "HEAD" or page.status in (204, 304):
                self.end_headers()
            elif page.framing == "length":
                self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)
            elif page.framing == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                if page.body:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(page.body), page.body))
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(page.body)
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

    return Handler
