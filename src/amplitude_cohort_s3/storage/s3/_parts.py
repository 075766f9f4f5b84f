"""The parts of an upload: how bytes are cut into them, and how a handle names them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

from ..compose import MAX_PART_BYTES

# A handle names its parts, so that publishing is one request; with more parts
# than these it holds their digest, and publishing asks the store for them.
_PARTS_IN_HANDLE = 32


@frozen(kw_only=True)
class Part:
    """A stored part. Law: ``Part.parse(str(part)) == part``."""

    etag: str
    crc32: str | None
    """In base64, as S3 writes it; None without checksums."""

    def __str__(self) -> str:
        return self.etag if self.crc32 is None else f"{self.etag}:{self.crc32}"

    @classmethod
    def parse(cls, text: str) -> "Part":
        """The inverse of ``str``."""
        etag, _, crc32 = text.partition(":")
        return cls(etag=etag, crc32=crc32 or None)

    def to_request(self, number: int) -> dict[str, str | int]:
        """The part as the request that completes the upload names it."""
        checksum = {} if self.crc32 is None else {"ChecksumCRC32": self.crc32}
        return {"PartNumber": number, "ETag": f'"{self.etag}"', **checksum}


def split_into_parts(chunks: Iterable[bytes], part_size: int) -> Iterator[bytearray]:
    """Chunks of any sizes as parts of the sizes that an upload needs; at least one part.

    >>> [bytes(part) for part in split_into_parts([b"ab", b"", b"cdefg"], 3)]
    [b'abc', b'def', b'g']
    """
    number = 1
    part = bytearray()
    for chunk in chunks:
        rest = memoryview(chunk)
        while len(part) + len(rest) > (size := part_size_of(number, part_size)):
            space = size - len(part)
            part += rest[:space]
            rest = rest[space:]
            yield part
            number, part = number + 1, bytearray()
        part += rest
    yield part


def part_size_of(number: int, part_size: int) -> int:
    """The size of a part, in bytes: 10,000 of the first size would end at 80 GB.

    >>> [part_size_of(number, 8) for number in (1, 1000, 1001, 2001)]
    [8, 8, 16, 32]
    """
    return min(part_size << (number - 1) // 1000, MAX_PART_BYTES)


def upload_handle(upload_id: str, token: str, parts: Sequence[Part]) -> dict[str, str]:
    """What is needed to complete an upload, from any process."""
    handle = {"upload_id": upload_id, "token": token}
    if len(parts) <= _PARTS_IN_HANDLE:
        handle["parts"] = ",".join(map(str, parts))
    else:
        handle["parts_digest"] = digest_of(parts)
    return handle


def digest_of(parts: Iterable[Part]) -> str:
    """One digest for the parts in their order, in hex."""
    return hashlib.sha256(",".join(part.etag for part in parts).encode()).hexdigest()
