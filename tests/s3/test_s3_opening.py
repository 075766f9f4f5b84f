"""Opening a client: each fault is one of the library's errors, and names the cause."""

import os
import threading
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.credentials import DeferredRefreshableCredentials

from amplitude_cohort_s3 import Destination, S3Storage, check_access, open_storage
from amplitude_cohort_s3.errors import (
    CohortS3Error,
    ConfigurationError,
    CredentialsError,
    CredentialsUnavailableError,
    RetryableError,
)
from amplitude_cohort_s3.policy.access import apply_bucket_policy

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "the-secret"}
ROLE = "role_arn=arn:aws:iam::111122223333:role/etl"
SSO = "sso_account_id=111122223333\nsso_role_name=r\n"
SSO_START = "sso_region=us-east-1\nsso_start_url=https://x.awsapps.com/start\n"
OF_ETL = {"AWS_PROFILE": "etl"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without settings, and no settings in the environment."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.upper().endswith(("_PROXY", "_CA_BUNDLE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (tmp_path / ".aws").mkdir()
    return tmp_path


def given(
    home: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], config: str = ""
) -> None:
    (home / ".aws/config").write_text(config)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


CREDENTIALS = {
    "no credentials": ({}, "", "found no AWS credentials"),
    "unknown profile": (OF_ETL, "[profile main]\nregion=us-east-1\n", "no profile 'etl'.*: main"),
    "half of the keys": ({"AWS_ACCESS_KEY_ID": "a"}, "", "AWS_SECRET_ACCESS_KEY"),
    "role without a source": (OF_ETL, f"[profile etl]\n{ROLE}\n", "source_profile"),
    "role with an unknown source": (
        OF_ETL,
        f"[profile etl]\n{ROLE}\nsource_profile=nope\n",
        "source_profile .nope",
    ),
    "a loop of roles": (
        OF_ETL,
        f"[profile etl]\n{ROLE}\nsource_profile=b\n[profile b]\n{ROLE}\nsource_profile=etl\n",
        "loop",
    ),
    "unknown credential source": (
        OF_ETL,
        f"[profile etl]\n{ROLE}\ncredential_source=Magic\n",
        "Magic",
    ),
    "failing program": (
        OF_ETL,
        "[profile etl]\ncredential_process=sh -c 'echo the-secret >&2; exit 1'\n",
        "custom-process.*credential_process",
    ),
    "program without JSON": (
        OF_ETL,
        "[profile etl]\ncredential_process=echo the-secret\n",
        "credentials",
    ),
    "sso session without a login": (
        OF_ETL,
        f"[profile etl]\nsso_session=s\n{SSO}[sso-session s]\n{SSO_START}",
        "aws sso login",
    ),
    "older sso without a login": (
        OF_ETL,
        f"[profile etl]\n{SSO}{SSO_START}",
        "aws sso login",
    ),
    "no file with the web identity": (
        {
            "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/etl",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/nope/token",
        },
        "",
        "'/nope/token' can't be read",
    ),
    "no service of the container": (
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/c?token=the-secret",
            "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "1",
        },
        "",
        "container-role.*AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_that_cannot_be_obtained_are_one_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    variables, config, cause = CREDENTIALS[name]
    given(home, monkeypatch, variables, config)
    with pytest.raises(CredentialsError, match=cause) as raised:
        list(S3Storage("my-bucket", region="us-east-1").list_objects())
    assert not isinstance(raised.value, RetryableError)
    assert "the-secret" not in everything_of(raised.value)
    if "AWS_CONTAINER_CREDENTIALS_FULL_URI" in variables:
        return  # botocore waits for it each time
    for use in (
        lambda: open_storage("s3://my-bucket").create("x", b"1"),
        lambda: open_storage(Destination(name="d", bucket="my-bucket")).open("x"),
        lambda: check_access(S3Storage("my-bucket")),
    ):
        with pytest.raises(CredentialsError):
            use()


SETTINGS = {
    "broken file": ({}, "[default\nregion=us-east-1\n", ".aws/config"),
    "region with blanks": ({"AWS_DEFAULT_REGION": "EU (Ireland)"}, "", r"EU \(Ireland\).*eu-west"),
    "empty region": ({"AWS_DEFAULT_REGION": ""}, "", "AWS_DEFAULT_REGION"),
    "checksum setting": (
        {"AWS_REQUEST_CHECKSUM_CALCULATION": "never"},
        "",
        "never.*AWS_REQUEST_CHECKSUM_CALCULATION",
    ),
    "number of attempts": ({"AWS_MAX_ATTEMPTS": "many"}, "", "many.*AWS_MAX_ATTEMPTS"),
    "a number in the file": (
        {},
        "[default]\nmetadata_service_timeout = many\n",
        "many.*metadata_service_timeout in ~/.aws/config",
    ),
    "retry mode": ({"AWS_RETRY_MODE": "eager"}, "", "eager.*AWS_RETRY_MODE"),
    "endpoint without a scheme": (
        {"AWS_ENDPOINT_URL_S3": "127.0.0.1:9000"},
        "",
        "127.0.0.1:9000.*AWS_ENDPOINT_URL_S3",
    ),
    "certificates": ({"AWS_CA_BUNDLE": "/nope/ca.pem"}, "", "/nope/ca.pem.*AWS_CA_BUNDLE"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_boto3_refuses_name_their_variable(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    variables, config, cause = SETTINGS[name]
    given(home, monkeypatch, KEYS | variables, config)
    with pytest.raises(ConfigurationError, match=cause):
        list(S3Storage("my-bucket").list_objects())


ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "region": ({"region": "EU (Ireland)"}, "EU"),
    "region of a type": ({"region": 7}, "region must be of type str"),
    "endpoint without a scheme": ({"endpoint_url": "127.0.0.1:9000"}, "must begin with http"),
    "endpoint with a password": ({"endpoint_url": "http://u:the-secret@h"}, "password"),
    "endpoint with a signature": ({"endpoint_url": "h/?X-Amz-Signature=the-secret"}, r"\?"),
    "endpoint with the bucket": ({"endpoint_url": "http://h:1/my-bucket/"}, "leave it out"),
    "bucket with a path": ({"bucket": "my-bucket/cohorts"}, "Destination.path"),
    "bucket is a URL": ({"bucket": "https://h/k?X-Amz-Signature=the-secret"}, "is a URL"),
    "bucket with a blank": ({"bucket": "my bucket"}, "neither a bucket's name"),
    "bucket of a type": ({"bucket": None}, "bucket must be of type str"),
    "part size": ({"part_size": "8MB"}, "part_size must be of type int"),
    "part size of a bool": ({"part_size": True}, "part_size must be of type int"),
    "concurrency": ({"concurrency": 2.5}, "concurrency must be of type int"),
    "settling time": ({"settling_time": None}, "settling_time must be of type"),
    "endless settling time": ({"settling_time": float("inf")}, "settling_time must be"),
    "checksums": ({"checksums": "no"}, "checksums must be of type bool"),
    "acl": ({"acl": "public-read"}, "bucket-owner-full-control"),
    "session of botocore": ({"session": botocore.session.get_session()}, "boto3.Session"),
    "client is a session": ({"client": boto3.Session()}, "pass it as session"),
    "client of SQS": ({"client": boto3.client("sqs", "us-east-1")}, "for S3.*not SQS"),
    "client is text": ({"client": "s3"}, "must be a boto3 client"),
    "resource": ({"client": boto3.resource("s3", "us-east-1")}, "resource.meta.client"),
    "unknown option": ({"request_options": {"Delimiter": "/"}}, "can't contain 'Delimiter'"),
    "options of a type": ({"request_options": ["x"]}, "must be a mapping, not list"),
    "value of a type": ({"request_options": {"RequestPayer": True}}, "must be of type str"),
    "short key": (
        {"request_options": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "the-secret"}},
        "32 bytes",
    ),
    "key alone": ({"request_options": {"SSECustomerKey": b"the-secret" * 3 + b"12"}}, "both of"),
    "two encryptions": (
        {"kms_key_id": "k", "request_options": {"ServerSideEncryption": "AES256"}},
        "contradicts",
    ),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_wrong_argument_is_named(home: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    arguments, cause = ARGUMENTS[name]
    given(home, monkeypatch, KEYS)
    with pytest.raises(ConfigurationError, match=cause) as raised:
        S3Storage(**{"bucket": "my-bucket"} | arguments)
    assert "the-secret" not in everything_of(raised.value)


def everything_of(error: BaseException | None) -> str:
    """Return the texts of an exception and of all exceptions that it leads to."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    return " ".join(texts)


class Sts(BaseHTTPRequestHandler):
    """A service for roles that refuses every request."""

    code, status = "AccessDenied", 403

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        text = (
            '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
            f"<Type>Sender</Type><Code>{self.code}</Code><Message>User: "
            "arn:aws:iam::111122223333:user/ann is not authorized</Message></Error>"
            "<RequestId>1</RequestId></ErrorResponse>"
        ).encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(text)))
        self.send_header("content-type", "text/xml")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sts(home: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[type[Sts]]:
    handler = type("OneSts", (Sts,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    given(home, monkeypatch, {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL_STS": url})
    yield handler
    server.shutdown()
    server.server_close()


def assume_role(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "aws_access_key_id=a\naws_secret_access_key=b\n"
    config = f"[profile etl]\n{ROLE}\nsource_profile=base\n[profile base]\n{source}"
    given(home, monkeypatch, OF_ETL, config)


def assume_by_web_identity(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = home / "token"
    token.write_text("x" * 40)
    role = "arn:aws:iam::111122223333:role/etl"
    given(home, monkeypatch, {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)})


OPERATIONS = {assume_role: "AssumeRole", assume_by_web_identity: "AssumeRoleWithWebIdentity"}


def uses() -> Iterator[Any]:
    """Yield the ways in which a caller first sends a request."""
    policy = Destination(name="d", bucket="my-bucket", region="us-east-1")
    yield lambda: list(S3Storage("my-bucket").list_objects("cohorts/"))
    yield lambda: S3Storage("my-bucket").create("cohorts/x", b"1")
    yield lambda: S3Storage("my-bucket").stage("cohorts/x", [b"1"])
    yield lambda: S3Storage("my-bucket").open("cohorts/x")
    yield lambda: S3Storage("my-bucket", endpoint_url="http://127.0.0.1:9").create("x", b"1")
    yield lambda: check_access(S3Storage("my-bucket"), path="cohorts")
    client: Any = boto3.Session().client("s3")
    yield lambda: apply_bucket_policy(client, policy, principal="111122223333")


@pytest.mark.parametrize("assume", OPERATIONS)
@pytest.mark.parametrize(
    ("code", "status"),
    [("AccessDenied", 403), ("ExpiredTokenException", 400), ("InvalidIdentityToken", 400)],
)
def test_a_refusal_of_sts_is_not_blamed_on_the_bucket(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    sts: type[Sts],
    assume: Any,
    code: str,
    status: int,
):
    sts.code, sts.status = code, status
    assume(home, monkeypatch)
    for use in uses():
        with pytest.raises(CredentialsError) as raised:
            use()
        assert (raised.value.operation, raised.value.reason) == (OPERATIONS[assume], code)
        assert "111122223333" not in everything_of(raised.value)
        assert "my-bucket" not in str(raised.value)


@pytest.mark.parametrize("assume", OPERATIONS)
@pytest.mark.parametrize("code", ["Throttling", "InternalFailure", None])
def test_a_failure_of_sts_may_be_temporary(
    home: Path, monkeypatch: pytest.MonkeyPatch, sts: type[Sts], assume: Any, code: str | None
):
    sts.code, sts.status = code or "", 400 if code == "Throttling" else 500
    if code is None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    assume(home, monkeypatch)
    with pytest.raises(CredentialsUnavailableError, match=OPERATIONS[assume]):
        S3Storage("my-bucket").create("cohorts/x", b"1")


def test_a_failing_source_of_a_callers_own_client_is_the_same_error(home: Path):
    def fail() -> dict[str, str]:
        raise KeyError("the-secret")

    session = botocore.session.Session()
    session._credentials = DeferredRefreshableCredentials(fail, "custom")  # noqa: SLF001
    client: Any = boto3.Session(botocore_session=session, region_name="us-east-1").client("s3")
    with pytest.raises(CredentialsError) as raised:
        list(S3Storage("my-bucket", client=client).list_objects())
    assert "the-secret" not in everything_of(raised.value)


def test_an_unknown_purpose_is_named(home: Path, monkeypatch: pytest.MonkeyPatch):
    given(home, monkeypatch, KEYS)
    purpose: Any = "writing"
    with pytest.raises(ConfigurationError, match=r"must be 'write', .*not 'writing'"):
        check_access(S3Storage("my-bucket", region="us-east-1"), purpose)


def test_every_error_of_opening_is_of_the_library():
    assert issubclass(CredentialsError, CohortS3Error)
    assert issubclass(CredentialsUnavailableError, CredentialsError | RetryableError)
