"""Rows on the local disk, divided into ranges of their key.

A *record* is how a row lies there: its canonical line where that begins with the key as
it is and holds no line end (nearly always), else the key, ``SEPARATOR`` and the line.
Neither form holds a line end, so a text of records is split at the speed of C.
"""

import errno
from array import array
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from itertools import pairwise
from pathlib import Path

from attrs import frozen

from ..errors import DiskFullError
from ..format.reader import Lines

# No text holds a NUL, so nothing in a row can look like these.
SEPARATOR = "\0;"
LINE_END = "\0n"

_KNOWN_PREFIXES = 1 << 17
_CACHED_PREFIXES = 1500

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def room_in(folder: Path) -> Generator[None, None, None]:
    """Turns the system's ways to say that a disk is full into ours.

    Raises:
        DiskFullError: The disk, a quota or a limit of the process leaves no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFullError(str(folder)) from error
        raise


def append(path: Path, data: bytes) -> None:
    """Adds bytes to a file, or makes it.

    Without a buffer: one would try to write once more when it is closed on a full disk.

    Raises:
        DiskFullError: There is no room for them.
    """
    view = memoryview(data)
    with room_in(path.parent), FileIO(path, "ab") as file:
        while view:
            view = view[file.write(view) :]


def _distinguished(a: str, b: str) -> int:
    """How many characters tell two texts apart."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a)) + 1


