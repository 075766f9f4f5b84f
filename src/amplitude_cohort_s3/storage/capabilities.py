"""Optional capabilities of a storage, checked before they are used."""

from ..errors import MissingPowerError, WrongArgumentError
from .protocol import Storage, SupportsDelete, SupportsReplace

_VERBS = [name for name in vars(Storage) if not name.startswith("_")]


def check_is_storage(argument: str, value: object) -> None:
    """That an argument is a storage.

    Raises:
        WrongArgumentError: It is the name or URL of a bucket, a folder, a destination.
    """
    # Not isinstance: from Python 3.12 on it finds no verb that a wrapper passes on.
    lacking = [f"{verb}()" for verb in _VERBS if not hasattr(value, verb)]
    if lacking:
        cure = 'open it first: open_storage("s3://my-bucket"), or LocalStorage("folder")'
        if len(lacking) < len(_VERBS) / 2:  # one of your own; a Path has open() too
            cure = f"give it {', '.join(lacking)} as well: see the protocol Storage"
        raise WrongArgumentError(argument, type(value).__name__, cure)


def check_storages(storage: Storage, log: Storage | None) -> tuple[Storage, Storage]:
    """Return the storages of the data and of the log, which is ``storage`` by default.

    Raises:
        WrongArgumentError: One of them is not a storage.
    """
    check_is_storage("storage", storage)
    if log is None:
        return storage, storage
    check_is_storage("log", log)
    return storage, log


def require_replace(storage: Storage, purpose: str) -> SupportsReplace:
    """The storage, as one that can replace.

    Raises:
        MissingPowerError: It can't.
        WrongArgumentError: It is no storage.
    """
    if not isinstance(storage, SupportsReplace):
        raise MissingPowerError(type(storage).__name__, "replace", purpose)
    return storage


def require_delete(storage: Storage, purpose: str) -> SupportsDelete:
    """The storage, as one that can delete.

    Raises:
        MissingPowerError: It can't.
        WrongArgumentError: It is no storage.
    """
    if not isinstance(storage, SupportsDelete):
        raise MissingPowerError(type(storage).__name__, "delete", purpose)
    return storage
