"""Byte streams in chunks, with their size and digest; and the common beginning of texts."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Self

CHUNK_BYTES = 1 << 20
"""The number of bytes that are read from a stream at a time."""


def read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a stream in chunks of ``CHUNK_BYTES``, and close it at the end."""
    with stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def even_parts(source: Iterable[bytes], size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield parts of equal size, each as a chunk with the offsets of the part in it.

    A part is not copied out of its chunk. The last part is shorter, perhaps empty.

    >>> [data[begin:end] for data, begin, end in even_parts([b"abc", b"de"], 2)]
    [b'ab', b'cd', b'e']
    """
    gathered = list[bytes]()
    ready = 0
    for chunk in source:
        gathered.append(chunk)
        ready += len(chunk)
        if ready >= size:
            data = b"".join(gathered)
            end = ready - ready % size
            for begin in range(0, end, size):
                yield data, begin, begin + size
            gathered, ready = [data[end:]], ready - end
    data = b"".join(gathered)
    yield data, 0, len(data)


def common_length(a: Sequence[object], b: Sequence[object]) -> int:
    """Return the length of the common beginning of two texts.

    >>> common_length("amplitude", "amplify"), common_length(b"1", b"12")
    (5, 1)
    """
    differ = (place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differ, min(len(a), len(b)))


class Hashed:
    """The chunks of a byte stream, counted and hashed while they are iterated.

    Iterate it once; ``size`` and ``sha256`` cover the chunks that have been passed on.
    A writer that pushes its chunks calls ``update`` instead.

    Attributes:
        size: The number of bytes so far.

    >>> content = Hashed([b"a", b"b"])
    >>> list(content), content.size, content.sha256[:8]
    ([b'a', b'b'], 2, 'fb8e20fc')
    """

    def __init__(self, chunks: Iterable[bytes] = ()) -> None:
        self._chunks = chunks
        self._digest = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.update(chunk)
            yield chunk

    def update(self, chunk: bytes) -> None:
        """Count and hash a chunk."""
        self._digest.update(chunk)
        self.size += len(chunk)

    def copy(self) -> "Hashed":
        """Return an independent copy, which continues from the bytes so far."""
        copied = Hashed()
        copied.size, copied._digest = self.size, self._digest.copy()
        return copied

    def read(self) -> Self:
        """Read all chunks, for callers who need only the size and the digest; return self."""
        for _ in self:
            pass
        return self

    @property
    def sha256(self) -> str:
        """The digest of the bytes so far, in hex."""
        return self._digest.hexdigest()
