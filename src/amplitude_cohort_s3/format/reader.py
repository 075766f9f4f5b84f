"""The reader of CSV files with members, in any dialect.

A file is read in blocks of whole records. Blocks are turned into rows by a :class:`RowReader`, or
into canonical lines of a schema by a :class:`LineReader`. Both process a block as a whole if they
can, which is many times faster than row by row.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from itertools import chain

from attrs import frozen

from .._display import counted
from ..errors import MalformedCsvError
from ._header import Header, read_header
from .cells import encode_text
from .columns import ID_COLUMNS, Row, id_conflict
from .csv_blocks import (
    Block,
    read_blocks,
    repeated_header,
    split_record,
)


@frozen
class Lines:
    """The rows of one block in canonical form, in order.

    Attributes:
        lines: The canonical line of each row, without its line end.
        keys: The key of each row. None if each line begins with its unquoted key and
            contains no line end.
    """

    lines: list[str]
    keys: list[str] | None

    def key_list(self) -> list[str]:
        """Return the key of each row."""
        if self.keys is not None:
            return self.keys
        return [line.split(",", 1)[0] for line in self.lines]


@frozen
class RowReader:
    """A converter from the blocks of one file to rows.

    Attributes:
        header: The file's header.
    """

    header: Header

    def plain_lines(self, block: Block) -> list[str] | None:
        """Return the lines of a block of plain rows (see :meth:`Block.plain_lines`), or None."""
        header = self.header
        width = len(header.names)
        if header.tabs or header.repeated_ids or width == 1:
            return None
        lines = block.plain_lines(width)
        return None if lines is None or header.may_repeat_in(block.data) else lines

    def rows(self, block: Block) -> list[Row]:
        """Return the rows of a block."""
        return self.select_rows(block, self.header.places)

    def select_rows(self, block: Block, places: tuple[int, ...] | None) -> list[Row]:
        """Return the cells of each row at some positions, or all cells for None.

        At the position after the last column, each row has an empty cell.
        """
        lines = self.plain_lines(block)
        if lines is None:
            records = self._split(block) or [cells for _, cells in self.cells(block)]
        elif places is None:
            return [tuple(line.split(",")) for line in lines]
        else:
            records = [line.split(",") for line in lines]
        if places is None:
            return list(map(tuple, records))
        if len(self.header.names) in places:
            for cells in records:
                cells.append("")
        return [select(cells, places) for cells in records]

    def _split(self, block: Block) -> list[list[str]] | None:
        """Return the cells of each row if each line is one row, else None.

        This is fast for a block with few quoted cells, because only the lines with quotes are
        parsed. If a line breaks a rule, the result is None too, and the slower reader reports the
        error with the line.
        """
        header = self.header
        width = len(header.names)
        found = block.split_lines()
        if found is None or header.tabs or header.repeated_ids or width == 1:
            return None
        plain = b"," * (width - 1)
        try:
            records = [
                line.split(",") if marks == plain else split_record(line, 0)
                for line, marks in zip(*found, strict=True)
            ]
        except MalformedCsvError:
            return None
        is_whole = set(map(len, records)) == {width} and not header.may_repeat_in(block.data)
        return records if is_whole else None

    def numbered(self, block: Block) -> Iterator[tuple[int, Row]]:
        """Yield the line number of each row, and the row. Slower than :meth:`rows`."""
        places = self.header.places
        for line, cells in self.cells(block):
            yield line, tuple(cells) if places is None else select(cells, places)

    def cells(self, block: Block) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number and all cells of each row, even of columns that are left out."""
        header = self.header
        width = len(header.names)
        may_repeat = header.may_repeat_in(block.data)
        for line, record in block.records():
            if len(record) != width:
                raise MalformedCsvError(
                    line,
                    f"the row has {counted(len(record), 'cell')}, but the header has {width}",
                    "Put quotes around each cell that contains a comma or a line end",
                )
            cells = [cell.removeprefix("\t") for cell in record] if header.tabs else record
            if may_repeat and header.is_repeated_by(cells):
                raise repeated_header(line)
            for place, first in header.repeated_ids.items():
                if cells[place] != cells[first]:
                    raise id_conflict(header.names[place], line, "line")
            yield line, cells


@frozen
class Table:
    """A CSV file whose header has been read. Its rows can be read once.

    Attributes:
        columns: The id columns that the file has, as ``amplitude_id`` and ``user_id``,
            and the properties, in the file's own order, each once. A column without a name
            is left out.
        blocks: The blocks after the header.
        reader: The reader that turns blocks into rows.
    """

    columns: tuple[str, ...]
    blocks: Iterator[Block]
    reader: RowReader

    @property
    def properties(self) -> tuple[str, ...]:
        """The columns that are not ids."""
        return tuple(c for c in self.columns if c not in ID_COLUMNS)

    @property
    def batches(self) -> Iterator[list[Row]]:
        """The rows, many at a time."""
        return map(self.reader.rows, self.blocks)

    def unequal_columns(self) -> frozenset[str]:
        """Read all rows, and return the repeated properties that differ from the first.

        The result has names such as ``plan_2``: see :func:`read_table`.
        """
        header = self.reader.header
        left = dict(header.repeated_properties)
        for block in self.blocks:
            for _, cells in self.reader.cells(block):
                for place in [p for p, first in left.items() if cells[p] != cells[first]]:
                    del left[place]
            if not left:
                break
        unequal = header.repeated_properties.keys() - left.keys()
        return frozenset(header.names[place] for place in unequal)


