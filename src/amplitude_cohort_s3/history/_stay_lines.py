"""The stays of all users as canonical lines, merged from sorted files without a loop over cells.

The files are read side by side, in rounds. A round merges one piece of each file: the rows up to
a key that is the same for all files. The result is one text of lines for the whole round, so rows
are not split into cells. The pieces of larger files are larger, so that all pieces end at about
the same key.

The native kernel, if it is in use, merges almost all rounds. The other rounds are merged in
Python, with the same result: see :mod:`._stay_paths`.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import Factory, define, frozen

from ..format.cells import encode_lines
from ..format.content import first_fault_of
from ..format.csv_blocks import BLOCK_BYTES, Block
from ..format.kernel import HAS_KERNEL, merge_stays
from ..format.reader import LineReader, read_table
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource
from ._stay_paths import KeyedLines, stays_of_round
from .stays import ChangeKind, RowMerge

ROUND_BYTES = 4 << 20
"""The approximate number of bytes that are merged in one round."""

MIN_PIECE_BYTES = 8 << 10
"""The minimum number of bytes of a file in a round, unless there are very many files."""

_MAX_PIECES_BYTES = 8 << 20


@frozen(kw_only=True)
class StaySide:
    """A file that shows changes of users or members, with one row for each key, in order.

    Attributes:
        number: The number of the sync in the history.
        kind: The kind of change that the rows show.
        source: The bytes of the file.
        size: The approximate number of these bytes.
        check: A function that reads the file row by row, to find the first fault in it.
    """

    number: int
    kind: ChangeKind
    source: CsvSource
    size: int
    check: Callable[[], Iterable[object]]


@frozen
class StayLines:
    """Some stays, in the order of the key.

    Attributes:
        lines: A canonical line for each stay, each with its line end.
        entered: For each stay, 1 more than the number of the sync at which the user entered;
            0 if it is not known.
        exited: For each stay, 1 more than the number of the sync at which the user exited;
            0 for a current member.
    """

    lines: bytes
    entered: "array[int]"
    exited: "array[int]"


def stay_lines(
    sides: Sequence[StaySide], schema: RowSchema, merge: RowMerge
) -> Iterator[StayLines]:
    """Yield the stays that result from all changes, in bounded memory.

    Args:
        sides: The files, in the order of the numbers and the kinds.
        schema: The columns of the lines, and the key.
        merge: The rule that combines the rows of one stay.

    Raises:
        ObjectChangedError, MalformedCsvError, MissingColumnsError: A file can't be read.
    """
    total = sum(side.size for side in sides) or 1
    min_size = min(MIN_PIECE_BYTES, _MAX_PIECES_BYTES // (len(sides) or 1))
    sizes = [max(min_size, ROUND_BYTES * side.size // total) for side in sides]
    pieces = [_Piece.begin(side, schema, size) for side, size in zip(sides, sizes, strict=True)]
    merger = _Merger.of(sides, schema, merge)
    while sum(piece.fill() for piece in pieces):
        found = merger.native_round(pieces) or merger.round(pieces)
        if found.entered:
            yield found


@define
class _Piece:
    """The rows of a side that have been read and not merged.

    Attributes:
        side: The side.
        blocks: The blocks of the file that have not been read, in the columns of the stays.
        share: The number of bytes to read before a round.
        pending: The blocks that have been read.
        size: The number of their bytes.
        has_more: False if the end of the file has been read.
    """

    side: StaySide
    blocks: Iterator[Block]
    share: int
    pending: list[Block] = Factory(list[Block])
    size: int = 0
    has_more: bool = True

    @classmethod
    def begin(cls, side: StaySide, schema: RowSchema, share: int) -> "_Piece":
        """Return the piece at the beginning of a side."""
        blocks = _canonical_blocks(side, schema, max(1, min(share, BLOCK_BYTES)))
        return cls(side, blocks, share)

    def fill(self) -> bool:
        """Read more than the share, or all of a smaller file; return False at the end."""
        while self.has_more and self.size <= self.share:
            block = next(self.blocks, None)
            if block is None:
                self.has_more = False
            else:
                self.pending.append(block)
                self.size += block.size
        return self.size > 0

    def text(self) -> bytes:
        """Return all bytes that have been read and not merged."""
        return b"".join([block.data for block in self.pending])

    def keep(self, rest: bytes) -> None:
        """Drop the rows before ``rest``, which are the last ones."""
        if not rest:
            self.pending, self.size = [], 0
        elif len(rest) != self.size:
            last = self.pending[-1]
            line = last.first_line + last.line_ends - rest.count(b"\n")
            self.pending, self.size = [Block(line, rest)], len(rest)


def _canonical_blocks(side: StaySide, schema: RowSchema, size: int) -> Iterator[Block]:
    """Yield the blocks of a side as canonical lines in the columns of a schema."""
    source = side.source
    with first_fault_of(side.check), source.reading():
        table = read_table(source.chunks(), canonical=source.canonical, block_bytes=size)
        reader = schema.line_reader(table, fill=True)
        is_whole = reader.places is None and source.canonical
        for block in table.blocks:
            yield _ended(block) if is_whole else _encoded(block, reader)


def _ended(block: Block) -> Block:
    is_ended = block.data.endswith(b"\n")
    return block if is_ended else Block(block.first_line, block.data + b"\n")


def _encoded(block: Block, reader: LineReader) -> Block:
    return Block(block.first_line, encode_lines(reader.lines(block).lines))


# --- The merge of a round ----------------------------------------------------------------


@frozen
class _Merger:
    """The merge of the pieces of a round.

    Attributes:
        sides: The sides of the pieces.
        schema: The columns of the lines.
        merge: The rule that combines the rows of one stay.
        reader: The reader of the lines of a piece.
        is_native: True if the kernel merges the rounds.
    """

    sides: Sequence[StaySide]
    schema: RowSchema
    merge: RowMerge
    reader: LineReader
    is_native: bool

    @classmethod
    def of(cls, sides: Sequence[StaySide], schema: RowSchema, merge: RowMerge) -> "_Merger":
        table = read_table([schema.header_line], canonical=True)
        is_native = HAS_KERNEL and not merge.has_cells
        return cls(sides, schema, merge, schema.line_reader(table), is_native)

    def native_round(self, pieces: Sequence[_Piece]) -> StayLines | None:
        """Merge a round with the kernel, or return None."""
        if not self.is_native:
            return None
        texts = [piece.text() for piece in pieces]
        found = merge_stays(
            texts,
            [piece.has_more for piece in pieces],
            [(side.number, side.kind) for side in self.sides],
            columns=len(self.schema.columns),
            key=self.schema.key_index,
        )
        if found is None:
            return None
        for piece, text, end in zip(pieces, texts, found.consumed, strict=True):
            piece.keep(text[end:])
        return StayLines(found.lines, found.entered, found.exited)

    def round(self, pieces: Sequence[_Piece]) -> StayLines:
        """Merge a round in Python."""
        read = [self._read(piece) for piece in pieces]
        ends = [
            of.keys[-1] if of.keys else ""
            for of, piece in zip(read, pieces, strict=True)
            if piece.has_more
        ]
        cut = min(ends, default=None)
        merged = list[KeyedLines]()
        for piece, rows in zip(pieces, read, strict=True):
            before, rest = rows.split_after(cut)
            merged.append(before)
            piece.keep(encode_lines(rest.lines))
        return StayLines(*stays_of_round(merged, self.sides, self.merge))

    def _read(self, piece: _Piece) -> KeyedLines:
        keys, lines = list[str](), list[str]()
        with piece.side.source.reading():
            for block in piece.pending:
                found = self.reader.lines(block)
                keys += found.key_list()
                lines += found.lines
        return KeyedLines(keys, lines).without_keyless()