@frozen
class Ranges:
    """Where the ranges of keys begin.

    Attributes:
        splitters: The first possible key of each range but the first, ascending; none
            longer than ``width``.
        width: So many characters of a key decide on its range.
    """

    splitters: tuple[str, ...] = ()
    width: int = 1

    @classmethod
    def from_sample(cls, keys: Iterable[str], count: int) -> "Ranges":
        """About ``count`` ranges that hold about the same share of a sample.

        If the sample has two keys, there are two ranges at least; keys that agree in many
        characters give fewer ranges than asked for.
        """
        ordered = sorted({*keys} - {""})
        count = min(count, len(ordered))
        if count <= 1:
            return cls()
        picks = [ordered[len(ordered) * i // count] for i in range(count)]
        # As many characters as make the ranges even, while there are so few prefixes that
        # looking them up finds them in the cache: others double the time of it.
        width = _distinguished(ordered[0], ordered[-1])
        while width < len(ordered[-1]) and (
            len({key[: width + 1] for key in ordered}) <= _CACHED_PREFIXES
        ):
            width += 1
        cut = dict.fromkeys(pick[:width] for pick in picks)
        if 2 * len(cut) < count:
            # Too few: then as many as tell nine of ten picks from the one before.
            needed = sorted(_distinguished(a, b) for a, b in pairwise(picks))
            width = needed[len(needed) * 9 // 10]
            cut = dict.fromkeys(pick[:width] for pick in picks)
        return cls(tuple(cut)[1:], width)

    def __len__(self) -> int:
        return len(self.splitters) + 1

    def bounds(self) -> Iterator[tuple[str | None, str | None]]:
        """The first key of each range and that of the next; None at the ends."""
        edges = (None, *self.splitters, None)
        return pairwise(edges)


class _Appenders(dict[str, Callable[[str], None]]):
    """From the first characters of a record to what takes it."""

    def __init__(
        self, splitters: Sequence[str], appenders: Sequence[Callable[[str], None]], end: str
    ) -> None:
        super().__init__()
        self._splitters = splitters
        self._appenders = appenders
        self._end = end

    def __missing__(self, prefix: str) -> Callable[[str], None]:
        if len(self) >= _KNOWN_PREFIXES:
            self.clear()
        key = prefix.partition(self._end)[0]
        # The last appender takes rows without a key.
        place = bisect_right(self._splitters, key) if key else -1
        found = self[prefix] = self._appenders[place]
        return found


@frozen
class Extents:
    """Where records of one range lie in a file: pairs of offset and length."""

    path: Path
    spans: "array[int]"

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.spans[1::2])

    def read(self) -> Iterator[bytes]:
        """The texts as they were written."""
        spans = iter(self.spans)
        with self.path.open("rb", buffering=0) as file:
            for offset, length in zip(spans, spans, strict=True):
                file.seek(offset)
                yield file.read(length)


@frozen
class Spilled:
    """One side of the diff in one range of the key.

    Attributes:
        plain: Where the records are that are lines.
        keyed: Where those are that have the key in front.
    """

    plain: tuple[Extents, ...] = ()
    keyed: tuple[Extents, ...] = ()

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(extents.size for extents in (*self.plain, *self.keyed))

    def load(self, *, keyed: bool) -> list[str]:
        """The records; with ``keyed`` those with the key in front, line ends and all.

        Without it there must be none that need it.
        """
        text = _text(self.plain)
        lines = text.split("\n") if text else []
        if not keyed:
            return lines
        records = keyed_records([line.split(",", 1)[0] for line in lines], lines)
        text = _text(self.keyed)
        if text:
            more = text.split("\n")
            if LINE_END in text:
                more = [record.replace(LINE_END, "\n") for record in more]
            records += more
        return records

    def pieces(self) -> Iterator["Spilled"]:
        """The same in parts, each as large as a batch that was written."""
        for extents in self.plain:
            for i in range(0, len(extents.spans), 2):
                yield Spilled(plain=(Extents(extents.path, extents.spans[i : i + 2]),))
        for extents in self.keyed:
            for i in range(0, len(extents.spans), 2):
                yield Spilled(keyed=(Extents(extents.path, extents.spans[i : i + 2]),))


def _text(parts: Iterable[Extents]) -> str:
    return b"\n".join([text for extents in parts for text in extents.read()]).decode()


@frozen
class Written:
    """What one batch left in the file.

    Attributes:
        path: The file.
        offset: Where its first text begins.
        plain: The length of the text with the lines of each range.
        keyed: That of the text with keys in front; they lie behind the plain ones. Empty
            where no range has any.
        rows: How many rows were in the batch, those without a key too.
        skipped: How many of them had no key.
    """

    path: Path
    offset: int
    plain: "array[int]"
    keyed: "array[int]"
    rows: int
    skipped: int


class Spill:
    """Divides rows into ranges, and writes them batch by batch into one file.

    One file and not one for each range: there is no limit of open files to mind.
    """

    def __init__(self, path: Path, ranges: Ranges) -> None:
        self.path = path
        self.width = ranges.width
        self._size = 0
        count = len(ranges)
        self._plain = [list[str]() for _ in range(count + 1)]
        self._keyed = [list[str]() for _ in range(count + 1)]
        self._append_plain = _Appenders(ranges.splitters, [x.append for x in self._plain], ",")
        self._append_keyed = _Appenders(
            ranges.splitters, [x.append for x in self._keyed], SEPARATOR[0]
        )

    def add(self, batch: Iterable[Lines]) -> Written:
        """Writes a batch of rows.

        Raises:
            DiskFullError: There is no room for them.
        """
        head = slice(self.width)
        rows = 0
        for part in batch:
            rows += len(part.lines)
            if part.keys is None:
                append_plain = self._append_plain
                for line in part.lines:
                    append_plain[line[head]](line)
            else:
                append_keyed = self._append_keyed
                records = keyed_records(part.keys, part.lines)
                kept = records
                if "\n" in "".join(part.lines):
                    kept = [record.replace("\n", LINE_END) for record in records]
                for record, written in zip(records, kept, strict=True):
                    append_keyed[record[head]](written)
        skipped = len(self._plain[-1]) + len(self._keyed[-1])
        offset = self._size
        plain = _texts(self._plain)
        keyed = _texts(self._keyed) if any(self._keyed) else []
        data = b"".join([*plain, *keyed])
        append(self.path, data)
        self._size += len(data)
        return Written(self.path, offset, _lengths(plain), _lengths(keyed), rows, skipped)


def _texts(ranges: list[list[str]]) -> list[bytes]:
    """The text of each range but the last, which has no key; all are empty then."""
    texts = ["\n".join(records).encode() for records in ranges[:-1]]
    for records in ranges:
        records.clear()
    return texts


def _lengths(texts: list[bytes]) -> "array[int]":
    return array("I", map(len, texts))


def keyed_records(keys: Iterable[str], lines: Iterable[str]) -> list[str]:
    """Records with the key in front: their order is that of the keys.

    For the separator begins with the smallest character, which no key has.
    """
    return [f"{key}{SEPARATOR}{line}" for key, line in zip(keys, lines, strict=True)]


class Index:
    """Where everything lies that was written for each range.

    Of each batch only lengths are kept, as its texts lie one behind the other: tables of
    every place would be the most that a large cohort needs of memory.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._written = list[Written]()

    def add(self, written: Written) -> None:
        """Takes in what a batch left in a file."""
        self._written.append(written)

    def __iter__(self) -> Iterator[Spilled]:
        """What there is of each range, in order."""
        plain = self._extents([(b, b.offset, b.plain) for b in self._written])
        keyed = self._extents(
            [(b, b.offset + sum(b.plain), b.keyed) for b in self._written if b.keyed]
        )
        yield from map(Spilled, plain, keyed)

    def _extents(
        self, batches: list[tuple[Written, int, "array[int]"]]
    ) -> Iterator[tuple[Extents, ...]]:
        """For each range, where the texts of some batches lie, which begin at an offset."""
        offsets = [offset for _, offset, _ in batches]
        for number in range(self._count):
            spans = dict[Path, "array[int]"]()
            for place, (batch, _, lengths) in enumerate(batches):
                length = lengths[number]
                if length:
                    spans.setdefault(batch.path, array("Q")).extend((offsets[place], length))
                    offsets[place] += length
            yield tuple(Extents(path, where) for path, where in spans.items())
