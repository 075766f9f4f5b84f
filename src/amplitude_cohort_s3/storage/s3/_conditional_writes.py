"""A test, before the first write, that a store honours conditional writes and keeps metadata.

Some stores that speak S3's protocol accept ``If-None-Match: *`` and overwrite the object
nevertheless. With them two writers would destroy each other's data without an error. So the
storage first tries to create an object that exists already, the probe: the store must refuse.

A store or a proxy that loses metadata would make the storage's own objects look like those of
somebody else, because their tokens are missing. So the probe has a token too, which must come
back.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import frozen

from ...errors import UnsuitableStorageError
from ..protocol import StagedObject
from ._bucket import Bucket
from ._bucket_reads import STAGE_TOKEN
from .errors import BotoError, error_code

PROBE_NAME = "_syncs/.probe"
"""The end of the probe's key. No method shows the probe, and it is never deleted.

It is in the log's folder beside the first key that is written, so that a policy which only
allows a destination's path allows the probe too.
"""

_TOKEN = "probe"  # noqa: S105 -- no secret


@frozen(kw_only=True)
class ConditionalWriteSupport:
    """The writes whose condition a store honours.

    Attributes:
        puts: True if it refuses to put an object under a key that has one.
        completions: True if it refuses to complete an upload to such a key.
    """

    puts: bool
    completions: bool


def is_probe(key: str) -> bool:
    """Return whether a key is that of a probe."""
    return key == PROBE_NAME or key.endswith(f"/{PROBE_NAME}")


def probe_key(key: str) -> str:
    """Return the probe's key for the first key that is written.

    >>> probe_key("cohorts/1_a_2026-11-23T14:05_existing.csv")
    'cohorts/_syncs/.probe'
    >>> probe_key("cohorts/_syncs/1_a/99999998-00000001.json")
    'cohorts/_syncs/.probe'
    """
    folder, separator, _ = f"{key}/".partition("_syncs/")
    if not separator:
        folder = key[: key.rfind("/") + 1]
    return folder + PROBE_NAME


def probe(
    bucket: Bucket, key: str, pauses: Callable[[], Iterator[float]]
) -> ConditionalWriteSupport:
    """Write the probe in both ways, and return which conditions the store honours.

    AWS documents that it honours them, so nothing is sent there. Raises botocore's errors, and
    UnsuitableStorageError if the token of the probe does not come back.
    """
    if bucket.is_aws:
        return ConditionalWriteSupport(puts=True, completions=True)
    data = PROBE_NAME.encode()

    def put(*, conditional: bool) -> None:
        bucket.put(key, data, conditional=conditional, token=_TOKEN)

    # Twice, as the first request creates the probe in a new bucket.
    if not any(_is_refused(put, pauses()) for _ in range(2)):
        _check_token(bucket, key)
        return ConditionalWriteSupport(puts=False, completions=False)
    upload_id = bucket.begin_upload(key, _TOKEN, "application/octet-stream")
    try:
        part = bucket.upload_part(key, upload_id, 1, bytearray(data))
        upload = StagedObject(
            key=key,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            handle={"upload_id": upload_id, "token": _TOKEN, "parts": str(part)},
        )

        def complete(*, conditional: bool) -> None:
            bucket.complete(upload, conditional=conditional)

        completions = _is_refused(complete, pauses())
        if completions and bucket.token_of(key) != _TOKEN:
            # Earlier versions of this library wrote a probe without a token: replace it.
            complete(conditional=False)
            _check_token(bucket, key)
    finally:
        bucket.abort(key, upload_id)
    if not completions:
        _check_token(bucket, key)
    return ConditionalWriteSupport(puts=True, completions=completions)


class _Write(Protocol):
    def __call__(self, *, conditional: bool) -> None: ...


def _check_token(bucket: Bucket, key: str) -> None:
    if bucket.token_of(key) != _TOKEN:
        raise UnsuitableStorageError(
            f"the store of the bucket {bucket.name!r}, or a proxy in front of it,",
            f"the metadata of objects (x-amz-meta-{STAGE_TOKEN} of {key!r} did not come back)",
            "Let the proxy pass all headers that begin with x-amz-meta-, or use another store",
        )


def _is_refused(write: _Write, pauses: Iterator[float]) -> bool:
    """Return whether the store refuses a conditional write because the object exists."""
    for pause in pauses:
        try:
            write(conditional=True)
        except BotoError as error:
            code = error_code(error)
            if code == "PreconditionFailed":
                return True
            if code == "NotImplemented":
                # The store refuses this too if the condition is not the reason.
                write(conditional=False)
                return False
            if code != "ConditionalRequestConflict":
                raise
            time.sleep(pause)
        else:
            return False
    return False
