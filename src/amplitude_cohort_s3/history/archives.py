"""Cohort files from a ``.tar.gz``, the form in which one public consumer received them.

An archive may be hostile or damaged, so :mod:`tarfile` is used only to parse single headers.
Its reader loads extended headers whole, however long they are, calls itself recursively for
each global header, ignores damaged extended headers, and treats a damaged header in the middle
as the end of the archive.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO, cast

from attrs import define, frozen

from .._bytes import CHUNK_BYTES, Hashed, read_chunks
from ..errors import (
    InvalidArchiveError,
    InvalidFileNameError,
    InvalidKeyError,
    ObjectExistsError,
)
from ..format.compression import content_type_of
from ..format.filename import CohortFileName, DiffType, SecondGroup
from ..storage import ObjectInfo, StagedObject, StagedState, Storage
from ..storage.keys import check_key

MAX_BYTES = 64 << 30
"""The default limit of unpacked bytes: a cohort of hundreds of millions of users."""

MAX_MEMBERS = 1000
"""The limit of members; an archive of Amplitude's has three files."""

MAX_RATIO = 200
"""The limit of unpacked to packed bytes. CSV of ids reaches 3 to 10, a bomb 1,000."""

RATIO_FREE_BYTES = 64 << 20
"""The unpacked bytes up to which the ratio is not checked: small archives are mostly padding."""

MAX_EXTENDED_BYTES = 16 << 10
"""The limit of an extended header, which contains the name of a member."""


@frozen
class SkippedMember:
    """A member of an archive that is not a cohort file, and the reason."""

    name: str
    reason: str


@frozen(kw_only=True)
class UnpackedArchive:
    """The result of unpacking an archive.

    Attributes:
        files: The cohort files that are now in the storage, in the order of publication.
        skipped: The other members, without folders.
    """

    files: tuple[ObjectInfo, ...]
    skipped: tuple[SkippedMember, ...] = ()


def unpack_archive(
    archive: BinaryIO,
    storage: Storage,
    *,
    path: str = "",
    max_bytes: int = MAX_BYTES,
    second_group: SecondGroup = "minutes",
) -> UnpackedArchive:
    """Copy the cohort files of a ``.tar.gz`` into a storage, all of them or none.

    Folders in the archive are dropped, so that ``read_history`` can read the result. Links,
    devices, absolute names and names with ``..`` are skipped, and everything is written below
    ``path``. Unpacking the same archive again changes nothing.

    Args:
        archive: A binary stream, for example ``storage.open("input/cohort.tar.gz")``. It is
            read from its present position and not closed.
        storage: The storage for the files.
        path: The folder for the files.
        max_bytes: The limit of unpacked bytes.
        second_group: The meaning of the second of two groups in a name's time: see
            ``NameStyle``.

    Raises:
        InvalidArchiveError: The archive is cut off, damaged, not a ``.tar.gz``, or exceeds a
            limit of size, members or compression; no file is visible.
        ObjectExistsError: Another object has the key of a file.
        InvalidKeyError: ``path`` is not a valid folder.

    >>> import io
    >>> from amplitude_cohort_s3 import MemoryStorage
    >>> packed = io.BytesIO()
    >>> with tarfile.open(fileobj=packed, mode="w:gz") as tar:
    ...     member = tarfile.TarInfo("input/1_a_2026-11-23T14:05_entering_Active_Users.csv")
    ...     tar.addfile(member, io.BytesIO())
    >>> storage = MemoryStorage()
    >>> _ = packed.seek(0)
    >>> [file.key for file in unpack_archive(packed, storage, path="cohorts").files]
    ['cohorts/1_a_2026-11-23T14:05_entering_Active_Users.csv']
    """
    if path:
        check_key(path)
    tar = _Tar(archive, max_bytes)
    staged = dict[CohortFileName, StagedObject]()
    skipped = list[SkippedMember]()
    with ExitStack() as discarding:
        for member in tar.members():
            if member.isdir():
                continue
            name = _name_of(member, path, second_group)
            if isinstance(name, CohortFileName) and name in staged:
                name = "the archive contains this name twice"
            if not isinstance(name, CohortFileName):
                skipped.append(SkippedMember(_printable(member.name), name))
                continue
            key = name.key(path)
            staged[name] = storage.stage(key, tar.content(), content_type=content_type_of(key))
            # Does nothing after the file has been published.
            discarding.callback(storage.discard, staged[name])
        order = list(DiffType)
        names = sorted(staged, key=lambda n: (n.synced_at, order.index(n.diff_type)))
        # Inspect all files before the first is published: a conflict publishes none.
        there = {name: _already_there(staged[name], storage) for name in names}
        files = tuple(there[name] or storage.publish(staged[name]) for name in names)
    return UnpackedArchive(files=files, skipped=tuple(skipped))


def _name_of(member: tarfile.TarInfo, path: str, second_group: SecondGroup) -> CohortFileName | str:
    """Return the name of a cohort file, or the reason why the member is not one."""
    folders, _, last = member.name.rpartition("/")
    if not member.isreg():
        return "it is not a plain file"
    if member.name.startswith("/"):
        return "its name is absolute"
    if ".." in folders.split("/"):
        return "its name leads out of the archive"
    try:
        name = CohortFileName.parse(last, second_group=second_group)
        check_key(name.key(path))
    except (InvalidFileNameError, InvalidKeyError) as error:
        return error.rule
    return name


def _already_there(file: StagedObject, storage: Storage) -> ObjectInfo | None:
    """Return the object of an earlier run; raise ObjectExistsError if its bytes differ."""
    if storage.inspect(file) is not StagedState.TAKEN:
        return None
    content = Hashed(read_chunks(storage.open(file.key))).read()
    for info in storage.list_objects(file.key):
        if info.key == file.key and content.sha256 == file.sha256:
            return info
    raise ObjectExistsError(file.key)


# --- The stream of a .tar.gz ---------------------------------------------------------


@define
class _Counted:
    """The packed bytes, counted while they are read."""

    stream: BinaryIO
    size: int = 0

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.size += len(data)
        return data


class _Tar:
    """The members of a ``.tar.gz``, one after the other, within the limits."""

    def __init__(self, archive: BinaryIO, max_bytes: int) -> None:
        self._packed = _Counted(archive)
        self._plain = gzip.GzipFile(fileobj=cast("BinaryIO", self._packed), mode="rb")
        self._max_bytes = max_bytes
        self._read_bytes = 0
        self._left = 0  # bytes of the current member
        self._padding = 0  # bytes after it, up to the end of its last block

    def members(self) -> Iterator[tarfile.TarInfo]:
        """Yield the header of each member; :meth:`content` reads its bytes until the next."""
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
            self._begin(header.size if has_content else 0)
            yield header
            self._skip_rest()
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
                pass  # to the end, where gzip verifies its digest
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise InvalidArchiveError(f"a header can't be read, {error}") from error
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
            raise InvalidArchiveError(
                f"it contains more than {self._max_bytes:,} bytes", over_limit=True
            )
        self._left = size
        self._padding = -size % tarfile.BLOCKSIZE

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
            data = self._plain.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidArchiveError(f"its gzip can't be read, {error}") from error
        self._read_bytes += len(data)
        if self._read_bytes > self._max_bytes:
            raise InvalidArchiveError(
                f"it contains more than {self._max_bytes:,} bytes", over_limit=True
            )
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
    """Decode as ``TarInfo.frombuf`` does; the grammar of names refuses what is not UTF-8."""
    return name.decode(errors="surrogateescape")


def _printable(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
