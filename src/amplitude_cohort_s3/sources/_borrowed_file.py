"""An open file of the caller, which is read and never closed."""

from typing import Any, BinaryIO, Self, cast

from ..errors import ArgumentTypeError, ConfigurationError


def checked_file(file: Any) -> BinaryIO:
    """Return an open file if bytes can be read from it.

    Raises:
        ArgumentTypeError: It is open in text mode.
        ConfigurationError: It is closed or not open for reading.
    """
    if getattr(file, "closed", False):
        raise ConfigurationError("MemberFile", ("the file is closed; pass it while it is open",))
    try:
        nothing = file.read(0)
    except (OSError, ValueError):
        fault = "the file can't be read; open it with mode 'rb'"
        raise ConfigurationError("MemberFile", (fault,)) from None
    if not isinstance(nothing, bytes):
        hint = "open the file in binary mode: open(path, 'rb')"
        raise ArgumentTypeError("location", type(file).__name__, hint)
    return cast("BinaryIO", file)


def position_of(file: str | BinaryIO) -> int | None:
    """Return the position of an open file that can seek; None for another file or a location."""
    if isinstance(file, str):
        return None
    try:
        return file.tell() if file.seekable() else None
    except (AttributeError, OSError, ValueError):
        return None


class BorrowedFile:
    """An open file from a position on, as a stream that never closes it.

    Args:
        file: The file.
        start: The position to begin at; None for the current position.
    """

    def __init__(self, file: BinaryIO, start: int | None) -> None:
        self._file: Any = file
        if start is not None:
            file.seek(start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def closed(self) -> bool:
        """True if the file is closed."""
        return bool(self._file.closed)

    def seekable(self) -> bool:
        """Return whether the file can seek."""
        return bool(self._file.seekable())

    def readable(self) -> bool:
        """Return True: ``checked_file`` has checked it."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the position."""
        return int(self._file.tell())

    def read(self, size: int = -1) -> bytes:
        """Return exactly ``size`` bytes, or fewer at the end. Sockets and pipes may return parts.

        Raises:
            BlockingIOError: The file has no bytes yet, which must not look like its end.
        """
        parts, missing = list[bytes](), size
        while missing:
            part: bytes | None = self._file.read(missing)
            if part is None:
                raise BlockingIOError("it is not blocking, and has no bytes yet")
            if not part:
                break
            parts.append(part)
            missing -= len(part) if size > 0 else 0
        return b"".join(parts)
