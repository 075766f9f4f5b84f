"""Members from files, local or at any URI."""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote

from attrs import Factory, field, frozen

from .._arguments import check_kind
from .._bytes import CHUNK_BYTES, read_chunks
from .._display import short_repr
from .._optional import load
from ..errors import (
    CohortS3Error,
    ConfigurationError,
    MemberFileError,
    MissingExtraError,
)
from ..format.compression import is_compressed, unpack_chunks
from ..format.schema import RowSchema
from ..storage.temporary import temporary_errors
from ._borrowed_file import BorrowedFile, checked_file, position_of
from ._file_errors import member_file_error
from .arrow import BATCH_ROWS, arrow_csv
from .names import check_mapping, check_renamed, csv_of_names, places_by_header
from .protocol import CsvSource

_PARQUET_MAGIC = b"PAR1"

_S3_SCHEMES = frozenset({"s3", "s3n", "s3u", "s3a"})

_IS_CONTENT = re.compile(r'.*[\n\r]|\s*(\{\s*"|\[\s*[\[{("])').match
"""Return a match if a location is a CSV or JSON text instead."""

_SIGNED = re.compile(r"[?&](X-Amz-|X-Goog-|Signature=|sig=)", re.IGNORECASE)

_FILE_URI = re.compile("(?is)file:(?://(?:localhost)?)?(/.*)")


def without_secrets(location: str) -> str:
    """Return a location without user, password, query and fragment.

    In a local path and in a key of S3, the characters ``@``, ``?`` and ``#`` are a part of
    the name.

    >>> without_secrets("https://ann:pw@host/members.csv?X-Amz-Signature=5e")
    'https://host/members.csv'
    """
    scheme, separator, rest = location.partition("://")
    if not separator or _FILE_URI.fullmatch(location):
        # A signed URL may have lost its scheme.
        return location.partition("?")[0] if _SIGNED.search(location) else location
    if scheme in _S3_SCHEMES and "/" in rest.partition(":")[0]:
        return location.partition("?versionId=")[0]
    # A secret key before the last "@" may contain a slash or a question mark.
    return f"{scheme}://{re.split('[?#]', rest.rpartition('@')[2])[0]}"


def _local_path(location: str) -> Path | None:
    """Return the path of a local file, or None if the location has another scheme.

    ``pathlib`` and other programs percent-encode the characters of a ``file:`` URI. DuckDB and the
    storages of this library do not.
    """
    match = _FILE_URI.fullmatch(location)
    if match is None:
        return None if "://" in location else Path(location)
    path = Path(re.sub("^/(?=[A-Za-z]:)", "", match[1]) if os.name == "nt" else match[1])
    return path if os.path.lexists(path) else Path(unquote(str(path)))


def is_pipe(location: str) -> bool:
    """Return whether a location is a pipe or a device, such as ``/dev/stdin``: one read empties it.

    A location that can't be examined is none; the error is raised when it is read.
    """
    path = _local_path(location)
    if path is None:
        return False
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _checked_location(location: Any) -> "str | BinaryIO":
    if hasattr(location, "read"):
        return checked_file(location)
    hint = "pass the path or URI of a file, or an open file; rows and tables need no MemberFile"
    check_kind("location", location, str | os.PathLike, hint)
    text = os.fspath(cast("str | os.PathLike[str]", location))
    check_location(text)
    return text


def check_location(text: str) -> None:
    """Raise unless a text can be the location of a file.

    Raises:
        ConfigurationError: It is empty, or it is the content of a file.
    """
    if _IS_CONTENT(text):
        # Not shown: it contains users.
        fault = "location is text with members: pass a file, or rows such as json.loads(text)"
        raise ConfigurationError("MemberFile", (fault,))
    if text == "":
        fault = "location is empty: pass the path or URI of a file"
        raise ConfigurationError("MemberFile", (fault,))


def check_mappings(columns: object, transport_params: object) -> None:
    """Raise unless the new names and the parameters of smart_open are mappings.

    Raises:
        ArgumentTypeError: One of them is not.
    """
    hint = 'pass the new names by the names in the file: {"id": "amplitude_id"}'
    check_kind("columns", columns, Mapping, hint)
    hint = 'pass a mapping: {"client": client}'
    check_kind("transport_params", transport_params, Mapping, hint)


