"""The rows, bytes and digests of a cohort file, and the check of its bytes against them."""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import Self

from attrs import frozen

from .._bytes import Hashed
from ..errors import ObjectChangedError
from ..storage.threads import Answer, Threads

_MAX_PENDING = 4
"""The number of chunks that may wait to be hashed."""


@frozen
class ContentPart:
    """One part of a composed file.

    Attributes:
        size: The number of its bytes.
        sha256: The SHA-256 of its bytes, in hex.
    """

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return the part that consists of these bytes."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


def parts_digest(parts: Iterable[ContentPart]) -> str:
    """Return the digest of a composed file: the SHA-256 of the list of its parts."""
    listed = "".join(f"{part.size} {part.sha256}\n" for part in parts)
    return hashlib.sha256(listed.encode()).hexdigest()


@frozen(kw_only=True)
class FileContent:
    """The numbers of rows and bytes of a file, and its digests.

    A file that one process wrote has one digest. No process has read the whole of a composed
    file, and its SHA-256 can't be computed from those of its parts. Its content therefore lists
    the parts, from the header to the last byte, each with the digest that its writer computed.
    Each part begins with a whole row, so readers can read and verify the parts in parallel.

    Attributes:
        rows: The number of rows, without the header.
        size: The number of bytes of the CSV, before compression.
        sha256: The SHA-256 of these bytes, in hex. For a composed file: see :func:`parts_digest`.
        parts: The parts of a composed file, in order; otherwise empty.
    """

    rows: int
    size: int
    sha256: str
    parts: tuple[ContentPart, ...] = ()


def verified(
    chunks: Iterable[bytes],
    content: FileContent,
    key: str,
    others: Callable[[], Iterable[FileContent]] = tuple,
) -> Iterator[bytes]:
    """Yield the chunks unchanged; raise after the last one unless they have the expected content.

    Args:
        chunks: The bytes, decompressed.
        content: The expected content.
        key: The key of the object, for the error.
        others: A function that returns other contents that are accepted, because the object may
            have been rewritten since. They must not be composed of parts. The function is called
            only if the bytes do not have ``content``.

    Raises:
        ObjectChangedError: The bytes have none of these contents.
    """
    whole = Hashed()
    parts = _PartsCheck(content.parts)

    def update(chunk: bytes) -> None:
        whole.update(chunk)
        parts.update(chunk)

    yield from _seen(chunks, update)
    found = (whole.size, whole.sha256)
    if parts.succeed() if content.parts else found == (content.size, content.sha256):
        return
    if not any(found == (other.size, other.sha256) for other in others()):
        raise ObjectChangedError(key)


@contextmanager
def first_fault_of(check: Callable[[], Iterable[object]]) -> Generator[None]:
    """Report the first invalid row of a file instead of the fact that its bytes differ.

    An ``ObjectChangedError`` has no position. If the block raises one, the file is therefore read
    again row by row, and the error about its first invalid row is raised instead.

    Args:
        check: A function that reads the file row by row. If it raises nothing, the error of the
            block is raised.
    """
    try:
        yield
    except ObjectChangedError:
        deque(check(), maxlen=0)
        raise


def _seen(chunks: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    """Yield chunks, and pass each one to a function.

    Another thread calls the function, except for the first chunk. A large file is therefore
    hashed while its rows are read, and a small one needs no thread.
    """
    remaining = iter(chunks)
    for first in islice(remaining, 1):
        update(first)
        yield first
    second = next(remaining, None)
    if second is None:
        return
    thread = Threads(1, "cohort-digest")
    try:
        pending = deque[Answer[None]]()
        for chunk in chain([second], remaining):
            pending.append(thread.submit(partial(update, chunk)))
            if len(pending) > _MAX_PENDING:
                pending.popleft().result()
            yield chunk
        for one in pending:
            one.result()
    finally:
        thread.stop()
        thread.close(cancel=True)


class _PartsCheck:
    """The check of a stream of bytes against the digests of the parts that it should have."""

    def __init__(self, parts: Iterable[ContentPart]) -> None:
        self._parts = iter(parts)
        self._failed = False
        self._begin_part()

    def _begin_part(self) -> None:
        self._part = next(self._parts, None)
        self._digest = hashlib.sha256()
        self._left = 0 if self._part is None else self._part.size

    def _end_complete_parts(self) -> None:
        """Check the digests of complete parts, and begin the part of the next byte."""
        while self._part is not None and not self._left:
            self._failed |= self._digest.hexdigest() != self._part.sha256
            self._begin_part()

    def update(self, chunk: bytes) -> None:
        """Check a chunk."""
        rest = memoryview(chunk)
        while rest and not self._failed:
            self._end_complete_parts()
            self._failed |= self._part is None
            head, rest = rest[: self._left], rest[self._left :]
            self._digest.update(head)
            self._left -= len(head)

    def succeed(self) -> bool:
        """Return whether the chunks were exactly the parts."""
        self._end_complete_parts()
        return not self._failed and self._part is None
