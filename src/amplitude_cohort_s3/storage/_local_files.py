"""The calls of a local storage to its file system, and the translation of their errors."""

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ..errors import (
    FileAccessError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectRefusedError,
    UnsuitableStorageError,
)
from ._local_names import decode_segment
from .keys import MAX_KEY_BYTES

# The errors of file systems about a name with characters that they forbid or can't encode.
_IMPOSSIBLE_NAME = (errno.EINVAL, errno.EILSEQ)

# EXDEV appears if another disk is mounted below the root.
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    if os.name == "nt":  # Windows can't open a folder; its file system journals names itself.
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        raise access_error(folder) from None
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise UnsuitableStorageError(
                f"the file system of {str(folder)!r}",
                "a way to flush the names in a folder to the disk",
                "Use a folder on a local disk",
            ) from error
        raise
    finally:
        os.close(descriptor)


class FlushedFolders:
    """The folders whose names this process has flushed to the disk.

    Another process may have created a folder, and not have flushed its name yet. The name of
    every folder is therefore flushed before this process uses the folder for the first time.

    Args:
        root: The root of the storage.
        check_root: A function that raises if the root must not be created again.
    """

    def __init__(self, root: Path, check_root: Callable[[], None]) -> None:
        self._root = root
        self._check_root = check_root
        self._flushed = set[Path]()

    def make(self, folder: Path, *, flush: bool = True) -> None:
        """Create a folder and its parents, and flush each name before the next one is used.

        Args:
            folder: The folder.
            flush: True if the files in the folder must still be found after a power cut.
        """
        if not folder.is_dir():
            if folder == self._root:
                self._check_root()
            self.make(folder.parent, flush=flush)
            try:
                folder.mkdir()
            except FileExistsError:
                # If it is a folder, another process made it, and may have removed it since.
                if _is_not_folder(folder):
                    raise NotADirectoryError(folder) from None
            self._flushed.discard(folder)
        if flush and folder not in self._flushed:
            if self._root in folder.parents:
                self.make(folder.parent)
            # This account may not be allowed to read folders above the root.
            with contextlib.suppress(PermissionError):
                sync_folder(folder.parent)
            self._flushed.add(folder)

    def remove_if_empty(self, folder: Path) -> bool:
        """Remove a folder if it is empty; return whether it no longer exists."""
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return False
        self._flushed.discard(folder)
        return True


def status_of(path: Path) -> os.stat_result | None:
    """Return the status of a file or symbolic link, or None if it does not exist.

    ``Path.exists`` is not used: newer versions of Python return False if the account has no
    access or the name is too long. Such cases must raise, because a sync whose staged file does
    not exist becomes void.

    Raises:
        FileAccessError: This account may not look into the folder.
        OSError: The path can't be that of a file.
    """
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise access_error(path) from None


def is_symlink(path: Path) -> bool:
    """Return whether a path is a symbolic link; raise as :func:`status_of`."""
    status = status_of(path)
    return status is not None and stat.S_ISLNK(status.st_mode)


def modified_at(status: os.stat_result) -> datetime | None:
    """Return the time of a file's last change, or None if a datetime can't express it."""
    try:
        return datetime.fromtimestamp(status.st_mtime, UTC)
    except (OSError, OverflowError, ValueError):
        return None


