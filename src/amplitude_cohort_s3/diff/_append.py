"""Files to which bytes are appended."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from ..storage.temporary import as_disk_full_error


@contextmanager
def appending(path: Path) -> Generator[Callable[[bytes | memoryview], None]]:
    """Open or create a file, and yield a function that appends bytes to it.

    The file has no buffer. If the disk was full, closing the file would try again to write the
    buffer, and raise a second error.

    Raises:
        DiskFullError: The bytes do not fit on the disk.
    """
    with as_disk_full_error(path.parent):
        file = FileIO(path, "ab")

    def append_to_file(data: bytes | memoryview) -> None:
        view = memoryview(data)
        with as_disk_full_error(path.parent):
            while view:
                view = view[file.write(view) :]

    with file:
        yield append_to_file


def append(path: Path, data: bytes | memoryview) -> None:
    """Append bytes to a file: see :func:`appending`."""
    with appending(path) as append_to_file:
        append_to_file(data)
