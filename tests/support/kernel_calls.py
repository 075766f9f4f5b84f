"""Calls of the native kernel, with the results that Python code computes for them.

Each class is a call of one function. `expected` is the result by the library's own rules for
CSV and a few lines of Python. `run` calls the function of the extension module. `encoded` and
`encoded_result` are the forms in which `kernel/harness.c` reads and writes the same.
"""

import re
from array import array
from bisect import bisect_right
from itertools import accumulate, pairwise
from struct import pack, unpack
from tempfile import TemporaryFile
from typing import Any, Protocol

from attrs import field, frozen

from amplitude_cohort_s3.errors import MalformedCsvError
from amplitude_cohort_s3.format._header import read_header
from amplitude_cohort_s3.format.cells import encode_text
from amplitude_cohort_s3.format.csv_blocks import Block, split_record
from amplitude_cohort_s3.format.reader import LineReader, RowReader
from amplitude_cohort_s3.history.stays import RowMerge, stays_of

MAX_CONFLICTS = 1000
NO_CELL = 255
MAX_SHORT = 12
_FLOAT = re.compile(rb"[+-]?(?:[0-9]+[.][0-9]*|[.][0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?")
_DONE, _REFUSED = 0, 1


class Call(Protocol):
    """A call of a function of the kernel."""

    def run(self, kernel: Any) -> object:
        """Return the result of the extension module."""

    def expected(self) -> object:
        """Return the result that it should have."""

    def encoded(self) -> bytes:
        """Return the call for the harness."""

    def encoded_result(self) -> bytes:
        """Return the expected result as the harness writes it."""


def keyed_lines(data: bytes, width: int, key: int) -> list[tuple[bytes, bytes]] | None:
    """Return the key and the line of each row, or None if the kernel must refuse them."""
    if b"\r" in data or b"\0" in data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    found = []
    for line in text.removesuffix("\n").split("\n") if text else []:
        try:
            cells = split_record(line, 1)
        except MalformedCsvError:
            return None
        is_canonical = len(cells) == width and encode_text(cells) == f"{line}\n"
        if not is_canonical or "," in cells[key] or '"' in cells[key]:
            return None
        found.append((cells[key].encode(), line.encode()))
    return found


@frozen(kw_only=True)
class PartitionCall:
    lines: bytes
    width: int
    key: int
    prefix: bytes = b""
    heads: tuple[bytes, ...] = ()
    out_size: int | None = None

    def run(self, kernel):
        out = bytearray(len(self.lines))
        heads = b"".join(self.heads)
        found = kernel.partition(self.lines, out, self.width, self.key, self.prefix, heads)
        if found is None:
            return None
        rows, skipped, lengths = found[0], found[1], array("I", found[2])
        return rows, skipped, list(lengths), bytes(out[: sum(lengths)])

    def expected(self):
        rows = keyed_lines(self.lines, self.width, self.key)
        too_small = self.out_size is not None and self.out_size < len(self.lines)
        if rows is None or too_small or len(self.heads) > (1 << 16) - 2:
            return None
        splitters = [self.prefix + head.rstrip(b"\0") for head in self.heads]
        ranges = [[] for _ in range(len(splitters) + 1)]
        for key, line in rows:
            if key:
                ranges[bisect_right(splitters, key)].append(line)
        texts = [b"\n".join(lines) for lines in ranges]
        skipped = sum(not key for key, _ in rows)
        return len(rows), skipped, [len(text) for text in texts], b"".join(texts)

    def encoded(self):
        texts = (self.lines, self.prefix, b"".join(self.heads), None)
        out_size = len(self.lines) if self.out_size is None else self.out_size
        return _encoded("p", self.width, self.key, 0, 0, out_size, texts)

    def encoded_result(self):
        expected = self.expected()
        if expected is None:
            return _number(_REFUSED)
        rows, skipped, lengths, text = expected
        return _numbers(_DONE, rows, skipped, *lengths) + _text(text)


