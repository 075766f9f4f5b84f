"""How an object is put together from others: by reading them, or by copies in the store."""

import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

from attrs import frozen

from ..errors import ObjectChangedError
from .protocol import ObjectInfo, StagedObject, Storage

_READ_BYTES = 1 << 20

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MIN_PART_BYTES = 5 << 20
MAX_PART_BYTES = 5 << 30
MAX_PARTS = 10_000


@frozen
class Piece:
    """A range of bytes of one source.

    Attributes:
        source: Its place among the sources.
        begin: The first byte.
        end: The byte behind the last.
    """

    source: int
    begin: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.end - self.begin


@frozen
class UploadPart:
    """One part of the upload.

    Attributes:
        pieces: What it consists of.
        copied: Whether the store copies it. A part of less than 5 MiB is refused, and a
            copy has one source, so what is smaller is fetched and joined.
    """

    pieces: tuple[Piece, ...]
    copied: bool


def upload_parts(
    sizes: Sequence[int], *, least: int = MIN_PART_BYTES, most: int = MAX_PART_BYTES
) -> Iterator[UploadPart]:
    """The parts of an upload that puts sources one behind the other.

    Each part but the last has at least ``least`` bytes and none more than ``most``, so
    what must be fetched is less than twice ``least`` for each run of small sources.

    Args:
        sizes: The bytes of each source, in order.
        least: Of a part, in bytes.
        most: Of a part, in bytes; at least twice ``least``.

    >>> [(p.copied, [piece.size for piece in p.pieces]) for p in upload_parts([1, 9], least=4)]
    [(False, [1, 3]), (True, [6])]
    """
    small: list[Piece] = []
    for source, size in enumerate(sizes):
        if not size:
            continue
        begin = 0
        if small:
            begin = min(size, least - sum(piece.size for piece in small))
            small.append(Piece(source, 0, begin))
            if sum(piece.size for piece in small) == least:
                yield UploadPart(tuple(small), copied=False)
                small = []
        rest = size - begin
        if rest >= least:
            # Equal copies: a last one of the rest could be too small.
            count = -(-rest // most)
            cuts = [begin + rest * n // count for n in range(count + 1)]
            for first, end in pairwise(cuts):
                yield UploadPart((Piece(source, first, end),), copied=True)
        elif rest:
            small.append(Piece(source, begin, size))
    if small:
        yield UploadPart(tuple(small), copied=False)


class ComposedByReading:
    """``SupportsCompose`` for a Storage on this machine, which has the bytes at hand."""

    @property
    def max_object_bytes(self) -> int:
        # The file system, or the memory, has a limit of its own and says so by an error.
        return sys.maxsize

    def compose(
        self: Storage,
        key: str,
        parts: Sequence[ObjectInfo],
        /,
        *,
        header: bytes = b"",
        content_type: str = "text/csv",
    ) -> StagedObject:
        return self.stage(key, _concatenated(self, parts, header), content_type=content_type)


def _concatenated(storage: Storage, parts: Sequence[ObjectInfo], header: bytes) -> Iterator[bytes]:
    yield header
    for part in parts:
        size = 0
        with storage.open(part.key) as stream:
            while chunk := stream.read(_READ_BYTES):
                size += len(chunk)
                yield chunk
        if size != part.size:
            raise ObjectChangedError(part.key)
