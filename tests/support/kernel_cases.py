"""Calls of the kernel to try: random ones, and those at the edge of each buffer."""

from random import Random

from attrs import evolve
from kernel_build import MAX_TEXT_BYTES
from kernel_calls import (
    NO_CELL,
    CanonizeCall,
    CheckCall,
    ColumnsCall,
    CountFilledCall,
    CountLineEndsCall,
    IsFloatTextCall,
    JoinCall,
    KeysCall,
    PartitionCall,
    ReadSpansCall,
    Refused,
    SidesCall,
    StaysCall,
    keyed_lines,
)

PLAIN = [b"", b"1", b"12", b"a", b"a+b", b"ab", b"a+", "é".encode(), "日本".encode()]
PLAIN += ["😀".encode(), b"x" * 9, b"y" * 30, b"7.0", b"3e+17"]
QUOTED = [b'"a,b"', b'"a""b"', b'""""', b'","', b'"""",""""']
IN_QUOTES = [b'"a\nb"', b'"\r"', b'"\r\n"', b'"\n"', b'"a,""b"""', '"é,日本"'.encode()]
ODD = [b'"x"', b'"a', b'a"b', b'""', b'"a\nb"', b"\r", b"\xff", b"\xc0\x80", b"\xed\xa0\x80"]
ODD += [b"\xf4\x90\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xe0\x9f\xbf", b"\0", b'"""",', b"\x7f"]
ODD += [b"\x01", b'"a\rb"', b'"a"x', b"\xf5\x80\x80\x80", b"\xe2\x82", b"\xc3"]


def random_lines(random, width):
    """Return canonical lines, mostly: one in two texts may have odd cells."""
    is_plain = random.random() < 0.5
    rows = []
    for _ in range(random.choice((0, 1, 2, 5, 40, 100))):
        count = width if is_plain or random.random() < 0.98 else random.randrange(1, 6)
        rows.append(b",".join(_random_cell(random, is_plain=is_plain) for _ in range(count)))
    data = b"\n".join(rows) + (b"\n" if rows and random.random() < 0.5 else b"")
    if not is_plain and data and random.random() < 0.2:
        at = random.randrange(len(data))
        data = data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
    return data


def _random_cell(random, *, is_plain):
    if random.random() < 0.3:
        return str(random.randrange(10 ** random.choice((1, 3, 12)))).encode()
    if is_plain or random.random() < 0.85:
        return random.choice(PLAIN)
    return random.choice(QUOTED if random.random() < 0.8 else ODD)


def random_calls(random):
    """Yield one call of each function."""
    width = random.choice((2, 2, 3, 4, 5))
    key = random.randrange(width)
    lines, other = random_lines(random, width), random_lines(random, width)
    rests = {random.choice(PLAIN[1:])[: random.randrange(1, 9)] for _ in range(9)}
    count = random.choice((0, 1, 3, 9))
    yield PartitionCall(
        lines=lines,
        width=width,
        key=key,
        prefix=random.choice((b"", b"", b"a", b"1", b"xxxx")),
        heads=tuple(sorted(rest.ljust(8, b"\0") for rest in rests)[:count]),
    )
    yield _random_join(random, lines, other, width, key)
    places = random.choice((None, (*range(width),), (*range(width),)[::-1], (width - 1, NO_CELL)))
    rows = lines if random.random() < 0.5 else lines.replace(b"\n", b"\r\n")
    if random.random() < 0.3:
        cells = [b'"' + cell + b'"' for cell in PLAIN]
        rows = b"\n\r\n".join(b",".join(random.choice(cells) for _ in range(width)) for _ in "abc")
    size = random.choice((len(rows), 2 * len(rows) + 300, 2 * len(rows) + 300))
    yield CanonizeCall(rows=rows, width=width, places=places, out_size=size)
    yield CountFilledCall(lines=random.choice((lines, other)), width=width)
    yield _random_columns(random, lines, width)
    yield _random_stays(random, width, key)
    yield IsFloatTextCall("".join(random.choice("0189+-.eE") for _ in range(4)).encode())
    yield CountLineEndsCall(random.choice((lines, other, lines * 9)))
    yield from _random_checks(random, lines, width, key)