@frozen(kw_only=True)
class JoinCall:
    before: bytes
    now: bytes
    width: int
    key: int
    begin: bytes | None = None
    end: bytes | None = None
    is_sorted: bool = False
    meaning: int = 0
    lacking: int = 0

    def run(self, kernel):
        return kernel.join(
            self.before,
            self.now,
            self.width,
            self.key,
            self.begin,
            self.end,
            self.is_sorted,
            self.meaning,
            MAX_CONFLICTS,
            self.lacking,
        )

    def _is_within(self, key):
        return (self.begin is None or self.begin <= key) and (self.end is None or key < self.end)

    def expected(self):
        previous = keyed_lines(self.before, self.width, self.key)
        current = keyed_lines(self.now, self.width, self.key)
        if previous is None or current is None:
            return None
        keys = [key for key, _ in previous]
        if self.is_sorted and keys != sorted(set(keys)):
            return None
        arrived = sorted((key, line) for key, line in current if self._is_within(key))
        before, now, conflicts = {}, {}, {}
        for key, line in sorted(previous):
            if self._is_within(key):
                before.setdefault(key, line)
        for key, line in arrived:
            if now.setdefault(key, line) != line:
                conflicts[key] = None
        entering = [now[key] for key in now if key not in before]
        exiting = [before[key] for key in before if key not in now]
        existing = (
            list(now.values()),
            [now[key] for key in now if key in before],
            [now.get(key, line) for key, line in before.items()],
        )[self.meaning]
        new_or_changed = [
            line
            for key, line in now.items()
            if before.get(key) != line or (self.key == 0 and key in conflicts)
        ]
        return (
            len(before),
            len(arrived),
            len(now),
            len(conflicts),
            [key.decode() for key in conflicts][:MAX_CONFLICTS],
            _ended(now.values()),
            _ended(entering),
            _ended(exiting),
            _ended(existing),
            len(entering),
            len(exiting),
            len(existing),
            _filled(_ended(now.values()), self.width),
            any(_FLOAT.fullmatch(line.split(b",", 1)[0]) for line in new_or_changed),
            sum(
                self._compared(before.get(key, line)) != self._compared(line)
                for key, line in now.items()
            ),
        )

    def encoded(self):
        texts = (self.before, self.now, self.begin, self.end)
        numbers = (self.width, self.key, self.meaning, self.is_sorted, self.lacking)
        return _encoded("j", *numbers, texts)

    def _compared(self, line):
        cells = re.findall(rb'(?:^|,)((?:"[^"]*"|[^",])*)', line)
        return [cell for place, cell in enumerate(cells) if not self.lacking >> place & 1]

    def encoded_result(self):
        expected = self.expected()
        if expected is None:
            return _number(_REFUSED)
        counts, conflicts, texts = expected[:4], expected[4], list(expected[5:9])
        sizes = [expected[2], *expected[9:12]]
        if self.meaning == 0:
            texts[3], sizes[3] = b"", 0
        return b"".join(
            [
                _numbers(_DONE, *counts),
                *[_text(key.encode()) for key in conflicts],
                *[_number(n) + _text(text) for n, text in zip(sizes, texts, strict=True)],
                _numbers(*expected[12], *expected[13:]),
            ]
        )


@frozen(kw_only=True)
class CanonizeCall:
    rows: bytes
    width: int
    places: tuple[int, ...] | None = None
    out_size: int

    def _places(self):
        return None if self.places is None else bytes(self.places)

    def run(self, kernel):
        out = bytearray(self.out_size)
        size = kernel.canonize(self.rows, out, self.width, self._places())
        return None if size is None else bytes(out[:size])

    def expected(self):
        names = ["amplitudeID", "userID", *(f"p{n}" for n in range(2, self.width))]
        header = read_header(names, 1, canonical=True, unequal=None)
        places = self.places
        if self.width >= NO_CELL or (places is not None and not self._are_valid(places)):
            return None
        if self.rows.count(b'"') % 2:
            return None  # A quoted cell is never closed: no block of the library is like this.
        if places is not None:
            places = tuple(self.width if place == NO_CELL else place for place in places)
        reader = LineReader(RowReader(header), places, 0)
        end = self.rows.rfind(b"\n") + 1
        try:
            if any("\n" in cell for _, row in Block(1, self.rows).records() for cell in row):
                return None
            # The library reads a last line without a line end as a block of its own.
            parts = [part for part in (self.rows[:end], self.rows[end:]) if part]
            lines = [line for part in parts for line in reader.lines(Block(1, part)).lines]
        except MalformedCsvError:
            return None
        text = "".join(f"{line}\n" for line in lines).encode()
        return None if len(text) > self.out_size else text

    def _are_valid(self, places):
        return len(places) > 0 and all(p < self.width or p == NO_CELL for p in places)

    def encoded(self):
        texts = (self.rows, self._places(), None, None)
        return _encoded("c", self.width, 0, 0, 0, self.out_size, texts)

    def encoded_result(self):
        expected = self.expected()
        return _number(_REFUSED) if expected is None else _number(_DONE) + _text(expected)


