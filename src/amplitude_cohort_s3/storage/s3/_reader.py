"""A stream over one version of an object, which continues after a broken connection."""

import io
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError
from typing_extensions import Buffer, override
from urllib3.exceptions import HTTPError

from ...errors import CohortS3Error, ObjectChangedError, StoreUnavailableError
from ._range_fetch import RANGE_BYTES, RangeFetch, cancel_all, is_encoded
from .errors import NotS3ResponseError, error_code, translate, translated

BUFFER_BYTES = 64 << 10
"""The buffer of a stream, and so the smallest range that is requested after a seek."""

CONNECTIONS = 6
"""The number of ranges that are requested at a time."""

_READ_BYTES = 1 << 20

# A caller that needs only the header, or searches for a row, reads less than this. Ranges are
# requested ahead only after these bytes, and only if at least _MIN_BYTES_AHEAD are left.
_SEQUENTIAL_BYTES = 1 << 20
_MIN_BYTES_AHEAD = 8 << 20

# If one connection delivers this many bytes in a second of waiting, more would only cost time.
_ENOUGH_PER_SECOND = 200e6

# Seconds before each new try. botocore retries a request, but not the reading of its body.
_PAUSES = (1, 2, 4, 8)


class ObjectReader(io.RawIOBase):
    """The bytes of an object, read from a single response while that is enough.

    A single connection to S3 is often slower than the network. So if a reader goes on after
    the first MiB of a large object and has to wait, threads request the next ranges of it,
    each of 4 MiB, while the reader is busy with the bytes before. At most ``connections``
    ranges are held, and one more that is being read. Each thread ends with its range.

    The first response stays open until the first of these ranges has arrived. If that fails,
    because the store ignores ranges, or for whatever reason, the reader goes on with the
    response. If a later range fails, or the connection breaks, the reader requests the rest
    of the object with ``Range``; only this request raises errors. The condition ``If-Match``
    makes sure that all bytes are of the same version.

    After a seek, a small range is requested; each that follows is twice as large.

    Args:
        get_object: A function that sends the request for the object, with the arguments that
            it is called with, and checks that the response is one of S3. Several threads
            call it at a time.
        bucket: The bucket's name, for messages.
        key: The object's key, for messages.
        connections: The number of ranges to request at a time; 1 to use a single response.

    Raises:
        ObjectNotFoundError: There is no object.
    """

    def __init__(
        self,
        get_object: Callable[..., Any],
        bucket: str,
        key: str,
        connections: int = CONNECTIONS,
    ) -> None:
        self._get_object = get_object
        self._bucket = bucket
        self._key = key
        self._position = 0
        self._body: Any = None
        self._body_end: int | None = None  # None: it goes on to the end of the object
        self._arrived: RangeFetch | None = None
        self._ahead = deque[RangeFetch]()
        self._next_begin: int | None = None
        self._window = 1
        # The bytes that were read since the last seek or failure, and the number of them
        # after which ranges are requested ahead.
        self._run_bytes, self._needed_bytes = 0, _SEQUENTIAL_BYTES
        self._run_seconds = 0.0  # the time spent waiting for them
        self._is_sought = False
        self._process = os.getpid()
        answer = self._send()
        self._etag = answer["ETag"]
        self._size: int | None = answer.get("ContentLength")
        about = answer.get("ResponseMetadata", {})
        if self._size is None and "chunked" not in about.get("HTTPHeaders", {}).get(
            "transfer-encoding", ""
        ):
            # The end of the object would look like the end of the connection.
            raise self._not_s3("it has neither a length nor chunks")
        # botocore compares the checksum of an object only with the bytes of one response.
        has_checksum = about.get("ChecksumAlgorithm") is not None
        is_whole = self._size is None or has_checksum or is_encoded(answer)
        self._connections = 1 if is_whole else connections

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END and self._size is None:
            raise io.UnsupportedOperation("the store did not report the size of the object")
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size or 0}[whence]
        position = max(0, start + offset)
        if position != self._position:
            self._release()
            self._position = position
            self._run_bytes, self._run_seconds, self._is_sought = 0, 0.0, True
        return position

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._next_bytes(len(view))
        view[: len(data)] = data
        return len(data)

    @override
    def readall(self) -> bytes:
        return b"".join(iter(lambda: self._next_bytes(_READ_BYTES), b""))

    @override
    def close(self) -> None:
        self._release()
        super().close()

    def _next_bytes(self, limit: int) -> bytes:
        """Return the next bytes, at most ``limit``; none at the end of the object."""
        if self.closed:
            raise ValueError("read of a closed stream")
        if not limit:
            return b""
        if self._process != os.getpid():
            # The responses are still read by the parent, from the same sockets.
            self._forget_ahead()
            self._release_body()
            self._process = os.getpid()
        data = self._take_ahead(limit) or self._read_response(limit)
        self._position += len(data)
        self._run_bytes += len(data)
        self._request_ahead()
        return data

    # --- One response ------------------------------------------------------------------------

    def _read_response(self, limit: int) -> bytes:
        if self._position == self._body_end:
            self._release_body()
        limit = min(limit, _READ_BYTES)
        if self._ahead:
            limit = min(limit, self._ahead[0].begin - self._position)
        broken: Exception | None = None
        for pause in (None, *_PAUSES):
            if pause is not None:
                time.sleep(pause)
                self._release_body()
            if self._body is None and self._is_at_end:
                return b""
            skip = self._continue(limit) if self._body is None else 0
            body: Any = self._body
            try:
                while skip and (skipped := len(body.read(min(skip, _READ_BYTES)))):
                    skip -= skipped
                began = time.monotonic()
                data: bytes = body.read(limit)
                self._run_seconds += time.monotonic() - began
            except FlexibleChecksumError as error:
                # The caller has these bytes already, so reading again can't repair them.
                raise ObjectChangedError(self._key) from error
            except (OSError, BotoCoreError, HTTPError) as error:
                broken = error
            else:
                if data or self._size is None or self._is_at_end:
                    return data
        raise StoreUnavailableError(self._bucket, "GetObject broke off") from broken

    @property
    def _is_at_end(self) -> bool:
        return self._size is not None and self._position >= self._size

    def _release_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body, self._body_end = None, None

    def _continue(self, limit: int) -> int:
        """Request the next bytes, and return how many bytes before them are to be skipped."""
        begin, end = self._position, self._end_of_request(limit)
        last = "" if end is None else end - 1
        answer = self._send(
            IfMatch=self._etag, **({"Range": f"bytes={begin}-{last}"} if begin or end else {})
        )
        if answer["ETag"] != self._etag:
            # The store ignores the condition.
            raise ObjectChangedError(self._key, while_reading=True)
        found = answer.get("ContentRange")
        if found is None:
            # The store ignores ranges and sends the whole object.
            self._connections = 1
            return begin
        if not found.startswith(f"bytes {begin}-"):
            raise self._not_s3("it has another range")
        self._body_end = end
        return 0

    def _end_of_request(self, limit: int) -> int | None:
        """Return the end of the range to request, or None for the rest of the object."""
        if self._ahead:
            return self._ahead[0].begin
        if not self._is_sought or self._size is None or self._run_bytes >= self._needed_bytes:
            return None
        end = self._position + max(limit, BUFFER_BYTES, self._run_bytes)
        return end if end < self._size else None

    def _send(self, **condition: str) -> dict[str, Any]:
        with translated(self._bucket, self._key):
            try:
                answer: dict[str, Any] = self._get_object(**condition)
            except ClientError as error:
                if error_code(error) == "PreconditionFailed":
                    raise ObjectChangedError(self._key, while_reading=True) from error
                raise
        self._body = answer["Body"]
        return answer

    def _not_s3(self, found: str) -> CohortS3Error:
        self._release()
        response = NotS3ResponseError(operation="GetObject", found=found)
        return translate(response, self._bucket, self._key)

    # --- Ranges ahead ------------------------------------------------------------------------

    def _request_ahead(self) -> None:
        """Request more ranges: one at first, and twice as many after each that is accepted."""
        if self._connections == 1 or self._size is None:
            return
        if self._next_begin is None:
            if not self._is_worth_it(self._size - self._position):
                return
            # Until the first range has arrived, the present response has bytes to read.
            end = self._size if self._body_end is None else self._body_end
            is_open = self._body is not None
            self._next_begin = min(self._position + RANGE_BYTES, end) if is_open else self._position
            self._window = 1
        elif self._arrived is not None or (self._ahead and self._ahead[0].is_accepted):
            self._window = min(2 * self._window, self._connections)
        while len(self._ahead) < self._window and self._next_begin < self._size:
            end = min(self._next_begin + RANGE_BYTES, self._size)
            self._ahead.append(RangeFetch(self._get_object, self._next_begin, end, self._etag))
            self._next_begin = end

    def _is_worth_it(self, left: int) -> bool:
        if left < _MIN_BYTES_AHEAD or self._run_bytes < self._needed_bytes:
            return False
        return self._run_seconds * _ENOUGH_PER_SECOND > self._run_bytes

    def _take_ahead(self, limit: int) -> bytes:
        """Return the next bytes if they were requested ahead and have arrived, else none."""
        if self._arrived is not None and (data := self._arrived.take(limit)):
            return data
        self._arrived = None
        if not self._ahead or self._ahead[0].begin != self._position:
            return b""
        fetch = self._ahead[0]
        succeeds = fetch.succeeds()  # If this is interrupted, close() cancels the fetch.
        self._ahead.popleft()
        if succeeds:
            self._release_body()
            self._arrived = fetch
            return fetch.take(limit)
        if fetch.is_refused:
            self._connections = 1
        if fetch.is_refused or self._body is not None or not self._ahead:
            # Begin again later, because it may have been the network.
            cancel_all(self._ahead)
            self._forget_ahead()
            self._run_bytes, self._run_seconds = 0, 0.0
            self._needed_bytes *= 2
        return b""

    def _forget_ahead(self) -> None:
        self._ahead.clear()
        self._arrived, self._next_begin = None, None

    def _release(self) -> None:
        if self._process == os.getpid():
            cancel_all(self._ahead)  # In a child of a fork, their threads do not exist.
        self._forget_ahead()
        self._release_body()
