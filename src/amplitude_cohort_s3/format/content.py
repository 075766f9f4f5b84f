"""What a cohort file holds, and the digests that vouch for it."""

import hashlib
from collections.abc import Iterable, Iterator

from attrs import frozen

from ..errors import DigestMismatchError


@frozen
class ContentPart:
    """One of the pieces that a file was composed of.

    Attributes:
        size: Bytes.
        sha256: Of these bytes, in hex.
    """

    size: int
    sha256: str


@frozen(kw_only=True)
class FileContent:
    """How many rows and bytes a file has, and the digests that vouch for them.

    A file that one process wrote has one digest. No process has seen all bytes of a file
    that was composed of parts, and a sha256 can't be put together from others: its parts
    have one each, which their writers computed. They cover the file from its first byte,
    the header, to its last, and each begins at the beginning of a row; so whoever knows
    them can read and verify the file in parallel.

    Attributes:
        rows: How many, without the header.
        size: Bytes of the CSV, before compression.
        sha256: Of these bytes, in hex; None where the file was composed of parts.
        parts: What it was composed of, in order; empty otherwise.
    """

    rows: int
    size: int
    sha256: str | None
    parts: tuple[ContentPart, ...] = ()

    @property
    def expected(self) -> tuple[ContentPart, ...]:
        """All of its bytes, as what vouches for them: the parts, or the file as one."""
        return self.parts if self.sha256 is None else (ContentPart(self.size, self.sha256),)


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