@frozen(kw_only=True)
class CountFilledCall:
    lines: bytes
    width: int

    def run(self, kernel):
        return kernel.count_filled(self.lines, self.width)

    def expected(self):
        return _filled(self.lines, self.width)

    def encoded(self):
        return _encoded("f", self.width, 0, 0, 0, 0, (self.lines, None, None, None))

    def encoded_result(self):
        expected = self.expected()
        return _number(_REFUSED) if expected is None else _numbers(_DONE, *expected)


@frozen(kw_only=True)
class ColumnsCall:
    lines: bytes
    width: int
    stride: int
    as_views: bool
    missing: int = 0
    """The number of bytes by which the buffer is too small."""

    @property
    def _begin(self):
        return self.width * self.stride * (16 if self.as_views else 4)

    @property
    def _out_size(self):
        return max(0, self._begin + len(self.lines) - self.missing)

    def run(self, kernel):
        out = bytearray(self._out_size)
        found = kernel.columns(self.lines, out, self.width, self.stride, self.as_views)
        if found is None:
            return None
        rows, sizes = found[0], array("I", found[1])
        if self.as_views:
            views = [out[at * 16 : at * 16 + 16] for at in range(self.width * self.stride)]
            columns = [views[at : at + rows] for at in range(0, len(views), self.stride)]
            long = bytes(out[self._begin :])
            return rows, [[_viewed(view, long) for view in of] for of in columns], [*sizes]
        offsets, begin, columns = memoryview(out)[: self._begin].cast("I"), self._begin, []
        for column, size in enumerate(sizes):
            place = column * self.stride
            columns.append(([*offsets[place : place + rows + 1]], bytes(out[begin : begin + size])))
            begin += size
        return rows, columns

    def expected(self):
        if self.missing or not self.stride:
            return None
        rows = canonical_rows(self.lines, self.width)
        if rows is None or len(rows) >= self.stride:
            return None
        columns = [[row[column].encode() for row in rows] for column in range(self.width)]
        sizes = [[len(cell) for cell in cells] for cells in columns]
        if self.as_views:
            return len(rows), columns, [sum(n for n in of if n > MAX_SHORT) for of in sizes]
        return len(rows), [
            ([*accumulate(of, initial=0)], b"".join(cells))
            for of, cells in zip(sizes, columns, strict=True)
        ]

    def encoded(self):
        texts = (self.lines, None, None, None)
        numbers = (self.width, self.stride, self.as_views, 0, self._out_size)
        return _encoded("t", *numbers, texts)

    def encoded_result(self):
        expected = self.expected()
        if expected is None:
            return _number(_REFUSED)
        rows, columns, *sizes = expected
        texts = [
            b"".join(map(_text, of)) if self.as_views else _numbers(*of[0]) + _text(of[1])
            for of in columns
        ]
        return _numbers(_DONE, rows) + b"".join(texts) + b"".join(_numbers(*of) for of in sizes)


def _viewed(view: bytes, long: bytes) -> bytes:
    """Return the text of a view of Arrow, whose other bytes must be as Arrow defines them."""
    size, head, buffer, offset = unpack("=I4sII", view)
    if size <= MAX_SHORT:
        assert not any(view[4 + size :])
        return bytes(view[4 : 4 + size])
    text = long[offset : offset + size]
    assert (buffer, head, len(text)) == (0, text[:4], size)
    return text


def canonical_rows(data: bytes, width: int) -> list[list[str]] | None:
    """Return the cells of canonical rows, or None if the kernel must refuse them."""
    try:
        records = Block(1, data).records() if data else iter(())
        rows = [cells for _, cells in records]
    except MalformedCsvError:
        return None
    text = "".join(map(encode_text, rows)).encode()
    is_canonical = data in (text, text.removesuffix(b"\n"))
    return rows if is_canonical and all(len(cells) == width for cells in rows) else None


@frozen(kw_only=True)
class CheckCall:
    lines: bytes
    width: int
    key: int
    after: bytes = b""

    def run(self, kernel):
        return kernel.check(self.lines, self.width, self.key, self.after)

    def expected(self):
        rows = keyed_lines(self.lines, self.width, self.key)
        if rows is None or (self.lines and not self.lines.endswith(b"\n")):
            return None
        keys = [self.after, *(key for key, _ in rows)]
        ascends = all(before < key for before, key in pairwise(keys))
        return len(rows), ascends, _filled(self.lines, self.width), keys[-1]

    def encoded(self):
        texts = (self.lines, self.after, None, None)
        return _encoded("o", self.width, self.key, 0, 0, 0, texts)

    def encoded_result(self):
        expected = self.expected()
        if expected is None:
            return _number(_REFUSED)
        rows, ascends, filled, last = expected
        return _numbers(_DONE, rows, ascends, *filled) + _text(last)


