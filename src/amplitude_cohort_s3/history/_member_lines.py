"""The members at a sync as lines, merged from canonical files many lines at a time."""

from collections.abc import Iterator, Mapping

from attrs import define, field

from ..format.filename import DiffType
from ..format.reader import Lines
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource
from ._key_blocks import count_until


def member_chunks(sources: Mapping[DiffType, CsvSource], schema: RowSchema) -> Iterator[bytes]:
    """Yield the members as canonical CSV, in the order of the key.

    A user in ``exiting`` is not a member. Of two rows with one key, the one with the smaller
    bytes counts: see :mod:`.member_rows`.

    Args:
        sources: The files from which the members follow, in canonical form and in order.
        schema: The columns.

    Raises:
        MissingColumnsError, MalformedCsvError: A file can't be read.
    """
    yield schema.header_line
    sides = {diff_type: _Side(_lines(source, schema)) for diff_type, source in sources.items()}
    while left := [side for side in sides.values() if side.fill()]:
        limit = min(side.keys[-1] for side in left)
        lines = _merged({diff_type: side.take_until(limit) for diff_type, side in sides.items()})
        if lines:
            yield "\n".join([*lines, ""]).encode()


def _lines(source: CsvSource, schema: RowSchema) -> Iterator[Lines]:
    with source.reading():
        table = source.read_table()
        reader = schema.line_reader(table, fill=True)
        yield from map(reader.lines, table.blocks)


@define
class _Side:
    """The lines of one file that are left, with their keys."""

    _blocks: Iterator[Lines]
    keys: list[str] = field(factory=list[str], init=False)
    lines: list[str] = field(factory=list[str], init=False)

    def fill(self) -> bool:
        """Read a block if there is no line; return False at the end of the file."""
        while not self.keys:
            block = next(self._blocks, None)
            if block is None:
                return False
            self.keys, self.lines = block.key_list(), block.lines
        return True

    def take_until(self, limit: str) -> dict[str, str]:
        """Remove and return the lines whose keys are not greater than a limit, by their keys."""
        count = count_until(self.keys, limit)
        taken = dict(zip(self.keys[:count], self.lines[:count], strict=True))
        self.keys, self.lines = self.keys[count:], self.lines[count:]
        return taken


def _merged(files: Mapping[DiffType, dict[str, str]]) -> list[str]:
    """Return the lines of the members among the lines of one range of keys."""
    gone = files.get(DiffType.EXITING, {}).keys()
    ours = [files[t] for t in (DiffType.EXISTING, DiffType.ENTERING) if files.get(t)]
    lines = ours.pop(0) if ours else {}
    in_order = not ours
    for more in ours:
        for key, line in more.items():
            lines[key] = min(line, lines.get(key, line))
    for key in (*gone, ""):  # A row without a key is not a member.
        lines.pop(key, None)
    return [*lines.values()] if in_order else [lines[key] for key in sorted(lines)]
