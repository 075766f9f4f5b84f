"""Finding out, before the first write, if a store honours conditional writes.

Some stores that speak S3's protocol accept ``If-None-Match: *`` and overwrite the object
nevertheless. With them two writers would destroy each other's data without an error. So the
storage first tries to create an object that exists already, the probe: the store must refuse.
"""

import hashlib
import time
from collections.abc import Callable, Iterator

from attrs import frozen

from ..protocol import StagedObject
from ._bucket import Bucket
from .errors import BotoError, error_code

PROBE_NAME = "_syncs/.probe"
"""The end of the probe's key. No method shows the probe, and it is never deleted.

It is in the log's folder beside the first key that is written, so that a policy which only
allows a destination's path allows the probe too.
"""


@frozen(kw_only=True)
class ConditionalWriteSupport:
    """The writes whose condition a store honours.

    Attributes:
        puts: True if it refuses to put an object where one exists.
        completions: True if it refuses to complete an upload where an object exists.
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

    AWS documents that it honours them, so nothing is sent there. Raises botocore's errors.
    """
    if bucket.is_aws:
        return ConditionalWriteSupport(puts=True, completions=True)
    data = PROBE_NAME.encode()
    # Twice, as the first request creates the probe in a new bucket.
    puts = any(
        _is_refused(lambda: bucket.put(key, data, conditional=True), pauses()) for _ in range(2)
    )
    if not puts:
        return ConditionalWriteSupport(puts=False, completions=False)
    token = "probe"  # noqa: S105 -- no secret
    upload_id = bucket.begin_upload(key, token, "application/octet-stream")
    try:
        part = bucket.upload_part(key, upload_id, 1, bytearray(data))
        upload = StagedObject(
            key=key,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            handle={"upload_id": upload_id, "token": token, "parts": str(part)},
        )
        completions = _is_refused(lambda: bucket.complete(upload, conditional=True), pauses())
    finally:
        bucket.abort(key, upload_id)
    return ConditionalWriteSupport(puts=True, completions=completions)


def _is_refused(write: Callable[[], None], pauses: Iterator[float]) -> bool:
    """Return whether the store refuses a conditional write because the object exists."""
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
