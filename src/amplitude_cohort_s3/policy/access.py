"""Functions that apply a bucket policy and try the permissions of credentials.

This is the only module of the folder that sends requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import Any, Required, TypedDict, TypeVar, Unpack

from attrs import field, frozen
from botocore.client import BaseClient

from .._arguments import check_kind, choice_faults
from ..errors import (
    AccessDeniedError,
    ConfigurationError,
    ObjectNotFoundError,
    StoreRefusedError,
)
from ..log.stream import LOG_FOLDER
from ..settings.destination import Destination
from ..storage.s3.errors import translated
from ..storage.s3.responses import send
from ..storage.s3.storage import S3Storage, requests_of
from ._merge import PolicyChange, compact_json
from .bucket_policy import bucket_policy
from .purposes import ACTIONS, PURPOSES, Purpose

T = TypeVar("T")


class PolicyOptions(TypedDict, total=False):
    """The options of :func:`bucket_policy`; its docstring describes them."""

    principal: Required[str | Iterable[str]]
    purpose: Purpose
    tls_only: bool
    create_only: bool
    organisation: str | None
    source_account: str | None
    kms_key: str | None
    legacy_acl: bool


def apply_bucket_policy(
    client: BaseClient, destination: Destination, **options: Unpack[PolicyOptions]
) -> PolicyChange:
    """Merge the statements of :func:`bucket_policy` into the bucket's policy.

    The policy is written only if it changes, so a second call writes nothing. S3 has no
    conditional write of a policy: an edit that someone makes between the read and the write is
    lost.

    Args:
        client: A boto3 client for S3 that may get and put the bucket's policy.
        destination: As for :func:`bucket_policy`.
        **options: As for :func:`bucket_policy`.

    Returns:
        The policy before and after, and the ids of the statements that change.

    Raises:
        ConfigurationError: Arguments break rules; nothing was read or written.
        InvalidPolicyError: The bucket's policy can't be merged into, or the result is larger
            than S3 accepts.
        AccessDeniedError: The client may not get or put the policy.

    Example::

        change = apply_bucket_policy(
            boto3.client("s3"), destination, principal="arn:aws:iam::111122223333:role/etl"
        )
    """
    policy = bucket_policy(destination, **options)
    change = policy.compare(_read_policy(client, policy.bucket))
    if change.changed:
        with translated(policy.bucket):
            put = {"Bucket": policy.bucket, "Policy": compact_json(change.after)}
            send(client, "put_bucket_policy", **put)
    return change


def _read_policy(client: Any, bucket: str) -> str | None:
    """Return the bucket's policy as text, or None if it has none."""
    try:
        with translated(bucket):
            return str(send(client, "get_bucket_policy", Bucket=bucket)["Policy"])
    except StoreRefusedError as error:
        if error.code != "NoSuchBucketPolicy":
            raise
        return None


class Verdict(Enum):
    """The result of trying a permission."""

    GRANTED = "granted"
    DENIED = "denied"
    NOT_TESTABLE = "not testable"


@frozen(kw_only=True)
class Permission:
    """A permission that was tried.

    Attributes:
        action: An action such as ``s3:PutObject``.
        resource: The ARN on which the action is needed.
        verdict: The result.
        reason: The reason, if the permission was not granted.
    """

    action: str
    resource: str
    verdict: Verdict
    reason: str = ""

    def __str__(self) -> str:
        """Return the permission as one line."""
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.verdict.value}: {self.action} on {self.resource}{reason}"


@frozen(kw_only=True, repr=False)
class AccessReport:
    """The permissions of some credentials. You can send the repr to the bucket's owner.

    Attributes:
        place: The URL of the bucket and folder.
        purpose: The purpose whose permissions were tried.
        permissions: All permissions that the purpose needs.
    """

    place: str
    purpose: Purpose
    permissions: tuple[Permission, ...] = field(converter=tuple[Permission, ...])

    @property
    def denied(self) -> tuple[Permission, ...]:
        """The missing permissions."""
        return tuple(p for p in self.permissions if p.verdict is Verdict.DENIED)

    def __repr__(self) -> str:
        lines = [f"To {self.purpose} {self.place}:", *(f"- {p}" for p in self.permissions)]
        if self.denied:
            lines.append(
                "Please allow the denied actions in the bucket's policy. If the role belongs to "
                "another account, its own policy must allow them too. A statement that denies "
                "them overrides both."
            )
        return "\n".join(lines)


