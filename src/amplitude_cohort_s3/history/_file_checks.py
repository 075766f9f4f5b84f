"""Checks of the single files of a sync, each in one pass."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from operator import lt
from os import PathLike

from attrs import frozen

from .._bytes import Hashed, read_chunks
from .._display import counted
from ..errors import (
    BucketNotFoundError,
    CohortS3Error,
    CredentialsError,
    DiskFullError,
    LogError,
    MalformedCsvError,
    RetryableError,
)
from ..format.cells import encode_lines
from ..format.columns import ID_COLUMNS
from ..format.content import ContentPart
from ..format.csv_blocks import Block
from ..format.filename import CohortFileName
from ..format.filled import count_filled
from ..format.kernel import HAS_KERNEL, CheckedLines, check_lines
from ..format.reader import LineReader, Table, read_table
from ..format.schema import RowSchema
from ..log.files import RecordedFile
from ..log.sync_log import OpenObject
from ..sources.protocol import CsvSource
from ..storage.protocol import ObjectInfo
from .findings import Finding, FindingKind
from .member_rows import RowTally, member_rows

_OTHER_CAUSES = (
    RetryableError,
    BucketNotFoundError,
    CredentialsError,
    DiskFullError,
    LogError,
)


def content_fault(error: Exception) -> str | None:
    """Return the fault of a file that made a reader fail, or None if the file is not the cause.

    A hostile file may make any parser below fail in an unexpected way. Failures of
    the store, the disk and the log have other causes.
    """
    if isinstance(error, _OTHER_CAUSES):
        return None
    if isinstance(error, CohortS3Error):
        return str(error)
    # The text of a foreign error may quote a row.
    return None if isinstance(error, OSError) else f"reading it raised {type(error).__name__}"


@frozen(kw_only=True)
class FileFacts:
    """The findings of one pass over a file.

    Attributes:
        columns: The columns, each once.
        rows: The number of rows.
        faults: The faults, each as kind, count and detail.
        filled: The number of rows with a value, for each property; None if it is not counted.
    """

    columns: tuple[str, ...]
    rows: int
    faults: tuple[tuple[FindingKind, int, str], ...]
    filled: Mapping[str, int] | None = None


def read_canonical(source: CsvSource, schema: RowSchema) -> FileFacts:
    """Read a file that a sync of this library wrote: it must be in canonical form.

    The form is compared block by block, which is several times faster than row by row.

    Args:
        source: The file, whose bytes are verified while they are read.
        schema: The columns in the record of the sync.
    """
    begin = _Beginning(source.chunks(), schema.header_line)
    table = read_table(begin, canonical=True)
    if table.columns == schema.columns:
        checked = check_table(table, schema)
    else:
        rows = sum(map(len, table.batches))
        checked = CheckedLines(rows=rows, filled=(0,) * len(schema.properties))
    faults = {
        "its header is not that of the record": begin.is_as_expected,
        "it is not in canonical form": checked.is_canonical,
        "its rows are not in the order of the key, each key once": checked.ascends,
    }
    found = (
        (FindingKind.EDITED_FILE, 1, fault) for fault, is_right in faults.items() if not is_right
    )
    return FileFacts(
        columns=table.columns,
        rows=checked.rows,
        faults=tuple(found),
        filled=dict(zip(schema.properties, checked.filled, strict=True)),
    )


def check_table(table: Table, schema: RowSchema) -> CheckedLines:
    """Check all rows of a table with the columns of a schema: see ``CheckedLines``."""
    reader = schema.line_reader(table)
    checked = CheckedLines(rows=0, filled=(0,) * len(schema.properties))
    for block in table.blocks:
        found = None
        if HAS_KERNEL and reader.places is None:
            found = check_lines(
                block.data, columns=len(schema.columns), key=reader.key, after=checked.last
            )
        if found is None:
            found = _check_block(block, reader, len(schema.columns), checked.last)
        checked = checked.followed_by(found)
    return checked


def _check_block(block: Block, reader: LineReader, columns: int, after: bytes) -> CheckedLines:
    """Check a block whose keys must follow ``after``, as the kernel's ``check_lines`` does."""
    lines = reader.lines(block)
    keys = lines.key_list()
    data = encode_lines(lines.lines)
    return CheckedLines(
        rows=len(keys),
        is_canonical=data == block.data,
        # The first key must be greater than "", so a row without a key is a fault too.
        ascends=all(map(lt, [after.decode(), *keys], keys)),
        filled=count_filled(data, len(keys), columns),
        last=keys[-1].encode() if keys else after,
    )


