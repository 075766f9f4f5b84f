"""A storage in a local folder. It needs no account, and a power cut does not damage it."""

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from ..errors import (
    ConfigurationError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StagedGoneError,
    UnsuitableStorageError,
)
from ._compose import ComposeByReading
from ._local_files import (
    FlushedFolders,
    access_error,
    is_symlink,
    sync_folder,
    translated,
    walk,
)
from ._local_names import encode_segment
from ._local_staging import STAGING_FOLDER, StagingArea
from .keys import check_key
from .protocol import ObjectInfo, StagedInfo, StagedObject, StagedState


class LocalStorage(ComposeByReading):
    """A storage in a root folder; keys are paths below it.

    A write first completes a file in a hidden folder and flushes it to the disk. A hard
    link from the key's path to that file then makes the object visible: the operating
    system creates a link atomically and never overwrites a file with it. Finally the
    folder is flushed, so that a power cut can't undo the link. The file system must
    support hard links.

    Only the account that writes can read a staged file. A published file has the permissions
    of the umask.

    Args:
        root: The folder. A ``~`` is the home folder. It is created when the first object is
            written.

    Raises:
        ConfigurationError: The root is a file or a URL.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     storage = LocalStorage(folder)
    ...     _ = storage.create("a/b.txt", b"hello")
    ...     [info.key for info in storage.list_objects("a/")]
    ['a/b.txt']
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = _root(root)
        self._root_was_there = self.root.exists()
        self._folders = FlushedFolders()
        self._staging = StagingArea(self.root, self._folders)

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.root)!r})"

    def __reduce__(self) -> tuple[type["LocalStorage"], tuple[str]]:
        return type(self), (str(self.root),)

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        self._check_root()
        after = b"" if start_after is None else start_after.encode()
        # Begin in the folder of the prefix: the folders above it may have very many files.
        folder_key = prefix[: prefix.rfind("/") + 1]
        try:
            folder = self._path(folder_key[:-1]) if folder_key else self.root
        except InvalidKeyError:
            return  # No key begins like this.
        for key, path in walk(folder, folder_key, prefix, after, hidden=STAGING_FOLDER):
            # Skip a file that was deleted since the folder was read.
            with contextlib.suppress(FileNotFoundError):
                yield _info(key, path)

    def open(self, key: str, /) -> BinaryIO:
        path = self._path(key)
        try:
            return path.open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ObjectNotFoundError(key) from None
        except PermissionError:
            raise access_error(path) from None

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        path = self._path(key)
        temporary, _ = self._staging.write(key, path, [data], private=False)
        try:
            self._link(temporary, path, key)
        except ObjectExistsError:
            if path.read_bytes() != data:
                raise
        finally:
            self._staging.remove(temporary)
        # Also if another writer made the link: it may have died before the flush.
        sync_folder(path.parent)
        return _info(key, path)

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        # Fail now if the key can't become a file: after the record it would be too late.
        path = self._path(key)
        with translated(path, key):
            self._make_folder(path.parent)
            is_symlink(path)
        temporary, content = self._staging.write(key, path, chunks, private=True)
        handle = {"file": temporary.name}
        return StagedObject(key=key, size=content.size, sha256=content.sha256, handle=handle)

    @property
    def expires_staged(self) -> bool:
        return False

    def list_staged(self, prefix: str = "", /) -> Iterator[StagedInfo]:
        self._check_root()
        return self._staging.list_staged(prefix)

    def inspect(self, staged: StagedObject, /) -> StagedState:
        # Look at the staged file first. A publisher removes it after making the link, so the
        # other order could find neither.
        self._check_root()
        staged_exists = self._staging.path_of(staged).exists()
        published = self._is_published(staged)
        if published is not None:
            return StagedState.PUBLISHED if published else StagedState.TAKEN
        return StagedState.STAGED if staged_exists else StagedState.GONE

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        path = self._path(staged.key)
        temporary = self._staging.path_of(staged)
        try:
            self._staging.make_public(temporary, staged.key)
            self._link(temporary, path, staged.key)
        except (FileExistsError, FileNotFoundError):
            published = self._is_published(staged)
            if published is None and temporary.exists():
                raise  # The target's folder was removed, not the staged file.
            if published is None:
                raise StagedGoneError(staged.key) from None
            if not published:
                raise ObjectExistsError(staged.key) from None
        # Also if another writer made the link: it may have died before the flush.
        sync_folder(path.parent)
        self._staging.remove(temporary)
        return _info(staged.key, path)

    def discard(self, staged: StagedObject, /) -> None:
        temporary = self._staging.path_of(staged)
        folder = temporary.parent
        with translated(temporary, staged.key, source=temporary):
            temporary.unlink(missing_ok=True)
            # Also if it was gone: another process may have died before it flushed that.
            if folder.exists():
                sync_folder(folder)
        self._staging.remove_empty_folders(temporary)

    def replace(self, staged: StagedObject, /) -> ObjectInfo:
        path = self._path(staged.key)
        temporary = self._staging.path_of(staged)
        try:
            self._staging.make_public(temporary, staged.key)
            with translated(path, staged.key, source=temporary):
                temporary.replace(path)
        except FileNotFoundError:
            if not self._is_published(staged):
                raise StagedGoneError(staged.key) from None
        sync_folder(path.parent)
        # If both names are links to one file already, replace() does nothing.
        self._staging.remove(temporary)
        return _info(staged.key, path)

    def delete(self, key: str, /) -> None:
        path = self._path(key)
        with translated(path, key), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink(missing_ok=True)
            # Also if it was gone: another process may have died before it flushed that.
            sync_folder(path.parent)

    def _check_root(self) -> None:
        """Raise if the root was there before: a disk that was unmounted is not an empty bucket."""
        try:
            exists = self.root.exists()
        except PermissionError:
            raise access_error(self.root) from None
        if not exists and self._root_was_there:
            raise UnsuitableStorageError(
                repr(self),
                "its root folder, which was there before",
                "Mount or restore it, then run the same again",
            )
        self._root_was_there = exists

    def _path(self, key: str) -> Path:
        self._check_root()
        segments = [encode_segment(s, windows=os.name == "nt") for s in check_key(key).split("/")]
        if segments[0] == STAGING_FOLDER:
            raise InvalidKeyError(key, f"{STAGING_FOLDER} is the folder for staged files")
        path = self.root
        for segment in segments:
            path /= segment
            with translated(path, key):
                if is_symlink(path):
                    raise InvalidKeyError(key, "it leads through a symbolic link")
        return path

    def _is_published(self, staged: StagedObject) -> bool | None:
        """Return whether the file under the key is the staged one; None if there is none."""
        path = self._path(staged.key)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(self._staging.path_of(staged).stat(), status)
        if status.st_size != staged.size or not stat.S_ISREG(status.st_mode):
            return False
        # The staged name is gone, so compare the bytes: no reader can tell equal files apart.
        # Inode numbers prove nothing: they are reused at once, and change in a restored backup.
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == staged.sha256

    def _link(self, source: Path, target: Path, key: str) -> None:
        """Create a hard link atomically, if the target's name is free."""
        with translated(target, key, source=source):
            self._make_folder(target.parent)
            os.link(source, target)

    def _make_folder(self, folder: Path) -> None:
        self._folders.make(folder)
        self._root_was_there = True


def _root(root: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a root, so that a later chdir changes nothing."""
    text = os.fspath(root)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        # The URL is not shown: it may contain credentials.
        fault = "the root is a URL: pass a folder, or call open_storage with the URL"
        raise ConfigurationError("LocalStorage", (fault,))
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        fault = f"the root {text!r} names an unknown home folder: pass the folder itself"
        raise ConfigurationError("LocalStorage", (fault,)) from None
    path = Path(os.path.abspath(path))  # noqa: PTH100 -- Path.absolute keeps ".."
    if path.is_file():
        fault = f"the root {text!r} is a file, not a folder"
        raise ConfigurationError("LocalStorage", (fault,))
    return path


def _info(key: str, path: Path) -> ObjectInfo:
    status = path.stat()
    return ObjectInfo(
        key=key,
        size=status.st_size,
        url=f"file://{'/' if os.name == 'nt' else ''}{path.as_posix()}",
        last_modified=datetime.fromtimestamp(status.st_mtime, UTC),
    )
