"""Whether a bucket's syncs add up: the checks, as functions of sorted keys."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum

from attrs import frozen

from .destination import ExistingMeaning
from .external_sort import group_by_first


class FindingKind(Enum):
    """What ``verify`` can find."""

    MISSING_FILE = "a file is missing"
    """What it held is derived from the syncs around it, where these allow it."""
    EDITED_FILE = "a file is not what was recorded"
    UNREADABLE_FILE = "a file can't be read"
    DUPLICATE_KEY = "a user stands twice in a file"
    ENTERED_TWICE = "a user enters who was a member already"
    EXITED_UNSEEN = "a user exits who was no member"
    LOST_MEMBER = "a member is gone without having exited"
    UNEXPLAINED_MEMBER = "a member is there without having entered"
    MEANING_BROKEN = "existing does not hold what was recorded"
    BROKEN_CHAIN = "a record does not follow the one before it"
    LEFTOVER = "a sync that never happened left files"
    INCOMPLETE_SYNC = "a sync lacks files and no log knows it"
    IN_DOUBT = "a recorded sync has no outcome yet"


@frozen(kw_only=True)
class Finding:
    """One thing that does not add up. It counts users and does not name them.

    Attributes:
        kind: What it is.
        synced_at: The sync at which it shows.
        key: The object concerned, where it is one.
        count: How many users, rows or files.
        detail: More, in words.
    """

    kind: FindingKind
    synced_at: datetime
    key: str | None = None
    count: int = 1
    detail: str = ""

    def __str__(self) -> str:
        """The finding in words."""
        where = f" in {self.key}" if self.key is not None else ""
        more = f" ({self.detail})" if self.detail else ""
        return f"{self.synced_at:%Y-%m-%d %H:%M:%S}: {self.kind.value}{where}, {self.count}x{more}"


_BEFORE, _ENTERING, _EXITING, _NOW = range(4)


def check_accounting(
    *,
    before: Iterable[bytes],
    entering: Iterable[bytes],
    exiting: Iterable[bytes],
    now: Iterable[bytes],
) -> Counter[FindingKind]:
    """Whether ``now = (before | entering) - exiting``, and each change is one.

    Args:
        before: The keys of the members before, in order as all of these.
        entering: Of the file; a key that stands twice is found.
        exiting: Of the file.
        now: Of the members now.

    >>> check_accounting(before=[b"a"], entering=[b"b"], exiting=[b"a"], now=[b"b"])
    Counter()
    """
    found = Counter[FindingKind]()
    for places in _places(before, entering, exiting, now):
        if any(count > 1 for count in places.values()):
            found[FindingKind.DUPLICATE_KEY] += 1
        was, came, went, is_there = (side in places for side in range(4))
        if came and was:
            found[FindingKind.ENTERED_TWICE] += 1
        if went and not was:
            found[FindingKind.EXITED_UNSEEN] += 1
        expected = came or (was and not went)
        if expected and not is_there:
            found[FindingKind.LOST_MEMBER] += 1
        if is_there and not expected:
            found[FindingKind.UNEXPLAINED_MEMBER] += 1
    return found


def consistent_meanings(
    *, entering: Iterable[bytes], exiting: Iterable[bytes], existing: Iterable[bytes]
) -> frozenset[ExistingMeaning]:
    """The readings of ``existing`` that one sync's three files allow.

    Args:
        entering: The keys of the file, in order as all of these.
        exiting: Of the file.
        existing: Of the file.

    >>> files = {"entering": [b"b"], "exiting": [b"a"], "existing": [b"b", b"c"]}
    >>> consistent_meanings(**files) == {ExistingMeaning.MEMBERS}
    True
    """
    possible = set(ExistingMeaning)
    for places in _places((), entering, exiting, existing):
        exists = _NOW in places
        if _ENTERING in places:
            excluded = (
                {ExistingMeaning.STAYED, ExistingMeaning.PREVIOUS}
                if exists
                else {ExistingMeaning.MEMBERS}
            )
            possible -= excluded
        if _EXITING in places:
            excluded = (
                {ExistingMeaning.MEMBERS, ExistingMeaning.STAYED}
                if exists
                else {ExistingMeaning.PREVIOUS}
            )
            possible -= excluded
        if not possible:
            break
    return frozenset(possible)


def _places(*sides: Iterable[bytes]) -> Iterator[Counter[int]]:
    """For each key, how often it stands on which side."""

    def tagged(side: int, keys: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
        for key in keys:
            yield key, side

    merged = heapq.merge(*(tagged(side, keys) for side, keys in enumerate(sides)))
    for same_key in group_by_first(merged):
        yield Counter(side for _, side in same_key)
