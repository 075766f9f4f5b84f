"""The join of one key range, which loads and matches its rows, and returns their lines."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from attrs import frozen

from ..errors import MalformedCsvError
from ..format.cells import encode_lines, is_float_id
from ..format.csv_blocks import Block, split_record
from ..format.existing_meaning import ExistingMeaning
from ..format.filled import count_filled
from ..format.reader import LineReader
from ._match import (
    BELOW_COMMA,
    KeysNeeded,
    Match,
    RangeRecords,
    first_of_each_key,
    is_ascending,
    match_records,
)
from ._spill import SEPARATOR, RangeRows, keyed_records, keys_of

MAX_CONFLICTS = 1000
"""The largest number of keys with different rows that the result of a range contains."""


@frozen
class SortedPrevious:
    """The previous rows of a key range, in blocks of a canonical file.

    Attributes:
        blocks: Consecutive blocks with all rows of the range. The first and the last block may
            also have rows of other ranges.
        reader: The reader of the file.
    """

    blocks: tuple[Block, ...]
    reader: LineReader

    def load(self, *, keyed: bool) -> list[str]:
        """Return the records of all blocks, ascending.

        Raises:
            KeysNeeded: Plain records are impossible, or they are not ascending.
            MalformedCsvError: The rows are not in the order of their keys.
        """
        parts = [self.reader.lines(block) for block in self.blocks]
        if not keyed:
            if any(part.keys is not None for part in parts):
                raise KeysNeeded
            records = [line for part in parts for line in part.lines]
            # Sorting a list that is in order takes no longer than comparing its items.
            if sorted(records) != records:
                raise KeysNeeded
            return records
        records = [
            record for part in parts for record in keyed_records(part.key_list(), part.lines)
        ]
        if not is_ascending(records):
            line, rule = self._first_misplaced_line(), "the rows are not in the order of the key"
            raise MalformedCsvError(line, rule, "Restore the file that the sync wrote")
        return records

    def _first_misplaced_line(self) -> int:
        last: str | None = None
        for block in self.blocks:
            for line, row in self.reader.numbered(block):
                key = row[self.reader.key]
                if last is not None and key <= last:
                    return line
                last = key
        raise AssertionError


@frozen
class Job:
    """The join of one key range, which does not depend on the joins of other ranges.

    Attributes:
        previous: The previous rows.
        current: The current rows.
        begin: The first possible key; None for no lower bound.
        end: The first key after the range; None for no upper bound.
        max_bytes: The largest number of bytes of one side that may be loaded at once.
        partial: True if ``current`` also has rows outside of the bounds.
    """

    previous: SortedPrevious | RangeRows
    current: RangeRows
    begin: str | None
    end: str | None
    max_bytes: int
    partial: bool = False

    def portions(self, rows: RangeRows) -> Iterable[RangeRows]:
        """Return the rows in portions that may be loaded at once.

        A range exceeds ``max_bytes`` only if it could not be split, because nearly all of
        its rows have one key. Equal rows are dropped after each portion.
        """
        return rows.in_portions() if rows.size > self.max_bytes else (rows,)


@frozen
class RangeOutput:
    """The rows that a key range contributes to one file.

    Attributes:
        rows: The number of rows.
        data: Their canonical bytes.
    """

    rows: int
    data: bytes


@frozen(kw_only=True)
class RangeResult:
    """The result of the join of a range: its part of each file, and counts.

    Attributes:
        entering: The rows of the file ``entering``.
        exiting: The rows of the file ``exiting``.
        existing: The rows of the file ``existing``.
        members: The rows of all current members; None if ``existing`` has exactly these.
        members_before: The number of previous members.
        members_now: The number of current members.
        collapsed: The number of current rows that were dropped: they repeat another row, or a
            smaller row has their key.
        conflicts: The number of keys with different current rows.
        conflicting_keys: Some of these keys.
        filled: The number of current members with a value for each property.
        has_float_ids: True if Amplitude ids in new or changed rows are the texts of floats.
        changed: The number of members who stayed and whose row differs from the previous one.
    """

    entering: RangeOutput
    exiting: RangeOutput
    existing: RangeOutput
    members: RangeOutput | None
    members_before: int
    members_now: int
    collapsed: int
    conflicts: int
    conflicting_keys: list[str]
    filled: tuple[int, ...]
    has_float_ids: bool
    changed: int


@frozen
class RangeJoin:
    """The function that joins a key range.

    Attributes:
        existing: The meaning of the file ``existing``.
        columns: The number of cells of each row.
        key: The position of the key in a row.
        compared: The positions of the cells that the previous rows have.
    """

    existing: ExistingMeaning
    columns: int
    key: int
    compared: tuple[int, ...]

    def __call__(self, job: Job) -> RangeResult:
        """Join one range."""
        try:
            return self._join(_load(job, keyed=False))
        except KeysNeeded:
            return self._join(_load(job, keyed=True))

    def _join(self, records: RangeRecords) -> RangeResult:
        match = match_records(records)
        keyed, previous = records.keyed, records.previous
        members = _encode(match.members(), keyed=keyed)
        if self.existing.contains_entering:
            existing = members
        elif self.existing.contains_exiting:
            replaced = match.replaced
            existing = _encode([replaced.get(r, r) for r in previous], keyed=keyed)
        else:
            existing = _encode(match.stayed, keyed=keyed)
        return RangeResult(
            entering=_encode(match.entered, keyed=keyed) if match.stayed else members,
            exiting=_encode(match.left, keyed=keyed),
            existing=existing,
            members=None if existing is members else members,
            members_before=len(previous),
            members_now=members.rows,
            collapsed=records.current_rows - members.rows,
            conflicts=len(match.conflicts),
            conflicting_keys=match.conflicts[:MAX_CONFLICTS],
            filled=count_filled(members.data, members.rows, self.columns),
            has_float_ids=self._has_float_ids(match, keyed=keyed),
            changed=self._count_changed(match, keyed=keyed),
        )

    def _count_changed(self, match: Match, *, keyed: bool) -> int:
        """Return the number of members who stayed with other cells."""
        compared = self.compared
        if len(compared) == self.columns:
            return len(match.replaced)
        lines = (_lines(records, keyed=keyed) for records in match.replaced.items())
        rows = ([split_record(line, 0) for line in pair] for pair in lines)
        return sum(any(was[place] != now[place] for place in compared) for was, now in rows)

    def _has_float_ids(self, match: Match, *, keyed: bool) -> bool:
        """Return whether an Amplitude id in a new or changed row is the text of a float.

        Unchanged rows were checked at the sync that wrote them.
        """
        ids = match.changed_keys
        if self.key:
            records = [*match.entered, *match.replaced.values()]
            ids = [line.split(",", 1)[0] for line in _lines(records, keyed=keyed)]
        # Ids almost never contain these characters, and one search over all ids is fast.
        text = "".join(ids)
        if not ("." in text or "e" in text or "E" in text):
            return False
        return any(map(is_float_id, ids))


def _load(job: Job, *, keyed: bool) -> RangeRecords:
    """Load both sides of a range.

    Raises:
        KeysNeeded: Plain records are impossible, or might not be in the order of their keys.
    """
    bounds = (job.begin or "") + (job.end or "")
    if not keyed and (job.current.needs_keys or BELOW_COMMA.search(bounds)):
        raise KeysNeeded
    current, count = _load_current(job, keyed=keyed)
    previous = _load_previous(job, keyed=keyed)
    return RangeRecords(previous, current, count, keyed)


def _load_current(job: Job, *, keyed: bool) -> tuple[dict[str, None], int]:
    """Return the distinct current records, and the number of rows."""
    distinct = dict[str, None]()
    count = 0
    for rows in job.portions(job.current):
        records = rows.load(keyed=keyed)
        if job.partial:
            keys = keys_of(records, keyed=keyed)
            records = [
                record
                for key, record in zip(keys, records, strict=True)
                if (job.begin is None or job.begin <= key) and (job.end is None or key < job.end)
            ]
        count += len(records)
        # There is nearly always only one portion. Filling an empty dict would be slower.
        distinct = distinct | dict.fromkeys(records) if distinct else dict.fromkeys(records)
    return distinct, count


def _load_previous(job: Job, *, keyed: bool) -> list[str]:
    """Return the previous records, ascending, one for each key."""
    if isinstance(job.previous, SortedPrevious):
        records = job.previous.load(keyed=keyed)
        # A record begins with its key, so the bounds of keys can be searched in records.
        first = 0 if job.begin is None else bisect_left(records, job.begin)
        last = len(records) if job.end is None else bisect_left(records, job.end)
        return records[first:last] if last - first < len(records) else records
    if not keyed and job.previous.needs_keys:
        raise KeysNeeded
    distinct = set[str]()
    for rows in job.portions(job.previous):
        distinct.update(rows.load(keyed=keyed))
    records = sorted(distinct)
    keys = keys_of(records, keyed=keyed)
    if not is_ascending(keys):
        if not keyed:
            raise KeysNeeded
        # A file that another program wrote may have different rows for one key. That sync has
        # been published, so its file can't be refused. The smallest row counts.
        _, records = first_of_each_key(keys, records)
    return records


def _encode(records: list[str], *, keyed: bool) -> RangeOutput:
    return RangeOutput(len(records), encode_lines(_lines(records, keyed=keyed)))


def _lines(records: Sequence[str], *, keyed: bool) -> Sequence[str]:
    return [record.split(SEPARATOR, 1)[1] for record in records] if keyed else records
