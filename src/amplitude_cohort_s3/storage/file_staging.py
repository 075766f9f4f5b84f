"""The optional capability of a storage to take over a finished local file."""

from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import Protocol, runtime_checkable

from .protocol import StagedObject


@runtime_checkable
class SupportsStageFile(Protocol):
    """The optional capability to stage a local file without copying its bytes.

    A sync writes its files in a folder of the storage, and computes their digests meanwhile. To
    stage a finished file, such a storage only adds another name for it.
    """

    def work_folder(self, key: str, /) -> AbstractContextManager[Path]:
        """Return a context manager that makes a folder for files, and removes it at the end.

        Neither ``list_objects`` nor ``open`` shows the folder, and no other account can read it.
        ``stage_file`` need not copy a file in this folder. If the process dies, ``list_staged``
        yields the folder, with the key, and ``discard`` removes it.

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

        The caller must not change the file any more, but may remove it. A file that the storage
        can't take over, such as one outside of ``work_folder``, is copied.

        Args:
            key: The key under which the object will become visible.
            path: The path of the file.
            sha256: The SHA-256 of the file's bytes, in hex. The storage does not check it. If it
                copies the file, the result has the digest of the copied bytes instead, so that
                the caller can compare the two.
            content_type: The media type, for stores that record it.

        Raises:
            FileNotFoundError: The file does not exist.
        """
        ...
