"""A stream over one version of an object, which continues after a broken connection."""

import io
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError
from typing_extensions import Buffer, override
from urllib3.exceptions import HTTPError

from ...errors import ObjectChangedError, StoreUnavailableError
from .errors import error_code, translated

BUFFER_BYTES = 1 << 20

# Seconds before each new try. botocore retries a request, but not the reading of its body.
_PAUSES = (1, 2, 4, 8)


class ObjectReader(io.RawIOBase):
    """The bytes of an object, read from a single response while its connection lasts.

    If the connection breaks, or after a seek, the reader requests the rest of the object with
    ``Range``. The condition ``If-Match`` makes sure that the rest is of the same version.

    Args:
        get_object: The client's method, with bucket and key.
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
        answer = self._send()
        self._etag = answer["ETag"]
        self._size: int | None = answer.get("ContentLength")

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
        broken: Exception | None = None
        for pause in (None, *_PAUSES):
            if pause is not None:
                time.sleep(pause)
                self._release()
            if self._body is None and self._size is not None and self._position >= self._size:
                return 0
            body = self._continue() if self._body is None else self._body
            try:
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

    def _continue(self) -> Any:
        rest = {"Range": f"bytes={self._position}-"} if self._position else {}
        answer = self._send(IfMatch=self._etag, **rest)
        body = answer["Body"]
        if rest and not answer.get("ContentRange", "").startswith(f"bytes {self._position}-"):
            # The store ignores ranges and sends the whole object.
            skip = self._position
            while skip and (skipped := len(body.read(min(skip, BUFFER_BYTES)))):
                skip -= skipped
        return body

    def _send(self, **condition: str) -> dict[str, Any]:
        with translated(self._bucket, self._key):
            try:
                answer: dict[str, Any] = self._get_object(**condition)
            except ClientError as error:
                if error_code(error) == "PreconditionFailed":
                    raise ObjectChangedError(self._key, while_reading=True) from error
                raise
        check_is_object(self._bucket, answer)
        self._body = answer["Body"]
        return answer


def check_is_object(bucket: str, response: dict[str, Any]) -> None:
    """Raise if a response with the status 200 does not describe an object.

    Some stores and proxies send an error with the status of a success.
    """
    if "ETag" not in response:
        raise StoreUnavailableError(bucket, "a response without ETag")
