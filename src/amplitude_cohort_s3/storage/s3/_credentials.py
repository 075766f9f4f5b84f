"""Recognizing failures to obtain credentials, which botocore mixes with those of the store.

boto3 obtains credentials when a client is made, or not before the first request: it reads
files, runs a program, or asks another service (STS for a role, IAM Identity Center, the
metadata of the machine). If that fails, it raises the same errors as for the store itself, or
raw ones, from the call that lists a bucket. Only the traceback shows where they come from.
"""

import re
from collections.abc import Iterator
from types import FrameType

from botocore import exceptions as botocore
from botocore.session import Session

from ...errors import CredentialsError, CredentialsUnavailableError

_MODULES = {"botocore.credentials", "botocore.tokens"}

_KINDS = (
    botocore.NoCredentialsError,
    botocore.NoAuthTokenError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.ProfileNotFound,
    botocore.SSOError,
    botocore.TokenRetrievalError,
)

# Their texts are about the settings in files and variables. Other texts are left out: they may
# be those of an account's administrator, or the output of the program that has the credentials.
_ABOUT_SETTINGS = (
    botocore.InvalidConfigError,
    botocore.MissingDependencyException,
    botocore.PartialCredentialsError,
    botocore.RefreshWithMFAUnsupportedError,
    botocore.SSOTokenLoadError,
    botocore.UnauthorizedSSOTokenError,
    *(
        kind
        for name in ("LoginError", "LoginTokenLoadError", "LoginRefreshRequired")
        if (kind := getattr(botocore, name, None)) is not None  # botocore has them since 1.41
    ),
)

_REACHABLE_LATER = (
    botocore.HTTPClientError,
    botocore.ConnectionError,
    botocore.IncompleteReadError,
    botocore.MetadataRetrievalError,
)

_THROTTLED = {
    "IDPCommunicationError",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}

_RETRY = "Check the network, or run the same again later"
_SETTINGS = "Repair ~/.aws/config and the AWS_ variables of the environment, or set AWS_PROFILE"


class CredentialsFailure(botocore.BotoCoreError):
    """A failure to obtain credentials. The request was not sent.

    Attributes:
        error: The library's error about it.
    """

    fmt = "boto3 got no credentials"

    def __init__(self, error: CredentialsError) -> None:
        self.error = error
        super().__init__()


def credentials_error(error: BaseException) -> CredentialsError | None:
    """Return the library's error if boto3 failed to obtain credentials, else None."""
    if isinstance(error, CredentialsFailure):
        return error.error
    if not isinstance(error, _KINDS) and not any(map(_is_of_credentials, _frames(error))):
        return None
    reason = type(error).__name__
    match error:
        case botocore.ClientError():
            return _refused(error)
        case botocore.NoCredentialsError():
            return CredentialsError(reason)
        case botocore.ProfileNotFound():
            return _unknown_profile(error)
        case OSError() if error.filename is not None:
            details = f"{str(error.filename)!r} can't be read"
            return CredentialsError(reason, details=details, hint=_SETTINGS)
        case _:
            pass
    if isinstance(error, _ABOUT_SETTINGS):
        details = str(error).strip().rstrip(".").replace("\n", " ")
        hint = _SETTINGS
        if isinstance(error, botocore.SSOError):
            hint = "Run aws sso login, or set AWS_PROFILE"
        elif isinstance(error, botocore.MissingDependencyException):
            hint = "Install the dependency, or set AWS_PROFILE"
        return CredentialsError(reason, details=details, hint=hint)
    operation = _operation_of(error)
    if isinstance(error, _REACHABLE_LATER):
        operation = operation or "the request for them"
        return CredentialsUnavailableError(reason, operation, hint=_RETRY)
    if isinstance(error, botocore.CredentialRetrievalError):
        provider = str(error.kwargs.get("provider"))
        details = f"the source {provider!r} in the settings failed"
        return CredentialsError(reason, details=details, hint=_hint_of(provider))
    if isinstance(error, EOFError):
        details = "an MFA code is needed, and there is no terminal to ask for it"
        return CredentialsError(reason, details=details, hint="Use a profile without mfa_serial")
    return CredentialsError(reason, operation, details="the sources all failed", hint=_SETTINGS)


def _refused(error: botocore.ClientError) -> CredentialsError:
    """Return the error about an answer of STS or of IAM Identity Center."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    operation = error.operation_name
    if status >= 500 or code in _THROTTLED:  # noqa: PLR2004
        return CredentialsUnavailableError(code, operation, hint=_RETRY)
    hint = "Check the role, the profile and the credentials with which they are requested"
    if code.startswith("AccessDenied") and operation.startswith("Assume"):
        hint = (
            f"Allow sts:{operation} in the trust policy of the role, and in the policy of the "
            "user or role that assumes it"
        )
    elif "Expired" in code:
        hint = "Renew the credentials or the token with which they are requested"
    return CredentialsError(code, operation, hint=hint)


def _unknown_profile(error: botocore.ProfileNotFound) -> CredentialsError:
    try:
        found: list[str] = Session().available_profiles
    except botocore.BotoCoreError:
        found = []
    return CredentialsError(
        "ProfileNotFound",
        details=f"there is no profile {error.kwargs.get('profile')!r}",
        hint=f"Set AWS_PROFILE to one of: {', '.join(found)}"
        if found
        else "Unset AWS_PROFILE, or add the profile to ~/.aws/config, which has none",
    )


def _hint_of(provider: str) -> str:
    if provider == "custom-process":
        return "Run the command in credential_process of ~/.aws/config to see what is wrong"
    if provider == "container-role":
        return "Check AWS_CONTAINER_CREDENTIALS_FULL_URI and the service at its address"
    return _SETTINGS


def _operation_of(error: BaseException) -> str | None:
    """Return the name of the request that failed without an answer, such as ``AssumeRole``."""
    for frame in _frames(error):
        if _is_of_credentials(frame):
            return None
        if frame.f_code.co_name == "_make_api_call":
            name: object = frame.f_locals.get("operation_name")
            return name if isinstance(name, str) and re.fullmatch(r"\w+", name) else None
    return None


def _is_of_credentials(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in _MODULES


def _frames(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames from the handler of an error to its origin, the innermost first."""
    traceback, frames = error.__traceback__, list[FrameType]()
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return reversed(frames)
