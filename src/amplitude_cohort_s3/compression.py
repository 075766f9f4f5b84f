"""Gzip as a function from chunks to chunks."""

import zlib
from collections.abc import Iterable, Iterator

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
        zlib.error: The bytes are not gzip.
        EOFError: They end too early.
    """
    codec = zlib.decompressobj(wbits=_GZIP_WINDOW)
    for chunk in chunks:
        data = chunk
        while data:
            yield codec.decompress(data)
            data = codec.unused_data
            if codec.eof:
                codec = zlib.decompressobj(wbits=_GZIP_WINDOW)
                # Zero bytes may pad the last member.
                data = data.lstrip(b"\0")
    yield b""
