"""A server that sends prepared bytes instead of correct HTTP responses."""

import contextlib
import socket
import threading
import time


class RawServer:
    """Answers each request with the bytes that a function of its path yields.

    Args:
        answer: A function from the path of a request to the pieces of the answer.
    """

    def __init__(self, answer):
        self._answer = answer
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            head = b""
            while b"\r\n\r\n" not in head:
                received = connection.recv(65_536)
                if not received:
                    return
                head += received
            for piece in self._answer(head.split(b" ")[1].decode()):
                if self._stopped.is_set():
                    return
                connection.sendall(piece)


def http(body, headers=b"", status=b"200 OK"):
    """Return a whole response."""
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, headers, len(body), body)


def endless(first, piece, pause):
    """Yield the beginning of a response, and then the same bytes for ever."""
    yield first
    while True:
        yield piece
        time.sleep(pause)
