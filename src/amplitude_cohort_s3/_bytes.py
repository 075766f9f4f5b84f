"""Byte streams in chunks."""

from collections.abc import Iterator
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
"""How much a stream is read at a time."""


def read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The bytes of a stream in chunks of a MiB; it is closed at the end."""
    with stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
