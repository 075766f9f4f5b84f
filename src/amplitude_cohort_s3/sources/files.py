"""Members from files."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from ..compression import decompress_chunks
from ..diff import CHUNK_BYTES, CsvSource

_GZIP_MAGIC = b"\x1f\x8b"


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
            parts = _read(stream)
            first = next(parts, b"")
            whole = chain([first], parts)
            yield from decompress_chunks(whole) if first.startswith(_GZIP_MAGIC) else whole

    return CsvSource(
        chunks=chunks,
        size=_plain_size(place),
        origin={"file": place.rpartition("/")[2].partition("?")[0]},
    )


def _open(place: str) -> BinaryIO:
    if "://" not in place:
        return Path(place).open("rb")
    import smart_open  # noqa: PLC0415 -- it costs 0.3 s, which local files need not pay

    # Compression is recognised by the bytes, since names lie.
    return smart_open.open(place, "rb", compression="disable")


def _plain_size(place: str) -> int | None:
    """The bytes of a local file that is not compressed; None where that takes more."""
    try:
        with Path(place).open("rb") as file:
            if file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC:
                return None
            return os.fstat(file.fileno()).st_size
    except OSError:  # said when it is read
        return None


def _read(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk
