"""The folders of a local storage in which a process writes files before it stages them."""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ..errors import InvalidKeyError
from ._local_files import (
    FlushedFolders,
    access_error,
    modified_at,
    no_such_names,
    status_of,
    sync_nearest_folder,
    translated,
)
from ._local_names import decode_segment
from ._local_staging import STAGING_FOLDER, TRIES, StagingArea, check_not_linked
from .protocol import StagedInfo, StagedObject

_NAME = re.compile(r"work-[0-9a-f]{32}")


class WorkArea:
    """The work folders below a root.

    The work folder for the key ``a/b.csv`` has a random name in the folder
    ``.amplitude_cohort_s3/.amplitude_cohort_s3/a/b.csv``. Therefore the key of a folder that a
    dead process has left is known. No staged file is in this area, because no key begins with the
    name of the staging folder.

    Args:
        root: The root of the storage.
        folders: The folders of the storage.
    """

    def __init__(self, root: Path, folders: FlushedFolders) -> None:
        self._folders = folders
        self._area = StagingArea(root / STAGING_FOLDER, folders)
        self._folder = root / STAGING_FOLDER / STAGING_FOLDER

    def open(self, key: str) -> "WorkFolder":
        """Return the context manager of a new folder for a key.

        Raises:
            InvalidKeyError: A segment of the key looks like the name of a work folder.
        """
        if any(map(_NAME.fullmatch, key.split("/"))):
            raise InvalidKeyError(key, "one of its segments is the name of a work folder")
        return WorkFolder(self, key)

    def contains(self, path: Path) -> bool:
        """Return whether a path is inside of this area."""
        return self._folder in path.parents and ".." not in path.parts

    def create(self, key: str) -> Path:
        """Create a folder for a key, which only this account can enter."""
        path = self._folder_of(key) / f"work-{uuid.uuid4().hex}"
        for _ in range(TRIES):
            # FileNotFoundError: another process has removed the parent because it was empty.
            with contextlib.suppress(FileNotFoundError), translated(path, key):
                self._folders.make(path.parent, flush=False)
                path.mkdir(0o700)
                return path
        with translated(path, key):
            raise no_such_names()

    def list_staged(self, prefix: str) -> Iterator[StagedInfo]:
        """Yield the folders for the keys with a prefix."""
        for path in self._find(prefix):
            parts = path.parent.relative_to(self._folder).parts
            key = "/".join(decode_segment(part, windows=os.name == "nt") for part in parts)
            with contextlib.suppress(UnicodeEncodeError):
                key.encode()
                if key.startswith(prefix):
                    staged = StagedObject(
                        key=key, size=0, sha256=None, handle={"folder": path.name}
                    )
                    yield StagedInfo(staged=staged, begun=_last_change(path))

    def _find(self, prefix: str) -> Iterator[Path]:
        top = self._folder_of(prefix[: prefix.rfind("/")]) if "/" in prefix else self._folder
        check_not_linked(self._folder.parent)
        if status_of(top) is None:
            return
        for folder, names, _ in os.walk(top, onerror=_raise):
            for name in sorted(names):
                if _NAME.fullmatch(name):
                    names.remove(name)
                    yield Path(folder, name)

    def discard(self, staged: StagedObject) -> None:
        """Remove a folder that :meth:`list_staged` found. A process that still uses it then fails.

        Raises:
            InvalidKeyError: The handle does not name a work folder.
        """
        name = staged.detail("folder")
        if not _NAME.fullmatch(name):
            raise InvalidKeyError(name, "it is not the name of a work folder")
        path = self._folder_of(staged.key) / name
        removed = path.with_name(f"work-{uuid.uuid4().hex}")
        with contextlib.suppress(FileNotFoundError), translated(path, staged.key, source=path):
            # The folder is renamed first. Otherwise the process that uses it could create a file
            # again that was just removed, and go on with only a part of its rows.
            path.rename(removed)
            shutil.rmtree(removed)
        self._clear_above(path)

    def remove(self, path: Path) -> None:
        """Remove a folder of this process, as far as possible."""
        shutil.rmtree(path, ignore_errors=True)
        # Otherwise the name could exist again after a power cut, and lead to rows that ``prune``
        # has removed since.
        with contextlib.suppress(OSError):
            self._clear_above(path)

    def _clear_above(self, path: Path) -> None:
        """Remove the empty folders above a removed folder, and flush the removal to the disk."""
        nearest = self._area.remove_empty_folders(path)
        if nearest == self._folder:
            # Another account may not be allowed to write in the folder of this one.
            self._folders.remove_if_empty(nearest)
        sync_nearest_folder(nearest)

    def _folder_of(self, key: str) -> Path:
        check_not_linked(self._folder.parent)
        return self._area.folder_of(key)


class WorkFolder:
    """A folder that exists while a block runs.

    This is a class and not a generator: a generator that is collected as garbage would remove the
    files.
    """

    def __init__(self, area: WorkArea, key: str) -> None:
        self._area = area
        self._key = key
        self._path: Path | None = None

    def __enter__(self) -> Path:
        self._path = self._area.create(self._key)
        return self._path

    def __exit__(self, *error: object) -> None:
        if self._path is not None:
            self._area.remove(self._path)


def _last_change(folder: Path) -> datetime:
    """Return the time of the last change of a folder or of anything in it."""
    found = [status_of(folder)]
    # If the folder of another account can't be entered, the time of the folder itself is used.
    for path, _, names in os.walk(folder):
        found += [status_of(Path(path, name)) for name in (".", *names)]
    last = max((status for status in found if status), key=lambda s: s.st_mtime, default=None)
    when = None if last is None else modified_at(last)
    return when or datetime.min.replace(tzinfo=UTC)


def _raise(error: OSError) -> None:
    """Raise an error about listing a folder, unless another process has removed the folder."""
    if isinstance(error, PermissionError):
        raise access_error(Path(error.filename)) from None
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
