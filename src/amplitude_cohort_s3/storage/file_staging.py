"""The optional capability of a storage to take over a finished local file."""

from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import Protocol, runtime_checkable

from .protocol import StagedObject


@runtime_checkable
class SupportsStageFile(Protocol):
    """The optional capability to stage a local file without copying its bytes.

    A sync writes its files in a folder of the storage, and computes their digests meanwhile.
    Such a storage then only gives each finished file another name.
    """

    def work_folder(self, key: str, /) -> AbstractContextManager[Path]:
        """Return a context manager that makes a folder for files, and removes it at the end.

        No ``list_objects`` and no ``open`` shows it, and no other account can read it. It is
        where ``stage_file`` need not copy. If the process dies, ``list_staged`` yields the
        folder, with the key, and ``discard`` removes it.

        Args:
            key: The key of one of the objects that the files will become.
        """
        ...

    def stage_file(
        self,
        key: str,
        path: str | PathLike[str],
        /,
        *,
        sha256: str,
        content_type: str = "text/csv",
    ) -> StagedObject:
        """Stage a finished file: see :meth:`Storage.stage`. It can be staged more than once.

        The caller must not change the file from now on, and may remove it. A file that the
        storage can't take over, such as one outside of ``work_folder``, is copied.

        Args:
            key: The key under which the object will become visible.
            path: The path of the file.
            sha256: The SHA-256 of its bytes, in hex. The storage believes the caller. If it
                had to copy the file, the result has the digest of the copied bytes instead,
                so the caller can compare the two.
            content_type: The media type, for stores that record it.

        Raises:
            FileNotFoundError: There is no such file.
        """
        ...
