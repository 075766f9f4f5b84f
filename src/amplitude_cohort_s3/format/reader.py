"""The tolerant reader of cohort CSV files, and the fast path for canonical lines."""

from collections.abc import Iterable, Iterator
from itertools import chain

from attrs import field, frozen

from ..errors import MalformedCsvError
from .cells import encode_text
from .columns import ID_COLUMNS, Row, id_column
from .csv_blocks import Block, canonical_line, read_blocks, split_record


@frozen
class Lines:
    """The rows of one block in their canonical form, in order.

    Attributes:
        lines: The canonical line of each row, without its line end.
        keys: The key of each row. None where each line begins with its key as it is,
            up to the first comma, and none has a line end inside.
    """

    lines: list[str]
    keys: list[str] | None

    def key_list(self) -> list[str]:
        """The key of each row."""
        if self.keys is not None:
            return self.keys
        return [line.split(",", 1)[0] for line in self.lines]


@frozen
class Table:
    """A CSV file as it is read: its columns, then its rows, which can be read once.

    Attributes:
        columns: ``amplitude_id`` and ``user_id`` where the file has them, and the
            properties, in the file's own order, each once.
        blocks: What is left to read.
        reader: Turns blocks into rows.
    """

    columns: tuple[str, ...]
    blocks: Iterator[Block]
    reader: "RowReader"

    @property
    def properties(self) -> tuple[str, ...]:
        """The columns that are no ids."""
        return tuple(c for c in self.columns if c not in ID_COLUMNS)

    @property
    def batches(self) -> Iterator[list[Row]]:
        """The rows, many at a time."""
        return map(self.reader.rows, self.blocks)


def read_table(source: Iterable[bytes], *, canonical: bool = False) -> Table:
    """Reads a CSV file of cohort members, however it looks.

    Accepted: a byte order mark, CRLF, quotes around every cell, line ends inside quotes,
    blank lines, columns in any order, the id columns in either style, letter case and
    with blanks around them, an id column twice. Where every header cell begins with a
    TAB, as in Amplitude's exports for spreadsheets, one is taken off every cell.

    Args:
        source: A binary stream, or chunks of bytes.
        canonical: A record says that the library wrote it: then no TAB is taken off.

    Raises:
        MalformedCsvError: No id column, another number of cells than the header has, a
            column twice with different values, a NUL, not UTF-8, a quote where none may
            stand. The error says at which line.
    """
    blocks = read_blocks(source)
    first = next((block for block in blocks if block.data.strip(b"\r\n")), None)
    if first is None:
        cure = "Give it a header, also where it has no members"
        raise MalformedCsvError(1, "the file is empty, it lacks even a header", cure)
    line, header, rest = first.split_header()
    tabs = not canonical and bool(header) and all(cell.startswith("\t") for cell in header)
    names = [cell[1:] if tabs else cell for cell in header]
    columns = [id_column(name) or name for name in names]
    if not set(ID_COLUMNS) & set(columns):
        # The header is not shown: where a file has none, it is a member.
        rule = "no column is named amplitude_id or user_id"
        cure = "Begin the file with a header; MemberFile takes other names by columns="
        if len(names) == 1:
            for mark, name in {";": "semicolons", "\t": "TABs"}.items():
                if mark in names[0]:
                    cure = f"Save the file with commas between the cells, not {name}"
        raise MalformedCsvError(line, rule, cure)
    unique = tuple(dict.fromkeys(columns))
    reader = RowReader(tuple(columns), unique, tabs=tabs)
    return Table(unique, chain([rest] if rest.data else [], blocks), reader)


