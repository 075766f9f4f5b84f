"""What a cohort file holds, and the digests that vouch for it."""

import hashlib
from collections.abc import Iterable, Iterator

from attrs import frozen

from .errors import DigestMismatchError


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

    def verified(self, chunks: Iterable[bytes], key: str) -> Iterator[bytes]:
        """The same bytes; an error behind the first part of them that is another.

        Args:
            chunks: The bytes, decompressed.
            key: Where they come from, for the error.

        Raises:
            DigestMismatchError: The bytes are not these.
        """
        if self.sha256 is not None:
            yield from _checked(chunks, self.sha256, key)
            return
        # A chunk without bytes is no end.
        rest = filter(None, chunks)
        held = memoryview(b"")
        for part in self.parts:
            digest, left = hashlib.sha256(), part.size
            while left:
                if not held:
                    held = memoryview(next(rest, b""))
                    if not held:
                        raise DigestMismatchError(key)
                taken, held = held[:left], held[left:]
                digest.update(taken)
                left -= len(taken)
                yield bytes(taken)
            if digest.hexdigest() != part.sha256:
                raise DigestMismatchError(key)
        if held or any(rest):
            raise DigestMismatchError(key)


def _checked(chunks: Iterable[bytes], sha256: str, key: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != sha256:
        raise DigestMismatchError(key)
