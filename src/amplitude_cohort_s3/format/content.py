"""The rows, bytes and digests of a cohort file, and the check of its bytes against them."""

import hashlib
from collections.abc import Iterable, Iterator

from attrs import frozen

from ..errors import DigestMismatchError


@frozen
class ContentPart:
    """A part of a file that was composed of several.

    Attributes:
        size: The number of its bytes.
        sha256: The SHA-256 of its bytes, in hex.
    """

    size: int
    sha256: str


@frozen(kw_only=True)
class FileContent:
    """The numbers of rows and bytes of a file, and its digests.

    A file that one process wrote has one digest. A file that was composed of parts was
    never seen whole by any process, and the SHA-256 of a whole does not follow from those
    of its parts. Such a file lists its parts, from the header to its last byte, each with
    the digest that its writer computed. Each part begins at the beginning of a row, so
    that readers can read and verify parts in parallel.

    Attributes:
        rows: The number of rows, without the header.
        size: The number of bytes of the CSV, before compression.
        sha256: The SHA-256 of these bytes, in hex; of a composed file, that of the list of
            its parts.
        parts: The parts of a composed file, in order; otherwise empty.
    """

    rows: int
    size: int
    sha256: str
    parts: tuple[ContentPart, ...] = ()

    @property
    def expected(self) -> tuple[ContentPart, ...]:
        """The digests that cover the file: one per part, or one for the whole."""
        return self.parts or (ContentPart(self.size, self.sha256),)


def verified(chunks: Iterable[bytes], allowed: Iterable[FileContent], key: str) -> Iterator[bytes]:
    """The same bytes; an error at their end, if they are none of what they may be.

    Args:
        chunks: The bytes, decompressed.
        allowed: What they may be.
        key: Where they come from, for the error.

    Raises:
        DigestMismatchError: They are something else.
    """
    checks = [_Check(content.expected) for content in allowed]
    for chunk in chunks:
        for check in checks:
            check.update(chunk)
        yield chunk
    if not any(check.holds() for check in checks):
        raise DigestMismatchError(key)


class _Check:
    """Whether bytes, as they come, are those that some parts vouch for."""

    def __init__(self, parts: Iterable[ContentPart]) -> None:
        self._parts = iter(parts)
        self._fails = False
        self._begin()

    def _begin(self) -> None:
        self._part = next(self._parts, None)
        self._digest = hashlib.sha256()
        self._left = 0 if self._part is None else self._part.size

    def _end(self) -> None:
        """Goes on to the part to which the next byte belongs."""
        while self._part is not None and not self._left:
            self._fails |= self._digest.hexdigest() != self._part.sha256
            self._begin()

    def update(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest and not self._fails:
            self._end()
            self._fails |= self._part is None
            taken, rest = rest[: self._left], rest[self._left :]
            self._digest.update(taken)
            self._left -= len(taken)

    def holds(self) -> bool:
        """Whether they were, to the last."""
        self._end()
        return not self._fails and self._part is None
