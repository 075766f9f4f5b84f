"""The match of one key range, which finds the members who stayed, left and entered.

Both sides of the range are lists of records (see ``_spill``) that fit in memory. Nearly all
members stay as they are, so their record is the same on both sides. Whole records are therefore
compared, with operations on lists and dicts that run in C. Only the records that differ are split
into key and line:

1. Each previous record is removed from the current ones. A record that is found there belongs to
   a member who stayed with the same properties.
2. The remaining current records are processed one by one. If a record has the key of a previous
   record that step 1 did not find, the member stayed with other properties. If it has the key of
   a record that step 1 found, the key has two different current rows. Otherwise the member
   entered.
3. The remaining previous records belong to members who left.

The result must be in the order of the keys. Sorted keyed records always are, because the NUL
after the key is smaller than any other character. Sorted plain records, in which a comma follows
the key, may not be: ``a+b,`` sorts before ``a,``, because ``+`` is smaller than a comma, but the
key ``a`` sorts before the key ``a+b``. Plain records are nevertheless tried first, because they
are faster. If their order might differ from that of the keys, ``KeysNeeded`` is raised, and the
range is joined again with keyed records.
"""

import re
from bisect import bisect_left
from itertools import compress, islice, pairwise
from operator import lt, not_

from attrs import field, frozen

from ._spill import SEPARATOR, keys_of

BELOW_COMMA = re.compile(r"[\x01-\x2b]")
"""The characters that sort before a comma."""


class KeysNeeded(Exception):  # noqa: N818 -- a signal; RangeJoin always catches it
    """Signal that plain records can't be compared in the order of their keys."""


@frozen
class RangeRecords:
    """The records of both sides of a key range, all in one form.

    Attributes:
        previous: The previous records, ascending, one for each key.
        current: The distinct current records, as the keys of a dict.
        current_rows: The number of current rows, including equal ones.
        keyed: True if the records are keyed instead of plain.
    """

    previous: list[str]
    current: dict[str, None]
    current_rows: int
    keyed: bool


@frozen
class Match:
    """The records of the members who stayed, left and entered, each in the order of the keys.

    Attributes:
        stayed: Current records of members who stayed.
        left: Previous records of members who left.
        entered: Current records of members who entered.
        replaced: The current record of each member who stayed with other properties, by
            the previous record.
        conflicts: Keys with different current rows; the smallest row counts.
        changed_keys: The keys of the members whose row is new or has changed.
    """

    stayed: list[str]
    left: list[str] = field(factory=list[str])
    entered: list[str] = field(factory=list[str])
    replaced: dict[str, str] = field(factory=dict[str, str])
    conflicts: list[str] = field(factory=list[str])
    changed_keys: list[str] = field(factory=list[str])

    def members(self) -> list[str]:
        """Return the records of all current members."""
        if not (self.stayed and self.entered):
            return self.stayed or self.entered
        # Python's sort merges two ascending lists in linear time.
        return sorted(self.stayed + self.entered)


def match_records(records: RangeRecords) -> Match:
    """Match the records of a range; this removes items from ``records.current``.

    Raises:
        KeysNeeded: The records are plain and might not be in the order of their keys.
    """
    previous, current, keyed = records.previous, records.current, records.keyed
    # Each call of pop returns None if it finds the record, and otherwise the record itself.
    missing = list(map(current.pop, previous, previous))
    gone = list(filter(None, missing))
    unchanged = list(compress(previous, map(not_, missing))) if gone else previous
    if not current and len(unchanged) == len(previous):
        return Match(unchanged)
    candidates = sorted(current)
    keys = keys_of(candidates, keyed=keyed)
    conflicts = dict[str, None]()
    if not is_ascending(keys):
        if not keyed:
            raise KeysNeeded
        conflicts = dict.fromkeys(key for key, following in pairwise(keys) if key == following)
        keys, candidates = first_of_each_key(keys, candidates)
    if not previous:
        return Match([], entered=candidates, conflicts=list(conflicts), changed_keys=keys)
    if not keyed and BELOW_COMMA.search("".join(keys)):
        raise KeysNeeded
    left = dict(zip(keys_of(gone, keyed=keyed), gone, strict=True))
    entered = list[str]()
    replaced = dict[str, str]()
    for key, record in zip(keys, candidates, strict=True):
        if key in left:
            replaced[left.pop(key)] = record
        elif (other := _find_key(previous, key, keyed=keyed)) is not None:
            conflicts[key] = None
            if record < other:
                replaced[other] = record
        else:
            entered.append(record)
    stayed = _stayed(previous, missing, replaced) if replaced else unchanged
    return Match(stayed, list(left.values()), entered, replaced, list(conflicts), keys)


def _stayed(previous: list[str], missing: list[str | None], replaced: dict[str, str]) -> list[str]:
    """Return the current records of members who stayed, in the order of the previous records."""
    return [
        replaced.get(record, record)
        for record, missed in zip(previous, missing, strict=True)
        if missed is None or record in replaced
    ]


def _find_key(previous: list[str], key: str, *, keyed: bool) -> str | None:
    """Return the previous record of a key, or None.

    Raises:
        KeysNeeded: A previous key consists of this one and more characters, the first of them
            below the comma. Its plain record may then sort first although its key sorts second.
    """
    begin = key + (SEPARATOR if keyed else ",")
    place = bisect_left(previous, begin)
    if place < len(previous) and previous[place].startswith(begin):
        return previous[place]
    if not keyed and place and previous[place - 1].startswith(key):
        raise KeysNeeded
    return None


def first_of_each_key(keys: list[str], records: list[str]) -> tuple[list[str], list[str]]:
    """Return the distinct keys, and the first record of each, which is the smallest."""
    first = dict[str, str]()
    for key, record in zip(keys, records, strict=True):
        first.setdefault(key, record)
    return list(first), list(first.values())


def is_ascending(texts: list[str]) -> bool:
    """Return whether each text is greater than the one before it."""
    return all(map(lt, texts, islice(texts, 1, None)))
