"""The requests that botocore sends to S3, and their names in IAM."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from attrs import frozen

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
ACTIONS = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CompleteMultipartUpload": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectsV2": "s3:ListBucket",
    "ListParts": "s3:ListMultipartUploadParts",
    "PutObject": "s3:PutObject",
    "UploadPart": "s3:PutObject",
}

CREATES_OBJECT = {
    "CompleteMultipartUpload": "true",
    "CreateMultipartUpload": "false",
    "PutObject": "true",
    "UploadPart": "false",
}

HEADERS = {
    "if-none-match": "s3:if-none-match",
    "x-amz-acl": "s3:x-amz-acl",
    "x-amz-server-side-encryption": "s3:x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id": (
        "s3:x-amz-server-side-encryption-aws-kms-key-id"
    ),
}
"""The headers that have condition keys."""


@frozen(kw_only=True)
class Call:
    """The parts of a request to S3 that a policy can see.

    Attributes:
        operation: An operation such as ``PutObject``.
        key: The object's key, or None if the request is about the bucket.
        prefix: The prefix of a listing, or None.
        headers: The headers that have condition keys, with lower-case names.
    """

    operation: str
    key: str | None = None
    prefix: str | None = None
    headers: frozenset[tuple[str, str]] = frozenset()

    @property
    def action(self) -> str:
        return ACTIONS[self.operation]

    def resource(self, bucket_arn: str) -> str:
        return bucket_arn if self.key is None else f"{bucket_arn}/{self.key}"

    @property
    def context(self) -> dict[str, str]:
        """The request's condition keys, except that for TLS, which depends on the connection."""
        context = {HEADERS[name]: value for name, value in self.headers}
        if self.prefix is not None and self.action == "s3:ListBucket":
            context["s3:prefix"] = self.prefix
        if self.operation in CREATES_OBJECT:
            context["s3:ObjectCreationOperation"] = CREATES_OBJECT[self.operation]
        return context

    def shape(self, path: str) -> tuple[str, str, frozenset[str]]:
        """Return the kind of request, independent of its stream and sync."""
        place = self.prefix if self.key is None else self.key
        folder = f"{path}/" if path else ""
        if place is None:
            where = "bucket"
        elif not place.startswith(folder):
            where = "elsewhere"
        else:
            where = "log" if place.removeprefix(folder).startswith("_syncs/") else "data"
        return (self.operation, where, frozenset(name for name, _ in self.headers))


class CallRecorder:
    """A recorder of the requests that clients send.

    >>> recorder = CallRecorder()
    >>> recorder.calls
    []
    """

    def __init__(self) -> None:
        self.calls = list[Call]()

    def watch(self, client: Any) -> None:
        """Record the requests of a client from now on, retries included."""
        # First, because moto answers in the same event and ends it.
        client.meta.events.register_first("before-send.s3", self._note)

    def _note(self, request: Any, event_name: str, **_: object) -> None:
        url = urlsplit(request.url)
        query = parse_qs(url.query, keep_blank_values=True)
        # The URLs are in path style: the bucket is the first segment.
        key = unquote(url.path).lstrip("/").partition("/")[2]
        headers = {str(name).lower(): _text(value) for name, value in request.headers.items()}
        self.calls.append(
            Call(
                operation=event_name.rpartition(".")[2],
                key=key or None,
                prefix=query["prefix"][0] if "prefix" in query else None,
                headers=frozenset((n, v) for n, v in headers.items() if n in HEADERS),
            )
        )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


ONLY_NEW = frozenset({("if-none-match", "*")})


def expected_calls(path: str) -> Mapping[str, Iterable[Call]]:
    """Return the requests of each purpose. A test compares them with recorded ones."""
    below = f"{path}/" if path else ""
    data = f"{below}123_26umsb5_2026-11-23T14:05_existing.csv"
    log = f"{below}_syncs/123_26umsb5/"
    record = f"{log}99999998-1.json"
    listings = [
        Call(operation="ListObjectsV2", prefix=log),
        Call(operation="ListObjectsV2", prefix=f"{below}123_26umsb5_"),
        Call(operation="ListObjectsV2", prefix=below),
    ]
    reads = [
        Call(operation="GetObject", key=data),
        Call(operation="GetObject", key=record),
        Call(operation="HeadObject", key=data),
        Call(operation="HeadObject", key=record),
    ]
    return {
        "write": [
            *listings,
            *reads,
            Call(operation="PutObject", key=record, headers=ONLY_NEW),
            Call(operation="CreateMultipartUpload", key=data),
            Call(operation="UploadPart", key=data),
            Call(operation="CompleteMultipartUpload", key=data, headers=ONLY_NEW),
            Call(operation="ListParts", key=data),
            Call(operation="AbortMultipartUpload", key=data),
        ],
        "amplitude": [
            Call(operation="PutObject", key=data),
            Call(operation="CreateMultipartUpload", key=data),
            Call(operation="UploadPart", key=data),
            Call(operation="CompleteMultipartUpload", key=data),
            Call(operation="AbortMultipartUpload", key=data),
        ],
        "read": [*listings, *reads],
        "maintain": [
            Call(operation="ListMultipartUploads", prefix=f"{below}123_26umsb5_"),
            Call(operation="ListMultipartUploads", prefix=log),
            Call(operation="ListParts", key=data),
            Call(operation="AbortMultipartUpload", key=data),
        ],
    }
