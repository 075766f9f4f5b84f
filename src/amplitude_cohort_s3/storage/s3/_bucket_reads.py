"""The requests that read from a bucket, one method each. They raise the library's errors."""

import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from attrs import frozen
from botocore.exceptions import ClientError

from ...errors import AccessDeniedError, ObjectChangedError, ObjectNotFoundError
from ..protocol import ObjectInfo, StagedObject
from ._parts import SourceRange
from ._reader import BUFFER_BYTES, ObjectReader, check_is_object
from .errors import UPLOAD_ENDED, error_code, translated

STAGE_TOKEN = "stage-token"  # noqa: S105 -- no secret
"""The entry of an object's metadata that names the ``stage`` call that made it."""


@frozen(kw_only=True, eq=False)
class BucketReads:
    """The read requests to one bucket.

    Attributes:
        name: The bucket's name, or the ARN or alias of an access point.
        client: A boto3 client for S3.
        address: The arguments of every request: the bucket, the account that must own it.
    """

    name: str
    # Any: boto3 has no types of its own, and those of the stubs can't express an argument
    # that is absent in some calls.
    client: Any
    address: dict[str, str]

    @property
    def is_aws(self) -> bool:
        """Return whether the store is Amazon's own."""
        endpoint: str = self.client.meta.endpoint_url
        host = urlsplit(endpoint).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"))

    def list_objects(self, prefix: str, start_after: str | None) -> Iterator[dict[str, Any]]:
        """Yield the entries of a listing as S3 returns them."""
        start = {"StartAfter": start_after} if start_after else {}
        for page in self._pages("list_objects_v2", Prefix=prefix, **start):
            yield from page.get("Contents", [])

    def list_uploads(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        """Yield the key, id and start time of each upload that has not ended."""
        for page in self._pages("list_multipart_uploads", Prefix=prefix):
            for upload in page.get("Uploads", []):
                # Some stores also return uploads of other prefixes.
                if upload["Key"].startswith(prefix):
                    yield upload["Key"], upload["UploadId"], upload["Initiated"]

    def _pages(self, operation: str, **request: str) -> Iterator[dict[str, Any]]:
        pages = self.client.get_paginator(operation).paginate(**self.address, **request)
        with translated(self.name):
            yield from pages

    def open(self, key: str) -> BinaryIO:
        """Return a stream over an object."""
        get = partial(self.client.get_object, **self.address, Key=key)
        try:
            reader = ObjectReader(get, self.name, key)
        except AccessDeniedError:
            if self.is_listed(key):
                raise
            raise ObjectNotFoundError(key) from None
        return io.BufferedReader(reader, BUFFER_BYTES)

    def fetch(self, source: ObjectInfo, piece: SourceRange, etag: str) -> bytes:
        """Return a range of an object's bytes, of the version with this ETag."""
        with self.of_one_version(source):
            answer = self.client.get_object(
                **self.address, Key=source.key, IfMatch=etag, Range=piece.header
            )
            with answer["Body"] as body:
                return bytes(body.read())

    def etag_of(self, source: ObjectInfo) -> str:
        """Return an object's ETag, so that all of it is read from one version."""
        with translated(self.name, source.key):
            head = self.client.head_object(**self.address, Key=source.key)
        if head["ContentLength"] != source.size:
            raise ObjectChangedError(source.key)
        return str(head["ETag"])

    @contextmanager
    def of_one_version(self, source: ObjectInfo) -> Generator[None]:
        """Raise ObjectChangedError if the condition on the source's ETag fails."""
        with translated(self.name, source.key):
            try:
                yield
            except ClientError as error:
                if error_code(error) == "PreconditionFailed":
                    raise ObjectChangedError(source.key, while_reading=True) from error
                raise

    def is_staged(self, staged: StagedObject) -> bool:
        """Return whether the object's upload can still be completed."""
        with translated(self.name, staged.key):
            try:
                self.client.list_parts(
                    **self.address,
                    Key=staged.key,
                    UploadId=staged.detail("upload_id"),
                    MaxParts=1,
                )
            except ClientError as error:
                if error_code(error) not in UPLOAD_ENDED:
                    raise
                return False
        return True

    def is_published(self, staged: StagedObject) -> bool | None:
        """Return whether the object under the key is the staged one; None if there is none."""
        try:
            with translated(self.name, staged.key):
                head = self.client.head_object(**self.address, Key=staged.key)
        except ObjectNotFoundError:
            return None
        except AccessDeniedError:
            if self.is_listed(staged.key):
                raise
            return None
        check_is_object(self.name, head)
        return bool(head["Metadata"].get(STAGE_TOKEN) == staged.detail("token"))

    def is_listed(self, key: str) -> bool:
        """Return whether a listing contains the key.

        If the credentials may not list the whole bucket, S3 answers 403 to a request for an
        absent object, as if it existed. Listing just this key may still be allowed:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        """
        with translated(self.name, key):
            page = self.client.list_objects_v2(**self.address, Prefix=key, MaxKeys=1)
        return any(found["Key"] == key for found in page.get("Contents", []))
