"""A quick test whether two sets of members are equal, in one pass and without sorting.

The digest of a set is the sum of the hashes of its keys, so it does not depend on their
order. Equal digests mean equal sets, except for a chance of 1 in 2**60. Unequal ones prove
nothing, because a key that a file repeats is added twice.
"""

from collections.abc import Iterable, Sequence

from attrs import frozen

MAX_CHANGES = 250_000
"""The largest number of keys of a file of changes that are held in memory, about 25 MB."""


@frozen
class KeyDigests:
    """The digests of the members at a sync and of those before it."""

    members: int
    before: int


def key_digests(
    entering: Iterable[Sequence[str]],
    exiting: Iterable[Sequence[str]],
    existing: Iterable[Sequence[str]],
) -> KeyDigests | None:
    """Return the digests of a sync, or None if too many members changed.

    Args:
        entering: The keys of the file ``entering``, in batches.
        exiting: The keys of the file ``exiting``, in batches.
        existing: The keys of the file ``existing``, in batches.

    >>> first = key_digests([["1", "2"]], [], [["2", "1"]])
    >>> second = key_digests([["3"]], [["1", ""]], [["2"], ["3", ""]])
    >>> first.members == second.before, first.members == second.members
    (True, False)
    """
    entered, exited = _distinct(entering), _distinct(exiting)
    if entered is None or exited is None:
        return None
    entered -= exited  # A user in both files is not a member.
    total = of_entered = of_exited = 0
    seen = set[str]()
    for keys in existing:
        total += sum(map(hash, keys)) - keys.count("") * hash("")
        if not entered.isdisjoint(keys):
            of_entered += sum(hash(key) for key in keys if key in entered)
            seen.update(entered.intersection(keys))
        if not exited.isdisjoint(keys):
            of_exited += sum(hash(key) for key in keys if key in exited)
    return KeyDigests(
        members=total - of_exited + sum(map(hash, entered - seen)),
        before=total - of_entered - of_exited + sum(map(hash, exited)),
    )


def _distinct(batches: Iterable[Sequence[str]]) -> set[str] | None:
    """Return the distinct keys, or None if there are too many."""
    found = set[str]()
    for keys in batches:
        found.update(keys)
        if len(found) > MAX_CHANGES:
            return None
    return found - {""}
