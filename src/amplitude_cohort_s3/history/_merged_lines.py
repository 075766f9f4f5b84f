"""The members of a sync, merged from the lines of its canonical files.

The members are ``(entering | existing) - exiting``. The files are in the order of the keys. They
are read in blocks, and each step handles all rows up to the smallest key at which a block ends. In
a step, the lines of the file with the most rows stay as they are. A binary search finds the places
at which the few rows of the other files are inserted, or remove a row.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator, Mapping

from attrs import define, field

from ..format.cells import encode_lines
from ..format.filename import DiffType
from ..format.reader import Lines
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource


def merged_lines(sources: Mapping[DiffType, CsvSource], schema: RowSchema) -> Iterator[bytes]:
    """Yield the lines of the members, in the order of the key, many at a time.

    Args:
        sources: The files from which the members follow. Each file is canonical, so it has one
            row for each key, in the order of the keys.
        schema: The columns of the lines, and the key.

    Raises:
        MissingColumnsError, MalformedCsvError: A file can't be read.
    """
    for step in line_parts((source, schema) for source in sources.values()):
        taken = dict(zip(sources, step, strict=True))
        exiting = taken.pop(DiffType.EXITING, None)
        removed = dict[str, str | None]() if exiting is None else exiting.without_lines()
        parts = sorted(taken.values(), key=LinePart.__len__)
        changes = dict[str, str | None]()
        for part in parts[:-1]:
            for key, line in part.items():
                changes[key] = _smaller(line, changes.get(key))
        lines = parts[-1].changed(changes | removed)
        if lines:
            yield encode_lines(lines)


def line_parts(sides: Iterable[tuple[CsvSource, RowSchema]]) -> Iterator[list["LinePart"]]:
    """Read files side by side, and yield the rows of each up to a key that is the same for all.

    Args:
        sides: Canonical files, each with the schema of its lines. All schemas have one key.

    Raises:
        MissingColumnsError, MalformedCsvError: A file can't be read.
    """
    files = [_File(_lines_of(source, schema)) for source, schema in sides]
    while True:
        for file in files:
            file.read_on()
        ends = [file.last_key for file in files if not file.is_at_end]
        if not ends:
            return
        end = min(ends)
        yield [file.take(end) for file in files]


def _smaller(line: str, other: str | None) -> str:
    # Texts have the order of their bytes in UTF-8.
    return line if other is None else min(line, other)


def _lines_of(source: CsvSource, schema: RowSchema) -> Iterator[Lines]:
    with source.reading():
        table = source.read_table()
        reader = schema.line_reader(table, fill=True)
        for block in table.blocks:
            yield reader.lines(block)


@define
class LinePart:
    """Some rows of a block, which are in the order of their keys."""

    rows: Lines
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def key(self, place: int) -> str:
        """Return the key of the row at a place of the block."""
        if self.rows.keys is not None:
            return self.rows.keys[place]
        return self.rows.lines[place].partition(",")[0]

    @property
    def lines(self) -> list[str]:
        """The lines."""
        return self.rows.lines[self.begin : self.end]

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield the key and the line of each row."""
        for place in range(self.begin, self.end):
            yield self.key(place), self.rows.lines[place]

    def items_without(self, lines: Container[str]) -> Iterator[tuple[str, str]]:
        """Yield the key and the line of each row whose line is not one of ``lines``."""
        for place in range(self.begin, self.end):
            if self.rows.lines[place] not in lines:
                yield self.key(place), self.rows.lines[place]

    def without_lines(self) -> dict[str, str | None]:
        """Return the keys, with None for each."""
        return dict.fromkeys(map(self.key, range(self.begin, self.end)))

    def changed(self, changes: Mapping[str, str | None]) -> list[str]:
        """Return the lines after changes: for each key its new line, or None to remove the row.

        Of two rows with one key, the one with the smaller bytes counts.
        """
        lines, places = self.rows.lines, range(self.end)
        result, copied = list[str](), self.begin
        for key, line in sorted(changes.items()):
            place = bisect_left(places, key, copied, key=self.key)
            result += lines[copied:place]
            is_known = place < self.end and self.key(place) == key
            copied = place + is_known
            if line is not None:
                result.append(min(line, lines[place]) if is_known else line)
        return result + lines[copied : self.end]


_NO_ROWS = Lines([], [])


@define
class _File:
    """A file that is read block by block."""

    blocks: Iterator[Lines]
    rest: LinePart = field(init=False, factory=lambda: LinePart(_NO_ROWS, 0, 0))
    is_at_end: bool = field(init=False, default=False)

    def read_on(self) -> None:
        """Read the next block if all rows so far were taken."""
        while not self.rest and not self.is_at_end:
            rows = next(self.blocks, None)
            self.is_at_end = rows is None
            self.rest = LinePart(rows or _NO_ROWS, 0, len(rows.lines) if rows else 0)
            self.take("")  # Rows without a key are not members.

    @property
    def last_key(self) -> str:
        """The key of the last row of the block."""
        return self.rest.key(self.rest.end - 1)

    def take(self, end: str) -> LinePart:
        """Remove and return the rows up to a key."""
        rest, place = self.rest, self.rest.end
        # If the last key is not greater, all rows are taken, even if a damaged file is out of
        # order. So each step takes a row, and the steps end.
        if rest and self.last_key > end:
            place = bisect_right(range(rest.end), end, rest.begin, key=rest.key)
        self.rest = LinePart(rest.rows, place, rest.end)
        return LinePart(rest.rows, rest.begin, place)