def _random_stays(random, width, key):
    """Return a call with sides that share keys; mostly in order, and mostly canonical."""
    keys = sorted({cell for cell in PLAIN if random.random() < 0.7} | {b"%d" % n for n in range(9)})
    changes = sorted((random.randrange(3), random.randrange(3)) for _ in range(random.randrange(4)))
    sides, is_plain = [], random.random() < 0.8
    for number, kind in changes:
        chosen = [cell for cell in keys if random.random() < 0.5]
        if random.random() < 0.05:
            random.shuffle(chosen)
        rows = []
        for cell in chosen:
            is_odd = not is_plain and random.random() < 0.1
            cells = [_random_cell(random, is_plain=not is_odd) for _ in range(width)]
            cells[key] = cell
            rows.append(b",".join(cells))
        text = b"\n".join(rows) + (b"\n" if rows and random.random() < 0.8 else b"")
        sides.append((text, number, kind, bool(rows) and random.random() < 0.4))
    size = random.choice((None, None, None, random.randrange(200)))
    return StaysCall(sides=tuple(sides), width=width, key=key, out_size=size)


def _stays():
    """Yield calls of stays whose texts and buffers end where a missing check would go on."""
    texts = [b"", b"\n", b"1", b"1,a", b"1,a\n", b"1,a\n\n", b",a\n", b"1,a\n1,b", b"2,a\n1,b"]
    for lines in texts:
        for kind in range(3):
            for more in (False, True):
                side = (lines, 7, kind, more)
                for sides in ((side,), (side, (b"1,x\n3,y\n", 8, 0, False))):
                    for size in (None, 0, 3, 4, 5):
                        yield StaysCall(sides=sides, width=2, key=0, out_size=size)
                    yield StaysCall(sides=sides, width=2, key=1)
    yield StaysCall(sides=(), width=2, key=0)
    rows = b"".join(b"%d,\n" % n for n in range(1000, 1900))
    for count in (1, 2, 3):
        for first in range(3):
            sides = tuple((rows[n * 60 :], n, (first + n) % 3, n == 1) for n in range(count))
            yield StaysCall(sides=sides, width=2, key=0)
            yield StaysCall(sides=sides, width=2, key=0, out_size=len(rows) - 1)
    yield StaysCall(sides=tuple((b"1,%d" % n, n, 1, False) for n in range(3)), width=2, key=0)
    yield StaysCall(sides=tuple((b"%d,a" % n, n, 1, False) for n in (3, 2, 1)), width=2, key=0)