@frozen(kw_only=True)
class KeysCall:
    lines: bytes
    width: int
    key: int
    out_size: int

    def run(self, kernel):
        out = bytearray(self.out_size)
        size = kernel.keys(self.lines, out, self.width, self.key)
        return None if size is None else bytes(out[:size])

    def expected(self):
        rows = keyed_lines(self.lines, self.width, self.key)
        text = None if rows is None else _ended(key for key, _ in rows)
        return None if text is None or len(text) > self.out_size else text

    def encoded(self):
        texts = (self.lines, None, None, None)
        return _encoded("k", self.width, self.key, 0, 0, self.out_size, texts)

    def encoded_result(self):
        expected = self.expected()
        return _number(_REFUSED) if expected is None else _number(_DONE) + _text(expected)


@frozen
class SidesCall:
    """The harness passes at most four texts."""

    texts: tuple[bytes, ...]

    def run(self, kernel):
        return kernel.sides(*self.texts)

    def expected(self):
        keys = [_ended_keys(text) for text in self.texts]
        taken, counts = [0] * len(keys), dict[int, int]()
        sides = [side for side, of in enumerate(keys) if of]
        while sides and all(taken[side] < len(keys[side]) for side in sides):
            first = {side: keys[side][taken[side]].removesuffix(b"\n") for side in sides}
            least = min(first.values())
            on = [side for side in sides if first[side] == least]
            for side in on:
                taken[side] += 1
            number = sum(1 << side for side in on)
            counts[number] = counts.get(number, 0) + 1
        rests = (sum(map(len, of[:count])) for of, count in zip(keys, taken, strict=True))
        return tuple(counts.items()), tuple(rests)

    def encoded(self):
        texts = [*self.texts, None, None, None, None][:4]
        return _encoded("u", len(self.texts), 0, 0, 0, 0, texts)

    def encoded_result(self):
        counts, rests = self.expected()
        pairs = [number for pair in counts for number in pair]
        return _numbers(_DONE, len(counts), *pairs, *rests)


def _ended_keys(text):
    """Return the keys of a text with their line ends."""
    *ended, last = text.split(b"\n")
    return [key + b"\n" for key in ended] + ([last] if last else [])


@frozen
class IsFloatTextCall:
    """A function that the module does not have by itself: `join` uses it."""

    text: bytes
    width: int = field(default=2, init=False)

    def run(self, kernel):
        line = self.text + b",x"
        found = kernel.join(b"", line, 2, 1, None, None, 0, 0, MAX_CONFLICTS)
        return found[13]

    def expected(self):
        return _FLOAT.fullmatch(self.text) is not None

    def encoded(self):
        return _encoded("i", 2, 0, 0, 0, 0, (self.text, None, None, None))

    def encoded_result(self):
        return _numbers(_DONE, self.expected())


@frozen
class CountLineEndsCall:
    text: bytes
    width: int = field(default=2, init=False)

    def run(self, kernel):
        return kernel.count_line_ends(self.text)

    def expected(self):
        return self.text.count(b"\n")

    def encoded(self):
        return _encoded("l", 2, 0, 0, 0, 0, (self.text, None, None, None))

    def encoded_result(self):
        return _numbers(_DONE, self.expected())


@frozen(kw_only=True)
class ReadSpansCall:
    """The module has no `out_size`: it makes room for all spans."""

    file: bytes
    spans: tuple[tuple[int, int], ...]
    out_size: int

    @classmethod
    def of(cls, file, *spans, missing=0):
        """Return a call with just the room for the text, or with less."""
        size = sum(size for _, size in spans) + max(0, len(spans) - 1)
        return cls(file=file, spans=spans, out_size=max(0, size - missing))

    def run(self, kernel):
        numbers = array("Q", [number for span in self.spans for number in span])
        with TemporaryFile(buffering=0) as file:
            file.write(self.file)
            return kernel.read_spans(file.fileno(), numbers.tobytes())

    def expected(self):
        parts = [self.file[offset : offset + size] for offset, size in self.spans]
        text = b"\n".join(parts)
        is_whole = [len(part) for part in parts] == [size for _, size in self.spans]
        return text if is_whole and len(text) == self.out_size else None

    def encoded(self):
        spans = b"".join(pack(">QQ", *span) for span in self.spans)
        return _encoded("r", 2, 0, 0, 0, self.out_size, (self.file, spans, None, None))

    def encoded_result(self):
        expected = self.expected()
        return _number(_REFUSED) if expected is None else _number(_DONE) + _text(expected)


