"""The translation of botocore's errors into the library's.

Only modules about S3 import this one, because it imports botocore.
"""

import contextlib
import re
from collections.abc import Generator
from typing import Any
from urllib.parse import urlsplit

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from ...errors import (
    AccessDeniedError,
    ArchivedObjectError,
    BucketNotFoundError,
    CohortS3Error,
    ConfigurationError,
    CredentialsError,
    InvalidResponseError,
    ObjectChangedError,
    ObjectNotFoundError,
    ObjectRefusedError,
    ObjectTooLargeError,
    StoreRefusedError,
    StoreUnavailableError,
    UnsuitableStorageError,
)
from ._credentials import credentials_error

MAX_OBJECT_BYTES = 5 << 40
"""The largest object that every store accepts. AWS itself has raised its limit since."""

BotoError = (botocore.ClientError, botocore.BotoCoreError, ResponseParserError)
"""The errors that a client raises: with an answer of the store, or without a readable one."""


class NotS3ResponseError(botocore.BotoCoreError):
    """A response that is not one of S3, although its status may be that of a success."""

    fmt = "the response to {operation} is not one of S3: {found}"

    def __init__(self, *, operation: str, found: str) -> None:
        self.operation = operation
        self.found = found
        super().__init__(operation=operation, found=found)


class ChecksumsRefusedError(botocore.ClientError):
    """A refusal of a request because of its checksum. Nothing was written."""


_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
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

# The store refuses the object itself, so that no repetition by anyone can succeed. Codes with
# several meanings, such as InvalidRequest and InvalidArgument, are not among them.
_OBJECT_REFUSED = {
    "EntityTooSmall",
    "InvalidObjectName",
    "InvalidPart",
    "InvalidPartOrder",
    "KeyTooLong",
    "KeyTooLongError",
    "MetadataTooLarge",
    "XMinioInvalidObjectName",
    "XMinioObjectExistsAsDirectory",
    "XMinioParentIsObject",
}

UPLOAD_ENDED = {"NoSuchUpload", "NoSuchKey"}
"""The error codes for an upload that has ended; NoSuchKey is Ceph 16's."""

# A response to HEAD has no body, so botocore reports its status as the code.
_DENIED = {"403", "AccessDenied", "AllAccessDisabled", "AccountProblem"}
_NOT_FOUND = {"404", "NoSuchKey"}

# The second is the code for an archived source of a copy.
_ARCHIVED = {"InvalidObjectState", "ObjectNotInActiveTierError"}

# The IAM action of each operation, if it has another name.
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
def translated(bucket: str, key: str | None = None) -> Generator[None]:
    """Raise the library's errors for botocore's errors in the block."""
    try:
        yield
    except (ResponseParserError, botocore.ParamValidationError) as error:
        # Their messages contain the whole response, and the arguments of the request.
        raise translate(error, bucket, key) from None
    except BotoError as error:
        raise translate(error, bucket, key) from error


