"""The stream of a tar archive, read within limits.

An archive may be hostile or damaged, so :mod:`tarfile` is used only to parse single headers.
Its reader loads extended headers whole, however long they are, calls itself recursively for
each global header, ignores damaged extended headers, and treats a damaged header in the middle
as the end of the archive.
"""

import re
import tarfile
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from attrs import define

from .._bytes import CHUNK_BYTES
from ..errors import CompressionError, InvalidArchiveError
from ..format.compression import unpack_chunks

MAX_MEMBERS = 1000
"""The limit of members. A usual archive has three files."""

MAX_RATIO = 200
"""The limit of the ratio of unpacked to packed bytes. Ids reach 3 to 10, a bomb 1,000."""

RATIO_FREE_BYTES = 64 << 20
"""The unpacked bytes up to which the ratio is not checked: small archives are mostly padding."""

_PACKED_BYTES = 64 << 10
"""The number of packed bytes that are read at a time."""

MAX_EXTENDED_BYTES = 16 << 10
"""The limit of an extended header, which contains the name of a member."""


@define
class _Counted:
    """The packed bytes, counted while they are read."""

    stream: BinaryIO
    size: int = 0

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.size += len(data)
        return data


class Tar:
    """The members of a tar, one after the other, within the limits.

    Attributes:
        current: The name of the member that is being read, if there is one.
    """

    def __init__(self, archive: BinaryIO, max_bytes: int) -> None:
        self.current: str | None = None
        self._packed = _Counted(archive)
        # Little is read ahead, so that the ratio of unpacked to packed bytes is exact enough.
        self._plain = unpack_chunks(iter(partial(self._packed.read, _PACKED_BYTES), b""))
        self._ready = b""
        self._max_bytes = max_bytes
        self._read_bytes = 0
        self._left = 0  # The unread bytes of the current member.
        self._padding = 0  # The bytes after it, up to the end of its last block.

    def members(self) -> Iterator[tarfile.TarInfo]:
        """Yield the header of each member. Until the next one, :meth:`content` reads its bytes."""
        extended = dict[str, str]()
        for _ in range(MAX_MEMBERS):
            header = self._header()
            if header is None:
                return
            if header.type in _EXTENDED:
                extended.update(self._extended(header))
                continue
            header.name = extended.get("path", header.name)
            header.size = _size(extended["size"]) if "size" in extended else header.size
            if header.type == tarfile.GNUTYPE_SPARSE or any("GNU.sparse" in k for k in extended):
                raise InvalidArchiveError("it contains a sparse file")
            extended.clear()
            # Folders, links and devices have no content, even if their size is not 0.
            has_content = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
            self.current = printable(header.name)
            self._begin(header.size if has_content else 0)
            yield header
            self._skip_rest()
            self.current = None
        raise InvalidArchiveError(f"it contains more than {MAX_MEMBERS:,} members", over_limit=True)

    def content(self) -> Iterator[bytes]:
        """Yield the bytes of the current member, once."""
        while self._left:
            chunk = self._read(min(self._left, CHUNK_BYTES))
            self._left -= len(chunk)
            yield chunk

    def _header(self) -> tarfile.TarInfo | None:
        """Return the next header, or None at the end of the tar."""
        block = self._read(tarfile.BLOCKSIZE)
        if not any(block):
            while self._read_some(CHUNK_BYTES):
                pass  # The rest is read, because gzip verifies its digest at the end.
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            is_first = self._read_bytes == tarfile.BLOCKSIZE
            rule = "it is not a tar" if is_first else f"a header can't be read, {error}"
            raise InvalidArchiveError(rule) from error
        if header.size < 0:
            raise InvalidArchiveError("a member has a negative size")
        return header

    def _extended(self, header: tarfile.TarInfo) -> dict[str, str]:
        """Return the fields that an extended header sets for the member after it."""
        if header.size > MAX_EXTENDED_BYTES:
            raise InvalidArchiveError(
                f"it contains more than {MAX_EXTENDED_BYTES:,} bytes of extended header",
                over_limit=True,
            )
        self._begin(header.size)
        data = b"".join(self.content())
        self._skip_rest()
        if header.type == tarfile.GNUTYPE_LONGNAME:
            return {"path": _text(data.partition(b"\0")[0])}
        if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            return _read_pax(data)
        return {}

    def _begin(self, size: int) -> None:
        if self._read_bytes + size > self._max_bytes:
            raise self._too_large()
        self._left = size
        self._padding = -size % tarfile.BLOCKSIZE

    def _too_large(self) -> InvalidArchiveError:
        rule = f"it contains more than {self._max_bytes:,} bytes"
        return InvalidArchiveError(rule, over_limit=True)

    def _skip_rest(self) -> None:
        for _ in self.content():
            pass
        self._read(self._padding)

    def _read(self, size: int) -> bytes:
        data = self._read_some(size)
        if len(data) < size:
            raise InvalidArchiveError("it ends before its end mark")
        return data

    def _read_some(self, size: int) -> bytes:
        """Return this number of bytes, or fewer at the end."""
        try:
            while len(self._ready) < size and (chunk := next(self._plain, None)) is not None:
                self._ready += chunk
        except CompressionError as error:
            rule = f"its {error.compression} can't be read, {error.rule}"
            raise InvalidArchiveError(rule) from error
        data, self._ready = self._ready[:size], self._ready[size:]
        self._read_bytes += len(data)
        if self._read_bytes > self._max_bytes:
            raise self._too_large()
        if self._read_bytes > max(RATIO_FREE_BYTES, self._packed.size * MAX_RATIO):
            raise InvalidArchiveError(
                f"it contains more than {MAX_RATIO} times its own size", over_limit=True
            )
        return data


_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def _read_pax(data: bytes) -> dict[str, str]:
    """Return the records of an extended header: each is ``length key=value`` and a line end."""
    fields = dict[str, str]()
    while data:
        length, _, _ = data.partition(b" ")
        size = _size(length.decode("latin-1"))
        record, data = data[:size], data[size:]
        key, equals, value = record[len(length) + 1 : -1].partition(b"=")
        if len(record) < size or not equals or record[-1:] != b"\n":
            raise InvalidArchiveError("an extended header can't be read")
        fields[_text(key)] = _text(value)
    return fields


def _size(text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text):
        raise InvalidArchiveError("an extended header can't be read")
    return int(text)


def _text(name: bytes) -> str:
    """Decode as ``TarInfo.frombuf`` does. The parser of names refuses bytes that are not UTF-8."""
    return name.decode(errors="surrogateescape")


def printable(name: str) -> str:
    """Return a member's name without bytes that are not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
