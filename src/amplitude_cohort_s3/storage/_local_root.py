"""The root folder of a local storage, and the check that it has not disappeared."""

import os
import re
import stat
from pathlib import Path

from .._arguments import check_kind
from ..errors import ConfigurationError, UnsuitableStorageError
from ._local_files import access_error
from .temporary import impossible_path


class Root:
    """The root folder of a local storage.

    If the folder existed before and does not exist now, its disk was unmounted, or the folder was
    moved or removed. The storage must not treat this as an empty bucket, in which a new history
    would begin.

    Args:
        path: The path of the folder. It need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._device = self._find_device()

    def check(self) -> None:
        """Raise if the folder existed before, but does not exist now.

        Raises:
            FileAccessError: This account may not look for the folder.
            UnsuitableStorageError: The folder, or the disk that was mounted there, is missing.
        """
        # The order matters: another thread may create the folder between these two lines.
        known = self._device
        device = self._find_device()
        if known is not None and device != known:
            # After a disk is unmounted, the empty folder at which it was mounted remains.
            if device is None:
                raise self._error("its root folder, which was there before")
            if not any(self.path.iterdir()):
                raise self._error("the disk of its root folder, which was mounted there before")
        if device is not None:
            self._device = device

    def _find_device(self) -> int | None:
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            raise access_error(self.path) from None
        return status.st_dev if stat.S_ISDIR(status.st_mode) else None

    def _error(self, lacks: str) -> UnsuitableStorageError:
        name = f"LocalStorage({str(self.path)!r})"
        return UnsuitableStorageError(name, lacks, "Mount or restore it, then run the same again")


def root_path(root: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a root, so that a later ``chdir`` has no effect on it.

    Raises:
        ConfigurationError: The root is a file or a URL, names an unknown home folder, or can't be
            the path of a folder.
    """
    check_kind("root", root, str | os.PathLike, 'pass a folder, such as "bucket"')
    text = os.fspath(root)
    if text == "":
        fault = "the root is empty: pass a folder, or '.' for the current one"
        raise ConfigurationError("LocalStorage", (fault,))
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
    reason = impossible_path(path)
    if reason is not None:
        raise ConfigurationError("LocalStorage", (f"the root {text!r} {reason}: pass a folder",))
    if path.is_file():
        fault = f"the root {text!r} is a file, not a folder: pass a folder"
        raise ConfigurationError("LocalStorage", (fault,))
    return path