def _repr_of(location: "str | BinaryIO") -> str:
    shown = repr(_shown(location))
    return shown if isinstance(location, str) else f"<open file {shown}>"


def _shown(location: "str | BinaryIO") -> str:
    """Return a location without credentials, or the name of an open file."""
    if isinstance(location, str):
        return without_secrets(location)
    name: object = getattr(location, "name", None)  # a number if it was opened by descriptor
    return without_secrets(name) if isinstance(name, str) else f"<{type(location).__name__}>"


@frozen(repr=False)
class MemberFile:
    """A file of members: CSV in any dialect that Amplitude writes, or Parquet.

    The file is read when a sync or a diff reads its members. The format is recognised by the
    first bytes; gzip and Zstandard (extra ``zstd``) are decompressed. Only the needed columns of a
    Parquet file (extra ``arrow``) are read, in batches; its cells become text by the rules for
    data frames.

    The repr, errors and the record of a sync show the location without credentials.

    Attributes:
        location: A local path; a URI that smart_open supports (``s3://``, ``https://``,
            ``gs://`` and others); or an open binary file, which is read from its current
            position to its end, and is not closed. A file that can seek can be read again; a
            pipe, also one with a path such as ``/dev/stdin``, is read once.
        columns: New names of columns by the names in the file, as in ``rename`` of pandas
            and Polars. Each new name is an id column, or the name or header of a
            property. (A column of the file that already has such a name may get any name.)
        transport_params: The arguments of smart_open for the URI, such as
            ``{"client": boto3.client("s3", endpoint_url=...)}``. Without them, the
            credentials of the environment are used. They are not shown in the repr.

    Raises:
        ArgumentTypeError: The location is a file in text mode, rows or another object.
        ConfigurationError: The open file is closed or can't be read, or there are
            ``transport_params`` for a location that is not a URI.

    >>> MemberFile("s3://my-bucket/users.csv.gz", columns={"id": "amplitude_id"})
    MemberFile(location='s3://my-bucket/users.csv.gz', columns={'id': 'amplitude_id'})
    """

    location: str | BinaryIO = field(converter=_checked_location, repr=_repr_of)
    columns: Mapping[str, str] = field(factory=dict[str, str], kw_only=True)
    transport_params: Mapping[str, Any] = field(factory=dict[str, Any], kw_only=True, repr=False)
    _start: int | None = field(
        default=Factory(lambda self: position_of(self.location), takes_self=True),
        init=False,
        repr=False,
        eq=False,
    )
    """The position from which an open file is read; None for a location or if it can't seek."""

    __repr__ = short_repr

    def __attrs_post_init__(self) -> None:
        check_mappings(self.columns, self.transport_params)
        if self.transport_params and not _is_uri(self.location):
            fault = f"transport_params are for URIs, and {_shown(self.location)!r} is a local file"
            raise ConfigurationError("MemberFile", (fault,))

    def csv_source(self, schema: RowSchema) -> CsvSource:
        """Return the members as CSV. Only the first of these errors is raised before it is read.

        Raises:
            ConfigurationError: ``columns`` has a new name that is not a column of the sync.
            MemberFileNotFoundError: There is no such file.
            MemberFileError: The file cannot be read.
            MissingColumnsError: The file lacks a column that ``columns`` renames.
            MalformedCsvError: A property occurs more than once in a Parquet file.
            MissingExtraError: The format or the scheme needs a package that is missing.
        """
        allowed = tuple(dict.fromkeys((*schema.columns, *schema.names)))
        check_mapping(allowed, self.columns, "MemberFile", hidden=allowed)
        ignored, shown = set[str](), _shown(self.location)
        rows, size, repeatable = None, None, self._start is not None
        if isinstance(self.location, str):
            rows, size = _known_extent(self.location)
            repeatable = not is_pipe(self.location)
        return CsvSource(
            chunks=partial(self._chunks, schema, shown, ignored),
            repeatable=repeatable,
            rows=rows,
            size=size,
            unit="row" if shown.endswith(".parquet") else "line",
            file=shown,
            origin={"file": shown.rpartition("/")[2]},
            ignored=ignored,
        )

    def _chunks(self, schema: RowSchema, shown: str, ignored: set[str]) -> Iterator[bytes]:
        try:
            yield from self._read(schema, shown, ignored)
        except CohortS3Error:
            raise
        except Exception as error:  # noqa: BLE001 -- each client of smart_open has its own errors
            failure = member_file_error(error, shown)
        else:
            return
        # Raised after the except clause, so that the original error is not its context: HTTP
        # clients show the whole URL, whose signature is a secret like a password.
        raise failure

    def _read(self, schema: RowSchema, shown: str, ignored: set[str]) -> Iterator[bytes]:
        with self._open() as stream:
            first = stream.read(CHUNK_BYTES)
            if first.startswith(_PARQUET_MAGIC):
                yield from self._parquet_chunks(stream, first, schema, ignored)
            else:
                plain = unpack_chunks(chain([first], read_chunks(stream)), file=shown)
                own_names = {new: own for own, new in self.columns.items()}
                yield from (csv_of_names(plain, own_names) if own_names else plain)

    def _open(self) -> BinaryIO:
        if isinstance(self.location, str):
            return _open(self.location, self.transport_params)
        if getattr(self.location, "closed", False):
            raise MemberFileError(_shown(self.location), "it is closed")
        return cast("BinaryIO", BorrowedFile(self.location, self._start))

    def _parquet_chunks(
        self, stream: BinaryIO, first: bytes, schema: RowSchema, ignored: set[str]
    ) -> Iterator[bytes]:
        pa, parquet = load("pyarrow", "arrow"), load("pyarrow.parquet", "arrow")
        can_seek = _can_seek(self.location) if self._start is None else self._start == 0
        with _seekable(stream, first, can_seek=can_seek) as whole:
            file = parquet.ParquetFile(whole)
            names: list[str] = file.schema_arrow.names
            check_renamed(self.columns, names)
            found = places_by_header(schema, [self.columns.get(name, name) for name in names])
            known = {
                names[place]: self.columns.get(names[place], names[place])
                for places in found.values()
                for place in places
            }
            ignored.update(self.columns.get(name, name) for name in names if name not in known)
            batches = file.iter_batches(batch_size=BATCH_ROWS, columns=[*known])
            reader = pa.RecordBatchReader.from_batches(
                pa.schema(
                    file.schema_arrow.field(name).with_name(new) for name, new in known.items()
                ),
                (batch.select([*known]).rename_columns([*known.values()]) for batch in batches),
            )
            # fill=True: the diff engine decides whether a missing property is an error.
            yield from arrow_csv(reader, schema, fill=True).chunks()


