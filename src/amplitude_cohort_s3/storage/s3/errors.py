"""The one place where botocore's errors become ours.

Imported by the modules of S3 only, as it imports botocore.
"""

import contextlib
import re
from collections.abc import Generator
from typing import Any

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from ...errors import (
    AccessDeniedError,
    BucketNotFoundError,
    CohortS3Error,
    CredentialsError,
    DigestMismatchError,
    KmsAccessDeniedError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    StoreClockSkewError,
    StoreRefusedError,
    StoreUnavailableError,
    WrongRegionError,
)

MAX_OBJECT_BYTES = 5 << 40
"""The largest object that every S3 takes. AWS has raised its own limit since; others not."""

BotoError = (botocore.ClientError, botocore.BotoCoreError, ResponseParserError)
"""What a client raises: the store's answer, or the lack of one that can be read."""

_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_NO_CREDENTIALS = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.ProfileNotFound,
    botocore.SSOError,
    botocore.TokenRetrievalError,
)
_REGION = {
    "301",
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}
_UNAVAILABLE = {
    "429",
    "ConditionalRequestConflict",
    "OperationAborted",
    "RequestTimeout",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}

ENDED = {"NoSuchUpload", "NoSuchKey"}
"""What is answered about an upload that has ended. Ceph 16 says NoSuchKey."""

# A HEAD has no body, so its error code is the bare status.
_DENIED = {"403", "AccessDenied", "AllAccessDisabled", "AccountProblem"}
_NOT_FOUND = {"404", "NoSuchKey"}

# The operations whose IAM action has another name.
# https://docs.aws.amazon.com/AmazonS3/latest/API/mpuoverview.html#mpuAndPermissions
_ACTIONS = {
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "HeadObject": "GetObject",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}


@contextlib.contextmanager
def translated(bucket: str, key: str | None = None) -> Generator[None, None, None]:
    """Within it, botocore's errors come out as ours.

    Args:
        bucket: The bucket that is asked, for the message.
        key: The key that is asked for, if it is about one.
    """
    try:
        yield
    except BotoError as error:
        raise translate(error, bucket, key) from error


def translate(error: Exception, bucket: str, key: str | None) -> CohortS3Error:
    """The error of ours for one of botocore's.

    The text of the store is left out: it may name accounts and users.
    """
    if not isinstance(error, botocore.ClientError):
        if isinstance(error, _NO_CREDENTIALS):
            return CredentialsError(type(error).__name__)
        if is_answer_lost(error):
            return StoreUnavailableError(bucket, type(error).__name__)
        if isinstance(error, botocore.FlexibleChecksumError) and key is not None:
            return DigestMismatchError(key)
        return StoreRefusedError(bucket, key, "the request", type(error).__name__)
    code, operation = error_code(error), error.operation_name
    kms_action = re.search(r"\bkms:\w+", str(error.response.get("Error", {}).get("Message")))
    if code.startswith("KMS.") or (code in _DENIED and kms_action):
        return KmsAccessDeniedError(bucket, key, kms_action[0] if kms_action else code)
    if code in _DENIED:
        return AccessDeniedError(bucket, key, f"s3:{_ACTIONS.get(operation, operation)}")
    if code in _NOT_FOUND and key is not None:
        return ObjectNotFoundError(key)
    if code in ("NoSuchBucket", *_NOT_FOUND):
        return BucketNotFoundError(bucket)
    if code in _REGION:
        return WrongRegionError(bucket, _region_of_bucket(error))
    if code in _CREDENTIALS:
        return CredentialsError(code)
    if code == "RequestTimeTooSkewed":
        return StoreClockSkewError(bucket)
    if code == "EntityTooLarge" and key is not None:
        return ObjectTooLargeError(key, MAX_OBJECT_BYTES)
    if code in _UNAVAILABLE or status(error) >= 500:  # noqa: PLR2004
        return StoreUnavailableError(bucket, code)
    return StoreRefusedError(bucket, key, operation, code)


def error_code(error: BaseException) -> str:
    """The store's word for an error, such as ``NoSuchUpload``; empty without an answer."""
    if not isinstance(error, botocore.ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


def status(error: BaseException) -> int:
    """The HTTP status of an error; 0 without an answer.

    Verdicts are by code: stores disagree on statuses, and a 200 may carry an error.
    """
    return int(_metadata(error).get("HTTPStatusCode", 0))


def is_answer_lost(error: BaseException) -> bool:
    """Whether a request may have been sent to a store from which no answer came."""
    return isinstance(
        error,
        (
            botocore.HTTPClientError,
            botocore.ConnectionError,
            botocore.IncompleteReadError,
            ResponseParserError,
        ),
    )


def is_refusal(error: BaseException) -> bool:
    """Whether a failed write surely did not happen.

    A client that tried several times hides what became of the earlier tries: one
    of them may have been carried out although the last was refused.
    """
    if not isinstance(error, botocore.ClientError):
        return not is_answer_lost(error)
    tried_once = int(_metadata(error).get("RetryAttempts", 0)) == 0
    return tried_once and 400 <= status(error) < 500 and error_code(error) not in _UNAVAILABLE  # noqa: PLR2004


def _metadata(error: BaseException) -> dict[str, Any]:
    if not isinstance(error, botocore.ClientError):
        return {}
    return dict(error.response.get("ResponseMetadata", {}))


def _region_of_bucket(error: botocore.ClientError) -> str | None:
    details: dict[str, Any] = dict(error.response.get("Error", {}))
    headers = _metadata(error).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region") or details.get("Region")
