"""The boundaries of the key ranges, chosen from a sample of keys."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from attrs import frozen

from .._bytes import common_length

_MAX_CACHED_PREFIXES = 1500
"""Lookups among more prefixes miss the processor's cache, and take twice as long."""


@frozen
class Boundaries:
    """The keys at which the key ranges begin.

    Attributes:
        splitters: The first possible key of each range except the first, ascending.
        width: The length of the longest splitter. The first characters of a key, up to this
            length, determine its range.
    """

    splitters: tuple[str, ...] = ()
    width: int = 1

    @classmethod
    def from_sample(cls, keys: Iterable[str], count: int) -> "Boundaries":
        """Return boundaries of about ``count`` ranges with equal shares of a sample of keys.

        A sample with two different keys results in at least two ranges. Keys with a long common
        prefix may result in fewer ranges than ``count``.
        """
        ordered = sorted({*keys} - {""})
        count = min(count, len(ordered))
        if count <= 1:
            return cls()
        first_keys = [ordered[len(ordered) * i // count] for i in range(count)]
        # Longer prefixes make the ranges more even, but only few prefixes fit in the cache.
        width = _distinguishing_length(ordered[0], ordered[-1])
        while width < len(ordered[-1]) and (
            len({key[: width + 1] for key in ordered}) <= _MAX_CACHED_PREFIXES
        ):
            width += 1
        cut = dict.fromkeys(key[:width] for key in first_keys)
        if 2 * len(cut) < count:
            # These are too few ranges, so use a longer prefix: one that distinguishes nine tenths
            # of the first keys from the key before.
            lengths = sorted(_distinguishing_length(a, b) for a, b in pairwise(first_keys))
            width = lengths[len(lengths) * 9 // 10]
            cut = dict.fromkeys(key[:width] for key in first_keys)
        return cls(tuple(cut)[1:], width)

    def __len__(self) -> int:
        return len(self.splitters) + 1

    def bounds(self) -> Iterator[tuple[str | None, str | None]]:
        """Yield the first key of each range and of the next range; None at the two ends."""
        return pairwise((None, *self.splitters, None))


def _distinguishing_length(a: str, b: str) -> int:
    """Return the number of characters that distinguish two texts."""
    return common_length(a, b) + 1
