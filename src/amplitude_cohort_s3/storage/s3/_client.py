"""The boto3 client of a storage: how it is opened, and what becomes of it after a fork.

A forked process inherits the sockets of its parent. If both send requests through one of them,
each may get the response to the other's request, and nothing shows it over plain HTTP. It also
inherits locks that another thread of the parent held, which nobody will ever release. So the
values that have sockets or locks are made again in each process.
"""

import os
import re
import ssl
import threading
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

import boto3
from attrs import field, frozen
from botocore.config import Config
from botocore.exceptions import BotoCoreError, InvalidRegionError, ParamValidationError
from botocore.handlers import validate_bucket_name
from botocore.httpsession import URLLib3Session
from botocore.session import Session
from urllib3 import PoolManager

from ...errors import CohortS3Error, ConfigurationError
from ._credentials import credentials_error
from .errors import fault_of

T = TypeVar("T")

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


@frozen(eq=False)
class PerProcess(Generic[T]):
    """A value that each process has of its own.

    Attributes:
        renew: A function that returns the value of a process, given that of its parent.
    """

    first: T
    renew: Callable[[T], T]
    _values: dict[int, T] = field(init=False, factory=dict[int, T])

    def __attrs_post_init__(self) -> None:
        self._values[os.getpid()] = self.first

    def get(self) -> T:
        """Return the value of this process."""
        process = os.getpid()
        if process not in self._values:
            # Without a lock, since a thread of the parent might hold it. If two threads come
            # here at once, both get the same value.
            value = self._values.setdefault(process, self.renew(self.first))
            for other in [one for one in self._values if one != process]:
                self._values.pop(other, None)
            return value
        return self._values[process]


def open_client(
    bucket: str,
    session: boto3.Session | None,
    endpoint_url: str | None,
    region: str | None,
    *,
    concurrency: int,
    checksums: bool | None,
) -> Any:
    """Return a boto3 client for S3 for syncs with ``concurrency`` parts of a file at a time.

    Without ``checksums``, the environment and the profile decide about checksums.

    Raises:
        CredentialsError: The profile, or the credentials that it describes, are not usable.
        ConfigurationError: An argument, a variable or a file has a value that boto3 refuses.
    """
    # A sync may upload its three files at a time, while it reads the file of the last one.
    config = Config(max_pool_connections=10 + 3 * concurrency)
    if checksums is not None:
        when: Literal["when_supported", "when_required"]
        when = "when_supported" if checksums else "when_required"
        config = config.merge(
            Config(request_checksum_calculation=when, response_checksum_validation=when)
        )
    subject = f"the boto3 client for the bucket {bucket!r}"
    try:
        # Not boto3's default session: threads can't share a session safely.
        own: Any = session or boto3.Session()
        faults = [*_name_faults(bucket), *_setting_faults(own, region)]
        if not faults:
            return own.client("s3", endpoint_url=endpoint_url, region_name=region, config=config)
    except Exception as error:  # noqa: BLE001 -- botocore also raises builtin errors
        source = _source_of(error, session)
        # botocore reads the settings of its sources of credentials as it reads others.
        is_setting = bool(source) and isinstance(error, ValueError)
        failure: CohortS3Error | None = None if is_setting else credentials_error(error)
        if failure is None:
            failure = ConfigurationError(subject, (fault_of(error) + source,))
    else:
        failure = ConfigurationError(subject, tuple(faults))
    # Raised here, since the original may contain the output of a program with credentials.
    raise failure


def client_of_each_process(client: Any) -> PerProcess[Any]:
    """Return a client that gets new connections in each process."""
    return PerProcess(client, _with_new_connections)


def lock_of_each_process() -> PerProcess[threading.Lock]:
    """Return a lock that is free in each new process."""
    return PerProcess(threading.Lock(), lambda _: threading.Lock())


def _with_new_connections(client: Any) -> Any:
    """Return the same client with new connections and locks; keep its settings and its hooks."""
    endpoint = client._endpoint  # noqa: SLF001 -- closing the connections could wait for a lock
    old: Any = endpoint.http_session
    if isinstance(endpoint.http_session, URLLib3Session):
        cls: Any = old.__class__
        new: Any = cls.__new__(cls)
        manager = PoolManager(**old._get_pool_manager_kwargs())  # noqa: SLF001
        manager.pool_classes_by_scheme = old._pool_classes_by_scheme  # noqa: SLF001
        new.__dict__.update(old.__dict__, _manager=manager, _proxy_managers={})
        endpoint.http_session = new
    else:
        client.close()
    credentials = client._request_signer._credentials  # noqa: SLF001
    if hasattr(credentials, "_refresh_lock"):
        credentials._refresh_lock = threading.Lock()  # noqa: SLF001
    return client


def calculates_checksums(client: Any) -> bool:
    """Return whether a client adds a checksum to each upload by itself."""
    return bool(client.meta.config.request_checksum_calculation == "when_supported")


def _name_faults(bucket: str) -> list[str]:
    # A caller's own client may accept more, such as the tenants of Ceph.
    try:
        validate_bucket_name({"Bucket": bucket})
    except ParamValidationError:
        shown = re.split("[?@#]", bucket)[0]
        return [f"{shown!r} is neither a bucket's name nor the ARN of an access point"]
    return []


def _setting_faults(session: boto3.Session, region: str | None) -> list[str]:
    """Return the faults of settings that botocore does not check before the first request."""
    faults = list[str]()
    if (session.region_name if region is None else region) == "":
        faults.append("the region is empty: pass region, or set AWS_DEFAULT_REGION")
    bundle = _settings(session).get_config_variable("ca_bundle")
    bundle = bundle or os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=bundle)
        except OSError as error:
            faults.append(
                f"the certificates in {bundle!r} can't be read ({error.strerror or error}): "
                "AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or ca_bundle in ~/.aws/config names this file"
            )
    return faults


def _settings(session: boto3.Session | None) -> Session:
    """Return a session of botocore that reads the same settings."""
    name = None if session is None else session.profile_name
    # boto3 also returns "default" if there is no profile at all.
    profile = None if name == "default" else name
    # This session sends no requests. Without their handlers, it is made in a tenth of the time.
    return Session(profile=profile, include_builtin_handlers=False)


def _source_of(error: Exception, session: boto3.Session | None) -> str:
    """Return the setting that an error is about, as far as it can be found."""
    if isinstance(error, InvalidRegionError):
        return ": regions have names such as eu-west-1"
    text, found = str(error), list[str]()
    settings = _settings(session)
    for logical, (key, variables, *_) in Session.SESSION_VARIABLES.items():
        names = [variables] if isinstance(variables, str) else list(variables or [])
        if key and re.search(rf"\b{key}\b", text):
            found += [*names, f"{key} in ~/.aws/config"]
        found += [name for name in names if _is_quoted(os.environ.get(name), text)]
        try:
            settings.get_config_variable(logical)
        except ValueError:
            found += [*names, f"{key or logical} in ~/.aws/config"]
        except BotoCoreError:
            pass  # the error itself names the profile or the file
    found += [name for name in _ENDPOINTS if _is_quoted(os.environ.get(name), text)]
    return f": see {' or '.join(dict.fromkeys(found))}" if found else ""


_SHORTEST_QUOTE = 4
"""Shorter values of variables, such as 1, also occur in texts that are not about them."""


def _is_quoted(value: str | None, text: str) -> bool:
    if value is None or len(value) < _SHORTEST_QUOTE:
        return False
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None
