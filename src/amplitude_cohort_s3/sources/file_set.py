"""Members from several files: a folder, a glob pattern, or a list of locations."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from .._arguments import check_kind
from .._display import counted, short_repr
from ..errors import ConfigurationError, MemberFileNotFoundError
from ..format.schema import RowSchema
from ..storage.open import open_bucket
from ._file_patterns import MAGIC, matching_files, split_pattern
from .concatenated import concatenated
from .files import MemberFile, check_location, check_mappings, is_pipe, without_secrets
from .protocol import CsvSource, MemberSource
from .rows import as_csv

_S3 = re.compile(r"(?is)s3[nua]?://([^/]+)/?(.*)")

_WEB = ("http", "https")

_HINT = 'pass a folder, a pattern such as "unload/*.parquet", or a list of locations'


def _as_locations(
    locations: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> tuple[str, ...]:
    if isinstance(locations, str | os.PathLike):
        locations = (locations,)
    check_kind("locations", locations, Iterable, _HINT)
    found = tuple(locations)
    for one in found:
        check_kind("each of locations", one, str | os.PathLike, _HINT)
    texts = tuple(os.fspath(one) for one in found)
    for text in texts:
        check_location(text)
    return texts


def _shown(locations: tuple[str, ...]) -> str:
    return repr(tuple(map(without_secrets, locations)))


@frozen(repr=False)
class MemberFiles:
    """Several files of members, which are read one after the other: see :class:`MemberFile`.

    The files are listed when a sync reads its members, in the order of their names. Each may
    have its own format, and its columns in its own order. In a folder, local or in S3, all files
    count, also those in folders below it and behind links. In a pattern, ``*``, ``?`` and
    ``[...]`` do not match a slash, and ``**`` matches any folders. Files and folders whose names
    begin with ``_`` or ``.``, such as ``_SUCCESS``, are left out, unless the pattern of the name
    begins with this character too. Nothing else is left out: a folder that can't be read, a link
    to a file that does not exist, and an empty file are errors.

    Attributes:
        locations: A folder, a pattern, or several locations, each of which is a file, a folder
            or a pattern. Folders and patterns are local or in S3.
        columns: As for ``MemberFile``; each file must have the columns.
        transport_params: As for ``MemberFile``. A ``client`` is also used to list the objects
            of S3.

    Raises:
        ArgumentTypeError: A location is neither text nor a path.
        ConfigurationError: There is no location; a folder or a pattern is not local or in S3, or
            has credentials in it; or there are ``transport_params`` for local files only.

    >>> MemberFiles("s3://my-bucket/unload/*.parquet", columns={"id": "amplitude_id"})
    MemberFiles(locations=('s3://my-bucket/unload/*.parquet',), columns={'id': 'amplitude_id'})
    """

    locations: tuple[str, ...] = field(converter=_as_locations, repr=_shown)
    columns: Mapping[str, str] = field(factory=dict[str, str], kw_only=True)
    transport_params: Mapping[str, Any] = field(factory=dict[str, Any], kw_only=True, repr=False)

    __repr__ = short_repr

    def __attrs_post_init__(self) -> None:
        check_mappings(self.columns, self.transport_params)
        faults = [fault for one in self.locations if (fault := _listing_fault(one)) is not None]
        if not self.locations:
            faults.append(f"there are no locations: {_HINT}")
        elif self.transport_params and not any("://" in one for one in self.locations):
            faults.append(f"transport_params are for URIs, and {_shown(self.locations)} are local")
        if faults:
            raise ConfigurationError("MemberFiles", tuple(faults))

    def csv_source(self, schema: RowSchema) -> CsvSource:
        """Return the members as CSV. Errors are raised when it is read.

        Raises:
            MemberFileNotFoundError: A location is not a file, or no file matches it.
            StorageError: A bucket can't be listed.
            MemberFileError, MissingColumnsError, MalformedCsvError, MissingExtraError: As
                ``MemberFile.csv_source``.
        """
        names = [without_secrets(one) for one in self.locations]
        return concatenated(
            lambda: (as_csv(file, schema, fill=False) for file in self.files()),
            schema,
            repeatable=not any(map(is_pipe, self.locations)),
            file=_first_few(names),
            origin={"files": _first_few([Path(name).name or name for name in names])},
        )

    def files(self) -> Iterator[MemberFile]:
        """List the files, and yield them in the order in which they are read.

        Raises:
            MemberFileNotFoundError: No file matches a location.
            MemberFileError, StorageError: A folder or a bucket can't be listed.
        """
        for location in self.locations:
            found = [location]
            if _names_several(location):
                found = sorted(self._matches(location))
            if not found:
                raise MemberFileNotFoundError(without_secrets(location), "no file matches")
            for one in found:
                yield MemberFile(
                    one, columns=self.columns, transport_params=self._parameters_of(one)
                )

    def _parameters_of(self, location: str) -> Mapping[str, Any]:
        return self.transport_params if "://" in location else {}

    def _matches(self, location: str) -> Iterator[str]:
        """Yield the files in a folder, or the files that match a pattern."""
        if match := _S3.fullmatch(location):
            yield from self._objects(*match.groups())
            return
        if os.path.isdir(location):  # noqa: PTH112 -- as in _names_several
            yield from matching_files(Path(location), split_pattern("")[1])
        else:
            # A path object would drop the slash at the end.
            folder, pattern = split_pattern(location.replace(os.sep, "/"))
            yield from matching_files(Path(folder), pattern)

    def _objects(self, bucket: str, path: str) -> Iterator[str]:
        folder, pattern = split_pattern(path)
        storage = open_bucket(bucket, client=self.transport_params.get("client"))
        for info in storage.list_objects(MAGIC.split(path, maxsplit=1)[0]):
            # A key that ends in a slash is a folder that a console made.
            if not info.key.endswith("/") and pattern.matches(info.key[len(folder) :]):
                yield f"s3://{bucket}/{info.key}"


def _first_few(names: list[str]) -> str:
    more = len(names[3:])
    return ", ".join(names[:3]) + (f" and {counted(more, 'other')}" if more else "")


def _listing_fault(location: str) -> str | None:
    """Return why a folder or a pattern can't be listed, or None."""
    if "://" not in location or not _names_several(location):
        return None
    match, shown = _S3.fullmatch(location), without_secrets(location)
    if match is None:
        return f"{shown!r} can't be listed: pass a list of MemberFile"
    if re.search("[:@]", match[1]):
        return f"{shown!r} has credentials in it: pass them in transport_params={{'client': ...}}"
    return None


