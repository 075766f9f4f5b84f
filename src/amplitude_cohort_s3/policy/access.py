"""Putting a bucket policy in force, and trying what is allowed: the part that asks S3.

Apart from ``policy``, so that nothing there can reach a network.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Required, TypedDict, Unpack, cast

from attrs import field, frozen
from botocore.client import BaseClient

from .._arguments import check_kind
from ..errors import (
    AccessDeniedError,
    ObjectNotFoundError,
    StoreRefusedError,
)
from ..log.stream import LOG_FOLDER
from ..settings.destination import Destination
from ..storage.s3.errors import translated
from ..storage.s3.storage import S3Storage
from ._merge import PolicyChange, compact_json
from ._purposes import BUCKET_ACTIONS, OBJECT_ACTIONS, Purpose
from .bucket_policy import bucket_policy


class PolicyOptions(TypedDict, total=False):
    """The options of :func:`bucket_policy`, which describes them."""

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
    """Reads the bucket's policy, merges ours into it and writes it back if it changed.

    The second run changes nothing. S3 has no conditional write of a policy: an edit by
    someone else between the reading and the writing is lost.

    Args:
        client: A boto3 client for S3 that may get and put the bucket's policy.
        destination: As for :func:`bucket_policy`.
        **options: As for :func:`bucket_policy`.

    Returns:
        What changed.

    Raises:
        ConfigurationError: Values break rules; nothing was read or written.
        PolicyFormatError: The bucket's policy can't be merged into.
        PolicyTooLargeError: The result is over S3's limit.
        AccessDeniedError: The client may not get or put the policy.

    Example::

        change = apply_bucket_policy(
            boto3.client("s3"), destination, principal="arn:aws:iam::111122223333:role/etl"
        )
    """
    policy = bucket_policy(destination, **options)
    change = policy.compare(_policy_of(client, policy.bucket))
    if change.changed:
        with translated(policy.bucket):
            cast("Any", client).put_bucket_policy(
                Bucket=policy.bucket, Policy=compact_json(change.after)
            )
    return change


class Verdict(Enum):
    """What trying a permission told."""

    GRANTED = "granted"
    DENIED = "denied"
    NOT_TESTABLE = "not testable"


@frozen(kw_only=True)
class Permission:
    """A permission that was tried.

    Attributes:
        action: Such as ``s3:PutObject``.
        resource: The ARN it is needed on.
        verdict: What trying it told.
        reason: Why, if it was not granted.
    """

    action: str
    resource: str
    verdict: Verdict
    reason: str = ""

    def __str__(self) -> str:
        """The permission as a line of a letter."""
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.verdict.value}: {self.action} on {self.resource}{reason}"


@frozen(kw_only=True, repr=False)
class AccessReport:
    """What the credentials at hand may do; its text can be sent to the bucket's owner.

    Attributes:
        place: The URL of what was tried.
        purpose: What for.
        permissions: All that the purpose needs.
    """

    place: str
    purpose: Purpose
    permissions: tuple[Permission, ...] = field(converter=tuple[Permission, ...])

    @property
    def denied(self) -> tuple[Permission, ...]:
        """What is missing."""
        return tuple(p for p in self.permissions if p.verdict is Verdict.DENIED)

    def __repr__(self) -> str:
        lines = [f"To {self.purpose} {self.place}:", *(f"- {p}" for p in self.permissions)]
        if self.denied:
            lines.append(
                "Please allow what is denied in the bucket's policy, and in the role's own if "
                "it is of another account; a statement that denies it would win over both."
            )
        return "\n".join(lines)


def check_access(storage: S3Storage, purpose: Purpose = "write", *, path: str = "") -> AccessReport:
    """Tries what a purpose sends, with the credentials of a storage.

    Nothing becomes visible: to try writing, an upload is begun, filled with one byte, and
    aborted. What ``"amplitude"`` needs can't be tried with other credentials than its own.

    Args:
        storage: A bucket.
        purpose: As for :func:`bucket_policy`.
        path: The destination's path in it.

    Raises:
        StoreUnavailableError, BucketNotFoundError, WrongRegionError, CredentialsError:
            The bucket can't be asked at all.
        WrongArgumentError: ``storage`` is no bucket.

    Example::

        report = check_access(S3Storage("my-bucket"), path="cohorts")
        if report.denied:
            print(report)
    """
    check_kind("storage", storage, S3Storage, 'open the bucket: S3Storage("my-bucket")')
    trial = _Trial(storage.client, storage.bucket, path)
    match purpose:
        case "amplitude":
            for action in OBJECT_ACTIONS[purpose]:
                trial.skip(action, "only Amplitude's own role can try it")
        case "write":
            trial.list_objects()
            trial.read()
            trial.upload()
        case "read":
            trial.list_objects()
            trial.read()
        case "maintain":
            trial.list_uploads()
            trial.end_upload(_NO_UPLOAD)
    order = (*BUCKET_ACTIONS[purpose], *OBJECT_ACTIONS[purpose])
    return AccessReport(
        place=f"s3://{storage.bucket}/{trial.folder}",
        purpose=purpose,
        permissions=sorted(trial.permissions, key=lambda p: order.index(p.action)),
    )


_NO_UPLOAD = "no-such-upload"
"""S3 looks at permissions first, so an upload that does not exist tells them too."""

_GRANTED_TOO = {
    "NoSuchKey",
    "NoSuchUpload",
    "InvalidRange",
    "PreconditionFailed",
}
"""Errors of requests that were allowed."""


class _Trial:
    """The requests, and what they told."""

    def __init__(self, client: Any, bucket: str, path: str) -> None:
        self._client = client
        self._bucket = bucket
        self.folder = f"{path}/" if path else ""
        self._key = f"{self.folder}{LOG_FOLDER}/.access"
        self._found: str | None = None
        is_arn = bucket.startswith("arn:")
        self._bucket_arn = bucket if is_arn else f"arn:{client.meta.partition}:s3:::{bucket}"
        self._objects_arn = f"{self._bucket_arn}{'/object' if is_arn else ''}/{self.folder}*"
        self.permissions = list[Permission]()

    def list_objects(self) -> None:
        page = self._try(
            "s3:ListBucket",
            lambda: self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=self.folder, MaxKeys=1
            ),
        )
        self._found = next((found["Key"] for found in page.get("Contents", [])), None)

    def list_uploads(self) -> None:
        self._try(
            "s3:ListBucketMultipartUploads",
            lambda: self._client.list_multipart_uploads(
                Bucket=self._bucket, Prefix=self.folder, MaxUploads=1
            ),
        )

    def read(self) -> None:
        key = self._found or self._key
        self._try(
            "s3:GetObject",
            lambda: self._client.get_object(Bucket=self._bucket, Key=key, Range="bytes=0-0"),
        )
        last = self.permissions[-1]
        if self._found is None and last.verdict is Verdict.DENIED:
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html: to those who
            # may not list the whole bucket, S3 says 403 of a key that is not there.
            self.permissions.pop()
            self.skip("s3:GetObject", "no file to read is known; try again after the first sync")

    def upload(self) -> None:
        begun = self._try(
            "s3:PutObject",
            lambda: self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key),
        )
        upload_id = begun.get("UploadId", _NO_UPLOAD)
        if begun:
            # A part shows what beginning does not: whether the key of SSE-KMS may be used.
            self.permissions.pop()
            self._try(
                "s3:PutObject",
                lambda: self._client.upload_part(
                    Bucket=self._bucket,
                    Key=self._key,
                    UploadId=upload_id,
                    PartNumber=1,
                    Body=b"1",
                ),
            )
        self.end_upload(upload_id)

    def end_upload(self, upload_id: str) -> None:
        self._try(
            "s3:ListMultipartUploadParts",
            lambda: self._client.list_parts(
                Bucket=self._bucket, Key=self._key, UploadId=upload_id, MaxParts=1
            ),
        )
        self._try(
            "s3:AbortMultipartUpload",
            lambda: self._client.abort_multipart_upload(
                Bucket=self._bucket, Key=self._key, UploadId=upload_id
            ),
        )

    def skip(self, action: str, reason: str) -> None:
        self._note(action, Verdict.NOT_TESTABLE, reason)

    def _try(self, action: str, request: Callable[[], Any]) -> dict[str, Any]:
        """Sends a request and notes what it told; its answer, empty after an error."""
        try:
            with translated(self._bucket, self._key):
                answer: dict[str, Any] = request()
        except (AccessDeniedError, StoreRefusedError, ObjectNotFoundError) as error:
            if isinstance(error, AccessDeniedError) and error.is_kms:
                self._note(action, Verdict.DENIED, f"the bucket's KMS key denies {error.action}")
            elif isinstance(error, AccessDeniedError):
                self._note(action, Verdict.DENIED, "AccessDenied")
            elif isinstance(error, ObjectNotFoundError) or error.code in _GRANTED_TOO:
                self._note(action, Verdict.GRANTED)
            else:
                self._note(action, Verdict.NOT_TESTABLE, error.code)
            return {}
        self._note(action, Verdict.GRANTED)
        return answer

    def _note(self, action: str, verdict: Verdict, reason: str = "") -> None:
        on_bucket = action in ("s3:ListBucket", "s3:ListBucketMultipartUploads")
        resource = self._bucket_arn if on_bucket else self._objects_arn
        self.permissions.append(
            Permission(action=action, resource=resource, verdict=verdict, reason=reason)
        )


def _policy_of(client: Any, bucket: str) -> str | None:
    """The bucket's policy as text; None where it has none."""
    try:
        with translated(bucket):
            return str(client.get_bucket_policy(Bucket=bucket)["Policy"])
    except StoreRefusedError as error:
        if error.code != "NoSuchBucketPolicy":
            raise
        return None
