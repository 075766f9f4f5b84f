"""Opening a storage by its URL, its folder or its destination."""

import os
import re
from typing import Protocol
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from .local import LocalStorage
from .protocol import Storage


class InBucket(Protocol):
    """What lies in a bucket and says which; a ``Destination`` does."""

    @property
    def bucket(self) -> str | None:
        """The bucket's name."""
        ...

    @property
    def region(self) -> str | None:
        """The bucket's region, or None for that of the environment."""
        ...


def open_storage(place: str | os.PathLike[str] | InBucket, /) -> Storage:
    """The Storage for a place, with the credentials and settings of the environment.

    ``s3://bucket`` and a destination with a bucket open an ``S3Storage``;
    ``file:///folder`` and a plain path open a ``LocalStorage``: so ``my-bucket`` alone is a
    folder here, and no bucket. For more choices call these classes. A path within the
    bucket belongs to the ``Destination``.

    Args:
        place: A URL, a folder, or a destination.

    Raises:
        ConfigurationError: The place is none, or the URL has more than a bucket.

    >>> open_storage("cohorts")
    LocalStorage('cohorts')
    >>> open_storage("s3://my-bucket/cohorts")
    Traceback (most recent call last):
    ...
    amplitude_cohort_s3.errors.ConfigurationError: the place of a storage: a storage is a whole \
bucket: open 's3://my-bucket' and give the rest as Destination.path
    """
    if isinstance(place, os.PathLike):
        return LocalStorage(place)
    if not isinstance(place, str):
        if not hasattr(place, "bucket"):
            raise _no_place(f"give a URL, a folder or a destination, not a {type(place).__name__}")
        if place.bucket is None:
            raise _no_place("the destination names no bucket: set bucket=")
        return _open_s3(place.bucket, region=place.region)
    scheme, separator, rest = place.partition("://")
    if not separator:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", place):  # one letter is a drive of Windows
            # Not shown: it may hold credentials.
            raise _no_place(
                "it has a scheme without //: a bucket is s3://my-bucket, and a folder whose name "
                "begins so is ./name:with-a-colon"
            )
        return LocalStorage(place)
    match scheme.lower():
        case "s3":
            bucket, _, path = rest.partition("/")
            if not re.fullmatch(r"[A-Za-z0-9._-]+", bucket):
                # Not shown: it may be a URL with credentials in it.
                raise _no_place("an S3 URL is s3:// and the name of a bucket, nothing else")
            if path:
                raise _no_place(
                    f"a storage is a whole bucket: open {f's3://{bucket}'!r} and give the rest "
                    "as Destination.path"
                )
            return _open_s3(bucket, region=None)
        case "file":
            from urllib.request import url2pathname  # noqa: PLC0415 -- it costs 30 ms

            parts = urlsplit(place)
            if parts.netloc not in ("", "localhost") or not parts.path:
                raise _no_place("a file URL is file:// and an absolute path: file:///data/bucket")
            return LocalStorage(url2pathname(parts.path))
        case _:
            raise _no_place("its scheme is none of s3:// and file://")


def _no_place(fault: str) -> ConfigurationError:
    return ConfigurationError("the place of a storage", (fault,))


def _open_s3(bucket: str, *, region: str | None) -> Storage:
    from .s3 import S3Storage  # noqa: PLC0415 - boto3 costs 0.3 s

    return S3Storage(bucket, region=region)
