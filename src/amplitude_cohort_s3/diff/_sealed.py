"""Finished files, and the check that they have not been changed since."""

import os
from pathlib import Path
from typing import Self

from attrs import frozen

_SEAL = 0
"""The modification time that a finished file is set to, in nanoseconds since 1970. Every later
write sets the present time, so it can be detected. The real time of the last write would not be
enough, because two writes within one tick of the clock, a few milliseconds, have the same
time."""


@frozen
class SealedFile:
    """A file whose bytes were counted and hashed while they were written.

    Attributes:
        path: The path of the file.
        size: The number of bytes that were written.
        status: The properties that change if the file is written, replaced or linked again.
    """

    path: Path
    size: int
    status: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, size: int) -> Self:
        """Seal a finished file to which ``size`` bytes were written."""
        os.utime(path, ns=(_SEAL, _SEAL))
        return cls(path, size, _status_of(path))

    def is_unchanged(self) -> bool:
        """Return whether the path still leads to the same file, and it has not been changed."""
        try:
            if self.path.lstat().st_size != self.size:
                return False
            return _status_of(self.path) == self.status
        except OSError:
            return False


def _status_of(path: Path) -> tuple[int, ...]:
    status = path.lstat()
    return (
        status.st_mode,
        status.st_dev,
        status.st_ino,
        status.st_nlink,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
