"""Requests to S3, and the check that each response is one of S3.

An endpoint may be something else: a login page, a web server, or a proxy with a page of its
own. botocore reads a foreign page with the status 200 as a response without any field, so a
login page would look like an empty bucket. Every request is therefore sent by ``send``, which
expects the fields that S3 always sends, and turns whatever botocore raises about a malformed
response into ``NotS3ResponseError``. ``pages`` does the same for listings of several pages.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from time import perf_counter
from typing import Any

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from ._credentials import CredentialsFailure, credentials_error
from ._options import REQUEST_OPTIONS
from .errors import (
    BotoError,
    ChecksumsRefusedError,
    NotS3ResponseError,
    error_code,
    names_checksum,
)

logger = logging.getLogger(__name__)

# The fields of each response that have a value in every response of S3. A dot leads into a
# structure. Of fields with | between them, one is enough: Ceph sends an empty ETag of a
# completed upload, and other stores leave out its Key. https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
_FIELDS: dict[str, tuple[str, ...]] = {
    "complete_multipart_upload": ("Key|ETag",),
    "create_multipart_upload": ("UploadId",),
    "get_bucket_policy": ("Policy",),
    "get_object": ("ETag",),
    "head_object": ("ETag",),
    "list_multipart_uploads": ("IsTruncated",),
    "list_objects_v2": ("IsTruncated",),
    "list_parts": ("UploadId|Parts", "IsTruncated"),
    "put_bucket_policy": (),
    "put_object": ("ETag",),
    "upload_part": ("ETag",),
    "upload_part_copy": ("CopyPartResult.ETag",),
}

# The field with the entries of each listing, and the arguments for its next page.
_ENTRIES = {
    "list_multipart_uploads": "Uploads",
    "list_objects_v2": "Contents",
    "list_parts": "Parts",
}
_NEXT_PAGE = {
    "list_multipart_uploads": {
        "KeyMarker": "NextKeyMarker",
        "UploadIdMarker": "NextUploadIdMarker",
    },
    "list_objects_v2": {"ContinuationToken": "NextContinuationToken"},
    "list_parts": {"PartNumberMarker": "NextPartNumberMarker"},
}
_ENTRY_FIELDS = {
    "list_multipart_uploads": ("Key", "UploadId", "Initiated"),
    "list_objects_v2": ("Key", "Size"),
    "list_parts": ("PartNumber", "ETag"),
}

_ORDERED_BY = {
    "list_multipart_uploads": "Key",
    "list_objects_v2": "Key",
    "list_parts": "PartNumber",
}

_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

# S3 may send pages without entries, for instance if versions were deleted, but not endlessly.
_MAX_EMPTY_PAGES = 1_000


def send(client: Any, operation: str, **arguments: Any) -> dict[str, Any]:
    """Send a request, and return the response if it is one of S3.

    Args:
        client: A boto3 client for S3.
        operation: The name of the client's method, such as ``put_object``.
        arguments: The arguments of the method.

    Raises:
        botocore's errors, ChecksumsRefusedError, CredentialsFailure and NotS3ResponseError,
        all of ``BotoError``.
    """
    method = getattr(client, operation)
    began, outcome = perf_counter(), "done"
    try:
        response: dict[str, Any] = method(**arguments)
    except Exception as error:
        outcome = error_code(error) if isinstance(error, ClientError) else type(error).__name__
        failure = _failure(operation, arguments, error)
        if failure is error:
            raise
    else:
        _check(operation, response)
        return response
    finally:
        where = arguments.get("Key", arguments.get("Prefix", ""))
        with suppress(Exception):  # A handler may raise. That must not stop a sync.
            logger.debug("%s %r: %s (%.3f s)", operation, where, outcome, perf_counter() - began)
    # Raised here, because the original may contain the whole response, or the output of the
    # program that has the credentials.
    raise failure


def _failure(operation: str, arguments: dict[str, Any], error: Exception) -> Exception:
    """Return the error to raise for one that botocore raised: another one, or the same."""
    if (credentials := credentials_error(error)) is not None:
        return CredentialsFailure(credentials)
    if isinstance(error, ClientError) and _refuses_checksums(error, arguments):
        return ChecksumsRefusedError(error.response, error.operation_name)
    if isinstance(error, ResponseParserError):
        return _not_s3(operation, "it is not XML")
    if isinstance(error, BotoError):
        return error
    if isinstance(error, RecursionError):
        # botocore looks for the bucket's region after a redirect, and that is redirected too.
        return _not_s3(operation, "it redirects to another address")
    if isinstance(error, _UNREADABLE):
        return _not_s3(operation, f"botocore can't read it ({type(error).__name__})")
    return error


def pages(client: Any, operation: str, **arguments: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield the entries of each page of a listing, in the order of the responses.

    A response that does not lead to the end of the listing raises ``NotS3ResponseError``:
    without a token for the next page, with the token or entries of the page before, or with no
    entries again and again.
    """
    empty, previous = 0, list[dict[str, Any]]()
    last_token: dict[str, Any] = {}
    while True:
        page = send(client, operation, **arguments)
        entries: list[dict[str, Any]] = page.get(_ENTRIES[operation], [])
        for entry in entries:
            _check_fields(operation, entry, _ENTRY_FIELDS[operation], "has an entry without")
        by = _ORDERED_BY[operation]
        if previous and entries and (entries[0][by] < previous[-1][by] or entries[0] in previous):
            raise _not_s3(operation, "it does not continue after the page before")
        previous = entries or previous
        yield entries
        if not page["IsTruncated"]:
            return
        token = {
            argument: page[field]
            for argument, field in _NEXT_PAGE[operation].items()
            if page.get(field)
        }
        empty = 0 if entries else empty + 1
        if not token:
            raise _not_s3(operation, "it is not the last page, but has no token for the next")
        if token == last_token:
            raise _not_s3(operation, "it has the token of the page before")
        if empty > _MAX_EMPTY_PAGES:
            raise _not_s3(operation, f"more than {_MAX_EMPTY_PAGES:,} pages have no entries")
        last_token = token
        arguments |= token


