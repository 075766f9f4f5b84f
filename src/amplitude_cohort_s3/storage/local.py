"""A storage in a local folder. It needs no account, and a power cut does not damage it."""

import contextlib
import errno
import hashlib
import os
import re
import stat
import uuid
from collections.abc import Generator, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from .._bytes import Hashed
from ..errors import (
    ConfigurationError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StagedGoneError,
    UnsuitableStorageError,
)
from ._compose import ComposeByReading
from ._local_names import decode_segment, encode_segment
from .keys import check_key
from .protocol import ObjectInfo, StagedObject, StagedState

STAGING_FOLDER = ".amplitude_cohort_s3"
"""The folder of the staged files, below the root. No listing shows it."""


class LocalStorage(ComposeByReading):
    """A storage in a root folder; keys are paths below it.

    A write first completes a file in a hidden folder and flushes it to the disk. A hard
    link from the key's path to that file then makes the object visible: the operating
    system creates a link atomically and never overwrites a file with it. Finally the
    folder is flushed, so that a power cut can't undo the link. The file system must
    support hard links.

    Args:
        root: The folder. It is created when the first object is written.

    Raises:
        ConfigurationError: The root is a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     storage = LocalStorage(folder)
    ...     _ = storage.create("a/b.txt", b"hello")
    ...     [info.key for info in storage.list_objects("a/")]
    ['a/b.txt']
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        if self.root.is_file():
            fault = f"the root {str(root)!r} is a file, not a folder"
            raise ConfigurationError("LocalStorage", (fault,))
        self._on_disk = set[Path]()

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.root)!r})"

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        after = b"" if start_after is None else start_after.encode()
        # Begin in the folder of the prefix: the folders above it may have very many files.
        folder_key = prefix[: prefix.rfind("/") + 1]
        try:
            folder = self._path(folder_key[:-1]) if folder_key else self.root
        except InvalidKeyError:
            return iter(())  # No key begins like this.
        return self._walk(folder, folder_key, prefix, after)

    def open(self, key: str, /) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ObjectNotFoundError(key) from None

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        path = self._path(key)
        temporary, _ = self._write([data])
        try:
            self._link(temporary, path, key)
        except ObjectExistsError:
            if path.read_bytes() != data:
                raise
        finally:
            temporary.unlink()
        # Also if another writer made the link: it may have died before the flush.
        _sync_folder(path.parent)
        return self._info(key)

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        # Fail now if the key can't become a file: after the record it would be too late.
        path = self._path(key)
        with _translated(path, key):
            self._make_folder(path.parent)
            _is_symlink(path)
        temporary, content = self._write(chunks)
        handle = {"file": temporary.name}
        return StagedObject(key=key, size=content.size, sha256=content.sha256, handle=handle)

    def inspect(self, staged: StagedObject, /) -> StagedState:
        # Look at the staged file first. A publisher removes it after making the link, so the
        # other order could find neither.
        staged_exists = self._staged_path(staged).exists()
        published = self._is_published(staged)
        if published is not None:
            return StagedState.PUBLISHED if published else StagedState.TAKEN
        return StagedState.STAGED if staged_exists else StagedState.GONE

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        path = self._path(staged.key)
        temporary = self._staged_path(staged)
        try:
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
        _sync_folder(path.parent)
        temporary.unlink(missing_ok=True)
        return self._info(staged.key)

    def discard(self, staged: StagedObject, /) -> None:
        temporary = self._staged_path(staged)
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
            _sync_folder(temporary.parent)

    def replace(self, staged: StagedObject, /) -> ObjectInfo:
        path = self._path(staged.key)
        temporary = self._staged_path(staged)
        try:
            temporary.replace(path)
        except FileNotFoundError:
            if not self._is_published(staged):
                raise StagedGoneError(staged.key) from None
        _sync_folder(path.parent)
        # If both names are links to one file already, replace() does nothing.
        temporary.unlink(missing_ok=True)
        return self._info(staged.key)

    def delete(self, key: str, /) -> None:
        path = self._path(key)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            _sync_folder(path.parent)

    def _path(self, key: str) -> Path:
        segments = [encode_segment(s, windows=os.name == "nt") for s in check_key(key).split("/")]
        if segments[0] == STAGING_FOLDER:
            raise InvalidKeyError(key, f"{STAGING_FOLDER} is the folder for staged files")
        path = self.root
        for segment in segments:
            path /= segment
            with _translated(path, key):
                if _is_symlink(path):
                    raise InvalidKeyError(key, "it leads through a symbolic link")
        return path

    def _staged_path(self, staged: StagedObject) -> Path:
        # The handle comes from a record in the bucket, which somebody may have edited.
        name = staged.detail("file")
        if not re.fullmatch(r"[0-9a-f]{32}", name):
            raise InvalidKeyError(name, "it is not the name of a staged file")
        return self.root / STAGING_FOLDER / name

    def _write(self, chunks: Iterable[bytes]) -> tuple[Path, Hashed]:
        """Write a file into the staging folder, and flush it to the disk."""
        folder = self.root / STAGING_FOLDER
        self._make_folder(folder)
        path = folder / uuid.uuid4().hex
        content = Hashed(chunks)
        try:
            with path.open("xb") as file:
                file.writelines(content)
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(folder)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path, content

    def _is_published(self, staged: StagedObject) -> bool | None:
        """Return whether the file under the key is the staged one; None if there is none."""
        path = self._path(staged.key)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(self._staged_path(staged).stat(), status)
        if status.st_size != staged.size or not stat.S_ISREG(status.st_mode):
            return False
        # The staged name is gone, so compare the bytes: no reader can tell equal files apart.
        # Inode numbers prove nothing: they are reused at once, and change in a restored backup.
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == staged.sha256

    def _link(self, source: Path, target: Path, key: str) -> None:
        """Create a hard link atomically, if the target's name is free."""
        with _translated(target, key):
            self._make_folder(target.parent)
            os.link(source, target)

    def _make_folder(self, folder: Path) -> None:
        """Create a folder and its parents, and flush each name before the next is used.

        A folder that exists may be another process's, which has not flushed its name yet. So
        this storage flushes the name of every folder before it uses it for the first time.
        """
        if not folder.is_dir():
            self._make_folder(folder.parent)
            try:
                folder.mkdir(exist_ok=True)
            except FileExistsError:
                raise NotADirectoryError(folder) from None
            self._on_disk.discard(folder)
        if folder not in self._on_disk:
            # Folders above the root, which others made, may be unreadable for us.
            with contextlib.suppress(PermissionError):
                _sync_folder(folder.parent)
            self._on_disk.add(folder)

    def _info(self, key: str) -> ObjectInfo:
        path = self._path(key)
        status = path.stat()
        return ObjectInfo(
            key=key,
            size=status.st_size,
            url=path.absolute().as_uri(),
            last_modified=datetime.fromtimestamp(status.st_mtime, UTC),
        )

    def _walk(
        self, folder: Path, folder_key: str, prefix: str, after: bytes
    ) -> Iterator[ObjectInfo]:
        # Names of folders are sorted with a "/" at their end, because that is how they
        # appear in keys: "a-b" < "a/b" < "ab".
        entries: list[tuple[bytes, str]] = []
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if not (is_folder or entry.is_file(follow_symlinks=False)):
                        continue
                    name = decode_segment(entry.name, windows=os.name == "nt")
                    key = folder_key + name + "/" * is_folder
                    if not key.startswith(prefix):
                        continue
                    # Python shows the bytes of a name that is not UTF-8 as surrogates.
                    with contextlib.suppress(UnicodeEncodeError):
                        if key != f"{STAGING_FOLDER}/":
                            entries.append((key.encode(), entry.name))
        except (FileNotFoundError, NotADirectoryError):
            return
        for encoded, name in sorted(entries):
            key = encoded.decode()
            if key.endswith("/"):
                if encoded > after or after.startswith(encoded):
                    yield from self._walk(folder / name, key, prefix, after)
            elif encoded > after:
                # Skip a file that was deleted since the folder was read.
                with contextlib.suppress(FileNotFoundError):
                    yield self._info(key)


# EXDEV appears if another disk is mounted below the root.
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


def _is_symlink(path: Path) -> bool:
    # Not Path.is_symlink: newer Pythons return False if a name is too long, and this must raise.
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextlib.contextmanager
def _translated(target: Path, key: str) -> Generator[None]:
    """Translate the file system's errors about a path that can't become a file."""
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
        if error.errno in _NO_HARD_LINKS:
            raise UnsuitableStorageError(
                f"the file system of {target.parent}",
                "hard links, which make files visible",
                "Use a folder on a local disk",
            ) from error
        raise


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    if os.name == "nt":  # Windows can't open a folder; its file system journals names itself.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
