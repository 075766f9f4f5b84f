"""A storage in a local folder, which needs no account and which a power cut does not damage."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from itertools import chain
from pathlib import Path

from .._bytes import read_chunks
from ..errors import (
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StagedGoneError,
)
from ._compose import ComposeByReading
from ._local_files import (
    FlushedFolders,
    access_error,
    is_symlink,
    modified_at,
    no_such_names,
    status_of,
    sync_folder,
    sync_nearest_folder,
    translated,
    walk,
)
from ._local_names import encode_segment
from ._local_root import Root, root_path
from ._local_staging import STAGING_FOLDER, TRIES, StagingArea
from ._local_work import WorkArea
from .keys import check_key
from .protocol import ObjectInfo, StagedInfo, StagedObject, StagedState


class LocalStorage(ComposeByReading):
    """A storage in a root folder; keys are paths below it.

    An object is first written to a file in a hidden folder and flushed to the disk. A hard link
    from the key's path to that file then makes the object visible: the operating system creates a
    link atomically, and only if the path is free. Finally the folder is flushed, so that a power
    cut can't undo the link. The file system must support hard links.

    A file that was made in a folder of ``work_folder`` is not copied when it is staged.

    Only the account that wrote a staged file can read it. A published file has the permissions
    that the umask allows.

    Args:
        root: The folder; ``~`` means the home folder. It is created when the first object is
            written.

    Raises:
        ConfigurationError: The root is a file or a URL, or names an unknown home folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     storage = LocalStorage(folder)
    ...     _ = storage.create("a/b.txt", b"hello")
    ...     [info.key for info in storage.list_objects("a/")]
    ['a/b.txt']
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = root_path(root)
        self._root = Root(self.root)
        self._folders = FlushedFolders(self.root, self._root.check)
        self._staging = StagingArea(self.root, self._folders)
        self._work = WorkArea(self.root, self._folders)

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.root)!r})"

    def __reduce__(self) -> tuple[type["LocalStorage"], tuple[str]]:
        return type(self), (str(self.root),)

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        self._root.check()
        after = b"" if start_after is None else start_after.encode()
        # The walk begins in the folder of the prefix: the folders above it may have very many
        # files.
        folder_key = prefix[: prefix.rfind("/") + 1]
        try:
            folder = self._path(folder_key[:-1]) if folder_key else self.root
        except InvalidKeyError:
            return  # No key begins like this.
        for key, path in walk(folder, folder_key, prefix, after, hidden=STAGING_FOLDER):
            status = status_of(path)
            if status is not None:  # else it was deleted since the folder was read
                yield _info(key, path, status)

    def open(self, key: str, /) -> BufferedReader:
        path = self._path(key)
        status = status_of(path)
        # Opening a pipe would wait for its writer.
        if status is None or not stat.S_ISREG(status.st_mode):
            raise ObjectNotFoundError(key)
        try:
            return path.open("rb")
        except FileNotFoundError:
            raise ObjectNotFoundError(key) from None
        except PermissionError:
            raise access_error(path) from None

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        path = self._path(key)
        for _ in range(TRIES):
            # ``forget`` and ``clean_up`` in other processes may discard the staged file.
            with contextlib.suppress(StagedGoneError):
                return self._create(key, path, data)
        raise StagedGoneError(key)

    def _create(self, key: str, path: Path, data: bytes) -> ObjectInfo:
        temporary, _ = self._staging.write(key, path, [data], private=False)
        try:
            self._link(temporary, path, key)
        except ObjectExistsError:
            if not self._has_bytes(key, data):
                raise
        except FileNotFoundError:
            if status_of(temporary) is None:
                raise StagedGoneError(key) from None
            raise
        finally:
            self._staging.remove(temporary)
        # Flush even if another writer made the link: it may have died before that.
        sync_folder(path.parent)
        return _info(key, path, path.lstat())

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        path = self._usable_path(key)
        temporary, content = self._staging.write(key, path, chunks, private=True)
        handle = {"file": temporary.name}
        return StagedObject(key=key, size=content.size, sha256=content.sha256, handle=handle)

    def work_folder(self, key: str, /) -> contextlib.AbstractContextManager[Path]:
        self._path(key)
        return self._work.open(key)

    def stage_file(
        self,
        key: str,
        path: str | os.PathLike[str],
        /,
        *,
        sha256: str,
        content_type: str = "text/csv",
    ) -> StagedObject:
        source = Path(path)
        target = self._usable_path(key)
        # A file in another folder may have another group, access list or security label.
        if self._work.contains(source):
            taken = self._staging.take_over(key, target, source)
            if taken is not None:
                temporary, size = taken
                handle = {"file": temporary.name}
                return StagedObject(key=key, size=size, sha256=sha256, handle=handle)
        return self.stage(key, _chunks_of(source), content_type=content_type)

    @property
    def expires_staged(self) -> bool:
        return False

    def list_staged(self, prefix: str = "", /) -> Iterator[StagedInfo]:
        self._root.check()
        return chain(self._staging.list_staged(prefix), self._work.list_staged(prefix))

    def inspect(self, staged: StagedObject, /) -> StagedState:
        # The staged file is looked up first. A publisher removes it after making the link, so in
        # the other order neither might be found.
        self._root.check()
        staged_exists = status_of(self._staging.path_of(staged)) is not None
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
            if published is None and status_of(temporary) is not None:
                raise  # The folder of the target was removed, and not the staged file.
            if published is None:
                raise StagedGoneError(staged.key) from None
            if not published:
                raise ObjectExistsError(staged.key) from None
        # Flush even if another writer made the link: it may have died before that.
        sync_folder(path.parent)
        self._staging.remove_published(temporary)
        return _info(staged.key, path, path.lstat())

    def discard(self, staged: StagedObject, /) -> None:
        if "folder" in staged.handle:
            self._work.discard(staged)
            return
        temporary = self._staging.path_of(staged)
        with translated(temporary, staged.key, source=temporary):
            temporary.unlink(missing_ok=True)
            # Flush even if the file is gone: another process may have died before that.
            sync_nearest_folder(temporary.parent)
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
        # If both names are already links to the same file, replace() does nothing.
        self._staging.remove_published(temporary)
        return _info(staged.key, path, path.lstat())

    def delete(self, key: str, /) -> None:
        path = self._path(key)
        with translated(path, key), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink(missing_ok=True)
            # Flush even if the file is gone: another process may have died before that.
            sync_folder(path.parent)

    def _path(self, key: str) -> Path:
        self._root.check()
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

    def _usable_path(self, key: str) -> Path:
        """Return the path of a key; raise if it can't become a file.

        ``publish`` would find this out only after the record is written, which is too late.
        """
        path = self._path(key)
        with translated(path, key):
            self._make_folder(path.parent)
            is_symlink(path)
        return path

    def _has_bytes(self, key: str, data: bytes) -> bool:
        """Return whether these bytes are visible under a key."""
        try:
            with self.open(key) as file:
                return file.read() == data
        except ObjectNotFoundError:
            return False

    def _is_published(self, staged: StagedObject) -> bool | None:
        """Return whether the file under the key is the staged one; None if no file is there."""
        path = self._path(staged.key)
        status = status_of(path)
        if status is None:
            return None
        staged_status = status_of(self._staging.path_of(staged))
        if staged_status is not None:
            return os.path.samestat(staged_status, status)
        if status.st_size != staged.size or not stat.S_ISREG(status.st_mode):
            return False
        # The staged name is gone, so the bytes are compared. For readers, a file with equal bytes
        # is the same file. Inode numbers prove nothing: they are reused at once, and change in a
        # restored backup.
        with self.open(staged.key) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == staged.sha256

    def _link(self, source: Path, target: Path, key: str) -> None:
        """Create a hard link atomically, if the target's name is free."""
        with translated(target, key, source=source):
            self._make_folder(target.parent)
            os.link(source, target)

    def _make_folder(self, folder: Path) -> None:
        try:
            self._folders.make(folder)
        except FileNotFoundError:
            raise no_such_names() from None
        self._root.check()


def _chunks_of(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, which is opened when the first chunk is requested."""
    yield from read_chunks(path.open("rb"))


def _info(key: str, path: Path, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=status.st_size,
        url=f"file://{'/' if os.name == 'nt' else ''}{path.as_posix()}",
        last_modified=modified_at(status),
    )
