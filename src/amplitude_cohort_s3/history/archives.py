"""Cohort files from a ``.tar.gz``, the form in which one public consumer received them.

A tar that a browser or a client has decompressed is read too: its first bytes show its format.
"""

import tarfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from attrs import frozen

from .._bytes import Hashed, read_chunks
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
from ._tar import Tar, printable

MAX_BYTES = 64 << 30
"""The default limit of unpacked bytes: a cohort of hundreds of millions of users."""


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
    """Copy the cohort files of a tar archive into a storage, all of them or none.

    The archive may be compressed with gzip or Zstandard (extra ``zstd``), or not at all.

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

    Returns:
        The files that are now in the storage, and the members that were skipped.

    Raises:
        InvalidArchiveError: The archive is cut off, damaged, not a tar, or exceeds a limit
            of size, members or compression; no file is visible.
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
    tar = Tar(archive, max_bytes)
    staged = dict[CohortFileName, StagedObject]()
    skipped = list[SkippedMember]()
    with _naming(archive, tar), ExitStack() as discarding:
        for member in tar.members():
            if member.isdir():
                continue
            name = _name_of(member, path, second_group)
            if isinstance(name, CohortFileName) and name in staged:
                name = "the archive contains this name twice"
            if not isinstance(name, CohortFileName):
                skipped.append(SkippedMember(printable(member.name), name))
                continue
            key = name.key(path)
            staged[name] = storage.stage(key, tar.content(), content_type=content_type_of(key))
            # This does nothing after the file has been published.
            discarding.callback(storage.discard, staged[name])
        order = list(DiffType)
        names = sorted(staged, key=lambda n: (n.synced_at, order.index(n.diff_type)))
        # Inspect all files before the first is published, so that a conflict publishes none.
        there = {name: _already_there(staged[name], storage) for name in names}
        files = tuple(there[name] or storage.publish(staged[name]) for name in names)
    return UnpackedArchive(files=files, skipped=tuple(skipped))


@contextmanager
def _naming(archive: BinaryIO, tar: Tar) -> Generator[None]:
    """Add the name of the archive and of the member to an error about the archive."""
    try:
        yield
    except InvalidArchiveError as error:
        name = getattr(archive, "name", None)
        error.file = name if isinstance(name, str) else None
        error.inner_file = tar.current
        raise


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
