r"""Spill files: rows on the local disk, partitioned into key ranges.

The rows of a large cohort do not fit in memory, so they are read in batches. The rows of a batch
are sorted into one list for each key range, and the lists are written one after the other to a
single file. Later, all rows of one range are read from the range's spans in all batches::

    | range 0 | range 1 | range 2 |  | range 0 | range 1 | range 2 |  ...
    ----------- batch 1 -----------  ----------- batch 2 -----------

A *record* is the form of a row in a spill file. It never contains a line end, so a text of
records can be split at line ends, which is fast. There are two forms:

- A *plain* record is the row's canonical line. This form is possible if the line begins with the
  unquoted key and contains no line end, as nearly all lines do.
- A *keyed* record is the key, ``SEPARATOR`` and the canonical line, with ``LINE_END`` in place of
  each line end. This form is always possible.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain
from pathlib import Path

from attrs import frozen

from ..format.kernel import HAS_KERNEL, PartitionedLines, read_spans
from ..format.reader import Lines, cells_at
from ._append import append
from ._boundaries import Boundaries

# No cell contains a NUL, so these texts can't occur in a row. NUL is the smallest character, so
# sorted keyed records are in the order of their keys.
SEPARATOR = "\0;"
LINE_END = "\0n"

_MAX_KNOWN_PREFIXES = 1 << 17
"""The limit of the prefixes that :class:`_RangeLists` remembers, in about 15 MB."""


def keyed_records(keys: Iterable[str], lines: Iterable[str]) -> list[str]:
    """Return the keyed record of each line; line ends are not replaced."""
    return [f"{key}{SEPARATOR}{line}" for key, line in zip(keys, lines, strict=True)]


def keys_of(records: list[str], *, keyed: bool) -> list[str]:
    """Return the key of each record."""
    end = SEPARATOR if keyed else ","
    return [record.split(end, 1)[0] for record in records]


@frozen
class FileSpans:
    """The places of the records of one key range in a file.

    Attributes:
        path: The file.
        spans: The offset and length of each span, alternating.
    """

    path: Path
    spans: "array[int]"

    @property
    def size(self) -> int:
        """The number of bytes of all spans."""
        return sum(self.spans[1::2])

    def __iter__(self) -> Iterator["FileSpans"]:
        """Yield each span by itself."""
        for i in range(0, len(self.spans), 2):
            yield FileSpans(self.path, self.spans[i : i + 2])

    def text(self) -> bytes:
        """Return the records of all spans, separated by line ends."""
        with self.path.open("rb", buffering=0) as file:
            found = read_spans(file, self.spans) if HAS_KERNEL else None
            if found is not None:
                return found
            texts, spans = list[bytes](), iter(self.spans)
            for offset, length in zip(spans, spans, strict=True):
                file.seek(offset)
                texts.append(file.read(length))
        return b"\n".join(texts)


@frozen
class RangeRows:
    """The rows of one side of the diff in one key range, on the disk.

    Attributes:
        plain: The places of the plain records.
        keyed: The places of the keyed records.
        key: The position of the key in the plain records. The Python code writes plain records
            only if the position is 0. The kernel writes only plain records.
    """

    plain: tuple[FileSpans, ...] = ()
    keyed: tuple[FileSpans, ...] = ()
    key: int = 0

    @property
    def needs_keys(self) -> bool:
        """True if the rows can be loaded only as keyed records."""
        return bool(self.keyed) or self.key > 0

    def text(self) -> bytes:
        """Return all plain records, separated by line ends."""
        return _read(self.plain)

    @property
    def size(self) -> int:
        """The number of bytes."""
        return sum(spans.size for spans in (*self.plain, *self.keyed))

    def __add__(self, other: "RangeRows") -> "RangeRows":
        """Return the rows of both."""
        plain, keyed = self.plain + other.plain, self.keyed + other.keyed
        return RangeRows(_by_file(plain), _by_file(keyed), self.key)

    def load(self, *, keyed: bool) -> list[str]:
        """Return all rows as keyed records, or as plain records.

        The line ends in keyed records are restored. Plain records can be loaded only if
        ``needs_keys`` is false.
        """
        text = self.text().decode()
        plain = text.split("\n") if text else []
        if not keyed:
            return plain
        keys = cells_at(plain, self.key) if self.key else keys_of(plain, keyed=False)
        records = keyed_records(keys, plain)
        text = _read(self.keyed).decode()
        if text:
            more = text.split("\n")
            if LINE_END in text:
                more = [record.replace(LINE_END, "\n") for record in more]
            records += more
        return records

    def in_portions(self) -> Iterator["RangeRows"]:
        """Yield the rows in portions, one for each batch."""
        for spans in self.plain:
            yield from (RangeRows(plain=(span,), key=self.key) for span in spans)
        for spans in self.keyed:
            yield from (RangeRows(keyed=(span,)) for span in spans)


def _by_file(files: Iterable[FileSpans]) -> tuple[FileSpans, ...]:
    spans = dict[Path, "array[int]"]()
    for file in files:
        spans.setdefault(file.path, array("Q")).extend(file.spans)
    return tuple(FileSpans(path, found) for path, found in spans.items())


def _read(files: Iterable[FileSpans]) -> bytes:
    return b"\n".join([spans.text() for spans in files])


@frozen
class BatchLayout:
    """The layout of one batch in a spill file: all plain records, then all keyed records.

    Attributes:
        path: The spill file.
        offset: The offset of the batch.
        plain: The number of bytes of each range's plain records.
        keyed: The number of bytes of each range's keyed records; empty if there are none.
        rows: The number of rows, including those without a key.
        skipped: The number of rows without a key.
    """

    path: Path
    offset: int
    plain: "array[int]"
    keyed: "array[int]"
    rows: int
    skipped: int


class SpillFile:
    """A file to which batches of rows are written, partitioned into key ranges.

    All ranges share one file, so the limit of open files is never reached.
    """

    def __init__(self, path: Path, boundaries: Boundaries) -> None:
        self._path = path
        self._size = 0
        self._plain = _RangeLists(boundaries, key_end=",")
        self._keyed = _RangeLists(boundaries, key_end=SEPARATOR)

    def write(self, batch: Iterable[Lines]) -> BatchLayout:
        """Write a batch of rows."""
        rows = 0
        for part in batch:
            rows += len(part.lines)
            if part.keys is None:
                self._plain.add(part.lines)
            else:
                records = texts = keyed_records(part.keys, part.lines)
                if "\n" in "".join(part.lines):
                    texts = [record.replace("\n", LINE_END) for record in records]
                self._keyed.add_texts(records, texts)
        plain, skipped = self._plain.take()
        keyed, skipped_keyed = self._keyed.take()
        return self._append(
            b"".join([*plain, *keyed]),
            array("I", map(len, plain)),
            array("I", map(len, keyed) if any(keyed) else ()),
            rows,
            skipped + skipped_keyed,
        )

    def write_lines(self, data: memoryview, lines: PartitionedLines) -> BatchLayout:
        """Write a batch of plain records that the kernel has partitioned."""
        return self._append(data, lines.lengths, array("I"), lines.rows, lines.skipped)

    def _append(
        self,
        data: bytes | memoryview,
        plain: "array[int]",
        keyed: "array[int]",
        rows: int,
        skipped: int,
    ) -> BatchLayout:
        append(self._path, data)
        offset, self._size = self._size, self._size + len(data)
        return BatchLayout(self._path, offset, plain, keyed, rows, skipped)


class _RangeLists:
    """One list of records for each key range, and a last one for rows without a key.

    A dict maps the first characters of a record to the ``append`` method of its list, so one
    lookup finds the list. A prefix that is not in the dict yet is searched among the splitters.
    """

    def __init__(self, boundaries: Boundaries, key_end: str) -> None:
        self._lists = [list[str]() for _ in range(len(boundaries) + 1)]
        self._boundaries = boundaries
        self._key_end = key_end[0]
        self._appenders = dict[str, Callable[[str], None]]()

    def add(self, records: Iterable[str]) -> None:
        """Append each record to the list of its range: :meth:`add_texts`, but faster."""
        appenders, head = self._appenders, slice(self._boundaries.width)
        for record in records:
            try:
                append_to_list = appenders[record[head]]
            except KeyError:
                append_to_list = self._find_appender(record[head])
            append_to_list(record)

    def add_texts(self, records: Iterable[str], texts: Iterable[str]) -> None:
        """Append each text to the list of the range of the record at the same position."""
        appenders, head = self._appenders, slice(self._boundaries.width)
        for record, text in zip(records, texts, strict=True):
            append_to_list = appenders.get(record[head]) or self._find_appender(record[head])
            append_to_list(text)

    def _find_appender(self, prefix: str) -> Callable[[str], None]:
        key = prefix.partition(self._key_end)[0]
        place = bisect_right(self._boundaries.splitters, key) if key else -1
        found = self._lists[place].append
        if len(self._appenders) < _MAX_KNOWN_PREFIXES:
            self._appenders[prefix] = found
        return found

    def take(self) -> tuple[list[bytes], int]:
        """Empty the lists; return the text of each range and the number of rows without a key."""
        texts = ["\n".join(records).encode() for records in self._lists[:-1]]
        skipped = len(self._lists[-1])
        for records in self._lists:
            records.clear()
        return texts, skipped


class RangeIndex:
    """The places of the rows of every key range in the spill files.

    Only the lengths are kept, four bytes for each range and batch. Offsets follow from
    them, because the texts of a batch are written one after the other.

    Attributes:
        rows: The number of rows, including those without a key.
        skipped: The number of rows without a key, which are not stored.
    """

    def __init__(self, count: int, key: int = 0) -> None:
        self.rows = self.skipped = 0
        self._count = count
        self._key = key
        self._batches = list[BatchLayout]()

    def add(self, layout: BatchLayout) -> None:
        """Add the rows of a batch."""
        self._batches.append(layout)
        self.rows += layout.rows
        self.skipped += layout.skipped

    def __iter__(self) -> Iterator[RangeRows]:
        """Yield the rows of each range, in order."""
        plain = self._spans([(b.path, b.offset, b.plain) for b in self._batches])
        keyed = self._spans(
            [(b.path, b.offset + sum(b.plain), b.keyed) for b in self._batches if b.keyed]
        )
        return (RangeRows(p, k, self._key) for p, k in zip(plain, keyed, strict=True))

    def _spans(
        self, batches: list[tuple[Path, int, "array[int]"]]
    ) -> Iterator[tuple[FileSpans, ...]]:
        """Yield the spans of each range, from the offset and the lengths of each batch."""
        paths = dict.fromkeys(path for path, _, _ in batches)
        # For each file, an iterator over the ranges. Each item has the offset and length of the
        # range in each batch of the file.
        spans = {
            path: zip(
                *(
                    zip(accumulate(lengths, initial=offset), lengths, strict=False)
                    for of, offset, lengths in batches
                    if of == path
                ),
                strict=True,
            )
            for path in paths
        }
        for _ in range(self._count):
            found = ((path, [s for s in next(of_path) if s[1]]) for path, of_path in spans.items())
            yield tuple(
                FileSpans(path, array("Q", chain.from_iterable(some)))
                for path, some in found
                if some
            )
