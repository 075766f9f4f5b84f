"""The layout of a stored file, for readers that load its cells by their position.

A warehouse does not read the header of a file: it skips the first line and assigns the cells of
each row to the columns by their position. A file whose rows would then differ from those that the
library reads is refused here.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Literal

from attrs import frozen

from .._bytes import read_chunks
from ..errors import ConfigurationError
from ..format.columns import id_column
from ..format.compression import compression_of, unpack_chunks
from ..format.csv_blocks import read_blocks
from ..format.filename import DiffType
from ..format.reader import read_table
from ..history.history import CohortHistory
from ..log.listing import BucketSync

_HINT = "load it with sql.apply, which reads columns by their names"


@frozen(kw_only=True)
class Layout:
    """The layout of one file.

    Attributes:
        url: The address of the file.
        columns: The names of its columns, in the order of the file.
        line_end: The line end of its header.
        compression: Its compression, found in its first bytes.
        canonical: True if a record describes the file, so that it is in canonical form.
    """

    url: str
    columns: tuple[str, ...]
    line_end: Literal["\n", "\r\n"] = "\n"
    compression: Literal["gzip"] | None = None
    canonical: bool = True

    @property
    def is_named_by_its_compression(self) -> bool:
        """True if the name shows the compression, by which some warehouses choose a reader."""
        return self.url.endswith(".gz") == (self.compression == "gzip")


def stored_layout(history: CohortHistory, sync: BucketSync, diff_type: DiffType) -> Layout:
    """Return the layout of a file. A file without a record is opened to read its header.

    Raises:
        ConfigurationError: The cells of the file can't be loaded by their position.
        MalformedCsvError: The file has no valid header.
    """
    info, record = sync.files[diff_type], history.record(sync)
    if record is not None and not record.adopted:
        compression: Literal["gzip"] | None = (
            "gzip" if record.files[diff_type].is_compressed else None
        )
        return Layout(url=info.url, columns=record.schema.columns, compression=compression)
    with history.source(sync, diff_type).reading(), history.stored(sync, diff_type) as stored:
        return _foreign_layout(info.key, info.url, read_chunks(stored))


def _foreign_layout(key: str, url: str, chunks: Iterator[bytes]) -> Layout:
    first = b"".join(islice(chunks, 1))
    compression = compression_of(first)
    if compression == "Zstandard":
        raise _unloadable(key, "it is compressed with Zstandard")
    blocks = read_blocks(unpack_chunks(chain([first], chunks)))
    head = next(blocks).first_record() if first else None
    columns = read_table([] if head is None else [head.data]).columns
    assert head is not None  # noqa: S101 -- read_table has raised
    line, header, _ = head.split_header()
    if line > 1:
        raise _unloadable(key, f"its header is in line {line}, after blank lines")
    if all(cell.startswith("\t") for cell in header):
        raise _unloadable(key, "each cell begins with a TAB, as in exports for spreadsheets")
    names = [id_column(cell) or cell for cell in header]
    unnamed = [number for number, name in enumerate(names, 1) if not name.strip()]
    if unnamed:
        raise _unloadable(key, f"column {unnamed[0]} of its header has no name")
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        raise _unloadable(key, f"its header repeats the column {repeated[0]!r}")
    return Layout(
        url=url,
        columns=columns,
        line_end="\r\n" if head.data.endswith(b"\r\n") else "\n",
        compression=compression,
        canonical=False,
    )


def _unloadable(key: str, reason: str) -> ConfigurationError:
    fault = f"the file {key} can't be loaded by the position of its columns: {reason}: {_HINT}"
    return ConfigurationError("statements", (fault,))
