"""The options of an S3 storage: their rules, and the arguments of requests that follow."""

import base64
import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
from attrs import field, fields_dict, frozen

from ..._arguments import kind_faults
from ..limits import MAX_PART_BYTES, MIN_PART_BYTES
from ._client import calculates_checksums

_KEY_BYTES = 32
_SSE_C = ("SSECustomerAlgorithm", "SSECustomerKey")

REQUEST_OPTIONS: Mapping[str, type] = {
    "BucketKeyEnabled": bool,
    "GrantFullControl": str,
    "GrantRead": str,
    "GrantReadACP": str,
    "GrantWriteACP": str,
    "ObjectLockLegalHoldStatus": str,
    "ObjectLockMode": str,
    "ObjectLockRetainUntilDate": str,
    "RequestPayer": str,
    "SSECustomerAlgorithm": str,
    "SSECustomerKey": bytes,
    "SSEKMSEncryptionContext": str,
    "ServerSideEncryption": str,
    "StorageClass": str,
    "Tagging": str,
}
"""The arguments of boto3 that a caller may add to requests, and their types.

All others belong to the storage, or would change what a response means.
"""


@frozen(kw_only=True)
class S3Options:
    """The options of a storage, without its client. They describe it in another process.

    The attributes are those arguments of ``S3Storage`` that can be copied.
    """

    bucket: str
    endpoint_url: str | None
    region: str | None
    kms_key_id: str | None
    expected_bucket_owner: str | None
    acl: str | None
    checksums: bool | None
    part_size: int
    concurrency: int
    settling_time: float
    accept_unconditional_writes: bool
    request_options: Mapping[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as arguments of ``S3Storage``."""
        return {name: getattr(self, name) for name in fields_dict(type(self))}

    @property
    def has_secret(self) -> bool:
        """True if they contain the key of an encryption."""
        return "SSECustomerKey" in self.request_options

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of requests. Each request gets those that its operation accepts."""
        kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key_id}
        return {
            "Bucket": self.bucket,
            **({"ExpectedBucketOwner": o} if (o := self.expected_bucket_owner) else {}),
            **(kms if self.kms_key_id else {}),
            **({"ACL": self.acl} if self.acl else {}),
            **self.request_options,
            **self._customer_key(),
        }

    def _customer_key(self) -> dict[str, str]:
        """Return the key of SSE-C and its digest, as the headers have them.

        botocore encodes the key itself, but not for all operations that need it.
        """
        key = self.request_options.get("SSECustomerKey")
        if key is None:
            return {}
        data: bytes = key.encode() if isinstance(key, str) else key
        digest = hashlib.md5(data, usedforsecurity=False).digest()
        return {
            "SSECustomerKey": base64.b64encode(data).decode(),
            "SSECustomerKeyMD5": base64.b64encode(digest).decode(),
        }

    def faults(self) -> Iterator[str]:
        """Yield the faults of the options."""
        hint = "pass its name, or call open_storage(destination)"
        yield from kind_faults("bucket", self.bucket, str, hint)
        for name in ("endpoint_url", "region", "kms_key_id", "expected_bucket_owner"):
            yield from kind_faults(name, getattr(self, name), str | None)
        yield from kind_faults("checksums", self.checksums, bool | None)
        yield from kind_faults(
            "accept_unconditional_writes", self.accept_unconditional_writes, bool
        )
        yield from self._number_faults()
        if self.acl not in (None, "bucket-owner-full-control"):
            yield f"acl must be 'bucket-owner-full-control' or None, not {self.acl!r}"
        owner = self.expected_bucket_owner
        if isinstance(owner, str) and owner and not re.fullmatch(r"[0-9]{12}", owner):
            yield f"expected_bucket_owner must be an account id of 12 digits, not {owner!r}"
        bucket: Any = self.bucket
        if isinstance(bucket, str):
            yield from _bucket_faults(bucket)
            if isinstance(self.endpoint_url, str):
                yield from _endpoint_faults(self.endpoint_url, bucket)
        yield from _request_faults(self.request_options, self.kms_key_id)

    def _number_faults(self) -> Iterator[str]:
        yield from (faults := kind_faults("part_size", self.part_size, int))
        if not faults and not MIN_PART_BYTES <= self.part_size <= MAX_PART_BYTES:
            limits = f"from {MIN_PART_BYTES} to {MAX_PART_BYTES}"
            yield f"part_size must be {limits} bytes, not {self.part_size}"
        yield from (faults := kind_faults("concurrency", self.concurrency, int))
        if not faults and self.concurrency < 1:
            yield f"concurrency must be at least 1, not {self.concurrency}"
        yield from (faults := kind_faults("settling_time", self.settling_time, int | float))
        if not faults and not (math.isfinite(self.settling_time) and self.settling_time >= 0):
            yield f"settling_time must be a number of seconds from 0 on, not {self.settling_time}"