class _Beginning:
    """Chunks whose first bytes are compared with the expected ones."""

    def __init__(self, chunks: Iterable[bytes], expected: bytes) -> None:
        self._chunks, self._expected, self._seen = chunks, expected, b""

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if len(self._seen) < len(self._expected):
                self._seen += chunk[: len(self._expected) - len(self._seen)]
            yield chunk

    @property
    def is_as_expected(self) -> bool:
        return self._seen == self._expected


def read_foreign(source: CsvSource, key: str, work_dir: str | PathLike[str] | None) -> FileFacts:
    """Read a file in any form, with rows in any order.

    Args:
        source: The file.
        key: The column that members are matched by.
        work_dir: The folder for temporary files.

    Raises:
        MalformedCsvError: It is not valid CSV of a cohort, or lacks the column.
    """
    columns = source.read_table().columns
    if key not in columns:
        raise MalformedCsvError(1, f"no column is named {key!r}", file=source.file)
    schema = RowSchema(properties=[c for c in columns if c not in ID_COLUMNS], key=key)
    tally = RowTally()
    for _ in member_rows(source, schema, work_dir=work_dir, tally=tally):
        pass
    kinds = {
        FindingKind.ROWS_WITHOUT_KEY: tally.keyless,
        FindingKind.DUPLICATE_KEY: tally.conflicting,
    }
    faults = tuple((kind, count, "") for kind, count in kinds.items() if count)
    return FileFacts(columns=columns, rows=tally.rows, faults=faults)


def stored_faults(info: ObjectInfo, file: RecordedFile, open_object: OpenObject) -> Iterator[str]:
    """Yield the differences between the stored bytes and those that were staged.

    Args:
        info: The object in a listing.
        file: The file in its record.
        open_object: ``storage.open``.
    """
    staged = file.staged
    if staged is None:
        return
    if info.size != staged.size:
        yield f"{counted(info.size, 'byte')} stored, {staged.size:,} recorded"
    # Of other files, the stored bytes are the CSV, whose digest is verified already.
    elif staged.sha256 is not None and (file.is_compressed or file.parts):
        stored = Hashed(read_chunks(open_object(info.key))).read()
        if stored.sha256 != staged.sha256:
            yield "the stored bytes are not those that were staged"


def part_faults(chunks: Iterable[bytes], parts: Iterable[ContentPart]) -> Iterator[str]:
    """Yield a fault if a part of a composed file does not end at the end of a row.

    In canonical form a byte is outside of quotes if the number of quotes before it is even.
    """
    ends = accumulate(part.size for part in parts)
    end = next(ends, None)
    position = quotes = 0
    for chunk in chunks:
        begin = 0
        while end is not None and end <= position + len(chunk):
            quotes += chunk.count(b'"', begin, end - position)
            begin = end - position
            if quotes % 2 or chunk[begin - 1 : begin] != b"\n":
                yield "a part does not end at the end of a row"
                return
            end = next(ends, None)
        quotes += chunk.count(b'"', begin)
        position += len(chunk)


def of_file(kind: FindingKind, key: str, detail: str = "") -> Finding:
    """Return the finding about a file."""
    _, name = CohortFileName.from_key(key)
    return Finding(kind=kind, synced_at=name.synced_at, key=key, detail=detail)
