"""Copies of small files, to read many of them side by side.

Hundreds of open streams would need as many connections and buffers. So the files are first
copied one after the other into one temporary file, and then read side by side from there.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from os import PathLike, fspath
from typing import Self

from attrs import evolve

from ..sources.protocol import CsvSource
from ..storage.temporary import temporary_errors

HELD_BYTES = 32 << 20
"""The number of bytes that are held in memory before they are written to a temporary file."""

# Hundreds of copies are read side by side, so this size bounds the memory. It is also the buffer
# size of a file.
_READ_BYTES = 8 << 10


class Copies:
    r"""A temporary file with the bytes of other files. It is removed when it is closed.

    >>> source = CsvSource(chunks=lambda: iter([b"amplitude_id\n", b"1\n"]))
    >>> with Copies() as copies:
    ...     copy = copies.copy(source)
    ...     b"".join(copy.chunks()), copy.size
    (b'amplitude_id\n1\n', 15)
    """

    def __init__(self, work_dir: str | PathLike[str] | None = None) -> None:
        self._work_dir = work_dir
        folder = None if work_dir is None else fspath(work_dir)
        self._file = tempfile.SpooledTemporaryFile(HELD_BYTES, dir=folder)  # noqa: SIM115
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def copy(self, source: CsvSource) -> CsvSource:
        """Read a file, and return the copy of it.

        Raises:
            ConfigurationError: The folder for temporary files can't be used.
            DiskFullError: The disk is full.
        """
        begin = self._end
        self._file.seek(begin)
        with source.reading():
            for chunk in source.chunks():
                with temporary_errors(self._work_dir):
                    self._file.write(chunk)
                self._end += len(chunk)
        size = self._end - begin
        return evolve(source, chunks=partial(self._read, begin, size), size=size)

    def _read(self, begin: int, size: int) -> Iterator[bytes]:
        end = begin + size
        while begin < end:
            self._file.seek(begin)
            data = self._file.read(min(_READ_BYTES, end - begin))
            begin += len(data)
            yield data
