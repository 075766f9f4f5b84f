"""Where cohort files live: the Storage protocol and its backends."""

from .._keys import MAX_KEY_BYTES, check_key
from ._protocol import (
    ObjectInfo,
    StagedObject,
    StagedState,
    Storage,
    SupportsDelete,
)
from .local import LocalStorage
from .memory import MemoryStorage

__all__ = [
    "MAX_KEY_BYTES",
    "LocalStorage",
    "MemoryStorage",
    "ObjectInfo",
    "StagedObject",
    "StagedState",
    "Storage",
    "SupportsDelete",
    "check_key",
]
