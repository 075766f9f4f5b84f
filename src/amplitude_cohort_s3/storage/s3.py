"""A bucket of Amazon S3, or of a store that speaks its language, as a Storage."""

import base64
import contextlib
import hashlib
import io
import re
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast
from urllib.parse import urlsplit

import boto3
from attrs import frozen
from botocore.config import Config
from botocore.exceptions import ClientError

from .._arguments import kind_faults
from .._keys import check_key
from ..errors import (
    AccessDeniedError,
    CohortS3Error,
    ConfigurationError,
    DigestMismatchError,
    InvalidKeyError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    StagedGoneError,
    StorageUnsuitableError,
    StoreUnavailableError,
    TooManyPartsError,
    UnknownOutcomeError,
)
from ._composing import MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES, Piece, UploadPart, upload_parts
from ._protocol import ObjectInfo, StagedObject, StagedState
from ._s3_errors import (
    MAX_OBJECT_BYTES,
    BotoError,
    error_code,
    is_refusal,
    translate,
    translated,
)
from ._s3_parts import Part, digest_of, split_into_parts, upload_handle
from ._s3_reading import OneVersion, Reader, check_is_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROBE_NAME = "_syncs/.probe"
"""The object by which a store's honesty is tried; no verb shows it, and it stays.

It lies in the folder of the first key that is written, or in that of the log if that is
what is written: a policy that allows only a destination's path allows it too.
"""

STAGE_TOKEN = "stage-token"  # noqa: S105 - no secret
"""The entry of an object's metadata that says from which staging it came."""

_MAX_PUT_BYTES = 5 << 30

_READ_BYTES = 1 << 20

# What is answered about an upload that has ended. Ceph 16 says NoSuchKey.
_ENDED = {"NoSuchUpload", "NoSuchKey"}

# What a conditional write answers where an object may be there already. 409 means
# that another request interfered, which says nothing about who is there.
_CONTESTED = {"PreconditionFailed", "ConditionalRequestConflict", *_ENDED}


