"""Members from files, local or at any URI."""

import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from attrs import field, frozen

from .._arguments import check_kind
from .._bytes import CHUNK_BYTES, read_chunks
from .._optional import load
from ..errors import (
    CohortS3Error,
    MemberFileError,
    MemberFileNotFoundError,
    MissingExtraError,
)
from ..format.columns import id_column
from ..format.compression import is_compressed, unpack_chunks
from ..format.schema import RowSchema
from .arrow import BATCH_ROWS, arrow_csv
from .names import check_mapping, check_renamed, renamed
from .protocol import CsvSource

_PARQUET_MAGIC = b"PAR1"

# The extra of smart_open that a scheme needs; S3 needs none, because we depend on boto3.
_EXTRAS = {
    **dict.fromkeys(("http", "https"), "smart_open[http]"),
    **dict.fromkeys(("ssh", "scp", "sftp"), "smart_open[ssh]"),
    "gs": "smart_open[gcs]",
    "azure": "smart_open[azure]",
}


def without_secrets(location: str) -> str:
    """Return a location without user, password, query and fragment.

    >>> without_secrets("https://ann:pw@host/members.csv?X-Amz-Signature=5e")
    'https://host/members.csv'
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        return location
    # A secret key before the last "@" may hold a slash or a question mark.
    return f"{scheme}://{re.split('[?#]', rest.rpartition('@')[2])[0]}"


def _checked_location(location: str | os.PathLike[str]) -> str:
    hint = "pass the path or URI of a file; rows and tables need no MemberFile"
    check_kind("location", location, str | os.PathLike, hint)
    return os.fspath(location)


@frozen
class MemberFile:
    """A file of members: CSV in any dialect that Amplitude writes, or Parquet.

    The file is read when a sync or a diff reads its members. Its first bytes decide on the
    format; gzip and Zstandard (extra ``zstd``) are decompressed. Parquet (extra ``arrow``) is
    read in batches, and only the columns that are needed; its cells become text by the rules
    for data frames.

    The repr, errors and the record of a sync show the location without credentials.

    Attributes:
        location: A local path, or a URI that smart_open supports (``s3://``, ``https://``,
            ``gs://`` and others), with the credentials of the environment.
        columns: New names of columns by the names in the file, as in ``rename`` of pandas
            and Polars. Each new name is an id column, or the name or header of a
            property. (A column that is called like one of these may get any name.)

    Raises:
        ArgumentTypeError: The location is an open file, rows or another object.

    >>> MemberFile("s3://my-bucket/users.csv.gz", columns={"id": "amplitude_id"})
    MemberFile(location='s3://my-bucket/users.csv.gz', columns={'id': 'amplitude_id'})
    """

    location: str = field(
        converter=_checked_location, repr=lambda location: repr(without_secrets(location))
    )
    columns: Mapping[str, str] = field(factory=dict[str, str], kw_only=True)

    def __attrs_post_init__(self) -> None:
        hint = 'pass the new names by the names in the file: {"id": "amplitude_id"}'
        check_kind("columns", self.columns, Mapping, hint)

    def csv_source(self, schema: RowSchema) -> CsvSource:
        """Return the members as CSV. All errors but the first are raised when it is read.

        Raises:
            ConfigurationError: ``columns`` has a new name that is not a column of the sync.
            MemberFileNotFoundError: There is no such file.
            MemberFileError: The file cannot be read.
            MissingColumnsError: The file lacks a column that ``columns`` renames.
            MissingExtraError: The format or the scheme needs a package that is missing.
        """
        allowed = tuple(dict.fromkeys((*schema.columns, *schema.names)))
        check_mapping(allowed, self.columns, "MemberFile", hidden=allowed)
        ignored, shown = set[str](), without_secrets(self.location)

        def chunks() -> Iterator[bytes]:
            with _as_member_file_error(self.location), _open(self.location) as stream:
                first = stream.read(CHUNK_BYTES)
                if first.startswith(_PARQUET_MAGIC):
                    yield from self._parquet_chunks(stream, first, schema, ignored)
                else:
                    plain = unpack_chunks(chain([first], read_chunks(stream)))
                    yield from (renamed(plain, self.columns) if self.columns else plain)

        return CsvSource(
            chunks=chunks,
            size=_plain_size(self.location),
            unit="row" if self.location.endswith(".parquet") else "line",
            file=shown,
            origin={"file": shown.rpartition("/")[2]},
            ignored=ignored,
        )

    def _parquet_chunks(
        self, stream: BinaryIO, first: bytes, schema: RowSchema, ignored: set[str]
    ) -> Iterator[bytes]:
        pa, parquet = load("pyarrow", "arrow"), load("pyarrow.parquet", "arrow")
        with _seekable(stream, first, self.location) as whole:
            file = parquet.ParquetFile(whole)
            names: list[str] = file.schema_arrow.names
            check_renamed(self.columns, names)
            wanted = {*schema.columns, *schema.names}
            known = {
                name: new
                for name in names
                if (id_column(new := self.columns.get(name, name)) or new) in wanted
            }
            ignored.update(self.columns.get(name, name) for name in names if name not in known)
            batches = file.iter_batches(batch_size=BATCH_ROWS, columns=[*known])
            reader = pa.RecordBatchReader.from_batches(
                pa.schema(
                    file.schema_arrow.field(name).with_name(new) for name, new in known.items()
                ),
                (batch.rename_columns([*known.values()]) for batch in batches),
            )
            # fill=True: the diff engine decides whether a missing property is an error.
            yield from arrow_csv(reader, schema, fill=True).chunks()


def _open(location: str) -> BinaryIO:
    scheme, separator, _ = location.partition("://")
    if not separator:
        return Path(location).open("rb")
    import smart_open  # noqa: PLC0415 -- it takes 0.3 s, and local files do not need it

    try:
        # Names of files are often wrong about compression, so the bytes decide.
        return smart_open.open(location, "rb", compression="disable")
    except ImportError:
        raise MissingExtraError(_EXTRAS.get(scheme, "smart_open[all]")) from None


def _plain_size(location: str) -> int | None:
    """Return the size of a local file of plain CSV, else None."""
    try:
        with Path(location).open("rb") as file:
            first = file.read(len(_PARQUET_MAGIC))
            if is_compressed(first) or first == _PARQUET_MAGIC:
                return None
            return os.fstat(file.fileno()).st_size
    except OSError:  # reported when the file is read
        return None


@contextmanager
def _seekable(stream: BinaryIO, first: bytes, location: str) -> Generator[BinaryIO]:
    """Yield the file with random access, because Parquet's table of contents is at the end.

    Web servers may ignore requests for a part, so files from the web are copied first.
    """
    if not location.startswith(("http://", "https://")):
        stream.seek(0)
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        copy.write(first)
        shutil.copyfileobj(stream, copy, CHUNK_BYTES)
        copy.seek(0)
        yield copy


@contextmanager
def _as_member_file_error(location: str) -> Generator[None]:
    """Turn what a file system or a client of smart_open raises into our errors.

    The originals are neither chained nor quoted, because those of HTTP clients show the whole
    URL, whose signature is as good as a password.
    """
    try:
        yield
    except CohortS3Error:
        raise
    except Exception as error:  # noqa: BLE001 -- each client of smart_open has errors of its own
        not_found, reason = _describe(error)
        cls = MemberFileNotFoundError if not_found else MemberFileError
        raise cls(without_secrets(location), reason) from None


def _describe(error: BaseException) -> tuple[bool, str]:
    """Return whether the file is missing, and the reason of a fault without the location."""
    inner = getattr(error, "backend_error", None) or error.__cause__
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # of botocore
        code = str(cast("Any", response).get("Error", {}).get("Code"))
        return code in {"NoSuchKey", "NoSuchBucket", "404"}, code
    status = getattr(response, "status_code", None) or getattr(error, "code", None)
    if isinstance(status, int):
        return status == 404, f"HTTP {status}"  # noqa: PLR2004 -- a well-known status
    if isinstance(error, OSError) and error.strerror and error.errno:
        return isinstance(error, FileNotFoundError), error.strerror
    if inner is not None:
        return _describe(inner)
    return False, type(error).__name__