def check_access(storage: S3Storage, purpose: Purpose = "write", *, path: str = "") -> AccessReport:
    """Try the requests that a purpose sends, with the client and the options of a storage.

    Nothing becomes visible: to try writing, the function creates an upload, sends one byte, and
    aborts the upload. The permissions of ``"amplitude"`` are not tried, because only Amplitude
    has the credentials.

    Args:
        storage: The bucket.
        purpose: As for :func:`bucket_policy`.
        path: The destination's path in the bucket. Slashes at its ends are removed.

    Raises:
        StoreUnavailableError, BucketNotFoundError, CredentialsError, StoreRefusedError,
            InvalidResponseError: Requests fail for another reason than missing permissions.
        ArgumentTypeError: ``storage`` is not an :class:`S3Storage`.
        ConfigurationError: The purpose does not exist.

    Example::

        report = check_access(S3Storage("my-bucket"), path="cohorts")
        if report.denied:
            print(report)
    """
    hint = 'pass S3Storage("my-bucket"); only a bucket has permissions to try'
    check_kind("storage", storage, S3Storage, hint)
    if faults := choice_faults("purpose", purpose, PURPOSES):
        raise ConfigurationError("check_access", tuple(faults))
    check_kind("path", path, str, 'pass text, such as "cohorts"')
    trial = _Trial(storage, path.strip("/"))
    actions = ACTIONS[purpose]
    if purpose == "amplitude":
        for action in actions.objects:
            trial.skip(action, "only Amplitude's own role can try it")
    elif purpose == "maintain":
        trial.list_uploads()
        trial.end_upload(_NO_UPLOAD)
    else:
        trial.list_objects()
        trial.read()
        if purpose == "write":
            trial.upload()
    order = (*actions.bucket, *actions.objects)
    return AccessReport(
        place=f"s3://{storage.bucket}/{trial.folder}",
        purpose=purpose,
        permissions=sorted(trial.permissions, key=lambda p: order.index(p.action)),
    )


_NO_UPLOAD = "no-such-upload"
"""The id of an upload that does not exist. S3 checks permissions first, so a request with it
tries them."""

_GRANTED_CODES = {"NoSuchKey", "NoSuchUpload", "InvalidRange", "PreconditionFailed"}
"""The codes of errors that only an allowed request can get."""


class _Trial:
    """The requests that try permissions, and their results."""

    def __init__(self, storage: S3Storage, path: str) -> None:
        self._requests = requests_of(storage)
        self.folder = f"{path}/" if path else ""
        self._key = f"{self.folder}{LOG_FOLDER}/.access"
        self._found: str | None = None
        bucket, partition = storage.bucket, storage.client.meta.partition
        is_arn = bucket.startswith("arn:")
        self._bucket_arn = bucket if is_arn else f"arn:{partition}:s3:::{bucket}"
        self._objects_arn = f"{self._bucket_arn}{'/object' if is_arn else ''}/{self.folder}*"
        self.permissions = list[Permission]()

    def list_objects(self) -> None:
        page = self._send("s3:ListBucket", "list_objects_v2", Prefix=self.folder, MaxKeys=1)
        self._found = next((found["Key"] for found in (page or {}).get("Contents", [])), None)

    def list_uploads(self) -> None:
        action = "s3:ListBucketMultipartUploads"
        self._send(action, "list_multipart_uploads", Prefix=self.folder, MaxUploads=1)

    def read(self) -> None:
        key = self._found or self._key
        self._send("s3:GetObject", "get_object", Key=key, Range="bytes=0-0")
        if self._found is None and self.permissions[-1].verdict is Verdict.DENIED:
            # S3 answers 403 for a missing key to anyone who may not list the whole bucket:
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html.
            self.permissions.pop()
            self.skip("s3:GetObject", "there is no file to read; try again after the first sync")

    def upload(self) -> None:
        action, key, requests = "s3:PutObject", self._key, self._requests
        begin = partial(requests.begin_upload, key, "access", "text/csv")
        upload_id = self._try(action, begin)
        if upload_id is not None:
            # Only the upload of a part needs the KMS key of the bucket's encryption.
            self.permissions.pop()
            self._try(action, partial(requests.upload_part, key, upload_id, 1, b"1"))
        self.end_upload(upload_id or _NO_UPLOAD)

    def end_upload(self, upload_id: str) -> None:
        upload = {"Key": self._key, "UploadId": upload_id}
        self._send("s3:ListMultipartUploadParts", "list_parts", **upload, MaxParts=1)
        self._send("s3:AbortMultipartUpload", "abort_multipart_upload", **upload)

    def skip(self, action: str, reason: str) -> None:
        self._note(action, Verdict.NOT_TESTABLE, reason)

    def _send(self, action: str, operation: str, **arguments: Any) -> dict[str, Any] | None:
        return self._try(action, partial(self._requests.send, operation, **arguments))

    def _try(self, action: str, request: Callable[[], T]) -> T | None:
        """Send a request and add its verdict; return the response, or None after an error."""
        try:
            with translated(self._requests.name, self._key):
                answer = request()
        except (AccessDeniedError, StoreRefusedError, ObjectNotFoundError) as error:
            if isinstance(error, AccessDeniedError):
                key_denies = f"the bucket's KMS key denies {error.action}"
                self._note(action, Verdict.DENIED, key_denies if error.is_kms else "AccessDenied")
            elif isinstance(error, ObjectNotFoundError) or error.code in _GRANTED_CODES:
                self._note(action, Verdict.GRANTED)
            elif error.code == "RequestTimeTooSkewed":  # no request can be tried
                raise
            else:
                self._note(action, Verdict.NOT_TESTABLE, error.code)
            return None
        self._note(action, Verdict.GRANTED)
        return answer

    def _note(self, action: str, verdict: Verdict, reason: str = "") -> None:
        on_bucket = action in ("s3:ListBucket", "s3:ListBucketMultipartUploads")
        resource = self._bucket_arn if on_bucket else self._objects_arn
        self.permissions.append(
            Permission(action=action, resource=resource, verdict=verdict, reason=reason)
        )
