"""A bucket of Amazon S3, or of a store that speaks its protocol, as a storage."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import boto3

from ...errors import (
    ConfigurationError,
    InvalidKeyError,
    ObjectTooLargeError,
    UnsuitableStorageError,
)
from ..keys import check_key
from ..limits import MAX_PART_BYTES, MAX_PARTS
from ..protocol import ObjectInfo, StagedInfo, StagedObject, StagedState
from ._bucket import Bucket
from ._client import (
    calculates_checksums,
    client_of_each_process,
    lock_of_each_process,
    open_client,
)
from ._conditional_writes import ConditionalWriteSupport, is_probe, probe, probe_key
from ._options import S3Options, client_faults, session_faults
from ._parts import PlannedPart, plan_equal_parts, plan_parts
from ._uploads import stage_chunks, stage_composed
from ._write_once import WriteOnce
from .errors import MAX_OBJECT_BYTES, translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MAX_PUT_BYTES = 5 << 30


class S3Storage:
    """A whole bucket; keys are the keys of its objects.

    A staged object is a multipart upload that is not completed: S3 stores its bytes and lists
    it nowhere, and it can be aborted. Publishing completes the upload on the condition that
    its key is free. Credentials come from boto3's standard chain (environment, profile,
    role) and are never kept here.

    Before the first write to a store other than AWS, the storage tries to create an object
    that exists. A store that does not refuse would let two writers overwrite each other, so
    the storage refuses to use it. Ceph before version 18 honours the condition for small
    objects only. There the storage looks before it publishes, and an object that somebody
    else writes between the two could be overwritten.

    After a fork, each process has connections of its own. A storage can be pickled by its
    arguments, without credentials: each process finds its own. With a ``client``, a
    ``session`` or a secret in ``request_options`` it can't be pickled.

    Args:
        bucket: The bucket's name, or the ARN or alias of an access point.
        client: A boto3 client for S3 of your own. It has its own configuration, so
            ``session``, ``endpoint_url`` and ``region`` can't be passed too.
        session: The boto3 session to make the client from.
        endpoint_url: The URL of a store other than AWS, such as ``http://127.0.0.1:9000``.
        region: The bucket's region. Default: the session's.
        kms_key_id: The KMS key that encrypts new objects. Default: the bucket's setting
            applies. If the bucket is another account's, pass the key's ARN.
        expected_bucket_owner: The account that must own the bucket, 12 digits.
        acl: The ACL of new objects, for a bucket of another account that still uses ACLs:
            without it the bucket's owner can't read what you write.
        checksums: True if uploads carry a CRC-32 that the store verifies, and reads ask for
            it. Default: as the client is configured, for instance by the environment variables
            ``AWS_REQUEST_CHECKSUM_CALCULATION`` and ``AWS_RESPONSE_CHECKSUM_VALIDATION``; boto3
            uses checksums by default. Turn it off only for a store that refuses the header;
            buckets with Object Lock need it.
        part_size: The bytes of a part of an upload, which has at most 10,000. On AWS the size
            doubles every 1,000 parts; other stores, such as Cloudflare R2, may accept equal
            parts only, so pass more for files over 80 GB. ``concurrency + 1`` parts are held
            in memory for each file that is uploaded.
        concurrency: The number of parts that are uploaded at a time.
        settling_time: The seconds for which an object must stay absent before it counts as
            gone, and for which a contested write is tried again.
        accept_unconditional_writes: True to use a store that ignores the condition. It is
            safe only while the bucket has one writer.
        request_options: Arguments of boto3 that the bucket's policy demands. They are added to
            each request that accepts them, and are never shown: ``{"RequestPayer": "requester"}``,
            ``{"ServerSideEncryption": "AES256"}``, or for SSE-C ``{"SSECustomerAlgorithm":
            "AES256", "SSECustomerKey": key}`` with a key of 32 bytes. Also ``Tagging``,
            ``StorageClass``, ``BucketKeyEnabled``, ``SSEKMSEncryptionContext``, ``ObjectLock...``
            and ``Grant...``. For other headers, register a function with the events of boto3:
            ``client.meta.events.register("before-sign.s3", add_headers)``.

    Raises:
        ConfigurationError: The arguments contradict each other or S3's limits, or boto3 refuses
            them, a variable of the environment or its configuration files.
        CredentialsError: There is no such profile, or its credentials can't be obtained. Some
            are not obtained before the first request, which then raises this.
        UnsuitableStorageError: The bucket is a directory bucket, whose listings are not in
            order. On the first write: the store ignores the condition.

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
        checksums: bool | None = None,
        part_size: int = 8 << 20,
        concurrency: int = 4,
        settling_time: float = 2.0,
        accept_unconditional_writes: bool = False,
        request_options: Mapping[str, str | bytes | bool] | None = None,
    ) -> None:
        options = self._options = S3Options(
            bucket=bucket,
            endpoint_url=endpoint_url,
            region=region,
            kms_key_id=kms_key_id,
            expected_bucket_owner=expected_bucket_owner,
            acl=acl,
            checksums=checksums,
            part_size=part_size,
            concurrency=concurrency,
            settling_time=settling_time,
            accept_unconditional_writes=accept_unconditional_writes,
            request_options={} if request_options is None else request_options,
        )
        if faults := (*options.faults(), *_source_faults(options, client, session)):
            raise ConfigurationError("S3Storage", faults)
        if bucket.endswith(("--x-s3", "--xa-s3")):
            raise UnsuitableStorageError(
                f"the directory bucket {bucket!r}",
                "listings in the order of the keys",
                "Use a general purpose bucket",
            )
        self.bucket = bucket
        self._is_reproducible = client is None and session is None
        self._bucket = _open_bucket(options, client, session)
        self._writes = WriteOnce(self._bucket, settling_time)
        self._part_size = part_size
        self._concurrency = concurrency
        self._accept_unconditional_writes = accept_unconditional_writes
        self._locks = lock_of_each_process()
        self._support: ConditionalWriteSupport | None = None

    @property
    def client(self) -> Any:
        """The boto3 client for S3 that sends the requests of this process."""
        return self._bucket.client

    def __repr__(self) -> str:
        return f"S3Storage({self.bucket!r})"

    def __reduce__(self) -> tuple[Callable[[], "S3Storage"], tuple[()]]:
        if not self._is_reproducible or self._options.has_secret:
            what = "an SSECustomerKey" if self._is_reproducible else "a client or a session"
            fault = (
                f"a storage with {what} can't be pickled or copied, as that contains secrets: open "
                "it in each process, or pass region and endpoint_url and let each process find "
                "its own credentials"
            )
            raise ConfigurationError("S3Storage", (fault,))
        return partial(type(self), **self._options.to_dict()), ()

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
            raise ObjectTooLargeError(key, _MAX_PUT_BYTES, found=len(data))
        self._writes.create(key, data, conditional=self._check_support(key).puts)
        return self._info(key, len(data))

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        self._check_new_key(key)
        self._check_support(key)
        return stage_chunks(
            self._bucket,
            key,
            chunks,
            content_type=content_type,
            part_size=self._part_size,
            growing=self._bucket.is_aws,
            concurrency=self._concurrency,
            max_bytes=self.max_object_bytes,
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
            raise ObjectTooLargeError(key, self.max_object_bytes, found=sum(sizes))
        # An empty object also needs one part.
        planned = list(self._plan_parts(sizes)) or [PlannedPart((), copied=False)]
        if len(planned) > MAX_PARTS:
            raise ObjectTooLargeError(key, MAX_PARTS, "parts", len(planned))
        self._check_support(key)
        return stage_composed(
            self._bucket,
            key,
            planned,
            header=header,
            sources=parts,
            content_type=content_type,
            # The store copies the bytes, so this needs no memory: use every connection.
            concurrency=max(10, self._concurrency),
        )

    def _plan_parts(self, sizes: Sequence[int]) -> Iterator[PlannedPart]:
        if self._bucket.is_aws:
            return plan_parts(sizes)
        # Other stores may refuse parts of unequal sizes, and only when an upload is completed.
        return plan_equal_parts(sizes, max(self._part_size, -(-sum(sizes) // MAX_PARTS)))

    def inspect(self, staged: StagedObject, /) -> StagedState:
        return self._writes.inspect(staged)

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        conditional = self._check_support(staged.key).completions
        self._writes.publish(staged, conditional=conditional)
        return self._info(staged.key, staged.size)

    def replace(self, staged: StagedObject, /) -> ObjectInfo:
        self._writes.replace(staged)
        return self._info(staged.key, staged.size)

    def discard(self, staged: StagedObject, /) -> None:
        self._writes.discard(staged)

    def delete(self, key: str, /) -> None:
        self._bucket.delete(check_key(key))

    @property
    def expires_staged(self) -> bool:
        return True

    def list_staged(self, prefix: str = "", /) -> Iterator[StagedInfo]:
        for key, upload_id, begun in self._bucket.list_uploads(prefix):
            staged = StagedObject(key=key, size=0, sha256=None, handle={"upload_id": upload_id})
            yield StagedInfo(staged=staged, begun=begun)

    def _check_new_key(self, key: str) -> None:
        if is_probe(check_key(key)):
            raise InvalidKeyError(key, "the storage keeps its own object there")

    def _check_support(self, key: str) -> ConditionalWriteSupport:
        """Return the conditions that the store honours, found out before the first write."""
        with self._locks.get():
            if self._support is None:
                place = probe_key(key)
                with translated(self.bucket, place):
                    self._support = probe(self._bucket, place, self._writes.pauses)
            if not (self._support.puts or self._accept_unconditional_writes):
                raise UnsuitableStorageError(
                    f"the store of the bucket {self.bucket!r}",
                    "conditional writes (it overwrites an object despite If-None-Match: *)",
                    "Use another store, or pass accept_unconditional_writes=True if the "
                    "bucket has only one writer",
                )
            return self._support

    def _info(self, key: str, size: int, last_modified: datetime | None = None) -> ObjectInfo:
        return ObjectInfo(
            key=key, size=size, url=f"s3://{self.bucket}/{key}", last_modified=last_modified
        )


def requests_of(storage: S3Storage) -> Bucket:
    """Return the requests that a storage sends, with its client and its options."""
    # The attribute belongs to a class of this module.
    return storage._bucket  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def _open_bucket(options: S3Options, client: Any, session: boto3.Session | None) -> Bucket:
    if client is None:
        client = open_client(
            options.bucket,
            session,
            options.endpoint_url,
            options.region,
            concurrency=options.concurrency,
            checksums=options.checksums,
        )
    checksums = options.checksums
    return Bucket(
        name=options.bucket,
        clients=client_of_each_process(client),
        options=options.arguments,
        checksums=calculates_checksums(client) if checksums is None else checksums,
    )


def _source_faults(options: S3Options, client: object, session: object) -> Iterator[str]:
    """Yield the faults of what the requests are sent with."""
    if session is not None:
        yield from session_faults(session)
    if client is None:
        return
    yield from client_faults(client, checksums=options.checksums)
    if (session, options.endpoint_url, options.region) != (None, None, None):
        yield "pass either a client, or session, endpoint_url and region"