def translate(error: Exception, bucket: str, key: str | None) -> CohortS3Error:
    """Return the library's error for one of botocore's.

    The store's own text is left out, because it may name accounts and users.
    """
    if not isinstance(error, botocore.ClientError):
        if (failure := credentials_error(error)) is not None:
            return failure
        if isinstance(error, NotS3ResponseError):
            return InvalidResponseError(bucket, error.operation, error.found)
        if is_answer_lost(error):
            return StoreUnavailableError(bucket, _connection_fault(error))
        if isinstance(error, botocore.FlexibleChecksumError) and key is not None:
            return ObjectChangedError(key)
        subject = f"the requests to the bucket {bucket!r}"
        return ConfigurationError(subject, (f"boto3 can't send them: {fault_of(error)}",))
    code, operation = error_code(error), error.operation_name
    if isinstance(error, ChecksumsRefusedError):
        return _unsuitable_checksums(bucket, code)
    if code == "InvalidRequest" and _message_matches(error, "x-amz-checksum.*required"):
        return UnsuitableStorageError(
            f"the request for {key!r} in the bucket {bucket!r}",
            "a checksum, which buckets with Object Lock need",
            "Pass checksums=True to S3Storage",
        )
    if code in _ARCHIVED and key is not None:
        return _archived(error, bucket, key)
    if (found := _foreign_page(error)) is not None:
        return InvalidResponseError(bucket, operation, found)
    kms_action = _message_matches(error, r"\bkms:\w+")
    if code.startswith("KMS.") or (code in _DENIED and kms_action):
        return AccessDeniedError(bucket, key, kms_action[0] if kms_action else code)
    if code in _DENIED:
        return AccessDeniedError(bucket, key, f"s3:{_ACTIONS.get(operation, operation)}")
    if code in _NOT_FOUND and key is not None:
        return ObjectNotFoundError(key)
    if code in ("NoSuchBucket", *_NOT_FOUND):
        return BucketNotFoundError(bucket)
    if code in _REGION:
        return BucketNotFoundError(bucket, elsewhere=True, region=_region_of_bucket(error))
    if code in _CREDENTIALS:
        return CredentialsError(code)
    if code == "EntityTooLarge" and key is not None:
        return ObjectTooLargeError(key, MAX_OBJECT_BYTES)
    if code in _OBJECT_REFUSED and key is not None:
        reason = f"the store refuses {operation} with the code {code}"
        hint = "Look up the code in the store's documentation"
        return ObjectRefusedError(key, reason, hint)
    if code in _UNAVAILABLE or _status(error) >= 500:  # noqa: PLR2004
        return StoreUnavailableError(bucket, code or f"HTTP {_status(error)}")
    return StoreRefusedError(bucket, key, operation, code)


def fault_of(error: Exception) -> str:
    """Return botocore's description of a wrong setting, without values that may be secret."""
    if isinstance(error, botocore.ParamValidationError):
        report = str(error.kwargs.get("report"))
        found = re.search(r"(?:parameter |in input: \")([\w.]+)", report)
        return f"its argument {found[1] if found else 'Bucket'} is not valid"
    text = re.sub(r"//[^/\s]*@", "//", " ".join(str(error).split())).rstrip(".")
    return f"{text} ({type(error).__name__})"


def _connection_fault(error: Exception) -> str:
    """Return the cause for which no answer came, with the host that was asked."""
    name, details = type(error).__name__, dict(getattr(error, "kwargs", {}))
    if isinstance(error, botocore.ProxyConnectionError):
        return f"{name}: the proxy that HTTPS_PROXY, HTTP_PROXY or the profile names"
    if isinstance(error, botocore.SSLError):
        return f"{name}: the certificate is not trusted; AWS_CA_BUNDLE names the trusted ones"
    if type(error) is botocore.HTTPClientError and "error" in details:
        return f"{name}: {type(details['error']).__name__}"
    url = urlsplit(str(details.get("endpoint_url") or ""))
    return f"{name}: {url.scheme}://{url.netloc.rpartition('@')[2]}" if url.netloc else name


