"""The library's errors about a file of members, made from those of a file system or client."""

from typing import Any, cast

from ..errors import (
    CohortS3Error,
    MemberFileError,
    MemberFileNotFoundError,
    MissingExtraError,
)

# The extra of smart_open that a scheme needs; S3 needs none, because we depend on boto3.
_EXTRAS = {
    **dict.fromkeys(("http", "https"), "smart_open[http]"),
    **dict.fromkeys(("ssh", "scp", "sftp"), "smart_open[ssh]"),
    "gs": "smart_open[gcs]",
    "azure": "smart_open[azure]",
}

_NO_SUCH_KEY = ("NoSuchKey", "404")

_OF_THE_FILE = ("", "GetObject", "HeadObject", "ListObjects", "ListObjectsV2")


def member_file_error(error: Exception, shown: str) -> CohortS3Error:
    """Return the library's error about a file of members.

    Args:
        error: The error of the file system or client. It may show the whole URL, so it must not
            become the cause or the context of the returned error.
        shown: The location without credentials.
    """
    scheme = shown.partition("://")[0]
    if isinstance(error, ImportError):
        return MissingExtraError(_EXTRAS.get(scheme, "smart_open[all]"))
    not_found, reason = _describe(error)
    hint = _hint(error, reason, shown)
    if not_found:
        return MemberFileNotFoundError(shown, reason, **hint)
    return MemberFileError(shown, reason, **hint)


def _hint(error: Exception, reason: str, shown: str) -> dict[str, str]:
    """Return the hint of the error if the cause is a common one."""
    if isinstance(error, IsADirectoryError):
        return {"hint": "Pass MemberFiles for the files of a folder"}
    if isinstance(error, PermissionError):
        return {"hint": "Give this account the permission to read it"}
    if isinstance(error, NotImplementedError):
        return {"hint": "Use a scheme that smart_open supports, such as s3:// or https://"}
    if reason.endswith(("ConnectionError", "ConnectTimeout", "ConnectTimeoutError")):
        return {"hint": "Check the host in its location, and the network"}
    if isinstance(error, FileNotFoundError) and shown.startswith("~"):
        return {"hint": "Write the home folder in full: ~ is not expanded"}
    if isinstance(error, FileNotFoundError) and "*" in shown:
        return {"hint": "Pass MemberFiles for the files of a pattern"}
    if reason in _NO_SUCH_KEY and "." not in shown.rpartition("/")[2]:
        return {"hint": "Check its location; the location of a folder ends in a slash"}
    return {}


def _describe(error: BaseException) -> tuple[bool, str]:
    """Return whether the file is missing, and the reason of a fault without the location."""
    inner = getattr(error, "backend_error", None) or error.__cause__
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # The error is botocore's.
        code = str(cast("Any", response).get("Error", {}).get("Code"))
        operation = getattr(error, "operation_name", "")
        if operation in _OF_THE_FILE:
            return code in {*_NO_SUCH_KEY, "NoSuchBucket"}, code
        return False, f"{operation}: {code}"  # The request for credentials failed.
    status = getattr(response, "status_code", None) or getattr(error, "code", None)
    if isinstance(status, int):
        return status == 404, f"HTTP {status}"  # noqa: PLR2004 -- a well-known status
    if isinstance(error, OSError) and error.strerror and error.errno:
        return isinstance(error, FileNotFoundError), error.strerror
    if inner is not None:
        return _describe(inner)
    return False, type(error).__name__
