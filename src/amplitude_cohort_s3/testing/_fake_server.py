"""The HTTP server of :class:`FakeAmplitude`."""

import json
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from attrs import frozen


@frozen
class Answer:
    """The status, body and headers of an answer."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def json_answer(value: object, status: int = 200) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, json.dumps(value).encode(), (("Content-Type", "application/json"),))


def error_answer(status: int, details: str) -> Answer:
    """Return an error in the form of Amplitude's API."""
    return json_answer({"error": {"http_code": status, "metadata": {"details": details}}}, status)


class FakeServer(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1 that calls a function to answer GET requests."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[str, Message], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: the proxy closes its connection when its client does."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""

    def do_GET(self) -> None:
        answer = cast("FakeServer", self.server).answer(self.path, self.headers)
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