def error_code(error: BaseException) -> str:
    """Return the store's code of an error, such as ``NoSuchUpload``; "" without an answer."""
    if not isinstance(error, botocore.ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_answer_lost(error: BaseException) -> bool:
    """Return whether a request may have reached a store from which no answer came."""
    return isinstance(
        error,
        (
            botocore.HTTPClientError,
            botocore.ConnectionError,
            botocore.IncompleteReadError,
            NotS3ResponseError,
            ResponseParserError,
        ),
    )


def is_refusal(error: BaseException) -> bool:
    """Return whether a failed write certainly did not happen.

    If botocore sent the request several times, only the last failure is visible. An earlier
    request may have been carried out, although the last one was refused.
    """
    if not isinstance(error, botocore.ClientError):
        return not is_answer_lost(error)
    tried_once = int(_metadata(error).get("RetryAttempts", 0)) == 0
    return tried_once and 400 <= _status(error) < 500 and error_code(error) not in _UNAVAILABLE  # noqa: PLR2004


def is_object_refused(error: BaseException) -> bool:
    """Return whether a store refuses an object from every caller.

    This is certain at any status and after any number of tries: an earlier request for the
    same object can't have succeeded either.
    """
    return error_code(error) in {*_OBJECT_REFUSED, "EntityTooLarge"}


def _message_matches(error: botocore.ClientError, pattern: str) -> re.Match[str] | None:
    return re.search(pattern, str(error.response.get("Error", {}).get("Message")))


def _metadata(error: botocore.ClientError) -> dict[str, Any]:
    return dict(error.response.get("ResponseMetadata", {}))


def _status(error: botocore.ClientError) -> int:
    # Stores disagree about the status, and a 200 may carry an error: look at the code first.
    return int(_metadata(error).get("HTTPStatusCode", 0))


def names_checksum(error: botocore.ClientError) -> bool:
    """Return whether a refusal names the checksum as something that the store does not accept."""
    details: dict[str, Any] = dict(error.response.get("Error", {}))
    text = " ".join(str(details.get(name, "")) for name in _NAMES_OF_HEADER).lower()
    return (
        _status(error) in (400, 405, 501)
        # These are about the checksum's value, or about a checksum that is missing.
        and not re.search("Mismatch|Digest", error_code(error))
        and not re.search("required|must|missing|not match", text)
        and re.search("x-amz-(checksum|sdk-checksum|trailer)|checksum algorithm", text) is not None
    )


_NAMES_OF_HEADER = ("Message", "Header", "HeaderName", "ArgumentName", "ParameterName")


def _unsuitable_checksums(bucket: str, code: str) -> UnsuitableStorageError:
    return UnsuitableStorageError(
        f"the store of the bucket {bucket!r}",
        f"support for the checksums of requests (it answers {code})",
        "Pass checksums=False to S3Storage, set checksums = false in the TOML file, or set "
        "AWS_REQUEST_CHECKSUM_CALCULATION and AWS_RESPONSE_CHECKSUM_VALIDATION to when_required",
    )


def _archived(error: botocore.ClientError, bucket: str, key: str) -> ArchivedObjectError:
    # botocore puts the fields of a documented error beside its code, and all others below it.
    fields: dict[str, Any] = {**error.response.get("Error", {}), **error.response}
    return ArchivedObjectError(bucket, key, fields.get("StorageClass"), fields.get("AccessTier"))


def _foreign_page(error: botocore.ClientError) -> str | None:
    """Return the description of an error response that is not one of S3; None for S3's own.

    S3 names a code in each error, except in the response to HEAD, which has no body. A status
    alone shows that a web server or a proxy has answered.
    """
    code, status = error_code(error), _status(error)
    if code and not code.isdecimal():
        return None
    if 300 <= status < 400 and _region_of_bucket(error) is None:  # noqa: PLR2004
        location = urlsplit(str(_metadata(error).get("HTTPHeaders", {}).get("location", "")))
        # The rest of the address may contain a secret.
        to = f" to {location.scheme}://{location.hostname}" if location.hostname else ""
        return f"it redirects{to} (HTTP {status})"
    if status == 500:  # noqa: PLR2004
        # botocore gives this status to a success whose body is not XML.
        return "it is not XML of S3"
    is_about_a_page = error.operation_name != "HeadObject" and code not in _DENIED
    if is_about_a_page and 400 <= status < 500 and code not in _UNAVAILABLE:  # noqa: PLR2004
        return f"it is an error without a code of S3 (HTTP {status})"
    return None


def _region_of_bucket(error: botocore.ClientError) -> str | None:
    details: dict[str, Any] = dict(error.response.get("Error", {}))
    headers = _metadata(error).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region") or details.get("Region")
