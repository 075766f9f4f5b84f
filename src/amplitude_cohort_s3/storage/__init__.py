"""Storages: a whole bucket, or a root folder."""

from typing import TYPE_CHECKING

from .._optional import exports_on_demand
from .file_staging import SupportsStageFile
from .keys import MAX_KEY_BYTES, check_key
from .local import LocalStorage
from .memory import MemoryStorage
from .open import HasBucket, StorageLocation, open_storage
from .protocol import (
    ObjectInfo,
    StagedInfo,
    StagedObject,
    StagedState,
    Storage,
    SupportsCompose,
    SupportsDelete,
    SupportsListStaged,
    SupportsReplace,
)

if TYPE_CHECKING:
    from .s3 import S3Storage

__all__ = [
    "MAX_KEY_BYTES",
    "HasBucket",
    "LocalStorage",
    "MemoryStorage",
    "ObjectInfo",
    "S3Storage",
    "StagedInfo",
    "StagedObject",
    "StagedState",
    "Storage",
    "StorageLocation",
    "SupportsCompose",
    "SupportsDelete",
    "SupportsListStaged",
    "SupportsReplace",
    "SupportsStageFile",
    "check_key",
    "open_storage",
]

# S3Storage imports boto3, which takes 0.3 s.
__getattr__ = exports_on_demand(
    __name__,
    {
        "S3Storage": ".s3",
    },
)
