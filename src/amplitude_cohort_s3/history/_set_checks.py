"""Checks of the members of a sync: the files of one sync, and those of the sync before it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from attrs import evolve, field, frozen

from .._bytes import Hashed
from ..format.csv_blocks import Block
from ..format.digests import members_digest, row_digest
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.reader import read_table
from ..log.listing import BucketSync
from ..log.records import SyncRecord
from ._file_checks import check_table
from ._key_blocks import KeyBlock, Sides, count_sides, file_keys, in_blocks
from .findings import FindingKind
from .members import Members, are_sorted, needed_files
from .replay import Replay


@frozen(kw_only=True)
class SetFacts:
    """The counts and faults that follow from the keys in the files of a sync.

    Attributes:
        members: The number of members at the sync.
        members_before: The number of members before it, by its own three files.
        meanings: The meanings of ``existing`` that its files allow.
        faults: The numbers of users who contradict ``now = (before | entering) - exiting``.
    """

    members: int
    members_before: int
    meanings: frozenset[ExistingMeaning]
    faults: Counter[FindingKind] = field(factory=Counter[FindingKind])


def compare_sets(
    replay: Replay, sync: BucketSync, before: BucketSync | None, *, comparable: bool
) -> SetFacts:
    """Compare the keys in the files of a sync in one pass.

    Args:
        replay: The history.
        sync: A sync whose own files are enough to know its members.
        before: The sync before it, or None if it is the first.
        comparable: True if the members before it are known.
    """
    needed = needed_files(replay.record(sync))
    past: Mapping[DiffType, Iterator[KeyBlock]] = {}
    if comparable and before is not None:
        past = _member_sides(replay, before)
    files = {t: sorted_keys(replay, sync, t) for t in DiffType if t in sync.files}
    members = members_before = 0
    faults = Counter[FindingKind]()
    # The observed answers to the question whether a user of the file is in existing too.
    of_entering, of_exiting = set[bool](), set[bool]()
    for on, count in _totals(*past.values(), *files.values()).items():
        on_past = [t for n, t in enumerate(past) if on >> n & 1]
        on_files = [t for n, t in enumerate(files, len(past)) if on >> n & 1]
        entered, exited, exists = (t in on_files for t in DiffType)
        is_member = _are_members(t for t in on_files if t in needed)
        members += is_member * count
        members_before += (exited or (exists and not entered)) * count
        if entered:
            of_entering.add(exists)
        if exited:
            of_exiting.add(exists)
        if comparable:
            kinds = _user_faults(
                was_member=_are_members(on_past),
                entered=entered,
                exited=exited,
                is_member=is_member,
            )
            faults.update(dict.fromkeys(kinds, count))
    return SetFacts(
        members=members,
        members_before=members_before,
        meanings=_allowed_meanings(of_entering, of_exiting),
        faults=faults,
    )


def _totals(*sides: Iterable[KeyBlock]) -> Counter[Sides]:
    """Return the number of users on each combination of sides."""
    totals = Counter[Sides]()
    for counts in count_sides(*sides):
        totals.update(counts)
    return totals


def _are_members(files: Iterable[DiffType]) -> bool:
    """Return True if users who are in exactly these of the needed files are members."""
    found = set(files)
    return bool(found) and DiffType.EXITING not in found


def _user_faults(
    *, was_member: bool, entered: bool, exited: bool, is_member: bool
) -> Iterator[FindingKind]:
    """Yield the ways in which users contradict ``now = (before | entering) - exiting``."""
    if entered and was_member:
        yield FindingKind.ENTERED_TWICE
    if exited and not was_member:
        yield FindingKind.EXITED_UNSEEN
    expected = entered or (was_member and not exited)
    if expected and not is_member:
        yield FindingKind.LOST_MEMBER
    if is_member and not expected:
        yield FindingKind.UNEXPLAINED_MEMBER


def possible_meanings(replay: Replay, sync: BucketSync) -> frozenset[ExistingMeaning]:
    """Return the meanings of ``existing`` that the files of a complete sync allow."""
    return compare_sets(replay, sync, None, comparable=False).meanings


def _allowed_meanings(of_entering: set[bool], of_exiting: set[bool]) -> frozenset[ExistingMeaning]:
    return frozenset(
        meaning
        for meaning in ExistingMeaning
        if of_entering <= {meaning.contains_entering} and of_exiting <= {meaning.contains_exiting}
    )


def sorted_keys(replay: Replay, sync: BucketSync, diff_type: DiffType) -> Iterator[KeyBlock]:
    """Yield the keys of one file in order, without rows that have no key."""
    source, record = replay.source(sync, diff_type), replay.record(sync)
    if are_sorted(record, replay.match_by):
        return file_keys(source, record.schema)  # The order of these rows has been checked.
    return in_blocks(key for key, _ in replay.member_rows(sync, diff_type))


def _member_sides(replay: Replay, sync: BucketSync) -> Mapping[DiffType, Iterator[KeyBlock]]:
    """Return the files from which the members at a sync follow, as their keys in order.

    If the files are not enough, the members are used instead of ``existing``.
    """
    if replay.has_snapshot(sync):
        return {t: sorted_keys(replay, sync, t) for t in needed_files(replay.record(sync))}
    members = replay.members_at(sync)
    index = members.schema.key_index
    return {DiffType.EXISTING: in_blocks(row[index].encode() for row in members)}


def member_faults(record: SyncRecord, members: Members) -> Iterator[str]:
    """Yield the values of a record that are not those of the members."""
    schema = record.schema
    is_composed = any(file.parts for file in record.files.values())
    content = Hashed(members.csv_source(schema).chunks())
    table, total = read_table(iter(content), canonical=True), 0

    def blocks() -> Iterator[Block]:
        nonlocal total
        reader = schema.line_reader(table)
        for block in table.blocks:
            if is_composed:
                total += sum(map(row_digest, reader.rows(block)))
            yield block

    checked = check_table(evolve(table, blocks=blocks()), schema)
    # After ``forget``, a composed sync has the digest of the whole instead of that of its parts.
    of_parts = {members_digest(schema, total)} if is_composed else set[str]()
    if record.members_sha256 not in {content.sha256, *of_parts}:
        yield "members_sha256: it is not the digest of the members"
    yield from filled_faults(record, dict(zip(schema.properties, checked.filled, strict=True)))


def filled_faults(record: SyncRecord, filled: Mapping[str, int]) -> Iterator[str]:
    """Yield the counts of values in a record that are not those of the members."""
    for name, found in filled.items():
        if record.filled[name] != found:
            yield f"filled: {record.filled[name]:,} recorded for {name!r}, {found:,} found"
