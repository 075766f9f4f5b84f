"""The keys of sorted files in blocks, and the number of users in each combination of files.

Each file that is compared with others is called a side. A file is read in blocks of some hundred
keys. Whole blocks are compared, by the kernel or by set operations without it. Both are many times
faster than a loop over the keys.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from attrs import define, field

from ..format.cells import encode_lines
from ..format.kernel import HAS_KERNEL, take_keys
from ..format.kernel import count_sides as count_texts
from ..format.schema import RowSchema
from ..sources.protocol import CsvSource

KeyBlock = list[str] | bytes
"""Some keys in the order of their bytes: a list, or a text in which LF ends each key."""

_BATCH_KEYS = 2048


def file_keys(source: CsvSource, schema: RowSchema) -> Iterator[KeyBlock]:
    """Yield the keys of all rows of a file, in its order.

    Args:
        source: The file.
        schema: The columns to read, with the key.
    """
    with source.reading():
        table = source.read_table()
        reader = schema.line_reader(table, fill=True)
        is_plain = HAS_KERNEL and source.canonical and reader.places is None
        width = len(schema.columns)
        for block in table.blocks:
            text = take_keys(block.data, columns=width, key=reader.key) if is_plain else None
            yield reader.lines(block).key_list() if text is None else text


def in_blocks(keys: Iterable[bytes]) -> Iterator[KeyBlock]:
    """Yield single keys in blocks."""
    remaining = iter(keys)
    while batch := list(islice(remaining, _BATCH_KEYS)):
        yield [key.decode() for key in batch]


def as_list(block: KeyBlock) -> list[str]:
    r"""Return the keys of a block.

    >>> as_list(b"1\n2\n"), as_list(["3"])
    (['1', '2'], ['3'])
    """
    return block if isinstance(block, list) else block.decode().split("\n")[:-1]


def _as_text(block: KeyBlock) -> KeyBlock:
    """Return a block as a text, unless a key has a line end."""
    if isinstance(block, bytes):
        return block
    text = encode_lines(block)
    return text if text.count(b"\n") == len(block) else block


def count_until(keys: Sequence[str], limit: str) -> int:
    """Count the keys that are not greater than a limit, in a sequence in ascending order.

    If the last key is not greater, all keys are counted, even if a damaged file is out of order, so
    that a loop over blocks always ends.
    """
    return len(keys) if not keys or keys[-1] <= limit else bisect_right(keys, limit)


Sides = int
"""A combination of sides: one bit for each side, the lowest bit for the first side."""


def count_sides(*sides: Iterable[KeyBlock]) -> Iterator[Mapping[Sides, int]]:
    """Merge sides, and yield the numbers of users on each combination of sides.

    Each mapping counts one range of the keys, in ascending order; the sum of the mappings counts
    all keys. In a mapping, the combinations are in the order of their first keys.

    Args:
        sides: The keys of each side, in ascending order, each key once.

    >>> [*count_sides([["1", "2"]], [["2"]])]
    [{1: 1, 3: 1}]
    """
    running = [_Side(iter(blocks)) for blocks in sides]
    while [side for side in running if side.fill()]:
        counts = _count_natively(running) if HAS_KERNEL else None
        yield _count_lists(running) if counts is None else counts


@define
class _Side:
    """The keys of one side that have not been counted.

    Attributes:
        rest: The keys that have been read; empty only if the side has ended.
    """

    _blocks: Iterator[KeyBlock]
    rest: KeyBlock = field(factory=list[str], init=False)

    def fill(self) -> bool:
        """Read a block if there is no key; return False if the side has ended."""
        while not self.rest:
            block = next(self._blocks, None)
            if block is None:
                return False
            self.rest = block
        return True

    def take_until(self, limit: str) -> list[str]:
        """Remove and return the keys up to a limit."""
        keys = as_list(self.rest)
        count = count_until(keys, limit)
        self.rest = keys[count:]
        return keys[:count]


def _count_natively(sides: Sequence[_Side]) -> Mapping[Sides, int] | None:
    texts = list[bytes]()
    for side in sides:
        side.rest = _as_text(side.rest)
        if not isinstance(side.rest, bytes):
            return None
        texts.append(side.rest)
    counts, rests = count_texts(texts)
    for side, text, rest in zip(sides, texts, rests, strict=True):
        side.rest = text[rest:]
    return dict(counts)


def _count_lists(sides: Sequence[_Side]) -> Mapping[Sides, int]:
    """Count the keys up to the smallest one at which the block of a side ends.

    Most keys are on the one or two largest sides, so these are compared as sets. The few users on
    other sides are counted one by one.
    """
    limit = min(as_list(side.rest)[-1] for side in sides if side.rest)
    # An empty list is added, so that there are at least two sides.
    lists = [*(side.take_until(limit) for side in sides), list[str]()]
    keys = {1 << n: set(of_side) for n, of_side in enumerate(lists)}
    first, second, *others = sorted(keys, key=lambda bit: -len(keys[bit]))
    both = len(keys[first] & keys[second])
    counts = Counter({first | second: both})
    counts[first] = len(keys[first]) - both
    counts[second] = len(keys[second]) - both
    for key in set[str]().union(*(keys[bit] for bit in others)):
        on = sum(bit for bit in (first, second) if key in keys[bit])
        counts[on] -= 1
        counts[on + sum(bit for bit in others if key in keys[bit])] += 1
    del counts[0]
    found = [on for on, count in counts.items() if count]
    if len(found) > 1:
        found.sort(key=partial(_first_key, keys, lists))
    return {on: counts[on] for on in found}


def _first_key(keys: Mapping[Sides, set[str]], lists: Sequence[list[str]], on: Sides) -> str:
    """Return the first key that is on exactly the sides ``on``."""
    some = next(of_side for bit, of_side in zip(keys, lists, strict=True) if on & bit)
    return next(k for k in some if on == sum(bit for bit, of in keys.items() if k in of))
