"""Folders for temporary files, and the translation of errors about them."""

import errno
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path

from .._arguments import check_kind
from ..errors import ConfigurationError, DiskFullError

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_IMPOSSIBLE = {errno.ELOOP, errno.ENAMETOOLONG}


@contextmanager
def as_disk_full_error(folder: Path) -> Generator[None]:
    """Raise ``DiskFullError`` for an error about a full disk, a quota or a file size limit."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise DiskFullError(str(folder)) from error
        raise


def temporary_folder(prefix: str, work_dir: str | PathLike[str] | None = None) -> Path:
    """Create a folder for temporary files, which only this account can read.

    Args:
        prefix: The beginning of its name.
        work_dir: The folder to create it in. Default: the system's folder.

    Raises:
        ConfigurationError: ``work_dir``, or each possible folder of the system, is missing or
            refuses this account, or ``work_dir`` can't be the path of a folder.
        DiskFullError: The disk is full.
    """
    check_kind("work_dir", work_dir, str | PathLike | None, "pass a folder, or None")
    with temporary_errors(work_dir):
        return Path(tempfile.mkdtemp(prefix=prefix, dir=work_dir))


@contextmanager
def temporary_errors(work_dir: str | PathLike[str] | None = None) -> Generator[None]:
    """Translate the errors about the folder of temporary files: see :func:`temporary_folder`."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = None if work_dir is None else impossible_path(work_dir)
        if reason is not None:
            fault = f"work_dir {fspath(work_dir or '')!r} {reason}: pass another folder"
        elif isinstance(error, ValueError):
            raise
        elif error.errno in _DISK_FULL:
            raise DiskFullError(fspath(work_dir or tempfile.gettempdir())) from error
        elif work_dir is None and isinstance(error, FileNotFoundError | PermissionError):
            fault = (
                "this machine has no folder for temporary files that this account can write: "
                "set TMPDIR to one, or pass work_dir"
            )
        elif isinstance(error, FileNotFoundError | NotADirectoryError):
            fault = f"work_dir {fspath(work_dir or '')!r} is not a folder: create it first"
        elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
            fault = f"work_dir {fspath(work_dir or '')!r} can't be written: pass another folder"
        else:
            raise
        raise ConfigurationError("the temporary files", (fault,)) from None


def impossible_path(path: str | PathLike[str]) -> str | None:
    """Return why a text can't be the path of a file or a folder, or None."""
    try:
        os.stat(path)  # noqa: PTH116 -- a Path makes no difference
    except UnicodeEncodeError:
        return "contains half of a surrogate pair"
    except ValueError:
        return "contains a NUL character"
    except OSError as error:
        if error.errno in _IMPOSSIBLE:
            return f"can't be a path ({error.strerror})"
    return None
