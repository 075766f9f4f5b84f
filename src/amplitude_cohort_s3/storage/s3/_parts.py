"""The parts of an upload: how bytes are divided into them, and how a handle names them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from attrs import frozen

from ..limits import MAX_PART_BYTES, MIN_PART_BYTES

# A handle of at most this many parts names each of them, and publishing is one request. A
# handle of more parts holds their digest, and publishing also requests the list of parts.
_PARTS_IN_HANDLE = 32


@frozen(kw_only=True)
class UploadedPart:
    """A part that the store has. Law: ``UploadedPart.parse(str(part)) == part``.

    Attributes:
        etag: The store's identifier of the bytes.
        crc32: The checksum in base64, as S3 writes it; None without checksums.
    """

    etag: str
    crc32: str | None

    def __str__(self) -> str:
        return self.etag if self.crc32 is None else f"{self.etag}:{self.crc32}"

    @classmethod
    def parse(cls, text: str) -> "UploadedPart":
        """Return the part that ``str`` wrote."""
        etag, _, crc32 = text.partition(":")
        return cls(etag=etag, crc32=crc32 or None)

    def to_request(self, number: int) -> dict[str, str | int]:
        """Return the part's entry in the request that completes the upload."""
        checksum = {} if self.crc32 is None else {"ChecksumCRC32": self.crc32}
        return {"PartNumber": number, "ETag": f'"{self.etag}"', **checksum}


def upload_handle(upload_id: str, token: str, parts: Sequence[UploadedPart]) -> dict[str, str]:
    """Return the handle with which any process can complete the upload."""
    handle = {"upload_id": upload_id, "token": token}
    if len(parts) <= _PARTS_IN_HANDLE:
        handle["parts"] = ",".join(map(str, parts))
    else:
        handle["parts_digest"] = digest_of(parts)
    return handle


def digest_of(parts: Iterable[UploadedPart]) -> str:
    """Return one SHA-256, in hex, for parts in their order."""
    return hashlib.sha256(",".join(part.etag for part in parts).encode()).hexdigest()


# --- Parts from bytes -------------------------------------------------------------------


def split_into_parts(
    chunks: Iterable[bytes], part_size: int, *, growing: bool = False
) -> Iterator[bytearray]:
    """Yield the chunks' bytes as parts, at least one.

    Args:
        chunks: The bytes.
        part_size: The size of a part, except for the last.
        growing: True if the parts have the sizes of ``part_size_of`` instead.

    >>> [bytes(part) for part in split_into_parts([b"ab", b"", b"cdefg"], 3)]
    [b'abc', b'def', b'g']
    """

    def size_of(number: int) -> int:
        return part_size_of(number, part_size) if growing else part_size

    number = 1
    part = bytearray()
    for chunk in chunks:
        rest = memoryview(chunk)
        while len(part) + len(rest) > (size := size_of(number)):
            space = size - len(part)
            part += rest[:space]
            rest = rest[space:]
            yield part
            number, part = number + 1, bytearray()
        part += rest
    yield part


def part_size_of(number: int, part_size: int) -> int:
    """Return the size of a part that doubles every 1,000 parts, as Amazon S3 allows.

    10,000 parts of 8 MiB each would only allow objects of 80 GB. Other stores, such as
    Cloudflare R2, refuse to complete an upload unless all parts but the last are equal.

    >>> [part_size_of(number, 8) for number in (1, 1000, 1001, 2001)]
    [8, 8, 16, 32]
    """
    return min(part_size << (number - 1) // 1000, MAX_PART_BYTES)


# --- Parts from other objects -----------------------------------------------------------


@frozen
class SourceRange:
    """A range of the bytes of one source.

    Attributes:
        source: The index of the source.
        begin: The offset of the first byte.
        end: The offset after the last byte.
    """

    source: int
    begin: int
    end: int

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.end - self.begin

    @property
    def header(self) -> str:
        """The range as the value of a ``Range`` header."""
        return f"bytes={self.begin}-{self.end - 1}"


@frozen
class PlannedPart:
    """One part of an upload that joins sources.

    Attributes:
        ranges: The bytes of the part, in order.
        copied: True if the store copies them, from one source. False if they are read and
            uploaded, because S3 accepts no part below 5 MiB except the last.
    """

    ranges: tuple[SourceRange, ...]
    copied: bool


def plan_parts(
    sizes: Sequence[int], *, min_size: int = MIN_PART_BYTES, max_size: int = MAX_PART_BYTES
) -> Iterator[PlannedPart]:
    """Yield the parts of an upload that joins sources in their order.

    The store copies large sources. Small ones are collected until they fill a part of
    ``min_size``; if the next source is a large one, the part takes its first bytes. So less
    than twice ``min_size`` is read for each run of small sources.

    Args:
        sizes: The number of bytes of each source.
        min_size: The smallest size of a part, except for the last.
        max_size: The largest size of a part; at least twice ``min_size``.

    >>> [(p.copied, [r.size for r in p.ranges]) for p in plan_parts([1, 9], min_size=4)]
    [(False, [1, 3]), (True, [6])]
    """
    small: list[SourceRange] = []
    missing = min_size
    for source, size in enumerate(sizes):
        if not size:
            continue
        begin = 0
        if small:
            begin = min(size, missing)
            small.append(SourceRange(source, 0, begin))
            missing -= begin
            if not missing:
                yield PlannedPart(tuple(small), copied=False)
                small, missing = [], min_size
        rest = size - begin
        if rest >= min_size:
            # Copies of equal size: with full ones, the rest could be smaller than allowed.
            count = -(-rest // max_size)
            cuts = [begin + rest * n // count for n in range(count + 1)]
            for first, end in pairwise(cuts):
                yield PlannedPart((SourceRange(source, first, end),), copied=True)
        elif rest:
            small.append(SourceRange(source, begin, size))
            missing -= rest
    if small:
        yield PlannedPart(tuple(small), copied=False)


def plan_equal_parts(
    sizes: Sequence[int], part_size: int, *, min_size: int = MIN_PART_BYTES
) -> Iterator[PlannedPart]:
    """Yield parts as ``plan_parts`` does, but of one size, except for the last.

    The parts across the ends of sources are read and uploaded, and the store copies the rest.

    Args:
        sizes: The number of bytes of each source.
        part_size: The size of a part, except for the last.
        min_size: The smallest size of a range that the store copies.

    >>> [(p.copied, [r.size for r in p.ranges]) for p in plan_equal_parts([1, 9], 4, min_size=2)]
    [(False, [1, 3]), (True, [4]), (True, [2])]
    """
    ranges: list[SourceRange] = []
    space = part_size
    for source, size in enumerate(sizes):
        begin = 0
        while begin < size:
            end = min(size, begin + space)
            ranges.append(SourceRange(source, begin, end))
            space -= end - begin
            begin = end
            if not space:
                yield _equal_part(ranges, min_size)
                ranges, space = [], part_size
    if ranges:
        yield _equal_part(ranges, min_size)


def _equal_part(ranges: list[SourceRange], min_size: int) -> PlannedPart:
    copied = len(ranges) == 1 and ranges[0].source > 0 and ranges[0].size >= min_size
    return PlannedPart(tuple(ranges), copied=copied)