def read_table(
    source: Iterable[bytes],
    *,
    canonical: bool = False,
    unequal: Collection[str] | None = None,
    block_bytes: int | None = None,
) -> Table:
    """Read the header of a CSV file with members, in any dialect.

    A file may have byte order marks, CRLF, quotes around every cell, line ends inside
    quotes, blank lines, columns in any order, the id columns in either style, in any
    letter case and with blanks around them, and an id column twice. If every header cell
    begins with a TAB, as in Amplitude's exports for spreadsheets, one TAB is removed from
    every cell. A column without a name is left out. A property whose header repeats is
    called ``plan``, ``plan_2``, ``plan_3``, in the order of the file.

    Args:
        source: A binary stream, or chunks of bytes.
        canonical: True if the bytes are in canonical form; then TABs are kept.
        unequal: The repeated properties to keep, from :meth:`Table.unequal_columns`.
            Default: all of them.
        block_bytes: The approximate size of a block. Default: see :func:`read_blocks`.

    Raises:
        MalformedCsvError: The file is empty, has no id column, is a group cohort, or is not
            UTF-8. While the rows are read: a row has more or fewer cells than the header, repeats
            the header, has different cells in a repeated id column, or contains a NUL, a quote in
            the wrong place, or a CR outside of quotes that no LF follows.
    """
    blocks = read_blocks(source, block_bytes)
    first = next((block for block in blocks if block.data.strip(b"\r\n")), None)
    if first is None:
        hint = "Write a header, even if there are no members"
        raise MalformedCsvError(1, "the file is empty and has no header", hint)
    line, cells, rest = first.split_header()
    header = read_header(cells, line, canonical=canonical, unequal=unequal)
    return Table(header.columns, chain([rest] if rest.data else [], blocks), RowReader(header))


def select(cells: list[str], places: tuple[int, ...]) -> Row:
    """Return the cells at some positions."""
    return tuple([cells[place] for place in places])


@frozen
class LineReader:
    """A converter from the blocks of one file to canonical lines or rows of a schema.

    A line that is already canonical is not split into cells.

    Attributes:
        reader: The file's reader.
        places: The position of each schema column in the file; the position after the last
            for a column that the file lacks. None if the columns are the same.
        key: The position of the key in the schema.
    """

    reader: RowReader
    places: tuple[int, ...] | None
    key: int

    def lines(self, block: Block) -> Lines:
        """Return the canonical lines of a block's rows."""
        lines = self.reader.plain_lines(block)
        if lines is not None:
            if self.places is not None:
                places = self.places
                rows = [[*line.split(","), ""] for line in lines]
                lines = [",".join([row[place] for place in places]) for row in rows]
            if not self.key:
                return Lines(lines, None)
            place = self.key  # There are no quotes, so each comma ends a cell.
            return Lines(lines, [line.split(",", place + 1)[place] for line in lines])
        canonical = self._canonical(block)
        if canonical is not None:
            return Lines(canonical, self._keys(canonical))
        selected = self.rows(block)
        return Lines(
            [encode_text(row)[:-1] for row in selected], [row[self.key] for row in selected]
        )

    def rows(self, block: Block) -> list[Row]:
        """Return the schema's rows of a block."""
        return self.reader.select_rows(block, self.places)

    def numbered(self, block: Block) -> Iterator[tuple[int, Row]]:
        """Yield the line number of each row, and the schema's row. Slower than :meth:`rows`."""
        places = self.places
        for line, cells in self.reader.cells(block):
            yield line, tuple(cells) if places is None else select([*cells, ""], places)

    def first_key(self, block: Block) -> str | None:
        """Return the key of a block's first row, or None if it has no row."""
        return next((row[self.key] for _, row in self.numbered(block.first_record())), None)

    def _canonical(self, block: Block) -> list[str] | None:
        """Return the lines of a block if each is already canonical, else None.

        This is fast for a block with few quoted cells: a regular expression checks only the lines
        whose marks are not those of a plain row.
        """
        header = self.reader.header
        width = len(header.names)
        found = block.split_lines()
        if found is None or self.places is not None or header.tabs or width == 1:
            return None
        lines, marks = found
        plain = b"," * (width - 1)
        doubtful = [line for line, mark in zip(lines, marks, strict=True) if mark != plain]
        if not all(map(_canonical_line(width), doubtful)) or header.may_repeat_in(block.data):
            return None
        return lines

    def _keys(self, lines: list[str]) -> list[str] | None:
        place = self.key
        if place == 0 and not any(line[:1] == '"' for line in lines):
            return None
        return cells_at(lines, place)


def cells_at(lines: list[str], place: int) -> list[str]:
    """Return the cell of each canonical line at a position."""
    return [
        line.split(",", place + 1)[place] if '"' not in line else split_record(line, 0)[place]
        for line in lines
    ]


@cache
def _canonical_line(cells: int) -> Callable[[str], object]:
    """Return a function that tests whether a line is canonical.

    A canonical line has ``cells`` cells, quoted only if necessary. Lines with line ends in
    a cell are not supported.

    >>> [bool(_canonical_line(2)(line)) for line in ('1,"a,b"', '1,"a"', "1,2,3")]
    [True, False, False]
    """
    cell = r'(?:[^",\r\n]*+|"(?![^",\r]*+"(?!"))(?:[^"\n]|"")*+")'
    return re.compile(",".join([cell] * cells)).fullmatch