@frozen
class Refused:
    """A call of the harness that must be refused, as its text is too large."""

    call: Call

    def encoded(self):
        return self.call.encoded()

    def encoded_result(self):
        return _number(_REFUSED)


@frozen(kw_only=True)
class StaysCall:
    """Sides are tuples of lines, the number of the sync, the kind, and True if there are more."""

    sides: tuple[tuple[bytes, int, int, bool], ...]
    width: int
    key: int
    out_size: int | None = None

    @property
    def _out_size(self):
        enough = sum(len(lines) + 1 for lines, *_ in self.sides)
        return enough if self.out_size is None else self.out_size

    def run(self, kernel):
        out = bytearray(self._out_size)
        numbers = array("I", [number for _, number, _, _ in self.sides])
        kinds = bytes(kind + 4 * more for _, _, kind, more in self.sides)
        texts = tuple(lines for lines, *_ in self.sides)
        found = kernel.stays(texts, numbers.tobytes(), kinds, out, self.width, self.key)
        if found is None:
            return None
        size, entered, exited, consumed = found
        return bytes(out[:size]), [*array("I", entered)], [*array("I", exited)], consumed

    def expected(self):
        if any(text_fault(lines) for lines, *_ in self.sides):
            return None
        last_keys = [self._last_key(lines) for lines, _, _, more in self.sides if more]
        if None in last_keys:
            return None
        cut = min(last_keys, default=None)
        sides = [self._read(lines, cut) for lines, *_ in self.sides]
        if None in sides or (cut is not None and not any(end for _, end in sides)):
            return None
        changes = [
            (key, place, number, kind, line)
            for place, ((_, number, kind, _), (rows, _)) in enumerate(
                zip(self.sides, sides, strict=True)
            )
            for key, line in rows
        ]
        ordered = [(key, number, kind, (line,)) for key, _, number, kind, line in sorted(changes)]
        stays = list(stays_of(ordered, RowMerge(())))
        text = _ended(stay.row[0] for stay in stays)
        if len(text) > self._out_size:
            return None
        entered, exited = (
            [0 if number is None else number + 1 for number in numbers]
            for numbers in ([stay.entered for stay in stays], [stay.exited for stay in stays])
        )
        return text, entered, exited, tuple(end for _, end in sides)

    def _last_key(self, lines):
        last = lines.removesuffix(b"\n").rsplit(b"\n", 1)[-1]
        rows = keyed_lines(last, self.width, self.key)
        return rows[0][0] if rows else None

    def _read(self, lines, cut):
        """Return the rows up to a key, and the place after them; None if they are refused."""
        rows, end = [], 0
        for line in lines.splitlines(keepends=True):
            found = keyed_lines(line, self.width, self.key)
            if not found or line == b"\n":
                return None
            ((key, text),) = found
            if cut is not None and key > cut:
                break
            if key and rows and rows[-1][0] >= key:
                return None
            rows += [(key, text)] if key else []
            end += len(line)
        return rows, end

    def encoded(self):
        texts = [lines for lines, *_ in self.sides] + [None] * (3 - len(self.sides))
        changes = [pack("<IB", number, kind + 4 * more) for _, number, kind, more in self.sides]
        texts = (*texts, b"".join(changes))
        return _encoded("s", self.width, self.key, 0, 0, self._out_size, texts)

    def encoded_result(self):
        expected = self.expected()
        if expected is None:
            return _number(_REFUSED)
        text, entered, exited, consumed = expected
        stays = [_numbers(*pair) for pair in zip(entered, exited, strict=True)]
        return b"".join(
            [_number(_DONE), _text(text), _number(len(stays)), *stays, _numbers(*consumed)]
        )


def text_fault(data: bytes) -> bool:
    """Return True if no lines can have these bytes."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return b"\r" in data or b"\0" in data


def _ended(lines):
    return b"".join([line + b"\n" for line in lines])


def _filled(lines, width):
    plain = re.sub(rb'"[^"]*"', lambda match: b"x" * len(match[0]), lines)
    rows = [row.split(b",") for row in plain.removesuffix(b"\n").split(b"\n")] if plain else []
    if b'"' in plain or any(len(row) != width for row in rows):
        return None
    return tuple(sum(row[column] != b"" for row in rows) for column in range(2, width))


def _number(number):
    return pack("<I", number)


def _numbers(*numbers):
    return b"".join(map(_number, numbers))


def _text(text):
    return _number(0xFFFFFFFF) if text is None else _number(len(text)) + text


def _encoded(function, width, key, meaning, is_sorted, out_size, texts):
    numbers = _numbers(width, key, meaning, is_sorted, out_size)
    return function.encode() + numbers + b"".join(map(_text, texts))