def client_faults(client: Any, *, checksums: bool | None = None) -> Iterator[str]:
    """Yield the faults of a client that a caller made."""
    model = getattr(getattr(client, "meta", None), "service_model", None)
    kind = type(client).__name__
    if isinstance(client, boto3.Session):
        yield 'client is a session: pass it as session, or pass session.client("s3")'
    elif hasattr(getattr(client, "meta", None), "client"):
        yield "client is a resource of boto3: pass resource.meta.client"
    elif model is None or not hasattr(client, "get_object"):
        service = "" if model is None else f" for {model.service_name}"
        yield f'client must be a boto3 client for S3, boto3.client("s3"), not {kind}{service}'
    elif checksums is False and calculates_checksums(client):
        yield (
            "checksums is False, but the client adds checksums by itself: make it with "
            'Config(request_checksum_calculation="when_required", '
            'response_checksum_validation="when_required")'
        )


def session_faults(session: object) -> Iterator[str]:
    """Yield the fault of an argument that is not a session of boto3."""
    if not isinstance(session, boto3.Session):
        kind = type(session).__name__
        yield f'session must be a boto3.Session, not {kind}: pass boto3.Session(profile_name="etl")'


def _bucket_faults(bucket: str) -> Iterator[str]:
    if bucket == "":
        yield "bucket must not be empty"
    elif "://" in bucket:
        # Not shown: it may be a signed URL.
        yield "bucket is a URL: pass the name alone, or use open_storage"
    elif "/" in bucket and not bucket.startswith("arn:"):
        name = bucket.partition("/")[0]
        yield (
            f"bucket has a path: a storage is a whole bucket, so pass {name!r} and "
            "set Destination.path to the rest"
        )


def _endpoint_faults(endpoint_url: str, bucket: str) -> Iterator[str]:
    try:
        parts = urlsplit(endpoint_url)
        host, is_valid = parts.hostname, parts.port is None or parts.port > 0
    except ValueError:
        yield "endpoint_url is not a URL, such as http://127.0.0.1:9000"
        return
    if "@" in endpoint_url:
        # Not shown: it has a password.
        yield "endpoint_url must not contain a user or a password: use a session or a profile"
    elif parts.query or parts.fragment:
        yield "endpoint_url must not contain ? or #"
    elif parts.scheme not in ("http", "https") or not host or not is_valid:
        yield (
            f"endpoint_url {endpoint_url!r} must begin with http:// or https:// and a host, as in "
            "http://127.0.0.1:9000"
        )
    elif parts.path.strip("/").rpartition("/")[2] == bucket:
        yield f"endpoint_url ends with the bucket {bucket!r}: leave it out there"
    elif host.startswith(f"{bucket}.") and host.endswith(".amazonaws.com"):
        yield f"endpoint_url begins with the bucket {bucket!r}: leave it out there"


def _request_faults(given: Any, kms_key_id: str | None) -> Iterator[str]:
    """Yield the faults of ``request_options``. No value is shown, as one may be a key."""
    if not hasattr(given, "items"):
        yield f"request_options must be a mapping, not {type(given).__name__}"
        return
    for name, value in given.items():
        if name not in REQUEST_OPTIONS:
            yield f"request_options can't contain {name!r}: it has {', '.join(REQUEST_OPTIONS)}"
        elif name == "SSECustomerKey":
            encoded = value.encode() if isinstance(value, str) else value
            if not isinstance(encoded, bytes) or len(encoded) != _KEY_BYTES:
                yield f"request_options[{name!r}] must be {_KEY_BYTES} bytes"
        elif not isinstance(value, REQUEST_OPTIONS[name]):
            kinds = f"{REQUEST_OPTIONS[name].__name__}, not {type(value).__name__}"
            yield f"request_options[{name!r}] must be of type {kinds}"
    if 0 < len(given.keys() & set(_SSE_C)) < len(_SSE_C):
        yield f"request_options must contain both of {' and '.join(_SSE_C)}, or none"
    encryption = given.get("ServerSideEncryption")
    if kms_key_id and encryption is not None and not str(encryption).startswith("aws:kms"):
        yield "kms_key_id contradicts request_options['ServerSideEncryption']: pass one of them"
    if "SSECustomerKey" in given and (kms_key_id or encryption is not None):
        yield "request_options['SSECustomerKey'] is an encryption of its own: pass no other one"
