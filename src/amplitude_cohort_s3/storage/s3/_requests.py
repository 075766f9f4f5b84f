"""The requests that are made of one bucket, one a method, with the errors made ours.

What a write leaves open (whether it happened, and whose object is there) is not judged
here: ``s3.py`` knows what it was for.
"""

import base64
import contextlib
import io
import zlib
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, Literal, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from ...errors import (
    AccessDeniedError,
    DigestMismatchError,
    ObjectChangedError,
    ObjectNotFoundError,
    StorageUnsuitableError,
)
from ..compose import Piece
from ..protocol import ObjectInfo, StagedObject
from ._parts import Part, digest_of
from ._reading import OneVersion, Reader, check_is_object
from .errors import ENDED, error_code, translated

STAGE_TOKEN = "stage-token"  # noqa: S105 - no secret
"""The entry of an object's metadata that says from which staging it came."""

_READ_BYTES = 1 << 20


class Bucket:
    """One bucket, as one client reaches it.

    Args:
        name: Its name, or the ARN or alias of an access point.
        client: A boto3 client for S3.
        owner: The account that must own it, or None.
        new_object: What goes along with every new object: its key of KMS, its ACL.
        checksums: Whether uploads carry a CRC-32 that the store verifies.
    """

    def __init__(
        self,
        name: str,
        client: Any,
        *,
        owner: str | None,
        new_object: dict[str, str],
        checksums: bool,
    ) -> None:
        self.name = name
        # Any: boto3 has no types of its own, and those of the stubs can't express an
        # argument that is sometimes absent.
        self.client = client
        self._address = {"Bucket": name, **({"ExpectedBucketOwner": owner} if owner else {})}
        self._new_object = new_object
        self._checksums = checksums

    # --- Writing ----------------------------------------------------------------------

    def put(self, key: str, data: bytes, *, conditional: bool) -> None:
        """Writes an object in one request; botocore's errors come out.

        Args:
            key: Where.
            data: At most 5 GiB.
            conditional: Only if no object is there.
        """
        self.client.put_object(
            **self._address,
            **self._new_object,
            **self._checksum(data),
            **_condition(conditional=conditional),
            Key=key,
            Body=data,
        )

    def begin_upload(self, key: str, token: str, content_type: str) -> str:
        """Begins an upload whose object will carry a token; its id.

        Raises:
            StorageUnsuitableError: A rule of the bucket would abort it within the hour.
        """
        with translated(self.name, key):
            begun = self.client.create_multipart_upload(
                **self._address,
                **self._new_object,
                **({"ChecksumAlgorithm": "CRC32"} if self._checksums else {}),
                Key=key,
                ContentType=content_type,
                Metadata={STAGE_TOKEN: token},
            )
        upload_id = str(begun["UploadId"])
        if "AbortDate" in begun:
            answered = begun["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
            now = parsedate_to_datetime(answered) if answered else datetime.now(UTC)
            if begun["AbortDate"] - now < timedelta(hours=1):
                self.abort(key, upload_id)
                raise StorageUnsuitableError(
                    f"the bucket {self.name!r}",
                    f"time for the upload of {key!r}: its rule {begun.get('AbortRuleId')!r} "
                    f"aborts it at {begun['AbortDate'].isoformat()}",
                    "Let the rule AbortIncompleteMultipartUpload wait for at least 1 day.",
                )
        return upload_id

    def upload_part(self, key: str, upload_id: str, number: int, data: bytearray) -> Part:
        """Uploads one part; ``number`` counts from 1."""
        checksum = self._checksum(data)
        with translated(self.name, key):
            stored = self.client.upload_part(
                **self._address,
                **checksum,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,
            )
        return Part(etag=stored["ETag"].strip('"'), crc32=checksum.get("ChecksumCRC32"))

    def etag_of(self, source: ObjectInfo) -> str:
        """The ETag of an object, so that all pieces of it come from one version.

        Raises:
            ObjectChangedError: It has another size than it had.
        """
        with translated(self.name, source.key):
            head = self.client.head_object(**self._address, Key=source.key)
        if head["ContentLength"] != source.size:
            raise ObjectChangedError(source.key)
        return str(head["ETag"])

    def fetch(self, source: ObjectInfo, piece: Piece, etag: str) -> bytes:
        """The bytes of a piece of an object.

        Raises:
            ObjectChangedError: The object has another ETag by now.
        """
        with self._of_one_version(source):
            answer = self.client.get_object(
                **self._address,
                Key=source.key,
                IfMatch=etag,
                Range=f"bytes={piece.begin}-{piece.end - 1}",
            )
            with answer["Body"] as body:
                return bytes(body.read())

    def copy_part(
        self, key: str, upload_id: str, number: int, source: ObjectInfo, piece: Piece, etag: str
    ) -> Part:
        """A part that the store copies from a piece of an object.

        Raises:
            ObjectChangedError: The object has another ETag by now.
        """
        whole = piece.size == source.size
        owner = self._address.get("ExpectedBucketOwner")
        with self._of_one_version(source):
            answer = self.client.upload_part_copy(
                **self._address,
                **({"ExpectedSourceBucketOwner": owner} if owner else {}),
                **({} if whole else {"CopySourceRange": f"bytes={piece.begin}-{piece.end - 1}"}),
                CopySource={"Bucket": self.name, "Key": source.key},
                CopySourceIfMatch=etag,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
            )["CopyPartResult"]
        # The store computes the checksum, and wants it back when the upload is completed.
        return Part(etag=answer["ETag"].strip('"'), crc32=answer.get("ChecksumCRC32"))

    @contextlib.contextmanager
    def _of_one_version(self, source: ObjectInfo) -> Generator[None]:
        with translated(self.name, source.key):
            try:
                yield
            except ClientError as error:
                if error_code(error) == "PreconditionFailed":
                    raise ObjectChangedError(source.key) from error
                raise

    def complete(self, staged: StagedObject, *, conditional: bool) -> None:
        """Completes an upload: its object appears. Botocore's errors come out.

        Args:
            staged: What was uploaded.
            conditional: Only if no object is under its key.

        Raises:
            DigestMismatchError: The store has other parts than were uploaded.
        """
        self.client.complete_multipart_upload(
            **self._address,
            **_condition(conditional=conditional),
            Key=staged.key,
            UploadId=staged.detail("upload_id"),
            MultipartUpload={
                "Parts": [
                    part.to_request(number) for number, part in enumerate(self._parts_of(staged), 1)
                ]
            },
        )

    def _parts_of(self, staged: StagedObject) -> list[Part]:
        """The parts that were staged: from the handle, or from the store if they are many."""
        if "parts" in staged.handle:
            return [Part.parse(text) for text in staged.detail("parts").split(",")]
        parts: list[Part] = []
        place: dict[str, int] = {}
        while True:
            page = self.client.list_parts(
                **self._address,
                **place,
                Key=staged.key,
                UploadId=staged.detail("upload_id"),
            )
            parts += [
                Part(etag=part["ETag"].strip('"'), crc32=part.get("ChecksumCRC32"))
                for part in page.get("Parts", [])
            ]
            if not page.get("IsTruncated"):
                break
            place = {"PartNumberMarker": int(page["NextPartNumberMarker"])}
        if digest_of(parts) != staged.detail("parts_digest"):
            raise DigestMismatchError(staged.key)
        return parts

    def delete(self, key: str) -> None:
        """Deletes an object; that there is none is a success."""
        with translated(self.name, key):
            self.client.delete_object(**self._address, Key=key)

    def abort(self, key: str, upload_id: str) -> bool:
        """Aborts an upload; False if it had ended already."""
        with translated(self.name, key):
            try:
                self.client.abort_multipart_upload(**self._address, Key=key, UploadId=upload_id)
            except ClientError as error:
                if error_code(error) not in ENDED:
                    raise
                return False
        return True

    # --- Looking ----------------------------------------------------------------------

    def is_staged(self, staged: StagedObject) -> bool:
        """Whether its upload can still be completed."""
        with translated(self.name, staged.key):
            try:
                self.client.list_parts(
                    **self._address,
                    Key=staged.key,
                    UploadId=staged.detail("upload_id"),
                    MaxParts=1,
                )
            except ClientError as error:
                if error_code(error) not in ENDED:
                    raise
                return False
        return True

    def is_published(self, staged: StagedObject) -> bool | None:
        """Whether the staged object itself is under its key; None where nothing is.

        Denied access is an error: it says nothing about what is there.
        """
        try:
            with translated(self.name, staged.key):
                head = self.client.head_object(**self._address, Key=staged.key)
        except ObjectNotFoundError:
            return None
        except AccessDeniedError:
            if self.is_listed(staged.key):
                raise
            return None
        check_is_object(self.name, head)
        return bool(head["Metadata"].get(STAGE_TOKEN) == staged.detail("token"))

    def is_listed(self, key: str) -> bool:
        """Whether a key is there, for those who may list its folder but not the whole bucket.

        They are told 403 of a key that is not there, as if they might not read it:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        """
        with translated(self.name, key):
            page = self.client.list_objects_v2(**self._address, Prefix=key, MaxKeys=1)
        return any(found["Key"] == key for found in page.get("Contents", []))

    def list_uploads(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        """The uploads that have not ended: key, id, and when it was begun."""
        place: dict[str, str] = {}
        while True:
            with translated(self.name):
                page = self.client.list_multipart_uploads(**self._address, Prefix=prefix, **place)
            for upload in page.get("Uploads", []):
                # Some stores take the prefix for a hint.
                if upload["Key"].startswith(prefix):
                    yield upload["Key"], upload["UploadId"], upload["Initiated"]
            if not page.get("IsTruncated"):
                return
            place = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def list_objects(self, prefix: str, start_after: str | None) -> Iterator[dict[str, Any]]:
        """The entries of a listing, as S3 has them."""
        place: dict[str, str] = {"StartAfter": start_after} if start_after else {}
        while True:
            with translated(self.name):
                page = self.client.list_objects_v2(**self._address, Prefix=prefix, **place)
            yield from page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            place = {"ContinuationToken": page["NextContinuationToken"]}

    def open(self, key: str) -> BinaryIO:
        """A stream over an object.

        Raises:
            ObjectNotFoundError: There is none.
        """
        client = cast("Any", OneVersion(self.client, self._address, key))
        try:
            # By bucket and key, as a URL would give characters such as ? a meaning.
            stream = Reader(self.name, key, buffer_size=_READ_BYTES, client=client)
        except AccessDeniedError:
            if self.is_listed(key):
                raise
            raise ObjectNotFoundError(key) from None
        # Its own readline is Python, 20 times slower than that of a BufferedReader.
        return io.BufferedReader(cast("io.RawIOBase", stream), _READ_BYTES)

    @property
    def is_aws(self) -> bool:
        """Whether it is Amazon's own, and not another store that speaks its language."""
        endpoint: str = self.client.meta.endpoint_url
        host = urlsplit(endpoint).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"))

    def _checksum(self, data: bytes | bytearray) -> dict[str, str]:
        # Given here, and not left to botocore: over HTTPS it would send it behind
        # the body, a form that older stores (Ceph 16) refuse.
        if not self._checksums:
            return {}
        crc32 = zlib.crc32(data).to_bytes(4, "big")
        return {"ChecksumCRC32": base64.b64encode(crc32).decode()}


def open_client(
    session: boto3.Session | None,
    endpoint_url: str | None,
    region: str | None,
    *,
    concurrency: int,
    checksums: bool,
) -> Any:
    """A boto3 client for S3.

    Args:
        session: To make it from; by default one of its own.
        endpoint_url: Of a store other than AWS.
        region: The bucket's; by default the session's.
        concurrency: How many requests there will be at a time.
        checksums: Whether botocore adds and verifies them where it can.
    """
    when: Literal["when_supported", "when_required"]
    when = "when_supported" if checksums else "when_required"
    # Sessions are not safe to share between threads, so not boto3's default one.
    own: Any = session or boto3.Session()
    return own.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=region,
        config=Config(
            max_pool_connections=max(10, concurrency),
            request_checksum_calculation=when,
            response_checksum_validation=when,
        ),
    )


def _condition(*, conditional: bool) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if conditional else {}
