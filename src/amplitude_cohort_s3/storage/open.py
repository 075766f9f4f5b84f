"""Functions that open the storage at a URL, in a folder or of a destination."""

from __future__ import annotations

import os
import re
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from ._local_staging import STAGING_FOLDER
from .local import LocalStorage
from .protocol import Storage

StorageLocation = str | os.PathLike[str]
"""The location of a storage: ``"s3://my-bucket"``, a folder, or a ``file://`` URL."""


class HasBucket(Protocol):
    """An object that names a bucket and its region, such as a ``Destination``."""

    @property
    def bucket(self) -> str | None:
        """The bucket's name, or None if there is no bucket."""
        ...

    @property
    def region(self) -> str | None:
        """The bucket's region, or None for the region of the environment."""
        ...


def open_storage(place: str | os.PathLike[str] | HasBucket, /) -> Storage:
    """Return the storage at a location, with the credentials and settings of the environment.

    ``s3://bucket`` and a destination with a bucket open an ``S3Storage``. ``file:///folder`` and
    a path open a ``LocalStorage``, so ``my-bucket`` alone is a folder. For other options, call
    these classes. A path within the bucket is set in the ``Destination``.

    Args:
        place: A URL, a folder, or a destination.

    Raises:
        ConfigurationError: The argument is not a valid location, or the URL has a path
            after the bucket name.

    >>> open_storage("cohorts").root.name
    'cohorts'
    >>> open_storage("s3://my-bucket/cohorts")
    Traceback (most recent call last):
    ...
    amplitude_cohort_s3.errors.ConfigurationError: the location of a storage: a storage is a whole \
bucket: open 's3://my-bucket', and pass the rest as path, for example of the Destination
    """
    if isinstance(place, os.PathLike):
        return LocalStorage(place)
    if not isinstance(place, str):
        if isinstance(place, type) or not hasattr(place, "bucket"):
            kind = place.__name__ if isinstance(place, type) else type(place).__name__
            raise _error(f"pass a URL, a folder or a destination, not {kind}")
        if place.bucket is None:
            raise _error("the destination has no bucket: set bucket, or pass a folder")
        return open_bucket(place.bucket, region=place.region)
    scheme, separator, rest = place.partition("://")
    if not separator:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", place):  # one letter is a drive of Windows
            # The argument is not shown: it may contain credentials.
            raise _error(
                "there is no // after the first colon: write s3://my-bucket for a bucket, and "
                "./name:with-a-colon for a folder"
            )
        return LocalStorage(place)
    match scheme.lower():
        case "s3":
            bucket, _, path = rest.partition("/")
            if not re.fullmatch(r"[A-Za-z0-9._-]+", bucket):
                # The argument is not shown: it may contain credentials.
                raise _error("the URL must be s3:// and the name of a bucket, as in s3://my-bucket")
            if path:
                raise _error(
                    f"a storage is a whole bucket: open {f's3://{bucket}'!r}, and pass the rest as "
                    "path, for example of the Destination"
                )
            return open_bucket(bucket)
        case "file":
            from urllib.request import url2pathname  # noqa: PLC0415 -- it costs 30 ms

            parts = urlsplit(place)
            if parts.netloc not in ("", "localhost") or not parts.path:
                raise _error(
                    "a file URL must be file:// and an absolute path, as in file:///data/bucket"
                )
            return LocalStorage(url2pathname(parts.path))
        case _:
            raise _error(
                f"the URL begins with {scheme}://: write s3://my-bucket for a bucket, and a path "
                "or file:// for a folder. For a store that is not AWS, also set AWS_ENDPOINT_URL"
            )


def open_location(location: str) -> tuple[Storage, str]:
    """Return the storage of a location that may have a path, and that path.

    Args:
        location: As for :func:`open_storage`, or with a path: ``s3://bucket/path``, or a folder
            below the root of a ``LocalStorage``.

    Raises:
        ConfigurationError: The argument is not a valid location.

    >>> storage, path = open_location("bucket/cohorts")
    >>> storage.root.parts[-2:], path
    (('bucket', 'cohorts'), '')
    """
    if location.lower().startswith("s3://"):
        bucket, _, path = location[len("s3://") :].partition("/")
        return open_storage(f"s3://{bucket}"), path.strip("/")
    storage = open_storage(location)
    if isinstance(storage, LocalStorage):
        for root in (storage.root, *storage.root.parents):
            if (root / STAGING_FOLDER).is_dir():  # a root to which something was written
                return LocalStorage(root), "/".join(storage.root.relative_to(root).parts)
    return storage, ""


def _error(fault: str) -> ConfigurationError:
    return ConfigurationError("the location of a storage", (fault,))


def open_bucket(bucket: str, *, region: str | None = None, client: Any = None) -> Storage:
    """Return the storage of a bucket in S3: see ``S3Storage``."""
    from .s3 import S3Storage  # noqa: PLC0415 -- boto3 costs 0.3 s

    return S3Storage(bucket, region=region, client=client)
