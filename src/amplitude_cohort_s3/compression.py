"""Gzip as a function from chunks to chunks."""

import zlib
from collections.abc import Iterable, Iterator

from .errors import MalformedGzipError

# 16 tells zlib to write and expect gzip's own header.
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def compress_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The gzip form of the bytes: no time and no name in it, so equal in, equal out.

    Law: ``b"".join(decompress_chunks(compress_chunks(c))) == b"".join(c)``.
    """
    codec = zlib.compressobj(wbits=_GZIP_WINDOW)
    for chunk in chunks:
        yield codec.compress(chunk)
    yield codec.flush()


def decompress_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The inverse of :func:`compress_chunks`, for any gzip bytes, of several members too.

    Raises:
        MalformedGzipError: The bytes are not gzip, are damaged or end too early.
    """
    codec = zlib.decompressobj(wbits=_GZIP_WINDOW)
    whole = False
    for chunk in chunks:
        # Zero bytes may pad the last member.
        data = chunk.lstrip(b"\0") if whole else chunk
        while data:
            if whole:
                codec = zlib.decompressobj(wbits=_GZIP_WINDOW)
            try:
                yield codec.decompress(data)
            except zlib.error as error:
                raise MalformedGzipError(str(error)) from error
            whole = codec.eof
            data = codec.unused_data.lstrip(b"\0")
    if not whole:
        raise MalformedGzipError("they end too early")
