"""Finished files, and the check that nobody has changed them since."""

import os
from pathlib import Path
from typing import Self

from attrs import frozen

_SEAL = 0
"""The time of the last change that a finished file gets, in nanoseconds: the year 1970.

Every later change of its bytes sets the time of the change. The time of the last real change
would not do: two changes within one tick of the clock, a few milliseconds, have the same time."""


@frozen
class SealedFile:
    """A file whose bytes have been counted and hashed while they were written.

    Attributes:
        path: The path of the file.
        size: The number of bytes that were written.
        status: The facts that change with the bytes of the file, or with the file itself.
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
        """Return whether the path leads to what was written, and nobody has changed it since."""
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
