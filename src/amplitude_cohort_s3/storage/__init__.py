"""Where cohort files live: the Storage protocol and its backends."""

from ._protocol import (
    MAX_KEY_BYTES,
    ObjectInfo,
    StagedObject,
    StagedState,
    Storage,
    SupportsDelete,
    check_key,
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