class S3Storage:
    """A whole bucket; keys are the keys of its objects.

    What is staged is a multipart upload that is not completed: stored, listed
    nowhere, and revocable. Publishing completes it on condition that its key is
    free. Credentials come from boto3's standard chain (environment, profile,
    role) and are never kept here.

    A store other than AWS is tried once before the first write: it is asked to
    create an object that exists. Where it does not refuse, two writers could
    overwrite each other, and the storage refuses to work. (AWS documents that it
    honours the condition.) Ceph before 18 honours it for small objects only: there
    a look goes before each publishing, and a stranger who writes the same key in
    between could be overwritten.

    Args:
        bucket: Its name, or the ARN or alias of an access point.
        client: A boto3 client for S3 of your own; it brings its own configuration,
            so that ``session``, ``endpoint_url`` and ``region`` can't be given too.
        session: The boto3 session to make the client from.
        endpoint_url: Of a store other than AWS, such as ``http://127.0.0.1:9000``.
        region: The bucket's region; by default the session's.
        kms_key_id: The KMS key (its ARN where the bucket is another account's) that
            encrypts new objects; by default the bucket's own setting does.
        expected_bucket_owner: The account, 12 digits, that must own the bucket.
        acl: For a bucket of another account that still uses ACLs: without it the
            bucket's owner can't read what you write.
        checksums: Whether uploads carry a CRC-32 that the store verifies. Off only
            for a store that refuses the header; buckets with Object Lock need it.
        part_size: Bytes of a part of an upload; memory holds ``concurrency + 1``
            parts. It doubles every 1,000 parts, as an upload has at most 10,000.
        concurrency: How many parts are uploaded at a time.
        settling_time: Seconds for which an object must stay absent before it counts
            as gone, and for which a contested write is tried again.
        accept_unconditional_writes: Use a store that ignores conditions. It is safe
            only while this is the bucket's one writer.

    Raises:
        ConfigurationError: The arguments contradict each other or S3's limits.
        StorageUnsuitableError: The bucket is a directory bucket, whose listings are
            not in order. On the first write: the store ignores conditions.

    Example::

        storage = S3Storage("my-bucket", region="eu-west-1")
        storage.publish(storage.stage("a/b.csv", [b"amplitudeID,..."]))
    """

    def __init__(
        self,
        bucket: str,
        *,
        client: "S3Client | None" = None,
        session: boto3.Session | None = None,
        endpoint_url: str | None = None,
        region: str | None = None,
        kms_key_id: str | None = None,
        expected_bucket_owner: str | None = None,
        acl: Literal["bucket-owner-full-control"] | None = None,
        checksums: bool = True,
        part_size: int = 8 << 20,
        concurrency: int = 4,
        settling_time: float = 2.0,
        accept_unconditional_writes: bool = False,
    ) -> None:
        faults = kind_faults("bucket", bucket, str)
        if faults:
            raise ConfigurationError("S3Storage", tuple(faults))
        if not bucket:
            faults.append("the bucket has no name")
        elif "://" in bucket:
            faults.append(f"bucket {bucket!r}: give its name alone; open_storage takes URLs")
        if client is not None and (session, endpoint_url, region) != (None, None, None):
            faults.append("a client brings its own session, endpoint_url and region")
        if not MIN_PART_BYTES <= part_size <= MAX_PART_BYTES:
            faults.append(f"part_size must be from {MIN_PART_BYTES} to {MAX_PART_BYTES} bytes")
        if concurrency < 1:
            faults.append("concurrency must be at least 1")
        if expected_bucket_owner and not re.fullmatch(r"[0-9]{12}", expected_bucket_owner):
            faults.append("expected_bucket_owner must be an account id of 12 digits")
        if faults:
            raise ConfigurationError("S3Storage", tuple(faults))
        if bucket.endswith(("--x-s3", "--xa-s3")):
            raise StorageUnsuitableError(
                f"the directory bucket {bucket!r}",
                "listings in the order of keys",
                "Use a general purpose bucket.",
            )
        self.bucket = bucket
        # The client is Any inside: boto3 has no types of its own, and those of
        # the stubs can't express an argument that is sometimes absent.
        self.client: Any = client or _client(
            session, endpoint_url, region, concurrency=concurrency, checksums=checksums
        )
        self._bucket = {"Bucket": bucket}
        if expected_bucket_owner:
            self._bucket["ExpectedBucketOwner"] = expected_bucket_owner
        self._new_object: dict[str, str] = {}
        if kms_key_id:
            self._new_object |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id}
        if acl:
            self._new_object["ACL"] = acl
        self._checksums = checksums
        self._part_size = part_size
        self._concurrency = concurrency
        self._settling_time = settling_time
        self._accept_unconditional_writes = accept_unconditional_writes
        self._lock = threading.Lock()
        self._honesty: _Honesty | None = None

    def __repr__(self) -> str:
        return f"S3Storage({self.bucket!r})"

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        place: dict[str, str] = {"StartAfter": start_after} if start_after else {}
        while True:
            with translated(self.bucket):
                page = self.client.list_objects_v2(**self._bucket, Prefix=prefix, **place)
            for found in page.get("Contents", []):
                if not _is_probe(found["Key"]):
                    yield self._info(found["Key"], found["Size"], found.get("LastModified"))
            if not page.get("IsTruncated"):
                return
            place = {"ContinuationToken": page["NextContinuationToken"]}

    def open(self, key: str, /) -> BinaryIO:
        check_key(key)
        client = cast("Any", OneVersion(self.client, self._bucket, key))
        try:
            # By bucket and key, as a URL would give characters such as ? a meaning.
            stream = Reader(self.bucket, key, buffer_size=_READ_BYTES, client=client)
        except AccessDeniedError:
            if self._is_listed(key):
                raise
            raise ObjectNotFoundError(key) from None
        # Its own readline is Python, 20 times slower than that of a BufferedReader.
        return io.BufferedReader(cast("io.RawIOBase", stream), _READ_BYTES)

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        self._check_new_key(key)
        if len(data) > _MAX_PUT_BYTES:
            raise ObjectTooLargeError(key, _MAX_PUT_BYTES)
        honest = self._check_honesty(key).creates
        self._write_once(
            key,
            lambda: self._put(key, data, conditional=honest),
            lambda: self._holds(key, data),
            first=None if honest else lambda: self._holds(key, data),
        )
        return self._info(key, len(data))

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        self._check_new_key(key)
        self._check_honesty(key)
        with self._uploading(key, content_type) as (upload_id, token):
            digest, size, parts = self._upload(key, upload_id, chunks)
        handle = upload_handle(upload_id, token, parts)
        return StagedObject(key=key, size=size, sha256=digest, handle=handle)

    @property
    def max_object_bytes(self) -> int:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html says 48.8 TiB.
        return MAX_PARTS * MAX_PART_BYTES if self._is_aws() else MAX_OBJECT_BYTES

    def compose(
        self,
        key: str,
        parts: Sequence[ObjectInfo],
        /,
        *,
        header: bytes = b"",
        content_type: str = "text/csv",
    ) -> StagedObject:
        self._check_new_key(key)
        sizes = [len(header), *(part.size for part in parts)]
        if sum(sizes) > self.max_object_bytes:
            raise ObjectTooLargeError(key, self.max_object_bytes)
        planned = list(upload_parts(sizes)) or [UploadPart((), copied=False)]
        if len(planned) > MAX_PARTS:
            raise TooManyPartsError(key, len(planned), MAX_PARTS)
        self._check_honesty(key)
        etags: dict[int, str] = {}

        def upload(number: int, part: UploadPart) -> Part:
            for piece in part.pieces:
                if piece.source and piece.source not in etags:
                    etags[piece.source] = self._etag_of(parts[piece.source - 1])
            if part.copied:
                (piece,) = part.pieces
                source = parts[piece.source - 1]
                return self._copy_part(key, upload_id, number, source, piece, etags[piece.source])
            data = bytearray()
            for piece in part.pieces:
                if piece.source:
                    data += self._fetch(parts[piece.source - 1], piece, etags[piece.source])
                else:
                    data += header[piece.begin : piece.end]
            return self._upload_part(key, upload_id, number, data)

        with (
            self._uploading(key, content_type) as (upload_id, token),
            # A copy takes no memory here, so as many as a client has connections.
            ThreadPoolExecutor(max(10, self._concurrency), "compose") as pool,
        ):
            try:
                stored = list(pool.map(upload, range(1, len(planned) + 1), planned))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        handle = upload_handle(upload_id, token, stored)
        return StagedObject(key=key, size=sum(sizes), sha256=None, handle=handle)

    def inspect(self, staged: StagedObject, /) -> StagedState:
        # The upload first: it ends when the object appears, so the other order
        # could see neither.
        if self._is_staged(staged):
            return StagedState.STAGED
        match self._is_published_once_settled(staged):
            case None:
                return StagedState.GONE
            case True:
                return StagedState.PUBLISHED
            case False:
                return StagedState.TAKEN

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        honest = self._check_honesty(staged.key).completes
        self._write_once(
            staged.key,
            lambda: self._complete(staged, conditional=honest),
            lambda: self._is_published_or_can_be(staged),
            first=None if honest else lambda: self._is_published(staged),
        )
        return self._info(staged.key, staged.size)

    def replace(self, staged: StagedObject, /) -> ObjectInfo:
        self._write_once(
            staged.key,
            lambda: self._complete(staged, conditional=False),
            lambda: self._has_replaced_or_can(staged),
            first=None,
        )
        # A store may call it a success to complete again what was overwritten since.
        if not self._is_published(staged):
            raise StagedGoneError(staged.key)
        return self._info(staged.key, staged.size)

    def discard(self, staged: StagedObject, /) -> None:
        # A part that is being uploaded meanwhile can outlive an abort:
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
        for pause in self._pauses():
            refusal: CohortS3Error | None = None
            try:
                if not self._abort(staged.key, staged.detail("upload_id")):
                    return
            except StoreUnavailableError:
                pass  # Perhaps it was carried out.
            except CohortS3Error as error:
                refusal = error
            try:
                if not self._is_staged(staged):
                    return
            except CohortS3Error as error:
                raise refusal or UnknownOutcomeError(staged.key, _name(error)) from error
            if refusal is not None:
                raise refusal
            time.sleep(pause)
        raise UnknownOutcomeError(staged.key, "its upload does not end though it was aborted")

    def delete(self, key: str, /) -> None:
        with translated(self.bucket, key):
            self.client.delete_object(**self._bucket, Key=check_key(key))

    def clean_up_uploads(
        self, path: str = "", /, *, older_than: timedelta, now: datetime | None = None
    ) -> tuple[str, ...]:
        """Aborts uploads that were begun long ago below a path; they cost money unseen.

        Dead writers leave them. One that a record names becomes a void sync, so
        give writers time to come back; an uncompleted sync is better recovered first.

        Args:
            path: The destination's path; nothing outside this folder is touched.
            older_than: The least age. A day is plenty.
            now: The present, an aware datetime; by default the clock's.

        Returns:
            The keys whose uploads were aborted, in the order of the listing.
        """
        before = (now or datetime.now(UTC)) - older_than
        folder = f"{path.rstrip('/')}/" if path else ""
        stale = [(k, u) for k, u, begun in self._list_uploads(folder) if begun < before]
        return tuple(key for key, upload_id in stale if self._abort(key, upload_id))

    # --- one request each -----------------------------------------------------------

    def _put(self, key: str, data: bytes, *, conditional: bool) -> None:
        self.client.put_object(
            **self._bucket,
            **self._new_object,
            **self._checksum(data),
            **_condition(conditional=conditional),
            Key=key,
            Body=data,
        )

    def _begin(self, key: str, token: str, content_type: str) -> str:
        with translated(self.bucket, key):
            begun = self.client.create_multipart_upload(
                **self._bucket,
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
                self._abort(key, upload_id)
                raise StorageUnsuitableError(
                    f"the bucket {self.bucket!r}",
                    f"time for the upload of {key!r}: its rule {begun.get('AbortRuleId')!r} "
                    f"aborts it at {begun['AbortDate'].isoformat()}",
                    "Let the rule AbortIncompleteMultipartUpload wait for at least 1 day.",
                )
        return upload_id

    def _upload_part(self, key: str, upload_id: str, number: int, data: bytearray) -> Part:
        checksum = self._checksum(data)
        with translated(self.bucket, key):
            stored = self.client.upload_part(
                **self._bucket,
                **checksum,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,
            )
        return Part(etag=stored["ETag"].strip('"'), crc32=checksum.get("ChecksumCRC32"))

    def _etag_of(self, source: ObjectInfo) -> str:
        """The ETag of a part, so that all of its pieces come from one version."""
        with translated(self.bucket, source.key):
            head = self.client.head_object(**self._bucket, Key=source.key)
        if head["ContentLength"] != source.size:
            raise ObjectChangedError(source.key)
        return str(head["ETag"])

    def _fetch(self, source: ObjectInfo, piece: Piece, etag: str) -> bytes:
        with self._of_one_version(source):
            answer = self.client.get_object(
                **self._bucket,
                Key=source.key,
                IfMatch=etag,
                Range=f"bytes={piece.begin}-{piece.end - 1}",
            )
            with answer["Body"] as body:
                return bytes(body.read())

    def _copy_part(
        self, key: str, upload_id: str, number: int, source: ObjectInfo, piece: Piece, etag: str
    ) -> Part:
        whole = piece.size == source.size
        owner = self._bucket.get("ExpectedBucketOwner")
        with self._of_one_version(source):
            answer = self.client.upload_part_copy(
                **self._bucket,
                **({"ExpectedSourceBucketOwner": owner} if owner else {}),
                **({} if whole else {"CopySourceRange": f"bytes={piece.begin}-{piece.end - 1}"}),
                CopySource={"Bucket": self.bucket, "Key": source.key},
                CopySourceIfMatch=etag,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
            )["CopyPartResult"]
        # The store computes the checksum, and wants it back when the upload is completed.
        return Part(etag=answer["ETag"].strip('"'), crc32=answer.get("ChecksumCRC32"))

    @contextlib.contextmanager
    def _of_one_version(self, source: ObjectInfo) -> Generator[None]:
        with translated(self.bucket, source.key):
            try:
                yield
            except ClientError as error:
                if error_code(error) == "PreconditionFailed":
                    raise ObjectChangedError(source.key) from error
                raise

    def _complete(self, staged: StagedObject, *, conditional: bool) -> None:
        self.client.complete_multipart_upload(
            **self._bucket,
            **_condition(conditional=conditional),
            Key=staged.key,
            UploadId=staged.detail("upload_id"),
            MultipartUpload={
                "Parts": [
                    part.to_request(number) for number, part in enumerate(self._parts_of(staged), 1)
                ]
            },
        )

    def _abort(self, key: str, upload_id: str) -> bool:
        """Aborts an upload; False if it had ended already."""
        with translated(self.bucket, key):
            try:
                self.client.abort_multipart_upload(**self._bucket, Key=key, UploadId=upload_id)
            except ClientError as error:
                if error_code(error) not in _ENDED:
                    raise
                return False
        return True

    def _is_staged(self, staged: StagedObject) -> bool:
        with translated(self.bucket, staged.key):
            try:
                self.client.list_parts(
                    **self._bucket,
                    Key=staged.key,
                    UploadId=staged.detail("upload_id"),
                    MaxParts=1,
                )
            except ClientError as error:
                if error_code(error) not in _ENDED:
                    raise
                return False
        return True

    def _is_published(self, staged: StagedObject) -> bool | None:
        """Whether the staged object itself is under its key; None where nothing is.

        Denied access is an error: it says nothing about what is there.
        """
        try:
            with translated(self.bucket, staged.key):
                head = self.client.head_object(**self._bucket, Key=staged.key)
        except ObjectNotFoundError:
            return None
        except AccessDeniedError:
            if self._is_listed(staged.key):
                raise
            return None
        check_is_object(self.bucket, head)
        return bool(head["Metadata"].get(STAGE_TOKEN) == staged.detail("token"))

    def _is_listed(self, key: str) -> bool:
        """Whether a key is there, for those who may list its folder but not the whole bucket.

        They are told 403 of a key that is not there, as if they might not read it:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        """
        with translated(self.bucket, key):
            page = self.client.list_objects_v2(**self._bucket, Prefix=key, MaxKeys=1)
        return any(found["Key"] == key for found in page.get("Contents", []))

    def _list_uploads(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        place: dict[str, str] = {}
        while True:
            with translated(self.bucket):
                page = self.client.list_multipart_uploads(**self._bucket, Prefix=prefix, **place)
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

    # --- rules over several requests --------------------------------------------------

    def _write_once(
        self,
        key: str,
        write: Callable[[], None],
        look: Callable[[], bool | None],
        *,
        first: Callable[[], bool | None] | None,
    ) -> None:
        """Carries out a conditional write and settles whose object is under the key.

        No answer is taken at its word but success: a client that repeats a write
        whose answer was lost is told that the object exists, its own.

        Args:
            key: The key, for messages.
            write: The write; it may be carried out several times.
            look: Looks whether the object under the key is the one to write; None
                where none is, and the write can be tried again.
            first: A look before the write, for a store that ignores the condition.

        Raises:
            ObjectExistsError: Another object is under the key.
            UnknownOutcomeError: The store could not be asked, or nothing was there
                although the write may yet arrive.
        """
        match None if first is None else first():
            case True:
                return
            case False:
                raise ObjectExistsError(key)
            case None:
                pass
        reason: Exception | None = None
        for pause in self._pauses():
            try:
                write()
            except BotoError as error:
                contested = error_code(error) in _CONTESTED
                # A refusal says nothing about an earlier try, which may yet arrive.
                if reason is None and not contested and is_refusal(error):
                    raise translate(error, self.bucket, key) from error
                reason = error
            else:
                return
            try:
                ours = look()
            except StagedGoneError:
                raise
            except (CohortS3Error, OSError) as error:
                raise UnknownOutcomeError(key, f"{_name(reason)}, then {_name(error)}") from error
            if ours:
                return
            if ours is not None:
                raise ObjectExistsError(key) from reason
            time.sleep(pause)
        raise UnknownOutcomeError(key, _name(reason)) from reason

    def _holds(self, key: str, data: bytes) -> bool | None:
        """Whether these bytes are under the key; None where nothing is."""

        def read() -> bytes:
            with self.open(key) as stream:
                return stream.read(len(data) + 1)

        try:
            # Twice, as a bit may flip on the way. What equals ours is ours.
            return any(read() == data for _ in range(2))
        except ObjectNotFoundError:
            return None

    def _is_published_once_settled(self, staged: StagedObject) -> bool | None:
        """As ``_is_published``, and None only if the absence lasts."""
        for pause in self._pauses():
            published = self._is_published(staged)
            if published is not None:
                return published
            time.sleep(pause)
        return self._is_published(staged)

    def _is_published_or_can_be(self, staged: StagedObject) -> bool | None:
        """As ``_is_published``, and None only if its upload can still be completed.

        Raises:
            StagedGoneError: The upload has ended and nothing appeared.
        """
        published = self._is_published(staged)
        if published is None and not self._is_staged(staged):
            published = self._is_published_once_settled(staged)
            if published is None:
                raise StagedGoneError(staged.key)
        return published

    @contextlib.contextmanager
    def _uploading(self, key: str, content_type: str) -> Generator[tuple[str, str]]:
        """A new upload and its token; what fails within aborts it."""
        token = uuid.uuid4().hex
        upload_id = self._begin(key, token, content_type)
        try:
            yield upload_id, token
        except BaseException:
            # What can't be aborted now is left to the bucket's rule.
            with contextlib.suppress(*BotoError):
                self.client.abort_multipart_upload(**self._bucket, Key=key, UploadId=upload_id)
            raise

    def _has_replaced_or_can(self, staged: StagedObject) -> bool | None:
        """Whether the staged object itself is under its key; None if it can be put there still.

        Raises:
            StagedGoneError: Its upload has ended, and another object or none is there.
        """
        if self._is_published(staged):
            return True
        if self._is_staged(staged):
            return None
        if self._is_published_once_settled(staged):
            return True
        raise StagedGoneError(staged.key)

    def _upload(
        self, key: str, upload_id: str, chunks: Iterable[bytes]
    ) -> tuple[str, int, list[Part]]:
        """Uploads all chunks; the sha256 of all bytes, their number, and the parts."""
        digest = hashlib.sha256()
        size = 0
        parts: list[Part] = []
        underway: deque[Future[Part]] = deque()
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="upload")
        try:
            for number, data in enumerate(split_into_parts(chunks, self._part_size), 1):
                size += len(data)
                if number > MAX_PARTS or size > self.max_object_bytes:
                    raise ObjectTooLargeError(key, self.max_object_bytes)
                if len(underway) == self._concurrency:
                    parts.append(underway.popleft().result())
                underway.append(pool.submit(self._upload_part, key, upload_id, number, data))
                digest.update(data)
            parts += [future.result() for future in underway]
        finally:
            # After a failure no part may arrive behind the abort.
            pool.shutdown(wait=True, cancel_futures=True)
        return digest.hexdigest(), size, parts

    def _parts_of(self, staged: StagedObject) -> list[Part]:
        """The parts that were staged: from the handle, or from the store if they are many."""
        if "parts" in staged.handle:
            return [Part.parse(text) for text in staged.detail("parts").split(",")]
        parts: list[Part] = []
        place: dict[str, int] = {}
        while True:
            page = self.client.list_parts(
                **self._bucket,
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

    def _check_honesty(self, key: str) -> "_Honesty":
        """Finds out, once, whether the store honours conditions.

        Args:
            key: What is about to be written.

        Raises:
            StorageUnsuitableError: It does not, and the caller did not accept it.
        """
        with self._lock:
            if self._honesty is None:
                probe = _probe_beside(key)
                with translated(self.bucket, probe):
                    self._honesty = self._probe(probe)
            if not (self._honesty.creates or self._accept_unconditional_writes):
                raise StorageUnsuitableError(
                    f"the store of the bucket {self.bucket!r}",
                    "conditional writes (it overwrites an object despite If-None-Match: *)",
                    "Use another store, or pass accept_unconditional_writes=True if the "
                    "bucket has one writer only.",
                )
            return self._honesty

    def _is_aws(self) -> bool:
        endpoint: str = self.client.meta.endpoint_url
        host = urlsplit(endpoint).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"))

    def _probe(self, key: str) -> "_Honesty":
        if self._is_aws():
            return _Honesty(creates=True, completes=True)
        data = PROBE_NAME.encode()
        # The first one may be the very first ever.
        creates = any(
            self._is_refused(lambda: self._put(key, data, conditional=True)) for _ in range(2)
        )
        if not creates:
            return _Honesty(creates=False, completes=False)
        token = "probe"  # noqa: S105 - no secret
        upload_id = self._begin(key, token, "application/octet-stream")
        try:
            part = self._upload_part(key, upload_id, 1, bytearray(data))
            upload = StagedObject(
                key=key,
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                handle={"upload_id": upload_id, "token": token, "parts": str(part)},
            )
            completes = self._is_refused(lambda: self._complete(upload, conditional=True))
        finally:
            self._abort(key, upload_id)
        return _Honesty(creates=True, completes=completes)

    def _is_refused(self, write: Callable[[], None]) -> bool:
        """Whether the store refuses a conditional write because the object exists."""
        for pause in self._pauses():
            try:
                write()
            except ClientError as error:
                code = error_code(error)
                if code == "PreconditionFailed":
                    return True
                if code == "NotImplemented":
                    return False
                if code != "ConditionalRequestConflict":
                    raise
                time.sleep(pause)
            else:
                return False
        return False

    # --- small things -------------------------------------------------------------------

    def _check_new_key(self, key: str) -> None:
        if _is_probe(check_key(key)):
            raise InvalidKeyError(key, "the storage keeps its own object there")

    def _checksum(self, data: bytes | bytearray) -> dict[str, str]:
        # Given here, and not left to botocore: over HTTPS it would send it behind
        # the body, a form that older stores (Ceph 16) refuse.
        if not self._checksums:
            return {}
        crc32 = zlib.crc32(data).to_bytes(4, "big")
        return {"ChecksumCRC32": base64.b64encode(crc32).decode()}

    def _pauses(self) -> Iterator[float]:
        """Pauses in seconds, each twice the one before, of the settling time in sum."""
        return (self._settling_time * 2**n / 63 for n in range(6))

    def _info(self, key: str, size: int, last_modified: datetime | None = None) -> ObjectInfo:
        return ObjectInfo(
            key=key, size=size, url=f"s3://{self.bucket}/{key}", last_modified=last_modified
        )


@frozen(kw_only=True)
class _Honesty:
    """For which writes a store honours ``If-None-Match``."""

    creates: bool
    completes: bool


def _client(
    session: boto3.Session | None,
    endpoint_url: str | None,
    region: str | None,
    *,
    concurrency: int,
    checksums: bool,
) -> Any:
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


def _is_probe(key: str) -> bool:
    return key == PROBE_NAME or key.endswith(f"/{PROBE_NAME}")


def _probe_beside(key: str) -> str:
    """The probe's key for the first key that is written.

    >>> _probe_beside("cohorts/1_a_2026-11-23T14:05_existing.csv")
    'cohorts/_syncs/.probe'
    >>> _probe_beside("cohorts/_syncs/1_a/99999998-00000001.json")
    'cohorts/_syncs/.probe'
    """
    folder, _, _ = f"{key}/".partition("_syncs/")
    if folder == f"{key}/":
        folder = key[: key.rfind("/") + 1]
    return folder + PROBE_NAME


def _condition(*, conditional: bool) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if conditional else {}


def _name(error: BaseException | None) -> str:
    return error_code(error) or type(error).__name__ if error else "never tried"
