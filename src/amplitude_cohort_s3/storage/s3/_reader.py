"""A stream over one version of an object, which continues after a broken connection."""

import io
import os
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError
from typing_extensions import Buffer, override
from urllib3.exceptions import HTTPError

from ...errors import CohortS3Error, ObjectChangedError, StoreUnavailableError
from .errors import NotS3ResponseError, error_code, translate, translated

BUFFER_BYTES = 1 << 20

# Seconds before each new try. botocore retries a request, but not the reading of its body.
_PAUSES = (1, 2, 4, 8)


class ObjectReader(io.RawIOBase):
    """The bytes of an object, read from a single response while its connection lasts.

    If the connection breaks, or after a seek, the reader requests the rest of the object with
    ``Range``. The condition ``If-Match`` makes sure that the rest is of the same version.

    Args:
        get_object: A function that sends the request for the object, with the arguments that
            it is called with, and checks that the response is one of S3.
        bucket: The bucket's name, for messages.
        key: The object's key, for messages.

    Raises:
        ObjectNotFoundError: There is no object.
    """

    def __init__(self, get_object: Callable[..., Any], bucket: str, key: str) -> None:
        self._get_object = get_object
        self._bucket = bucket
        self._key = key
        self._position = 0
        self._body: Any = None
        self._process = os.getpid()
        answer = self._send()
        self._etag = answer["ETag"]
        self._size: int | None = answer.get("ContentLength")
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        if self._size is None and "chunked" not in headers.get("transfer-encoding", ""):
            # The end of the object would look like the end of the connection.
            raise self._not_s3("it has neither a length nor chunks")

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
        return position

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if self.closed:
            raise ValueError("read of a closed stream")
        if self._process != os.getpid():
            # The response is still read by the parent, from the same socket.
            self._release()
            self._process = os.getpid()
        broken: Exception | None = None
        for pause in (None, *_PAUSES):
            if pause is not None:
                time.sleep(pause)
                self._release()
            if self._body is None and self._size is not None and self._position >= self._size:
                return 0
            skip = self._continue() if self._body is None else 0
            body: Any = self._body
            try:
                while skip and (skipped := len(body.read(min(skip, BUFFER_BYTES)))):
                    skip -= skipped
                data = body.read(min(len(view), BUFFER_BYTES))
            except FlexibleChecksumError as error:
                # The caller has these bytes already, so reading again can't repair them.
                raise ObjectChangedError(self._key) from error
            except (OSError, BotoCoreError, HTTPError) as error:
                broken = error
            else:
                view[: len(data)] = data
                self._position += len(data)
                return len(data)
        raise StoreUnavailableError(self._bucket, "GetObject broke off") from broken

    @override
    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(BUFFER_BYTES) or b"", b""))

    @override
    def close(self) -> None:
        self._release()
        super().close()

    def _release(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _continue(self) -> int:
        """Request the rest of the object, and return how many bytes before it are to be skipped."""
        rest = {"Range": f"bytes={self._position}-"} if self._position else {}
        answer = self._send(IfMatch=self._etag, **rest)
        if answer["ETag"] != self._etag:
            # The store ignores the condition.
            raise ObjectChangedError(self._key, while_reading=True)
        found = answer.get("ContentRange")
        if found is None:
            # The store ignores ranges and sends the whole object.
            return self._position
        if not found.startswith(f"bytes {self._position}-"):
            raise self._not_s3("it has another range")
        return 0

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
