"""The ways in which the members at each sync are known, although files may be missing.

The files of one sync may show the members at it, the members before it, and the changes
between the two. Without a gap, the members before a sync are those at the sync before it.
So from one sync whose members are known, the changes lead forwards and backwards to others.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise

from attrs import frozen


class Origin(Enum):
    """The source of the members at a sync."""

    FILES = "its own files"
    EARLIER = "the members at the sync before it, and its changes"
    LATER = "the members before the sync after it"
    UNKNOWN = "none"


@frozen(kw_only=True)
class SyncEvidence:
    """The parts of the history that the files of a sync show.

    Attributes:
        members: True if they show the members at the sync.
        before: True if they show the members before it, even if those at the sync are unknown.
        changes: True if they show all changes.
        follows: True if the members before it are those at the sync before it in the
            history, as far as the listing and the log show.
        is_certain: True if the log or the schedule confirms ``follows``.
    """

    members: bool
    before: bool
    changes: bool
    follows: bool
    is_certain: bool


def origins_of(facts: Sequence[SyncEvidence], *, begins_empty: bool) -> list[Origin]:
    """Return the source of the members at each sync.

    A sync's own files are preferred, then certain sources, then the sync before: the sync after
    shows later properties.

    Args:
        facts: The facts of each sync, oldest first.
        begins_empty: True if it is known that there was no member before the first sync.

    >>> from attrs import evolve
    >>> changes = SyncEvidence(
    ...     members=False, before=False, changes=True, follows=True, is_certain=True
    ... )
    >>> snapshot = evolve(changes, members=True)
    >>> [origin.name for origin in origins_of([changes, snapshot, changes], begins_empty=False)]
    ['LATER', 'FILES', 'EARLIER']
    """
    origins = [Origin.FILES if one.members else Origin.UNKNOWN for one in facts]
    for follows in ([one.is_certain for one in facts], [one.follows for one in facts]):
        for number, one in enumerate(facts):
            is_known_before = (
                follows[number] and origins[number - 1] is not Origin.UNKNOWN
                if number
                else begins_empty
            )
            if origins[number] is Origin.UNKNOWN and one.changes and is_known_before:
                origins[number] = Origin.EARLIER
        for number in reversed(range(len(facts) - 1)):
            after = facts[number + 1]
            is_known_before = after.before or (
                after.changes and origins[number + 1] is not Origin.UNKNOWN
            )
            if origins[number] is Origin.UNKNOWN and follows[number + 1] and is_known_before:
                origins[number] = Origin.LATER
    return origins


CADENCES = (timedelta(hours=1), timedelta(days=1))
"""The intervals at which Amplitude syncs on a schedule."""


def numbers_on_schedule(times: Sequence[datetime]) -> frozenset[int]:
    """Return the numbers of the syncs before which no sync is missing, judging by their times.

    The usual time between two syncs must be one of Amplitude's intervals. The time since the
    sync before must be one too, and not longer than usual. In any other interval, a sync may
    have been lost.

    >>> sorted(numbers_on_schedule([datetime(2026, 1, day) for day in (1, 2, 4, 5)]))
    [1, 3]
    >>> hours = [datetime(2026, 1, 1, hour) for hour in range(3)]
    >>> sorted(numbers_on_schedule([*hours, datetime(2026, 1, 2, 2)]))
    [1, 2]
    """
    gaps = [later - earlier for earlier, later in pairwise(times)]
    usual = sorted(gaps)[(len(gaps) - 1) // 2] if gaps else timedelta()
    if not _is_on_schedule(usual):
        return frozenset()
    return frozenset(
        number for number, gap in enumerate(gaps, 1) if gap <= 1.5 * usual and _is_on_schedule(gap)
    )


def _is_on_schedule(gap: timedelta) -> bool:
    return any(abs(gap - cadence) <= cadence / 10 for cadence in CADENCES)