def _is_uri(location: "str | BinaryIO") -> bool:
    return isinstance(location, str) and "://" in location


def _can_seek(location: "str | BinaryIO") -> bool:
    """Return whether a location has random access; web servers may ignore requests for a part."""
    if not isinstance(location, str) or location.startswith(("http://", "https://")):
        return False
    return not is_pipe(location)


def _open(location: str, transport_params: Mapping[str, Any]) -> BinaryIO:
    path = _local_path(location)
    if path is not None:
        return path.open("rb")
    import smart_open  # noqa: PLC0415 -- it takes 0.3 s, and local files do not need it

    # File names are often wrong about compression, so the bytes are checked instead.
    return smart_open.open(
        location, "rb", compression="disable", transport_params=dict(transport_params)
    )


def _known_extent(location: str) -> tuple[int | None, int | None]:
    """Return the rows of a local Parquet file and the size of one of plain CSV; None if unknown."""
    path = _local_path(location)
    if path is None or is_pipe(location):
        return None, None
    try:
        with path.open("rb") as file:
            first = file.read(len(_PARQUET_MAGIC))
            if first == _PARQUET_MAGIC:
                rows: int = load("pyarrow.parquet", "arrow").read_metadata(path).num_rows
                return rows, None
            return None, None if is_compressed(first) else os.fstat(file.fileno()).st_size
    except (OSError, ValueError, MissingExtraError):  # The error is reported when the file is read.
        return None, None


@contextmanager
def _seekable(stream: BinaryIO, first: bytes, *, can_seek: bool) -> Generator[BinaryIO]:
    """Yield the file with random access, because Parquet's table of contents is at the end.

    A file without random access is copied first.
    """
    if can_seek:
        stream.seek(0)
        yield stream
        return
    with ExitStack() as closing:
        with temporary_errors():
            copy = closing.enter_context(tempfile.TemporaryFile())
            copy.write(first)
            shutil.copyfileobj(stream, copy, CHUNK_BYTES)
            copy.seek(0)
        yield copy
