"""One range of the key: who is there before and now, and the bytes that say so.

A range is small, so it is held in memory. What is done for every row costs, so whole
lists are taken by operations of C, and a row is only taken apart if it is not the same
as before.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import compress, islice
from operator import lt, not_
from pathlib import Path

from attrs import define, evolve, field, frozen

from ..errors import MalformedCsvError
from ..format.csv_blocks import Block
from ..format.existing_meaning import ExistingMeaning
from ..format.reader import LineReader
from ._spill import SEPARATOR, Extents, Spilled, append, keyed_records

_NAMED_CONFLICTS = 1000

_BELOW_COMMA = re.compile(r"[\x01-\x2b]")
"""Characters for which lines may have another order than their keys: ``a+b,`` comes before
``a,``, but the key ``a`` before ``a+b``."""


@frozen
class Canonical:
    """The members before, where they stand in a file in the order of the key.

    Attributes:
        blocks: Consecutive blocks with all rows of the range; the first and the last
            may reach beyond it.
        reader: Of the file.
    """

    blocks: tuple[Block, ...]
    reader: LineReader

    def load(self, *, keyed: bool) -> tuple[list[str], str] | None:
        """The records, ascending, and what ends the key in them; see :class:`Spilled`.

        None where they ascend only with the key in front, or nothing is said about it.

        Raises:
            MalformedCsvError: They do not ascend, so the file is not what was canonical for.
        """
        parts = [self.reader.lines(block) for block in self.blocks]
        if not keyed:
            if any(part.keys is not None for part in parts):
                return None
            records = [line for part in parts for line in part.lines]
            return (records, ",") if _in_order(records) else None
        records = [
            record for part in parts for record in keyed_records(part.key_list(), part.lines)
        ]
        if not _ascending(records):
            raise MalformedCsvError(
                self._first_misplaced(), "a row is not in the order of the key, as it once was"
            )
        return records, SEPARATOR

    def _first_misplaced(self) -> int:
        last: str | None = None
        for block in self.blocks:
            for line, row in self.reader.reader.numbered(block):
                key = self.reader.select(row)[self.reader.key]
                if last is not None and key <= last:
                    return line
                last = key
        raise AssertionError


@frozen
class Job:
    """One range to join.

    Attributes:
        previous: The members before.
        current: The members now.
        begin: The first key of the range; None where there is no lower bound.
        end: The first key behind the range; None where there is no upper bound.
        limit: How many bytes of a side may be held at once.
        partial: Whether ``current`` may reach beyond the range.
    """

    previous: Canonical | Spilled
    current: Spilled
    begin: str | None
    end: str | None
    limit: int
    partial: bool = False


@frozen
class Part:
    """What a range adds to a file.

    Attributes:
        rows: How many.
        data: Their bytes, or where these lie.
    """

    rows: int
    data: bytes | Extents

    def text(self) -> bytes:
        """The bytes."""
        return self.data if isinstance(self.data, bytes) else b"".join(self.data.read())


@frozen(kw_only=True)
class Joined:
    """What a range gives: a part of each file, and counts.

    Attributes:
        now: All current rows, where ``existing`` has others.
        conflicts: How many keys stand on different rows.
        conflicting: Some of these keys.
    """

    entering: Part
    exiting: Part
    existing: Part
    now: Part | None
    members_before: int
    members_now: int
    collapsed: int
    conflicts: int
    conflicting: list[str]


@frozen
class Join:
    """The join of ranges, by one reading of ``existing``."""

    existing: ExistingMeaning

    def __call__(self, job: Job) -> Joined:
        """Joins one range.

        Raises:
            MalformedCsvError: The members before are not as a record canonical for.
        """
        sides = _load(job, keyed=False)
        matched = None if sides is None else _match(sides)
        if matched is None:
            sides = _load(job, keyed=True)
            matched = None if sides is None else _match(sides)
        if sides is None or matched is None:
            raise AssertionError  # with keys in front nothing is undecided
        end = sides.end
        everyone = _part(matched.everyone(), end)
        digested: Part | None = everyone
        if self.existing.contains_entering:
            existing, digested = everyone, None
        elif self.existing.contains_exiting:
            renewed = matched.renewed
            existing = _part([renewed.get(record, record) for record in sides.before], end)
        else:
            existing = _part(matched.stayed, end)
        return Joined(
            entering=_part(matched.entered, end) if matched.stayed else everyone,
            exiting=_part(matched.left, end),
            existing=existing,
            now=digested,
            members_before=len(sides.before),
            members_now=everyone.rows,
            collapsed=sides.arrived - everyone.rows,
            conflicts=len(matched.conflicting),
            conflicting=matched.conflicting[:_NAMED_CONFLICTS],
        )


@define
class StoringJoin:
    """A join for a process of its own: the bytes go into a file, only their place is told.

    So nobody waits until the others have taken them.

    Attributes:
        join: What is done.
        path: The file.
    """

    join: Join
    path: Path
    _size: int = field(default=0, init=False)

    def __call__(self, job: Job) -> Joined:
        """Joins one range.

        Raises:
            DiskFullError: There is no room for the bytes.
            MalformedCsvError: As :class:`Join`.
        """
        joined = self.join(job)
        return evolve(
            joined,
            entering=self._stored(joined.entering),
            exiting=self._stored(joined.exiting),
            existing=self._stored(joined.existing),
            now=None if joined.now is None else self._stored(joined.now),
        )

    def _stored(self, part: Part) -> Part:
        data = part.text()
        append(self.path, data)
        extents = Extents(self.path, array("Q", (self._size, len(data))))
        self._size += len(data)
        return Part(part.rows, extents)


@frozen
class _Sides:
    """Both sides as records of one form.

    Attributes:
        before: Ascending, no key twice.
        now: Each once, with the value None.
        arrived: How many current rows there were.
        end: What stands behind the key in a record.
    """

    before: list[str]
    now: dict[str, None]
    arrived: int
    end: str


@frozen
class _Match:
    """Who stayed, left and entered, in ascending order.

    Attributes:
        renewed: From the record of a stayer before to the one now, where they differ.
    """

    stayed: list[str]
    left: list[str]
    entered: list[str]
    renewed: dict[str, str] = field(factory=dict[str, str])
    conflicting: list[str] = field(factory=list[str])

    def everyone(self) -> list[str]:
        """All who are there now."""
        if not (self.stayed and self.entered):
            return self.stayed or self.entered
        # Sorting two ascending lists, one behind the other, merges them.
        merged = self.stayed + self.entered
        merged.sort()
        return merged


def _load(job: Job, *, keyed: bool) -> _Sides | None:
    """Both sides of a range; None where the keys have to stand in front of the lines."""
    bounds = (job.begin or "") + (job.end or "")
    if not keyed and (job.current.keyed or _BELOW_COMMA.search(bounds)):
        return None
    now = dict[str, None]()
    arrived = 0
    # A range is too large to be held at once only if it could not be divided, because
    # nearly all of its rows have the same key.
    for part in job.current.pieces() if job.current.size > job.limit else (job.current,):
        records = part.load(keyed=keyed)
        if job.partial:
            end = SEPARATOR if keyed else ","
            records = [r for r in records if _is_within(r.split(end, 1)[0], job.begin, job.end)]
        arrived += len(records)
        now = now | dict.fromkeys(records) if now else dict.fromkeys(records)
    if isinstance(job.previous, Canonical):
        loaded = job.previous.load(keyed=keyed)
        if loaded is None:
            return None
        before, end = loaded
        first = 0 if job.begin is None else bisect_left(before, job.begin)
        last = len(before) if job.end is None else bisect_left(before, job.end)
        if last - first < len(before):
            before = before[first:last]
        return _Sides(before, now, arrived, end)
    if not keyed and job.previous.keyed:
        return None
    known = set[str]()
    for part in job.previous.pieces() if job.previous.size > job.limit else (job.previous,):
        known.update(part.load(keyed=keyed))
    end = SEPARATOR if keyed else ","
    before = sorted(known)
    keys = _keys(before, end)
    if not _ascending(keys):
        if not keyed:
            return None
        # Someone else's file may have two rows of one key. One has to be taken: this is
        # no longer the time to refuse what was a sync once.
        before = list(dict(zip(reversed(keys), reversed(before), strict=True)).values())[::-1]
    return _Sides(before, now, arrived, end)


def _match(sides: _Sides) -> _Match | None:
    """Matches records; None where the keys have to stand in front of the lines.

    Of ``sides.now`` are left in it who entered, and who stayed with other properties.
    """
    before, now, end = sides.before, sides.now, sides.end
    # None for each who stayed as he was; others, which are not found, are given back.
    missed = list(map(now.pop, before, before))
    same = list(compress(before, map(not_, missed)))
    if not now and len(same) == len(before):
        return _Match(same, [], [])
    rest = sorted(now)
    keys = _keys(rest, end)
    conflicting = dict[str, None]()
    if not _ascending(keys):
        if end != SEPARATOR:
            return None
        conflicting = dict.fromkeys(
            key
            for key, following in zip(keys, islice(keys, 1, None), strict=False)
            if key == following
        )
        # The smallest record of a key comes first, and the last one put in stays.
        smallest = dict(zip(reversed(keys), reversed(rest), strict=True))
        keys, rest = list(smallest)[::-1], list(smallest.values())[::-1]
    gone = {record.split(end, 1)[0]: record for record in filter(None, missed)}
    if not before:
        return _Match([], [], rest, {}, list(conflicting))
    if end != SEPARATOR and _BELOW_COMMA.search("".join(keys)):
        return None
    renewed = dict[str, str]()
    entered = list[str]()
    for key, record in zip(keys, rest, strict=True):
        if key in gone:
            renewed[gone.pop(key)] = record
            continue
        mark = key + end
        place = bisect_left(before, mark)
        if place < len(before) and before[place].startswith(mark):
            # The key of one who is there as before, so it has two rows.
            conflicting[key] = None
            if record < before[place]:
                renewed[before[place]] = record
        elif end != SEPARATOR and place and before[place - 1].startswith(key):
            return None
        else:
            entered.append(record)
    if renewed:
        same = [
            renewed.get(record, record)
            for record, other in zip(before, missed, strict=True)
            if other is None or record in renewed
        ]
    return _Match(same, list(gone.values()), entered, renewed, list(conflicting))


def _keys(records: list[str], end: str) -> list[str]:
    return [record.split(end, 1)[0] for record in records]


def _in_order(texts: list[str]) -> bool:
    """Whether each is not below the one before; a list in order is sorted in no time."""
    return sorted(texts) == texts


def _ascending(texts: list[str]) -> bool:
    """Whether each is above the one before."""
    return all(map(lt, texts, islice(texts, 1, None)))


def _is_within(key: str, begin: str | None, end: str | None) -> bool:
    return (begin is None or begin <= key) and (end is None or key < end)


def _part(records: list[str], end: str) -> Part:
    lines: Iterable[str] = records
    if end == SEPARATOR:
        lines = [record.split(SEPARATOR, 1)[1] for record in records]
    return Part(len(records), ("\n".join(lines) + "\n").encode() if records else b"")
