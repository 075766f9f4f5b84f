"""The requests that read from a bucket, one method each. They raise the library's errors."""

import io
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from attrs import field, frozen
from botocore.exceptions import ClientError

from ...errors import (
    AccessDeniedError,
    CohortS3Error,
    ObjectChangedError,
    ObjectNotFoundError,
)
from ..protocol import ObjectInfo, StagedObject
from ._client import PerProcess
from ._parts import SourceRange
from ._reader import BUFFER_BYTES, CONNECTIONS, ObjectReader
from .errors import UPLOAD_ENDED, NotS3ResponseError, error_code, translate, translated
from .responses import pages, send

STAGE_TOKEN = "stage-token"  # noqa: S105 -- no secret
"""The entry of an object's metadata that names the ``stage`` call that made it."""


@frozen(kw_only=True, eq=False)
class BucketReads:
    """The read requests to one bucket.

    Attributes:
        name: The bucket's name, or the ARN or alias of an access point.
        clients: The boto3 client for S3 of each process.
        options: Arguments such as the bucket and its owner. Each request gets those that its
            operation accepts.
    """

    name: str
    # Any: boto3 has no types of its own, and those of the stubs can't express an argument
    # that is absent in some calls.
    clients: PerProcess[Any]
    options: Mapping[str, Any] = field(repr=False)
    _of_operations: dict[str, dict[str, Any]] = field(
        init=False, repr=False, factory=dict[str, dict[str, Any]]
    )

    @property
    def client(self) -> Any:
        """The client of this process."""
        return self.clients.get()

    @property
    def is_aws(self) -> bool:
        """True if the store is Amazon's own."""
        endpoint: str = self.client.meta.endpoint_url
        host = urlsplit(endpoint).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"))

    def list_objects(self, prefix: str, start_after: str | None) -> Iterator[dict[str, Any]]:
        """Yield the entries of a listing as S3 returns them."""
        start = {"StartAfter": start_after} if start_after else {}
        for entries in self._pages("list_objects_v2", Prefix=prefix, **start):
            for entry in entries:
                if not entry["Key"].startswith(prefix):
                    raise self._wrong_listing("it has a key without the prefix")
                if start_after and entry["Key"] <= start_after:
                    raise self._wrong_listing("it has a key before the start")
                yield entry

    def _wrong_listing(self, found: str) -> CohortS3Error:
        response = NotS3ResponseError(operation="ListObjectsV2", found=found)
        return translate(response, self.name, None)

    def list_uploads(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        """Yield the key, id and start time of each upload that has not ended."""
        for uploads in self._pages("list_multipart_uploads", Prefix=prefix):
            for upload in uploads:
                # Some stores also return uploads of other prefixes.
                if upload["Key"].startswith(prefix):
                    yield upload["Key"], upload["UploadId"], upload["Initiated"]

    def send(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Send a request about the bucket; raise botocore's errors."""
        return send(self.client, operation, **self._options_of(operation), **arguments)

    def _options_of(self, operation: str) -> dict[str, Any]:
        """Return the options that an operation accepts, such as ``put_object``."""
        if operation not in self._of_operations:
            meta = self.client.meta
            model = meta.service_model.operation_model(meta.method_to_api_mapping[operation])
            members = model.input_shape.members
            self._of_operations[operation] = {
                name: value for name, value in self.options.items() if name in members
            }
        return self._of_operations[operation]

    def _pages(self, operation: str, **arguments: Any) -> Iterator[list[dict[str, Any]]]:
        with translated(self.name, arguments.get("Key")):
            yield from pages(self.client, operation, **self._options_of(operation), **arguments)

    def open(self, key: str) -> BinaryIO:
        """Return a stream over an object."""
        get = partial(self.send, "get_object", Key=key)
        connections = min(CONNECTIONS, self.client.meta.config.max_pool_connections)
        try:
            reader = ObjectReader(get, self.name, key, connections)
        except AccessDeniedError:
            if self.is_listed(key):
                raise
            raise ObjectNotFoundError(key) from None
        return io.BufferedReader(reader, BUFFER_BYTES)

    def fetch(self, source: ObjectInfo, piece: SourceRange, etag: str) -> bytes:
        """Return a range of an object's bytes, of the version with this ETag."""
        with self.of_one_version(source):
            answer = self.send("get_object", Key=source.key, IfMatch=etag, Range=piece.header)
            with answer["Body"] as body:
                data = bytes(body.read(piece.size + 1))
            if answer["ETag"] != etag:
                raise ObjectChangedError(source.key, while_reading=True)
            if len(data) != piece.size:
                raise NotS3ResponseError(operation="GetObject", found="it has another range")
        return data

    def etag_of(self, source: ObjectInfo) -> str:
        """Return an object's ETag, so that all of it is read from one version."""
        with translated(self.name, source.key):
            head = self.send("head_object", Key=source.key)
            if "ContentLength" not in head:
                raise NotS3ResponseError(operation="HeadObject", found="it has no ContentLength")
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
                upload_id = staged.detail("upload_id")
                self.send("list_parts", Key=staged.key, UploadId=upload_id, MaxParts=1)
            except ClientError as error:
                if error_code(error) not in UPLOAD_ENDED:
                    raise
                return False
        return True

    def is_published(self, staged: StagedObject) -> bool | None:
        """Return whether the object under the key is the staged one; None if there is none."""
        try:
            with translated(self.name, staged.key):
                return self.token_of(staged.key) == staged.detail("token")
        except ObjectNotFoundError:
            return None
        except AccessDeniedError:
            if self.is_listed(staged.key):
                raise
            return None

    def token_of(self, key: str) -> str | None:
        """Return the token in the metadata of an object; raise botocore's errors.

        Go servers and proxies capitalize the names of headers, and botocore keeps their case.
        """
        metadata: dict[str, str] = self.send("head_object", Key=key).get("Metadata", {})
        return {name.lower(): value for name, value in metadata.items()}.get(STAGE_TOKEN)

    def is_listed(self, key: str) -> bool:
        """Return whether a listing contains the key.

        If the credentials may not list the whole bucket, S3 answers 403 to a request for an
        absent object, as if it existed. Listing just this key may still be allowed:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        """
        with translated(self.name, key):
            page = self.send("list_objects_v2", Prefix=key, MaxKeys=1)
        return any(found.get("Key") == key for found in page.get("Contents", []))
