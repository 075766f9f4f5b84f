"""The reader of CSV files with members, however they are written.

A file is read in blocks of whole records. Blocks are turned into rows by a
:class:`RowReader`, or into canonical lines of a schema by a :class:`LineReader`. Both treat
a block as a whole if they can, which is many times faster than row by row.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from attrs import field, frozen

from .._display import counted
from ..errors import MalformedCsvError
from .cells import encode_text, merge_repeated
from .columns import ID_COLUMNS, Row, id_column
from .csv_blocks import Block, canonical_line, read_blocks, split_record


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
class Table:
    """A CSV file whose header has been read. Its rows can be read once.

    Attributes:
        columns: The id columns that the file has, as ``amplitude_id`` and ``user_id``,
            and the properties, in the file's own order, each once.
        blocks: The blocks after the header.
        reader: The reader that turns blocks into rows.
    """

    columns: tuple[str, ...]
    blocks: Iterator[Block]
    reader: "RowReader"

    @property
    def properties(self) -> tuple[str, ...]:
        """The columns that are not ids."""
        return tuple(c for c in self.columns if c not in ID_COLUMNS)

    @property
    def batches(self) -> Iterator[list[Row]]:
        """The rows, many at a time."""
        return map(self.reader.rows, self.blocks)


def read_table(source: Iterable[bytes], *, canonical: bool = False) -> Table:
    """Read the header of a CSV file with members, however it is written.

    A file may have a byte order mark, CRLF, quotes around every cell, line ends inside
    quotes, blank lines, columns in any order, the id columns in either style, in any
    letter case and with blanks around them, and an id column twice. If every header cell
    begins with a TAB, as in Amplitude's exports for spreadsheets, one TAB is removed from
    every cell.

    Args:
        source: A binary stream, or chunks of bytes.
        canonical: True if the bytes are in canonical form; then TABs are kept.

    Raises:
        MalformedCsvError: The file has no id column, or is not UTF-8. While the rows are
            read: a row has more or fewer cells than the header, a repeated column with
            different cells, a NUL, or a quote in the wrong place.
    """
    blocks = read_blocks(source)
    first = next((block for block in blocks if block.data.strip(b"\r\n")), None)
    if first is None:
        hint = "Write a header, even if there are no members"
        raise MalformedCsvError(1, "the file is empty and has no header", hint)
    line, header, rest = first.split_header()
    tabs = not canonical and bool(header) and all(cell.startswith("\t") for cell in header)
    names = [cell[1:] if tabs else cell for cell in header]
    columns = [id_column(name) or name for name in names]
    if not set(ID_COLUMNS) & set(columns):
        raise _no_id_column(line, names)
    unique = tuple(dict.fromkeys(columns))
    reader = RowReader(tuple(columns), unique, tabs=tabs)
    return Table(unique, chain([rest] if rest.data else [], blocks), reader)


def _no_id_column(line: int, names: list[str]) -> MalformedCsvError:
    # The header is not shown: in a file without a header it is a member.
    hint = "Add a header, or map other names with columns= of MemberFile"
    if len(names) == 1:
        for mark, name in {";": "semicolons", "\t": "TABs"}.items():
            if mark in names[0]:
                hint = f"Save the file with commas between the cells, not {name}"
    return MalformedCsvError(line, "no column is named amplitude_id or user_id", hint)


@frozen
class RowReader:
    """Turns the blocks of one file into rows.

    Attributes:
        columns: The file's columns.
        unique: The same columns, each once.
        tabs: True if a TAB is removed from every cell.
    """

    columns: tuple[str, ...]
    unique: tuple[str, ...]
    tabs: bool = field(kw_only=True)

    def plain(self, block: Block) -> str | None:
        """Return the block as plain text (see :meth:`Block.as_plain`), or None."""
        width = len(self.columns)
        if self.tabs or width != len(self.unique) or width == 1:
            return None
        return block.as_plain(width)

    def rows(self, block: Block) -> list[Row]:
        """Return the rows of a block."""
        text = self.plain(block)
        if text is not None:
            return [tuple(line.split(",")) for line in text[:-1].split("\n")]
        return [row for _, row in self.numbered(block)]

    def numbered(self, block: Block) -> Iterator[tuple[int, Row]]:
        """Yield the first line of each row, and the row. Slower than :meth:`rows`."""
        for line, cells in block.records():
            yield line, self._row(cells, line)

    def _row(self, cells: list[str], line: int) -> Row:
        if len(cells) != len(self.columns):
            raise MalformedCsvError(
                line,
                f"the row has {counted(len(cells), 'cell')} and the header {len(self.columns)}",
            )
        if self.tabs:
            cells = [cell.removeprefix("\t") for cell in cells]
        if len(self.unique) == len(self.columns):
            return tuple(cells)
        return tuple(merge_repeated(self.columns, cells, line).values())


@frozen
class LineReader:
    """Turns the blocks of one file into canonical lines, and its rows into rows, of a schema.

    A line that is already canonical is not taken apart.

    Attributes:
        reader: The file's reader.
        places: The position of each schema column in the file's rows; the position after
            the last for a column that the file lacks. None if the columns are the same.
        key: The position of the key in the schema.
    """

    reader: RowReader
    places: tuple[int, ...] | None
    key: int

    def lines(self, block: Block) -> Lines:
        """Return the canonical lines of a block's rows."""
        text = self.reader.plain(block)
        if text is not None:
            lines = text[:-1].split("\n")
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
        selected = [self.select(row) for _, row in self.reader.numbered(block)]
        return Lines(
            [encode_text(row)[:-1] for row in selected], [row[self.key] for row in selected]
        )

    def first_key(self, block: Block) -> str | None:
        """Return the key of a block's first row, or None if it has no row."""
        head = block.first_record()
        return next((self.select(row)[self.key] for _, row in self.reader.numbered(head)), None)

    def select(self, row: Row) -> Row:
        """Return the schema's row for a row of the file."""
        if self.places is None:
            return row
        cells = (*row, "")
        return tuple([cells[place] for place in self.places])

    def _canonical(self, block: Block) -> list[str] | None:
        """Return the lines of a block if each is already canonical, else None.

        This serves blocks with a few quoted cells. In most lines, it is enough to count
        the commas; a regular expression checks the others.
        """
        reader = self.reader
        width = len(reader.columns)
        if self.places is not None or reader.tabs or width != len(reader.unique):
            return None
        if b"\r" in block.data:
            return None
        lines = block.text().removesuffix("\n").split("\n")
        commas = width - 1
        is_canonical = canonical_line(width)
        doubtful = [line for line in lines if '"' in line or line.count(",") != commas]
        return lines if all(map(is_canonical, doubtful)) else None

    def _keys(self, lines: list[str]) -> list[str] | None:
        place = self.key
        if place == 0 and not any(line[:1] == '"' for line in lines):
            return None
        return [
            line.split(",", place + 1)[place] if '"' not in line else split_record(line, 0)[place]
            for line in lines
        ]
