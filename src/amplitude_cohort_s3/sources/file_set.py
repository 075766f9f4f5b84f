"""Members from several files: a folder, a glob pattern, or a list of locations."""

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from attrs import field, frozen

from .._arguments import check_kind
from .._display import counted, short_repr
from ..errors import ConfigurationError, MemberFileNotFoundError
from ..format.schema import RowSchema
from .concatenated import concatenated
from .files import MemberFile, check_location, without_secrets
from .protocol import CsvSource
from .rows import as_csv

_S3 = re.compile(r"(?is)s3[nua]?://([^/]+)/?(.*)")

_MAGIC = re.compile(r"[*?[]")

_HINT = 'pass a folder, a pattern such as "unload/*.parquet", or a list of locations'


def _as_locations(locations: object) -> tuple[str, ...]:
    if isinstance(locations, str | os.PathLike):
        locations = (locations,)
    check_kind("locations", locations, Iterable, _HINT)
    found = tuple(cast("Iterable[object]", locations))
    for one in found:
        check_kind("each of locations", one, str | os.PathLike, _HINT)
    texts = tuple(os.fspath(cast("str", one)) for one in found)
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
    count, also those in folders below it. In a pattern, ``*`` and ``?`` do not match a slash, and
    ``**`` matches any folders. Files and folders whose names begin with ``_`` or ``.``, such as
    ``_SUCCESS``, are left out.

    Attributes:
        locations: A folder, a pattern, or several locations, each of which is a file, a folder
            or a pattern. Folders and patterns are local or in S3.
        columns: As for ``MemberFile``; each file must have the columns.
        transport_params: As for ``MemberFile``. A ``client`` is also used to list the objects
            of S3.

    Raises:
        ArgumentTypeError: A location is neither text nor a path.
        ConfigurationError: There is no location, or a pattern is not local or in S3.

    >>> MemberFiles("s3://my-bucket/unload/*.parquet", columns={"id": "amplitude_id"})
    MemberFiles(locations=('s3://my-bucket/unload/*.parquet',), columns={'id': 'amplitude_id'})
    """

    locations: tuple[str, ...] = field(converter=_as_locations, repr=_shown)
    columns: Mapping[str, str] = field(factory=dict[str, str], kw_only=True)
    transport_params: Mapping[str, Any] = field(factory=dict[str, Any], kw_only=True, repr=False)

    __repr__ = short_repr

    def __attrs_post_init__(self) -> None:
        faults = list[str]()
        if not self.locations:
            faults.append(f"there are no locations: {_HINT}")
        for location in self.locations:
            if "://" in location and not _S3.fullmatch(location) and _names_several(location):
                shown = without_secrets(location)
                faults.append(f"{shown!r} can't be listed: pass a list of the files' locations")
        if faults:
            raise ConfigurationError("MemberFiles", tuple(faults))

    def csv_source(self, schema: RowSchema) -> CsvSource:
        """Return the members as CSV. Errors are raised when it is read.

        Raises:
            MemberFileNotFoundError: A location is no file, or no file matches it.
            MemberFileError, MissingColumnsError, MalformedCsvError, MissingExtraError: As
                ``MemberFile.csv_source``.
        """
        shown = ", ".join(map(without_secrets, self.locations[:3]))
        if more := len(self.locations[3:]):
            shown += f" and {counted(more, 'other location')}"
        return concatenated(
            lambda: (as_csv(file, schema, fill=False) for file in self.files()),
            schema,
            repeatable=True,
            file=shown,
            origin={"files": shown.rpartition("/")[2] or shown},
        )

    def files(self) -> Iterator[MemberFile]:
        """List the files, and yield them in the order in which they are read.

        Raises:
            MemberFileNotFoundError: No file matches a location.
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
        elif Path(location).is_dir():
            yield from _visible(Path(location), Path(location).rglob("*"))
        else:
            names = glob.iglob(location, recursive=True)  # noqa: PTH207 -- an absolute pattern
            yield from _visible(Path(_literal_folder(location)), map(Path, names))

    def _objects(self, bucket: str, path: str) -> Iterator[str]:
        from ..storage.s3 import S3Storage  # noqa: PLC0415 -- boto3 costs 0.3 s

        folder = _literal_folder(path)
        wanted = _pattern(path if is_pattern(path) else f"{path}**")
        storage = S3Storage(bucket, client=self.transport_params.get("client"))
        for info in storage.list_objects(_MAGIC.split(path, maxsplit=1)[0]):
            # A key that ends in a slash is a folder that a console made.
            is_visible = not _is_hidden(info.key[len(folder) :]) and not info.key.endswith("/")
            if is_visible and wanted.fullmatch(info.key):
                yield f"s3://{bucket}/{info.key}"


def _literal_folder(path: str) -> str:
    """Return the beginning of a pattern or a folder up to its last slash before a wildcard."""
    literal = _MAGIC.split(path, maxsplit=1)[0]
    return literal[: literal.rfind("/") + 1]


def _visible(root: Path, paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if path.is_file() and not _is_hidden(path.relative_to(root).as_posix()):
            yield str(path)


def _is_hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) for part in path.split("/"))


def is_pattern(location: str) -> bool:
    """Return whether a location has characters of a pattern; in a web address they are none."""
    if location.startswith(("http://", "https://")):
        return False
    return _MAGIC.search(location.partition("?versionId=")[0]) is not None


def _names_several(location: str) -> bool:
    """Return whether a location is a folder or a pattern, and not the name of a file."""
    if "://" in location:
        return location.endswith("/") or is_pattern(location)
    path = Path(location)
    return path.is_dir() or (is_pattern(location) and not path.exists())


def member_files(location: str | os.PathLike[str]) -> MemberFile | MemberFiles:
    """Return the file at a location, or the files in a folder or of a pattern.

    >>> member_files("members.csv"), member_files("unload/*.csv")
    (MemberFile(location='members.csv'), MemberFiles(locations=('unload/*.csv',)))
    """
    text = os.fspath(location)
    check_location(text)
    return MemberFiles(text) if _names_several(text) else MemberFile(text)


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """Return a glob pattern as a regular expression for keys of S3.

    >>> bool(_pattern("a/**/*.csv").fullmatch("a/b/c/d.csv"))
    True
    >>> bool(_pattern("a/*.csv").fullmatch("a/b/d.csv"))
    False
    """
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern)
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "(?s)"
        + "".join(
            meanings.get(part)
            or (part.replace("[!", "[^") if part.startswith("[") and part[-1:] == "]" else "")
            or re.escape(part)
            for part in parts
        )
    )