def _check(operation: str, response: dict[str, Any]) -> None:
    if operation in _FIELDS:
        kind = _content_type(response)
        of_type = f" and the type {kind}" if kind else ""
        _check_fields(operation, response, _FIELDS[operation], "has no", of_type)
        return
    # Responses about a deletion have no fields and no body.
    about: dict[str, Any] = response["ResponseMetadata"]
    status, length = about["HTTPStatusCode"], about["HTTPHeaders"].get("content-length")
    if status != 204 and length != "0":  # noqa: PLR2004
        raise _not_s3(operation, f"it has the status {status} and a body")


def _check_fields(
    operation: str,
    response: dict[str, Any],
    fields: tuple[str, ...],
    lacks: str,
    details: str = "",
) -> None:
    for path in fields:
        if not any(_has_value(response, one) for one in path.split("|")):
            raise _not_s3(operation, f"it {lacks} {path.replace('|', ' and no ')}{details}")


def _has_value(response: dict[str, Any], path: str) -> bool:
    value: Any = response
    for name in path.split("."):
        value = value.get(name) if value else None
    return value is not None and value != ""


def _refuses_checksums(error: ClientError, arguments: dict[str, Any]) -> bool:
    """Return whether a store refuses a request because of its checksum.

    Most stores name the header in the message. If one only reports ``NotImplemented``, the
    checksum is the cause if the request has nothing else that a store may lack.
    """
    if names_checksum(error):
        return True
    others = {"IfNoneMatch", "ACL", "SSEKMSKeyId", *REQUEST_OPTIONS}
    is_only_reason = others.isdisjoint(arguments)
    has_checksum = any(name.startswith("Checksum") for name in arguments)
    code = error.response.get("Error", {}).get("Code")
    return code == "NotImplemented" and has_checksum and is_only_reason


def _not_s3(operation: str, found: str) -> NotS3ResponseError:
    name = "".join(word.capitalize() for word in operation.split("_"))
    return NotS3ResponseError(operation=name, found=found)


def _content_type(response: dict[str, Any]) -> str | None:
    headers: dict[str, str] = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    found = re.match(r"[\w.+-]{1,40}/[\w.+-]{1,40}", headers.get("content-type", ""))
    return found and found[0]
