"""Members from files."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..compression import decompress_chunks
from ..diff import CHUNK_BYTES, CsvSource


def csv_file(location: str | os.PathLike[str]) -> CsvSource:
    """A CSV file of members, in any of the forms that ``read_table`` takes.

    Args:
        location: A local path, or a URI that smart_open knows (``s3://``, ``https://``).
            A file that begins as gzip does is decompressed, whatever its name.

    >>> csv_file("members.csv").vouched
    False
    """
    place = os.fspath(location)

    def chunks() -> Iterator[bytes]:
        with _open(place) as stream:
            plain = _read(stream)
            first = next(plain, b"")
            joined = _chain(first, plain)
            yield from decompress_chunks(joined) if first.startswith(b"\x1f\x8b") else joined

    return CsvSource(chunks=chunks, origin={"file": place.rpartition("/")[2].partition("?")[0]})


def _open(place: str) -> BinaryIO:
    if "://" not in place:
        return Path(place).open("rb")
    import smart_open  # noqa: PLC0415 -- it costs 0.3 s, which local files need not pay

    # Compression is recognised by the bytes, since names lie.
    return smart_open.open(place, "rb", compression="disable")


def _read(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