def _is_not_folder(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return is_symlink(path)


def sync_nearest_folder(folder: Path) -> None:
    """Flush a folder or, if another process has removed it, the next one above."""
    for nearest in (folder, *folder.parents):
        with contextlib.suppress(FileNotFoundError):
            sync_folder(nearest)
            return


def default_mode(folder: Path) -> int:
    """Return the permissions that a new file in a folder gets from the umask, or from the ACL.

    The umask itself can't be read without changing it for a moment, for all threads.
    """
    path = folder / uuid.uuid4().hex
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        path.unlink()


def set_mode(descriptor: int, mode: int) -> None:
    """Set the permissions of an open file; do nothing on Windows."""
    if os.name != "nt":
        os.fchmod(descriptor, mode)


def no_such_names() -> OSError:
    """Return the error about a name that the file system can't store.

    exFAT and other file systems report such a name as a missing folder.
    """
    return OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@contextlib.contextmanager
def translated(target: Path, key: str, source: Path | None = None) -> Generator[None]:
    """Translate the errors of the file system about a path that can't become a file.

    Args:
        target: The path.
        key: The key of the path.
        source: The staged file that is linked, renamed or opened, if there is one.
    """
    try:
        yield
    except FileExistsError:
        if target.is_dir():
            raise InvalidKeyError(key, "a folder has this name") from None
        raise ObjectExistsError(key) from None
    except NotADirectoryError:
        raise InvalidKeyError(key, "a file has the name of one of its folders") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidKeyError(key, "a segment is too long for this file system") from None
        if error.errno in _IMPOSSIBLE_NAME:
            raise ObjectRefusedError(
                key,
                f"the file system of {str(target.parent)!r} forbids one of its characters",
                'If it forbids colons, set NameStyle(separator="-") in the Destination',
            ) from None
        owner = None if source is None else _foreign_owner(source)
        if owner is not None and error.errno in (errno.EPERM, errno.EACCES):
            raise FileAccessError(
                str(source),
                f"belongs to the account {owner}, so this one ({_account()}) can't publish it",
                "Run the same command as that account, or change the owner of the file",
            ) from None
        if isinstance(error, PermissionError) and error.errno == errno.EACCES:
            raise access_error(target) from None
        if error.errno in _NO_HARD_LINKS:
            raise UnsuitableStorageError(
                f"the file system of {str(target.parent)!r}",
                "hard links, which make files visible",
                "Use a folder on a local disk",
            ) from error
        raise


def access_error(path: Path) -> FileAccessError:
    """Return the error about a path for which this account has no permission."""
    nearest = next((p for p in (path, *path.parents) if _owner(p) is not None), path)
    return FileAccessError(
        str(nearest),
        f"belongs to the account {_owner(nearest)} and refuses the account {_account()}",
        "Run as its owner, or give this account access",
    )


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _account() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _foreign_owner(path: Path) -> int | None:
    """Return the owner of a file if it is another account, else None."""
    owner = _owner(path)
    return None if owner == _account() else owner


def walk(
    folder: Path,
    folder_key: str,
    prefix: str,
    after: bytes,
    *,
    hidden: str = "",
    max_bytes: int = MAX_KEY_BYTES,
) -> Iterator[tuple[str, Path]]:
    """Yield the keys and paths of the files below a folder, in the order of the keys.

    Files whose path can't be a key are skipped: their name is not UTF-8, or their path is too
    long.

    Args:
        folder: The folder.
        folder_key: The prefix of all keys in the folder: empty for the root, else with a slash at
            its end.
        prefix: The prefix of the keys to yield.
        after: The key after which the walk begins, in UTF-8.
        hidden: The name of a folder in the root that is left out.
        max_bytes: The length of the longest key, in bytes of UTF-8.
    """
    # A stack replaces recursion: it holds the remaining entries of each folder on the path.
    pending = [iter(_entries(folder, folder_key, prefix, max_bytes))]
    while pending:
        encoded, path = next(pending[-1], (None, folder))
        if encoded is None:
            pending.pop()
            continue
        key = encoded.decode()
        if not key.endswith("/"):
            if encoded > after:
                yield key, path
        elif key != f"{hidden}/" and (encoded > after or after.startswith(encoded)):
            pending.append(iter(_entries(path, key, prefix, max_bytes)))


def _entries(
    folder: Path, folder_key: str, prefix: str, max_bytes: int
) -> list[tuple[bytes, Path]]:
    """Return the files and folders whose keys have the prefix, in the order of the keys."""
    # Names of folders are sorted with a "/" at their end, as they appear in keys: "a-b" < "a/b" <
    # "ab".
    entries: list[tuple[bytes, Path]] = []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                is_folder = entry.is_dir(follow_symlinks=False)
                if not (is_folder or entry.is_file(follow_symlinks=False)):
                    continue
                key = folder_key + decode_segment(entry.name, windows=os.name == "nt")
                key += "/" * is_folder
                if not key.startswith(prefix):
                    continue
                # Python decodes a name that is not UTF-8 with surrogates, which can't be encoded.
                with contextlib.suppress(UnicodeEncodeError):
                    encoded = key.encode()
                    if len(encoded) <= max_bytes:
                        entries.append((encoded, folder / entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError:
        raise access_error(folder) from None
    return sorted(entries)
