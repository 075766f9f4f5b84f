"""Checks, before any row is written, that a file system can publish a file under its key."""

import contextlib
import os
import uuid
from pathlib import Path

from ..errors import ObjectRefusedError, UnsuitableStorageError
from ._local_files import status_of, translated


def check_hard_links(folder: Path) -> None:
    """Try a hard link.

    Raises:
        UnsuitableStorageError: The file system has none.
    """
    source, target = folder / uuid.uuid4().hex, folder / uuid.uuid4().hex
    try:
        source.touch(exist_ok=False)
        with translated(target, target.name):
            os.link(source, target)
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


def ignores_case(folder: Path) -> bool:
    """Return whether names in a folder lead to files of another letter case."""
    name = uuid.uuid4().hex
    path = folder / name
    path.touch(exist_ok=False)
    try:
        return status_of(folder / name.upper()) is not None
    finally:
        path.unlink()


def check_spelling(path: Path, top: Path, key: str) -> None:
    """Raise if a file or folder on a path is listed under another name than it is opened by.

    Some file systems ignore the letter case of names, or store another name than they were
    given. Then a listing would not show the key that was written.

    Args:
        path: The path; its last parts may be missing.
        top: The folder below which the parts are compared.
        key: The key of the path.

    Raises:
        ObjectRefusedError: A part of the path has another name.
    """
    folder = top
    for name in path.relative_to(top).parts:
        if status_of(folder / name) is None:
            return
        # A folder that this account may not list can't be checked.
        with contextlib.suppress(PermissionError):
            if name not in os.listdir(folder):  # noqa: PTH208 -- names
                raise ObjectRefusedError(
                    key,
                    f"its file system has {name!r} under another spelling",
                    "Use a file system that keeps names as they are, or names that differ more",
                )
        folder /= name


def check_same_file_system(target: Path, staging: Path) -> None:
    """Raise unless files can be linked from one folder into the other.

    Raises:
        UnsuitableStorageError: Another file system is mounted below the root.
    """
    if target.stat().st_dev != staging.stat().st_dev:
        raise UnsuitableStorageError(
            f"the folder {str(target)!r}, a mount point or below one,",
            "hard links to the root's file system",
            "Open this folder as a storage of its own",
        )
