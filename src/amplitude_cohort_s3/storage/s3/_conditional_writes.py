"""Whether a store honours the conditions of writes, found out before the first one."""

import hashlib
import time
from collections.abc import Callable, Iterator

from attrs import frozen

from ..protocol import StagedObject
from ._requests import Bucket
from .errors import BotoError, error_code

PROBE_NAME = "_syncs/.probe"
"""The object by which a store's honesty is tried; no verb shows it, and it stays.

It lies in the folder of the first key that is written, or in that of the log if that is
what is written: a policy that allows only a destination's path allows it too.
"""


@frozen(kw_only=True)
class Honesty:
    """For which writes a store honours ``If-None-Match``."""

    creates: bool
    completes: bool


def is_probe(key: str) -> bool:
    """Whether a key is that of a probe, in whatever folder."""
    return key == PROBE_NAME or key.endswith(f"/{PROBE_NAME}")


def probe_beside(key: str) -> str:
    """The probe's key for the first key that is written.

    >>> probe_beside("cohorts/1_a_2026-11-23T14:05_existing.csv")
    'cohorts/_syncs/.probe'
    >>> probe_beside("cohorts/_syncs/1_a/99999998-00000001.json")
    'cohorts/_syncs/.probe'
    """
    folder, _, _ = f"{key}/".partition("_syncs/")
    if folder == f"{key}/":
        folder = key[: key.rfind("/") + 1]
    return folder + PROBE_NAME


def probe(bucket: Bucket, key: str, pauses: Callable[[], Iterator[float]]) -> Honesty:
    """Asks a store to create an object that exists, in one request and by an upload.

    AWS documents that it honours the condition and is not asked. Botocore's errors come out.

    Args:
        bucket: Where.
        key: The probe's.
        pauses: Gives the pauses between tries, in seconds.
    """
    if bucket.is_aws:
        return Honesty(creates=True, completes=True)
    data = PROBE_NAME.encode()
    # The first one may be the very first ever.
    creates = any(
        _is_refused(lambda: bucket.put(key, data, conditional=True), pauses()) for _ in range(2)
    )
    if not creates:
        return Honesty(creates=False, completes=False)
    token = "probe"  # noqa: S105 - no secret
    upload_id = bucket.begin_upload(key, token, "application/octet-stream")
    try:
        part = bucket.upload_part(key, upload_id, 1, bytearray(data))
        upload = StagedObject(
            key=key,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            handle={"upload_id": upload_id, "token": token, "parts": str(part)},
        )
        completes = _is_refused(lambda: bucket.complete(upload, conditional=True), pauses())
    finally:
        bucket.abort(key, upload_id)
    return Honesty(creates=True, completes=completes)


def _is_refused(write: Callable[[], None], pauses: Iterator[float]) -> bool:
    """Whether the store refuses a conditional write because the object exists."""
    for pause in pauses:
        try:
            write()
        except BotoError as error:
            code = error_code(error)
            if code == "PreconditionFailed":
                return True
            if code == "NotImplemented":
                return False
            if code != "ConditionalRequestConflict":
                raise
            time.sleep(pause)
        else:
            return False
    return False
