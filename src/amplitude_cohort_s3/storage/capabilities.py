"""Checks that an argument is a storage, and that it has a capability."""

from ..errors import ArgumentTypeError, MissingCapabilityError
from .protocol import Storage, SupportsDelete, SupportsListStaged, SupportsReplace

_METHODS = [name for name in vars(Storage) if not name.startswith("_")]


def check_is_storage(argument: str, value: object) -> None:
    """Raise unless an argument is a storage.

    Raises:
        ArgumentTypeError: The argument lacks methods of a storage.
    """
    # Not isinstance: from Python 3.12 on it ignores methods that come from __getattr__.
    missing = [f"{method}()" for method in _METHODS if not hasattr(value, method)]
    if missing:
        hint = 'pass an opened one: open_storage("s3://my-bucket"), or LocalStorage("folder")'
        # A storage of your own that is not complete. A Path also has one method, open().
        if len(missing) < len(_METHODS) / 2:
            hint = f"add {', '.join(missing)} to it, see the protocol Storage"
        raise ArgumentTypeError(argument, type(value).__name__, hint)


def check_storages(storage: Storage, log: Storage | None) -> tuple[Storage, Storage]:
    """Return the storages of the data and of the log, which is ``storage`` by default.

    Raises:
        ArgumentTypeError: One of them is not a storage.
    """
    check_is_storage("storage", storage)
    if log is None:
        return storage, storage
    check_is_storage("log", log)
    return storage, log


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


def require_list_staged(storage: Storage) -> SupportsListStaged:
    """Return the storage if it can list what is staged.

    Raises:
        MissingCapabilityError: The storage has no method ``list_staged``.
    """
    if not isinstance(storage, SupportsListStaged):
        raise MissingCapabilityError(type(storage).__name__, "list_staged", "clean_up")
    return storage
