"""Checks that a sync follows the one before it, without a log.

A sync whose files are all lost leaves no trace in a listing. But the changes at the next sync
then contradict the members before and after it.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet

from ..errors import CompressionError, MalformedCsvError, MissingColumnsError
from ..format.filename import DiffType
from ._key_blocks import Sides, count_sides, in_blocks
from .origins import Origin, SyncEvidence
from .sync_files import CHANGES

MembersAt = Callable[[int], Iterable[bytes]]
"""A function that returns the keys of the members at a sync, in order."""

ChangesAt = Callable[[int, DiffType], Iterable[bytes]]
"""A function that returns the keys in a file of changes, in order; empty if it is missing."""

_LEADS = {0b1001, 0b1010, 0b0101}
"""The allowed combinations of the sides before, entering, exiting and now: users who stayed,
entered or exited."""

_LED = {0b001, 0b011, 0b100}
"""The allowed combinations of the sides now, entering and exiting, for the same users."""

_WILL_LEAD = {0b001, 0b010, 0b101}
"""The allowed combinations of the sides before, entering and exiting, for the same users."""


def leads_here(number: int, members: MembersAt, changes: ChangesAt) -> bool:
    """Return True if the changes lead from the members at the sync before to those here."""
    listed = (changes(number, diff_type) for diff_type in CHANGES)
    return _has_only(_LEADS, members(number - 1), *listed, members(number))


def contradicted_link(
    origins: Sequence[Origin], facts: Sequence[SyncEvidence], members: MembersAt, changes: ChangesAt
) -> int | None:
    """Return the number of a sync that contradicts the one before it; None if none does.

    A sync is compared if its members are replayed from those of a neighbour, and if neither
    the log nor the schedule rules out a missing sync between the two.

    Args:
        origins: The source of the members at each sync, as it follows from the facts.
        facts: The facts of each sync.
        members: The members at a sync, from these origins.
        changes: The users in the files of changes.
    """
    for number, origin in enumerate(origins):
        if origin not in (Origin.EARLIER, Origin.LATER):
            continue
        link = number + (origin is Origin.LATER)
        if not link or facts[link].is_certain:
            continue
        allowed = _LED if origin is Origin.LATER else _WILL_LEAD
        near = number if origin is Origin.LATER else number - 1
        try:
            listed = [changes(number, diff_type) for diff_type in CHANGES]
            if not _has_only(allowed, members(near), *listed):
                return link
        except (CompressionError, MalformedCsvError, MissingColumnsError):
            pass  # The error is raised when the file is needed for a result.
    return None


def _has_only(allowed: AbstractSet[Sides], *sides: Iterable[bytes]) -> bool:
    return all(found.keys() <= allowed for found in count_sides(*map(in_blocks, sides)))
