"""The hidden folder in which a local storage writes files before they become visible."""

import contextlib
import os
import re
import stat
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from .._bytes import Hashed
from ..errors import FileAccessError, InvalidKeyError, StagedGoneError
from ._local_checks import (
    check_hard_links,
    check_same_file_system,
    check_spelling,
    ignores_case,
)
from ._local_files import (
    FlushedFolders,
    access_error,
    default_mode,
    is_symlink,
    modified_at,
    no_such_names,
    set_mode,
    status_of,
    sync_folder,
    sync_nearest_folder,
    translated,
    walk,
)
from ._local_names import encode_segment
from .keys import MAX_KEY_BYTES, check_key
from .protocol import StagedInfo, StagedObject

STAGING_FOLDER = ".amplitude_cohort_s3"
"""The name of the folder of the staged files, in the root. No listing shows it."""

_NAME_LENGTH = 32
TRIES = 100
"""The number of attempts to write a file while other processes remove it or its folder."""
_STAGED_NAME = re.compile(rf"[0-9a-f]{{{_NAME_LENGTH}}}")
_NAMES_OF_STAGED = 2
"""A file that was taken over has two names: one in the work folder, and the staged one."""


class StagingArea:
    """The staged files below a root.

    A staged file for the key ``a/b.csv`` has a random name in the folder
    ``.amplitude_cohort_s3/a/b.csv``. Therefore the key of a staged file is known without a
    record, a handle can't refer to the file of another key, and a name that the file system
    forbids is detected before a record is written.

    Args:
        root: The root of the storage.
        folders: The folders of the storage.
    """

    def __init__(self, root: Path, folders: FlushedFolders) -> None:
        self._folder = root / STAGING_FOLDER
        self._folders = folders
        self._has_hard_links = False
        self._ignores_case = False

    def path_of(self, staged: StagedObject) -> Path:
        """Return the path of a staged file.

        Raises:
            InvalidKeyError: The handle names no staged file.
        """
        # The handle comes from a record in the bucket, which may have been edited.
        name = staged.detail("file")
        if not _STAGED_NAME.fullmatch(name):
            raise InvalidKeyError(name, "it is not the name of a staged file")
        path = self.folder_of(staged.key) / name
        check_not_linked(path)
        return path

    def list_staged(self, prefix: str) -> Iterator[StagedInfo]:
        """Yield the staged files of the keys with a prefix."""
        folder_key = prefix[: prefix.rfind("/") + 1]
        folder = self.folder_of(folder_key[:-1]) if folder_key else self._folder
        check_not_linked(folder)
        longest = MAX_KEY_BYTES + len("/") + _NAME_LENGTH
        # The hidden folder is that of the work folders: no key begins with the staging folder's
        # name.
        found = walk(folder, folder_key, prefix, b"", hidden=STAGING_FOLDER, max_bytes=longest)
        for staged_key, path in found:
            key, _, name = staged_key.rpartition("/")
            if key.startswith(prefix) and _STAGED_NAME.fullmatch(name):
                status = status_of(path)
                if status is not None:
                    handle = {"file": name}
                    staged = StagedObject(key=key, size=status.st_size, sha256=None, handle=handle)
                    begun = modified_at(status) or datetime.min.replace(tzinfo=UTC)
                    yield StagedInfo(staged=staged, begun=begun)

    def write(
        self, key: str, target: Path, chunks: Iterable[bytes], *, private: bool
    ) -> tuple[Path, Hashed]:
        """Write a staged file, and flush it to the disk.

        Args:
            key: The key.
            target: The path under which the file is published later.
            chunks: The bytes.
            private: True if only this account may read it.

        Raises:
            StagedGoneError: Another process discarded the file while it was written.
        """
        path = self.folder_of(key) / uuid.uuid4().hex
        # Only a private file must still be found by its staged name after a power cut.
        descriptor = self._create(path, target, key, flush=private)
        content = Hashed(chunks)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 -- a descriptor
                self._check_names(path, target, key)
                file.writelines(content)
                if not private:
                    set_mode(descriptor, default_mode(path.parent))
                file.flush()
                os.fsync(descriptor)
            if private:
                sync_folder(path.parent)
        except BaseException as error:
            # A FileNotFoundError may also come from the source of the chunks.
            gone = isinstance(error, FileNotFoundError) and status_of(path) is None
            self.remove(path)
            if gone:
                raise StagedGoneError(key) from None
            raise
        return path, content

    def take_over(self, key: str, target: Path, source: Path) -> tuple[Path, int] | None:
        """Link a staged name to a finished file, and flush both to the disk.

        Args:
            key: The key.
            target: The path under which the file is published later.
            source: The path of the file.

        Returns:
            The path of the staged name and the number of bytes; None if the file must be copied.
        """
        flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(source, flags)
        try:
            status = os.fstat(descriptor)
            # A file with a second name may be staged or published already, and must not be
            # changed.
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                return None
            set_mode(descriptor, 0o600)
            # The time shows that the staged file is not the leftover of a dead writer.
            os.utime(descriptor if os.utime in os.supports_fd else source)
            os.fsync(descriptor)
            path = self._link(key, target, source)
            try:
                self._check_names(path, target, key)
                sync_folder(path.parent)
                linked = os.fstat(descriptor)
                if linked.st_nlink == _NAMES_OF_STAGED and os.path.samestat(linked, path.lstat()):
                    return path, linked.st_size
            except BaseException:
                self.remove(path)
                raise
            self.remove(path)
            return None
        finally:
            os.close(descriptor)

    def make_public(self, path: Path, key: str) -> None:
        """Set the permissions of a staged file to those of a new file.

        Raises:
            FileAccessError: The file belongs to another account.
        """
        with translated(path, key, source=path):
            mode = default_mode(path.parent)
            if stat.S_IMODE(path.lstat().st_mode) != mode:
                # A symbolic link must not be followed: it could make a private file of this
                # account public.
                descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
                try:
                    set_mode(descriptor, mode)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a staged file, if it exists, and its folders that are then empty."""
        _unlink(path)
        self.remove_empty_folders(path)

    def remove_published(self, path: Path) -> None:
        """Remove the staged name of a published file, and flush the removal to the disk.

        Otherwise the name could exist again after a power cut. It would lead to the published
        rows, even if ``prune`` has removed the file since.
        """
        _unlink(path)
        sync_nearest_folder(self.remove_empty_folders(path))

    def remove_empty_folders(self, path: Path) -> Path:
        """Remove the empty folders above a staged file; return the first one that remains."""
        for folder in path.parents:
            if folder == self._folder or not self._folders.remove_if_empty(folder):
                return folder
        raise AssertionError  # The staging folder is one of the parents.

    def folder_of(self, key: str) -> Path:
        """Return the folder of the staged files for a key."""
        check_not_linked(self._folder)
        folder = self._folder
        for segment in check_key(key).split("/"):
            folder /= encode_segment(segment, windows=os.name == "nt")
            with translated(folder, key):
                check_not_linked(folder)
        return folder

    def _link(self, key: str, target: Path, source: Path) -> Path:
        """Link a new staged name to a file, and return its path."""
        path = self.folder_of(key) / uuid.uuid4().hex
        for _ in range(TRIES):
            # FileNotFoundError: another process has removed the folder because it was empty.
            with contextlib.suppress(FileNotFoundError), translated(path, key, source=source):
                self._folders.make(path.parent, flush=True)
                self._check_file_system(path.parent, target)
                os.link(source, path)
                return path
            source.lstat()  # raises if the file itself is missing
        with translated(path, key):
            raise no_such_names()

    def _create(self, path: Path, target: Path, key: str, *, flush: bool) -> int:
        """Create an empty file that only this account can read, and return its descriptor."""
        for _ in range(TRIES):
            # FileNotFoundError: another process has removed the folder because it was empty.
            with contextlib.suppress(FileNotFoundError), translated(path, key):
                self._folders.make(path.parent, flush=flush)
                self._check_file_system(path.parent, target)
                return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with translated(path, key):
            raise no_such_names()

    def _check_file_system(self, folder: Path, target: Path) -> None:
        """Raise before any row is written if the object could not be published later."""
        if not self._has_hard_links:
            check_hard_links(folder)
            self._ignores_case = ignores_case(folder)
            self._has_hard_links = True
        if status_of(target.parent) is not None:
            check_same_file_system(target.parent, folder)

    def _check_names(self, path: Path, target: Path, key: str) -> None:
        """Raise if no listing would show the key.

        The staged file must exist, so that no other process removes its folders.
        """
        check_spelling(path, self._folder, key)
        if self._ignores_case:
            check_spelling(target, self._folder.parent, key)


def check_not_linked(path: Path) -> None:
    """Raise if a path is a symbolic link.

    Raises:
        FileAccessError: The path is a symbolic link.
    """
    if is_symlink(path):
        raise FileAccessError(
            str(path),
            "is a symbolic link, so rows would be written to another place",
            "Remove the link",
        )


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except PermissionError:  # For example another account's file in a folder with a sticky bit.
        raise access_error(path) from None