def is_pattern(location: str) -> bool:
    """Return whether a location has characters of a pattern.

    In a web address they are none, and other URIs may have a query or a host in brackets.
    """
    scheme, separator, _ = location.partition("://")
    if separator and not _S3.fullmatch(location):
        return "*" in location and scheme not in _WEB
    return MAGIC.search(location.partition("?versionId=")[0]) is not None


def _names_several(location: str) -> bool:
    """Return whether a location is a folder or a pattern, and not the name of a file."""
    scheme, separator, _ = location.partition("://")
    if separator:
        return is_pattern(location) or (location.endswith("/") and scheme not in _WEB)
    # These functions of os never raise, for example for a text that is too long for a path. An
    # empty text is not the current folder.
    is_folder = location != "" and os.path.isdir(location)  # noqa: PTH112
    return is_folder or (is_pattern(location) and not os.path.lexists(location))


def member_files(location: str | os.PathLike[str]) -> MemberFile | MemberFiles:
    """Return the file at a location, or the files in a folder or of a pattern.

    >>> member_files("members.csv"), member_files("unload/*.csv")
    (MemberFile(location='members.csv'), MemberFiles(locations=('unload/*.csv',)))
    """
    text = os.fspath(location)
    check_location(text)
    return MemberFiles(text) if _names_several(text) else MemberFile(text)


def as_source(members: MemberSource | str | os.PathLike[str]) -> MemberSource:
    """Return members that may be given by the location of their files."""
    return member_files(members) if isinstance(members, str | os.PathLike) else members
