"""Checks that a file system can publish a file under its key, made before rows are written."""

import contextlib
import os
import uuid
from pathlib import Path

from ..errors import ObjectRefusedError, UnsuitableStorageError
from ._local_files import status_of, translated


def check_hard_links(folder: Path) -> None:
    """Raise unless the file system supports hard links.

    Raises:
        UnsuitableStorageError: The file system does not support hard links.
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
    """Return whether a name in a folder also opens a file whose name has another letter case."""
    name = uuid.uuid4().hex
    path = folder / name
    path.touch(exist_ok=False)
    try:
        return status_of(folder / name.upper()) is not None
    finally:
        path.unlink()


def check_spelling(path: Path, top: Path, key: str) -> None:
    """Raise if a listing shows a file or folder on a path under another name.

    Some file systems ignore the letter case of names, or store a name in another spelling. A
    listing would then not show the key that was written.

    Args:
        path: The path; its last parts may not exist.
        top: The folder below which the parts are compared.
        key: The key of the path.

    Raises:
        ObjectRefusedError: A part of the path has another name.
    """
    folder = top
    for name in path.relative_to(top).parts:
        if status_of(folder / name) is None:
            return
        # If this account may not list the folder, the name can't be checked.
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
