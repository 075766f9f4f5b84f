"""The conversion of arguments to storages, and checks of a storage's capabilities."""

import os
from typing import cast

from .._arguments import wrong_kind
from ..errors import MissingCapabilityError
from .open import open_storage
from .protocol import (
    Storage,
    SupportsCompose,
    SupportsDelete,
    SupportsListStaged,
    SupportsReplace,
)

_METHODS = [name for name in vars(Storage) if not name.startswith("_")]


def as_storage(argument: str, value: object) -> Storage:
    """Return a storage, or open the one at a location: see ``open_storage``.

    Raises:
        ArgumentTypeError: The argument is not a location, and lacks methods of a storage.
        ConfigurationError: The location is not valid.
    """
    if isinstance(value, str | os.PathLike):
        return open_storage(cast("str | os.PathLike[str]", value))
    # isinstance is not used: since Python 3.12 it ignores methods that come from __getattr__.
    is_class = isinstance(value, type)
    missing = [f"{name}()" for name in _METHODS if is_class or not hasattr(value, name)]
    if missing:
        hint = 'pass "s3://my-bucket", a folder, or an opened storage'
        if hasattr(value, "cohort_id") and not is_class:  # A stream or a sync.
            hint = "swap the arguments: the storage comes first"
        elif type(value).__module__.startswith(("boto3.", "botocore.")):
            hint = 'pass S3Storage("my-bucket", client=boto3.client("s3"))'
        elif hasattr(value, "bucket") and hasattr(value, "region") and not is_class:
            hint = "pass a folder, or an opened storage, such as open_storage(destination)"
        elif len(missing) <= len(_METHODS) // 2:  # A storage of your own that is not complete.
            hint = f"add {', '.join(missing)} to it, see the protocol Storage"
        raise wrong_kind(argument, value, hint)
    return cast("Storage", value)


def as_storages(storage: object, log: object) -> tuple[Storage, Storage]:
    """Return the storages of the data and of the log, which is ``storage`` by default.

    Raises:
        ArgumentTypeError, ConfigurationError: As :func:`as_storage`.
    """
    data = as_storage("storage", storage)
    return data, data if log is None else as_storage("log", log)


def require_replace(storage: Storage, purpose: str) -> SupportsReplace:
    """Return the storage if it can replace objects.

    Raises:
        MissingCapabilityError: The storage has no method ``replace``.
    """
    if not isinstance(storage, SupportsReplace):
        raise MissingCapabilityError(type(storage).__name__, "replace", purpose)
    return storage


def require_delete(storage: Storage, purpose: str) -> SupportsDelete:
    """Return the storage if it can delete objects.

    Raises:
        MissingCapabilityError: The storage has no method ``delete``.
    """
    if not isinstance(storage, SupportsDelete):
        raise MissingCapabilityError(type(storage).__name__, "delete", purpose)
    return storage


def require_compose(storage: Storage) -> SupportsCompose:
    """Return the storage if it can compose objects.

    Raises:
        MissingCapabilityError: The storage has no method ``compose``.
    """
    if not isinstance(storage, SupportsCompose):
        raise MissingCapabilityError(type(storage).__name__, "compose", "a sync of parts")
    return storage


def require_list_staged(storage: Storage) -> SupportsListStaged:
    """Return the storage if it can list staged objects.

    Raises:
        MissingCapabilityError: The storage has no method ``list_staged``.
    """
    if not isinstance(storage, SupportsListStaged):
        raise MissingCapabilityError(type(storage).__name__, "list_staged", "clean_up")
    return storage
