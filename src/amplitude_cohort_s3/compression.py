"""Gzip as a function from chunks to chunks."""

import zlib
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Protocol

# 16 tells zlib to write and expect gzip's own header; it holds no time and no name.
_GZIP_WINDOW = 16 + zlib.MAX_WBITS

_FAST_LEVEL = 2


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def compress_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The gzip form of the bytes: no time and no name in it, so equal in, equal out.

    With the extra ``fast`` it takes about an eighth of the time and 6 % more bytes; these
    are others then, but not what they decompress to.

    Law: ``b"".join(decompress_chunks(compress_chunks(c))) == b"".join(c)``.
    """
    codec = _compressor()
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
    begun = False
    for chunk in chunks:
        data = chunk
        while data:
            if codec.eof:
                # Zero bytes may pad the last member.
                data = data.lstrip(b"\0")
                if not data:
                    break
                codec = zlib.decompressobj(wbits=_GZIP_WINDOW)
            begun = True
            yield codec.decompress(data)
            data = codec.unused_data
    if begun and not codec.eof:
        raise EOFError("the gzip data end before they are complete")


def _compressor() -> _Compressor:
    try:  # the extra ``fast`` need not be there
        fast: Any = import_module("isal.isal_zlib")
    except ImportError:
        return zlib.compressobj(wbits=_GZIP_WINDOW)
    compressor: _Compressor = fast.compressobj(_FAST_LEVEL, wbits=_GZIP_WINDOW)
    return compressor