@frozen
class RowReader:
    """From blocks to rows, for one file's header.

    Attributes:
        columns: The file's columns.
        unique: The same, each once.
        tabs: Whether a TAB is taken off every cell.
    """

    columns: tuple[str, ...]
    unique: tuple[str, ...]
    tabs: bool = field(kw_only=True)

    def plain(self, block: Block) -> str | None:
        """The block as plain text, where its cells are the rows' as they stand."""
        width = len(self.columns)
        if self.tabs or width != len(self.unique) or width == 1:
            return None
        return block.as_plain(width)

    def rows(self, block: Block) -> list[Row]:
        """The rows of a block."""
        text = self.plain(block)
        if text is not None:
            return [tuple(line.split(",")) for line in text[:-1].split("\n")]
        return [row for _, row in self.numbered(block)]

    def numbered(self, block: Block) -> Iterator[tuple[int, Row]]:
        """The line at which each row begins, and the row; one by one, so it takes longer."""
        for line, cells in block.records():
            yield line, self._row(cells, line)

    def _row(self, cells: list[str], line: int) -> Row:
        if len(cells) != len(self.columns):
            raise MalformedCsvError(
                line, f"the row has {len(cells)} cells and the header {len(self.columns)}"
            )
        if self.tabs:
            cells = [cell.removeprefix("\t") for cell in cells]
        if len(self.unique) == len(self.columns):
            return tuple(cells)
        values = dict[str, str]()
        for column, cell in zip(self.columns, cells, strict=True):
            if values.setdefault(column, cell) != cell:
                raise MalformedCsvError(line, f"the column {column} stands twice and differs")
        return tuple(values.values())


@frozen
class LineReader:
    """From the blocks of one file to the canonical lines of a schema.

    A line that is canonical already is not taken apart.

    Attributes:
        reader: The file's reader.
        places: Where the schema's columns stand in the file's rows, one behind the last
            for those that it lacks; None where the columns are the same.
        key: The place of the key in the schema.
    """

    reader: RowReader
    places: tuple[int, ...] | None
    key: int

    def lines(self, block: Block) -> Lines:
        """The canonical lines of a block's rows.

        Raises:
            MalformedCsvError: As :func:`read_table`.
        """
        text = self.reader.plain(block)
        if text is not None:
            lines = text[:-1].split("\n")
            if self.places is not None:
                places = self.places
                rows = [[*line.split(","), ""] for line in lines]
                lines = [",".join([row[place] for place in places]) for row in rows]
            if not self.key:
                return Lines(lines, None)
            place = self.key  # no quotes here, so each comma ends a cell
            return Lines(lines, [line.split(",", place + 1)[place] for line in lines])
        canonical = self._canonical(block)
        if canonical is not None:
            return Lines(canonical, self._keys(canonical))
        selected = [self.select(row) for _, row in self.reader.numbered(block)]
        return Lines(
            [encode_text(row)[:-1] for row in selected], [row[self.key] for row in selected]
        )

    def first_key(self, block: Block) -> str | None:
        """The key of a block's first row; None where it has no row.

        Raises:
            MalformedCsvError: As :func:`read_table`.
        """
        head = block.first_record()
        return next((self.select(row)[self.key] for _, row in self.reader.numbered(head)), None)

    def select(self, row: Row) -> Row:
        """A row of the schema from one of the file."""
        if self.places is None:
            return row
        cells = (*row, "")
        return tuple([cells[place] for place in self.places])

    def _canonical(self, block: Block) -> list[str] | None:
        """The block's lines where each is canonical as it stands, quotes and all, or None."""
        reader = self.reader
        width = len(reader.columns)
        if self.places is not None or reader.tabs or width != len(reader.unique):
            return None
        if b"\r" in block.data:
            return None
        lines = block.text().removesuffix("\n").split("\n")
        commas = width - 1
        is_canonical = canonical_line(width)
        odd = [line for line in lines if '"' in line or line.count(",") != commas]
        return lines if all(map(is_canonical, odd)) else None

    def _keys(self, lines: list[str]) -> list[str] | None:
        place = self.key
        if place == 0 and not any(line[:1] == '"' for line in lines):
            return None
        return [
            line.split(",", place + 1)[place] if '"' not in line else split_record(line, 0)[place]
            for line in lines
        ]
