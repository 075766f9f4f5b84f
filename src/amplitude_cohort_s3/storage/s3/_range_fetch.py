"""A range of an object that a thread requests while the reader is busy with other bytes."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

RANGE_BYTES = 4 << 20
"""The size of the ranges that are requested ahead: each costs a request and its latency."""

_CHUNK_BYTES = 256 << 10

# A healthy connection delivers a chunk in less; one that stalls ends with botocore's timeout.
_SECONDS_TO_STOP = 1.0


class RangeFetch:
    """The bytes of a range, which arrive in the background.

    The thread ends with the range, so a reader that pauses has no thread. While the thread runs,
    only two flags are shared: the reader sets the one that cancels it, and may read
    ``is_accepted``. The reader waits for the end of the thread before it uses anything else.

    Args:
        get_object: As in ``ObjectReader``.
        begin: The offset of the first byte.
        end: The offset after the last byte.
        etag: The ETag of the version of the object.
    """

    def __init__(self, get_object: Callable[..., Any], begin: int, end: int, etag: str) -> None:
        self.begin = begin
        self.end = end
        self.is_accepted = False
        """True once the store has answered with the beginning of the range."""
        self.is_refused = False
        """True if the store has answered with something else."""
        self._chunks = deque[bytes]()
        self._missing = end - begin
        self._cancelled = False
        # A daemon: at exit nobody waits for bytes that nobody will read.
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, args=(get_object, etag), name="read-ahead", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # The system has no more threads.
            self._thread = None

    def _run(self, get_object: Callable[..., Any], etag: str) -> None:
        try:
            answer = get_object(Range=f"bytes={self.begin}-{self.end - 1}", IfMatch=etag)
            with closing(answer["Body"]) as body:
                self.is_accepted = _is_range(answer, self.begin, etag)
                self.is_refused = not self.is_accepted
                while self.is_accepted and self._missing and not self._cancelled:
                    chunk = body.read(min(self._missing, _CHUNK_BYTES))
                    if not chunk:
                        return
                    self._missing -= len(chunk)
                    self._chunks.append(chunk)
        except Exception:  # noqa: BLE001 -- the reader requests these bytes again, and raises
            return

    def succeeds(self) -> bool:
        """Wait for the end of the thread; return whether all bytes of the range are there."""
        if self._thread is not None:
            self._thread.join()
        return not self._missing

    def take(self, limit: int) -> bytes:
        """Return and remove the next bytes, at most ``limit``; none if all were taken."""
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        if len(chunk) > limit:
            self._chunks.appendleft(chunk[limit:])
        return chunk[:limit]

    def cancel(self) -> None:
        """Let the thread end as soon as it has read the next bytes."""
        self._cancelled = True

    def wait(self, seconds: float) -> None:
        """Wait for the end of the thread, but not longer than some seconds."""
        # The garbage collector may close a reader in any thread, also in this one.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(0.0, seconds))


def cancel_all(fetches: Iterable[RangeFetch]) -> None:
    """Cancel fetches, and wait for their threads, unless a connection stalls."""
    cancelled = list(fetches)
    for fetch in cancelled:
        fetch.cancel()
    deadline = time.monotonic() + _SECONDS_TO_STOP
    for fetch in cancelled:
        fetch.wait(deadline - time.monotonic())


def is_encoded(answer: dict[str, Any]) -> bool:
    """Return whether a proxy or a writer has compressed the bytes of a response.

    A range of such bytes may be one of the others. ``aws-chunked`` is a form of uploads
    that some stores keep, although it says nothing about the bytes.
    """
    encodings = {name.strip() for name in answer.get("ContentEncoding", "").split(",")}
    return not encodings <= {"", "identity", "aws-chunked"}


def _is_range(answer: dict[str, Any], begin: int, etag: str) -> bool:
    is_range = answer.get("ContentRange", "").startswith(f"bytes {begin}-")
    return is_range and answer["ETag"] == etag and not is_encoded(answer)