def _random_checks(random, lines, width, key):
    rows = keyed_lines(lines, width, key)
    if rows and random.random() < 0.7:
        lines = b"".join(line + b"\n" for _, line in sorted(dict(rows).items()))
    after = random.choice((b"", b"", *PLAIN))
    yield CheckCall(lines=lines, width=width, key=key, after=after)
    size = random.choice((len(lines), len(lines), len(lines) // 2))
    yield KeysCall(lines=lines, width=width, key=key, out_size=size)
    yield SidesCall(tuple(_random_side(random) for _ in range(random.randrange(5))))


def _random_side(random):
    keys = {b"%d" % random.randrange(30) for _ in range(random.choice((0, 1, 5, 20)))}
    keys.update(random.sample(PLAIN, 2) if keys else ())
    text = b"".join(key + b"\n" for key in sorted(keys))
    return text if random.random() < 0.7 else text.removesuffix(b"\n")


def _random_join(random, lines, other, width, key):
    rows = keyed_lines(lines, width, key)
    is_sorted = random.random() < 0.5
    if rows is not None and random.random() < 0.8:
        # The previous lines are mostly in order, as they should be, and shared with the current.
        distinct = sorted(dict(rows).items())
        lines = b"".join(line + b"\n" for _, line in distinct)
        kept = [line for _, line in distinct if random.random() < 0.7]
        ended = other if other.endswith(b"\n") or not other else other + b"\n"
        other = ended + b"".join(line + b"\n" for line in kept)
    begin, end = sorted(random.sample(PLAIN[1:], 2))
    return JoinCall(
        before=lines,
        now=other,
        width=width,
        key=key,
        begin=random.choice((begin, None, None)),
        end=random.choice((end, None, None)),
        is_sorted=is_sorted,
        meaning=random.randrange(3),
        lacking=random.choice((0, random.randrange(1 << width))),
    )


def _random_columns(random, lines, width):
    cells = [*PLAIN, *QUOTED, *IN_QUOTES]
    if random.random() < 0.5:
        rows = range(random.choice((1, 3, 60)))
        lines = b"\n".join(b",".join(random.choice(cells) for _ in range(width)) for _ in rows)
    stride = lines.count(b"\n") + random.choice((1, 2, 3, 9))
    missing = random.choice((0, 0, 0, 1, len(lines) // 2))
    as_views = random.random() < 0.5
    return ColumnsCall(lines=lines, width=width, stride=stride, as_views=as_views, missing=missing)


def edge_calls():
    """Yield calls whose texts and buffers end where a missing check would read or write on."""
    tails = [b"1,a", b"1,a\n", b"1,", b",", b"1", b"", b"\n", b"1,a,b", b'1,"a,b"', b'1,"', b'1,""']
    tails += [b'1,"a', b'1,"a,', b'1,"a""', b'1,"a",', b'"a,b",', b'"a,b",1', b"1,a\r", b"\r"]
    tails += [b"1,\xc3", b"1,\xe2\x82", b"1,\xf0\x9f\x98", b"1,2345678901234", b"\r\n", b"1,a\r\n"]
    tails += [b'","', b'1,","', b'",",","', b'"a,b"', b'1,"a"b', b"\n\n\n", b"12345678", b"1234567"]
    tails += [b'a"b,']
    for tail in tails:
        for data in (tail, b"7,x\n" + tail):
            yield from _at_the_end(data)
    for text in (b"", b"7", b"7.", b".", b".5", b"+", b"+7", b"7e", b"7e+", b"7e+1", b"7.0", b"e1"):
        yield IsFloatTextCall(text)
    for count in (0, 1, 254, 255, 256, 1000):
        yield CountLineEndsCall(b"\n" * count)
        yield CountLineEndsCall(b"a\n" * count)
    yield from _stays()
    yield from _large_counts()
    yield from _columns()
    yield from _ranges()
    yield from _spans()


def _at_the_end(data):
    for key in (0, 1):
        yield PartitionCall(lines=data, width=2, key=key, heads=(b"5".ljust(8, b"\0"),))
        for meaning in range(3):
            for begin, end in ((None, None), (b"a", None), (None, b"7"), (b"x", b"y")):
                bounds = {"begin": begin, "end": end, "meaning": meaning}
                yield JoinCall(before=data, now=b"", width=2, key=key, **bounds)
                yield JoinCall(before=b"", now=data, width=2, key=key, **bounds)
                yield JoinCall(before=b"7,x", now=data, width=2, key=key, **bounds)
    for key in (0, 1):
        for after in (b"", b"1", b"7", b"70", b"a" * 9):
            yield CheckCall(lines=data, width=2, key=key, after=after)
        for size in range(len(data) + 2):
            yield KeysCall(lines=data, width=2, key=key, out_size=size)
    for others in ((), (b"7",), (b"7\n", b""), (b"1,a\n1,a,\n", data), (b"\n", b"", data)):
        yield SidesCall((data, *others))
        yield SidesCall((*others, data))
    for width in (2, 3):
        yield CountFilledCall(lines=data, width=width)
        for stride in range(5):
            for missing in range(3):
                for views in (False, True):
                    yield ColumnsCall(
                        lines=data, width=width, stride=stride, as_views=views, missing=missing
                    )
        for places in (None, (1, 0), (0,), (NO_CELL, 1), (2, 1), ()):
            for size in range(len(data) + 6):
                yield CanonizeCall(rows=data, width=width, places=places, out_size=size)


def _large_counts():
    """Yield calls with more lines, cells and ranges than there is room for at first."""
    short = b"".join(b"%d,\n" % n for n in range(300))
    for data in (short, b",\n" * 300, "é1,\né2,\n".encode() * 90):
        yield PartitionCall(lines=data, width=2, key=0)
        yield JoinCall(before=data, now=data, width=2, key=0)
        yield JoinCall(before=data, now=b"", width=2, key=0)
        yield JoinCall(before=b"", now=data, width=2, key=0, meaning=1)
    yield CheckCall(lines=short, width=2, key=1)
    yield SidesCall((short, short[3:], b"%d,\n" % 7, b"z"))
    for cells in (254, 255, 300, 1000):
        row = b",".join(b"%d" % n for n in range(cells))
        for width in (2, 254, 255, 300, cells):
            yield CanonizeCall(rows=row, width=width, out_size=10_000)
            yield CountFilledCall(lines=row, width=width)
            yield CheckCall(lines=row + b"\n", width=width, key=width - 1)
            yield PartitionCall(lines=row, width=width, key=width - 1)
    yield CanonizeCall(rows=b"1,2", width=2, places=(254,), out_size=99)
    for count in ((1 << 16) - 2, (1 << 16) - 1):
        heads = tuple(n.to_bytes(4, "big").ljust(8, b"\0") for n in range(1, count + 1))
        yield PartitionCall(lines=b"1,x\n\xf4\x80\x80\x80,y", width=2, key=0, heads=heads)
    yield PartitionCall(lines=b"1,x", width=2, key=0, out_size=2)


def _columns():
    """Yield calls with cells at the limits of short texts, and of copies of a fixed size."""
    for size in (*range(7, 14), *range(30, 35), 64, 65):
        for cell in (b"x" * size, b'"' + b"," * size + b'"', b'"' + b'""' * size + b'"'):
            for row in (cell + b"," + cell, cell + b",", b"," + cell, b"1," + cell):
                for data in (row, row + b"\n", (row + b"\n") * 3, row + b"\n1,2"):
                    yield from _both_layouts(data, 2)
    for cell in IN_QUOTES:
        yield from _both_layouts(cell + b"," + cell, 2)
    for data in (b'a"b,', b'a"b"c,', b'"a,"""",\r'):
        yield from _both_layouts(data, 2)
    for width in (2, 300):
        yield from _both_layouts(b"," * (width - 1), width)
        yield from _both_layouts(b"," * width, width)
    too_large = ColumnsCall(lines=b"", width=2, stride=1 << 31, as_views=True)
    yield evolve(too_large, missing=2 * 16 << 31)


def _both_layouts(data, width):
    stride = data.count(b"\n") + 2
    for as_views in (False, True):
        yield ColumnsCall(lines=data, width=width, stride=stride, as_views=as_views)


def _ranges():
    """Yield calls with keys of which one is the begin of another, and of a boundary."""
    keys = [b"", b"a", b"ab", b"abcdefgh", b"abcdefghi", b"abcdefghij", b"b", "ü".encode() * 9]
    rows = b"".join(key + b",x\n" for key in keys)
    texts = [b"".join(key + b"\n" for key in chosen) for chosen in (keys, keys[::2], keys[1:])]
    yield SidesCall((*texts,))
    yield SidesCall((*reversed(texts), texts[0]))
    yield CheckCall(lines=rows, width=2, key=0)
    for prefix in (b"", b"a", b"abcdefgh", b"abcdefghijk"):
        yield PartitionCall(
            lines=rows, width=2, key=0, prefix=prefix, heads=(b"abcdefgh", b"b".ljust(8, b"\0"))
        )
    for line in (b"x,a+b", b"x,a", b"x,"):
        yield PartitionCall(lines=line, width=2, key=1, prefix=b"a+bcdefgh", heads=(b"x" * 8,))
        yield JoinCall(before=b"y,a+b", now=line, width=2, key=1, begin=b"a+bcdefghi")
        yield JoinCall(before=line, now=line, width=2, key=1, end=b"a+b")
    yield JoinCall(before=b"y,abcdefghijklm", now=b"x,abcdefghijk", width=2, key=1)
    later = rows.replace(b"x", b"y") + rows
    for meaning in range(3):
        for first, second in ((rows, later), (later, rows)):
            for begin in (None, b"", b"abcdefgh"):
                sides = {"before": first, "now": second, "begin": begin, "meaning": meaning}
                yield JoinCall(width=2, key=0, **sides)
                yield JoinCall(width=2, key=1, **sides)
                yield JoinCall(width=2, key=0, is_sorted=True, **sides)


def _spans():
    """Yield reads of a file: with too little room, beyond its end, and of odd sizes."""
    file = b"0123456789"
    for spans in ([], [(0, 0)], [(3, 4)], [(0, 10), (0, 0)], [(8, 2), (0, 3)], [(10, 0)] * 3):
        for missing in range(4):
            yield ReadSpansCall.of(file, *spans, missing=missing)
    for offset, size in ((0, 11), (10, 1), (99, 0), (1 << 62, 1), ((1 << 64) - 1, 1)):
        yield ReadSpansCall.of(file, (0, 2), (offset, size))
    for size in (1 << 32, (1 << 64) - 1):
        yield ReadSpansCall(file=file, spans=((0, size),), out_size=9)


def harness_calls(rounds):
    """Return the calls that the harness makes: all at the edges, and some random ones."""
    random = Random(2)
    randoms = [call for _ in range(rounds) for call in random_calls(random)]
    return [*edge_calls(), *_calls_at_the_limit(), *randoms]


def _calls_at_the_limit():
    """Yield calls with the largest text of the harness, and with a larger one."""
    largest = b"1,".ljust(MAX_TEXT_BYTES, b"x")
    for lines, kind in ((largest, lambda call: call), (largest + b"x", Refused)):
        yield kind(PartitionCall(lines=lines, width=2, key=0))
        yield kind(JoinCall(before=lines, now=b"", width=2, key=0))
        yield kind(JoinCall(before=b"", now=lines, width=2, key=0))
