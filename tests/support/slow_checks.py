"""The set checks of verification, one user at a time: slow, and simple enough to be right."""

import heapq
from collections import Counter
from itertools import groupby, repeat
from operator import itemgetter

from amplitude_cohort_s3 import DiffType
from amplitude_cohort_s3.format.existing_meaning import ExistingMeaning
from amplitude_cohort_s3.history._set_checks import SetFacts
from amplitude_cohort_s3.history.findings import FindingKind
from amplitude_cohort_s3.history.members import needed_files


def sides_by_key(*sides):
    """Yield for each key the sides that have it; the keys of a side are in order."""
    merged = heapq.merge(*(zip(keys, repeat(side)) for side, keys in enumerate(sides)))
    for _, same_key in groupby(merged, key=itemgetter(0)):
        yield tuple([side for _, side in same_key])


def compare_sets_slowly(replay, sync, before, *, comparable) -> SetFacts:
    """Return what ``compare_sets`` returns."""
    needed = needed_files(replay.record(sync))
    adds, removes = DiffType.ENTERING in needed, DiffType.EXITING in needed
    members = members_before = 0
    faults = Counter()
    of_entering, of_exiting = set(), set()
    past = _member_keys(replay, before) if comparable and before is not None else ()
    files = (_keys(replay, sync, t) if t in sync.files else () for t in DiffType)
    for sides in sides_by_key(past, *files):
        was_member, entered, exited, exists = (side in sides for side in range(4))
        is_member = (exists or (adds and entered)) and not (removes and exited)
        members += is_member
        members_before += exited or (exists and not entered)
        if entered:
            of_entering.add(exists)
        if exited:
            of_exiting.add(exists)
        expected = entered or (was_member and not exited)
        if comparable:
            faults[FindingKind.ENTERED_TWICE] += entered and was_member
            faults[FindingKind.EXITED_UNSEEN] += exited and not was_member
            faults[FindingKind.LOST_MEMBER] += expected and not is_member
            faults[FindingKind.UNEXPLAINED_MEMBER] += is_member and not expected
    return SetFacts(
        members=members,
        members_before=members_before,
        meanings=frozenset(
            meaning
            for meaning in ExistingMeaning
            if of_entering <= {meaning.contains_entering}
            and of_exiting <= {meaning.contains_exiting}
        ),
        faults=+faults,
    )


def _keys(replay, sync, diff_type):
    return (key for key, _ in replay.member_rows(sync, diff_type))


def _member_keys(replay, sync):
    if not replay.has_snapshot(sync):
        members = replay.members_at(sync)
        index = members.schema.key_index
        yield from (row[index].encode() for row in members)
        return
    needed = needed_files(replay.record(sync))
    files = (zip(_keys(replay, sync, t), repeat(t is DiffType.EXITING)) for t in needed)
    for key, same_key in groupby(heapq.merge(*files), key=itemgetter(0)):
        if not any(exits for _, exits in same_key):
            yield key
