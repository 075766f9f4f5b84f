"""Reading an object of S3: one version of it, and our errors."""

from typing import Any

import smart_open.s3
from botocore.exceptions import ClientError

from ...errors import CohortS3Error, ObjectChangedError, StoreUnavailableError
from .errors import BotoError, error_code, translated


class OneVersion:
    """What smart_open's reader takes for a client: its reads all see one version.

    A connection may break in the middle; smart_open then asks for the rest, and
    the condition makes sure that the rest is of the same object.
    """

    def __init__(self, client: Any, bucket: dict[str, str], key: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._etag: str | None = None

    def get_object(self, **request: Any) -> dict[str, Any]:
        # All of it needs no range; and an empty object has none, so that stores
        # answer with an error of which not all tell the size.
        if request.get("Range") == "bytes=0-":
            del request["Range"]
        if self._etag is not None:
            request["IfMatch"] = self._etag
        with translated(self._bucket["Bucket"], self._key):
            try:
                answer: dict[str, Any] = self._client.get_object(**request | self._bucket)
            except ClientError as error:
                if error_code(error) == "PreconditionFailed":
                    raise ObjectChangedError(self._key) from error
                raise
        check_is_object(self._bucket["Bucket"], answer)
        self._etag = answer["ETag"]
        return answer


class Reader(smart_open.s3.Reader):
    """smart_open's reader; where it gives up after several tries, the error is ours."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except CohortS3Error:
            raise
        except (OSError, *BotoError) as error:
            raise StoreUnavailableError(self._bucket, "GetObject broke off") from error


def check_is_object(bucket: str, answer: dict[str, Any]) -> None:
    """Some errors come with the status of a success, as if they were the object."""
    if "ETag" not in answer:
        raise StoreUnavailableError(bucket, "an answer without ETag")
