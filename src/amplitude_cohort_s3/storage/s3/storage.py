"""A bucket of Amazon S3, or of a store that speaks its language, as a Storage."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import boto3

from ..._arguments import kind_faults
from ...errors import (
    CohortS3Error,
    ConfigurationError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    StagedGoneError,
    StorageUnsuitableError,
    StoreUnavailableError,
    TooManyPartsError,
    UnknownOutcomeError,
)
from ..compose import MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES, UploadPart, upload_parts
from ..keys import check_key
from ..protocol import ObjectInfo, StagedObject, StagedState
from ._conditional_writes import Honesty, is_probe, probe, probe_beside
from ._requests import Bucket, open_client
from ._uploads import stage_chunks, stage_composed
from .errors import (
    ENDED,
    MAX_OBJECT_BYTES,
    BotoError,
    error_code,
    is_refusal,
    translate,
    translated,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MAX_PUT_BYTES = 5 << 30

# What a conditional write answers where an object may be there already. 409 means
# that another request interfered, which says nothing about who is there.
_CONTESTED = {"PreconditionFailed", "ConditionalRequestConflict", *ENDED}


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
        self.client: Any = client or open_client(
            session, endpoint_url, region, concurrency=concurrency, checksums=checksums
        )
        new_object: dict[str, str] = {}
        if kms_key_id:
            new_object |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id}
        if acl:
            new_object["ACL"] = acl
        self._bucket = Bucket(
            bucket,
            self.client,
            owner=expected_bucket_owner,
            new_object=new_object,
            checksums=checksums,
        )
        self._part_size = part_size
        self._concurrency = concurrency
        self._settling_time = settling_time
        self._accept_unconditional_writes = accept_unconditional_writes
        self._lock = threading.Lock()
        self._honesty: Honesty | None = None

    def __repr__(self) -> str:
        return f"S3Storage({self.bucket!r})"

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        for found in self._bucket.list_objects(prefix, start_after):
            if not is_probe(found["Key"]):
                yield self._info(found["Key"], found["Size"], found.get("LastModified"))

    def open(self, key: str, /) -> BinaryIO:
        return self._bucket.open(check_key(key))

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        self._check_new_key(key)
        if len(data) > _MAX_PUT_BYTES:
            raise ObjectTooLargeError(key, _MAX_PUT_BYTES)
        honest = self._check_honesty(key).creates
        self._write_once(
            key,
            lambda: self._bucket.put(key, data, conditional=honest),
            lambda: self._holds(key, data),
            first=None if honest else lambda: self._holds(key, data),
        )
        return self._info(key, len(data))

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        self._check_new_key(key)
        self._check_honesty(key)
        return stage_chunks(
            self._bucket,
            key,
            chunks,
            content_type=content_type,
            part_size=self._part_size,
            concurrency=self._concurrency,
            most_bytes=self.max_object_bytes,
        )

    @property
    def max_object_bytes(self) -> int:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html says 48.8 TiB.
        return MAX_PARTS * MAX_PART_BYTES if self._bucket.is_aws else MAX_OBJECT_BYTES

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
        return stage_composed(
            self._bucket,
            key,
            planned,
            header=header,
            sources=parts,
            content_type=content_type,
            # A copy takes no memory here, so as many as a client has connections.
            concurrency=max(10, self._concurrency),
        )

    def inspect(self, staged: StagedObject, /) -> StagedState:
        # The upload first: it ends when the object appears, so the other order
        # could see neither.
        if self._bucket.is_staged(staged):
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
            lambda: self._bucket.complete(staged, conditional=honest),
            lambda: self._is_published_or_can_be(staged),
            first=None if honest else lambda: self._bucket.is_published(staged),
        )
        return self._info(staged.key, staged.size)

    def replace(self, staged: StagedObject, /) -> ObjectInfo:
        self._write_once(
            staged.key,
            lambda: self._bucket.complete(staged, conditional=False),
            lambda: self._has_replaced_or_can(staged),
            first=None,
        )
        # A store may call it a success to complete again what was overwritten since.
        if not self._bucket.is_published(staged):
            raise StagedGoneError(staged.key)
        return self._info(staged.key, staged.size)

    def discard(self, staged: StagedObject, /) -> None:
        # A part that is being uploaded meanwhile can outlive an abort:
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
        for pause in self._pauses():
            refusal: CohortS3Error | None = None
            try:
                if not self._bucket.abort(staged.key, staged.detail("upload_id")):
                    return
            except StoreUnavailableError:
                pass  # Perhaps it was carried out.
            except CohortS3Error as error:
                refusal = error
            try:
                if not self._bucket.is_staged(staged):
                    return
            except CohortS3Error as error:
                raise refusal or UnknownOutcomeError(staged.key, _name(error)) from error
            if refusal is not None:
                raise refusal
            time.sleep(pause)
        raise UnknownOutcomeError(staged.key, "its upload does not end though it was aborted")

    def delete(self, key: str, /) -> None:
        self._bucket.delete(check_key(key))

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
        stale = [(k, u) for k, u, begun in self._bucket.list_uploads(folder) if begun < before]
        return tuple(key for key, upload_id in stale if self._bucket.abort(key, upload_id))

    # --- Rules over several requests --------------------------------------------------

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
            published = self._bucket.is_published(staged)
            if published is not None:
                return published
            time.sleep(pause)
        return self._bucket.is_published(staged)

    def _is_published_or_can_be(self, staged: StagedObject) -> bool | None:
        """As ``_is_published``, and None only if its upload can still be completed.

        Raises:
            StagedGoneError: The upload has ended and nothing appeared.
        """
        published = self._bucket.is_published(staged)
        if published is None and not self._bucket.is_staged(staged):
            published = self._is_published_once_settled(staged)
            if published is None:
                raise StagedGoneError(staged.key)
        return published

    def _has_replaced_or_can(self, staged: StagedObject) -> bool | None:
        """Whether the staged object itself is under its key; None if it can be put there still.

        Raises:
            StagedGoneError: Its upload has ended, and another object or none is there.
        """
        if self._bucket.is_published(staged):
            return True
        if self._bucket.is_staged(staged):
            return None
        if self._is_published_once_settled(staged):
            return True
        raise StagedGoneError(staged.key)

    def _check_honesty(self, key: str) -> Honesty:
        """Finds out, once, whether the store honours conditions.

        Args:
            key: What is about to be written.

        Raises:
            StorageUnsuitableError: It does not, and the caller did not accept it.
        """
        with self._lock:
            if self._honesty is None:
                place = probe_beside(key)
                with translated(self.bucket, place):
                    self._honesty = probe(self._bucket, place, self._pauses)
            if not (self._honesty.creates or self._accept_unconditional_writes):
                raise StorageUnsuitableError(
                    f"the store of the bucket {self.bucket!r}",
                    "conditional writes (it overwrites an object despite If-None-Match: *)",
                    "Use another store, or pass accept_unconditional_writes=True if the "
                    "bucket has one writer only.",
                )
            return self._honesty

    # --- Small things -----------------------------------------------------------------

    def _check_new_key(self, key: str) -> None:
        if is_probe(check_key(key)):
            raise InvalidKeyError(key, "the storage keeps its own object there")

    def _pauses(self) -> Iterator[float]:
        """Pauses in seconds, each twice the one before, of the settling time in sum."""
        return (self._settling_time * 2**n / 63 for n in range(6))

    def _info(self, key: str, size: int, last_modified: datetime | None = None) -> ObjectInfo:
        return ObjectInfo(
            key=key, size=size, url=f"s3://{self.bucket}/{key}", last_modified=last_modified
        )


def _name(error: BaseException | None) -> str:
    return error_code(error) or type(error).__name__ if error else "never tried"
