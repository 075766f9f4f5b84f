"""What holds of a stream at every moment, whoever crashed or raced: as assertions."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from attrs import frozen

from ..distributed.composition import members_digest, row_digest
from ..errors import UnfinishedSyncError
from ..format.columns import Row
from ..format.compression import decompress_chunks
from ..format.content import verified
from ..format.filename import DiffType
from ..history.members import Members
from ..history.read import read_history
from ..log.amendments import Amendment, LogRecord
from ..log.keys import outcome_key, parse_log_key
from ..log.listing import StreamFile, parse_listing
from ..log.outcomes import Outcome
from ..log.records import SyncRecord
from ..log.stream import CohortStream
from ..log.sync_log import read_record
from ..storage import StagedObject, StagedState, Storage
from ..sync.head import read_head


@frozen(kw_only=True)
class StreamState:
    """A stream that fulfils the invariants.

    Attributes:
        records: All of them, oldest first.
        published: Those that are, oldest first; the last of them is the head.
        in_doubt: The newest record while it has no outcome.
        amendments: What ``forget`` and ``prune`` recorded, oldest first; the newest of them
            may have no outcome yet.
        digests: The sha256 of every visible object of either storage, by its key.
    """

    records: tuple[SyncRecord, ...]
    published: tuple[SyncRecord, ...]
    in_doubt: SyncRecord | None
    amendments: tuple[Amendment, ...]
    digests: Mapping[str, str]


def assert_invariants(
    storage: Storage,
    stream: CohortStream,
    log: Storage | None = None,
    *,
    earlier: StreamState | None = None,
) -> StreamState:
    """Asserts what must hold of what is stored, whatever any process remembers.

    - the records form one chain without gaps, and all but the newest have an outcome;
    - a record names its predecessor by the digest of its bytes, and times increase;
    - a published sync has its three files, whole, with the recorded bytes, and the
      members of n are those of n-1, and who enters, without those who exit;
    - a visible ``existing`` has a record, its two companions, and is not void;
    - nothing of a void sync is staged: nobody can publish it any more;
    - the public readers tell the same;
    - with ``earlier``: no object that was visible then has changed or is gone, and no
      outcome was taken back.

    What was forgotten or pruned by the log is the exception: the new files have the digests
    and counts that the amendment tells, and only the files that it names changed or are gone.

    Args:
        storage: Where the data is.
        stream: Whose.
        log: Where the log is, if not in ``storage``.
        earlier: What an earlier call returned.

    Returns:
        What was found.

    Raises:
        AssertionError: One of them does not hold.
    """
    log = log or storage
    records, outcomes = _read_log(log, stream)
    digests = _digests(storage) if log is storage else _digests(storage) | _digests(log)
    amendments = [record for record in records if isinstance(record, Amendment)]
    done = [amendment for amendment in amendments if amendment.number in outcomes]
    pending = next((a for a in amendments if a not in done), None)
    exempt = {key for a in amendments for key in (*a.replaced, *a.removed)}
    unsettled = _unsettled(done, pending, outcomes)
    published = list[SyncRecord]()
    head: SyncRecord | None = None
    members: set[Row] | None = set()
    for record in records:
        assert record.previous == (head.ref if head else None), "it continues another head"
        outcome = outcomes.get(record.number)
        if isinstance(record, Amendment):
            assert head is not None, "there is nothing to amend"
            if outcome is not None:
                assert outcome.amended, "an amendment is no sync"
                assert outcome.head == record.applied_to(head, outcome.lost), "it amends otherwise"
        elif outcome is None:
            _assert_undecided(storage, record, digests)
        elif outcome.published:
            assert outcome.head == record, "the outcome holds another record"
            assert head is None or head.synced_at < record.synced_at, "time runs backwards"
            now = record
            for amendment in done:
                if amendment.number > record.number:
                    now = amendment.applied_to(now, outcomes[amendment.number].lost)
            if record.keys & unsettled:
                members = None
            else:
                members = _assert_published(storage, now, members, digests)
            published.append(now)
        else:
            assert outcome.head == head, "a void sync moved the head"
            _assert_void(storage, record, digests)
        if outcome is not None:
            head = outcome.head
    syncs = tuple(record for record in records if isinstance(record, SyncRecord))
    in_doubt = syncs[-1] if syncs and syncs[-1].number not in outcomes else None
    state = StreamState(
        records=syncs,
        published=tuple(published),
        in_doubt=in_doubt,
        amendments=tuple(amendments),
        digests=digests,
    )
    _assert_no_stranger(storage, stream, state)
    _assert_readers_agree(storage, stream, log, state, pending)
    if earlier is not None:
        kept = {key: sha256 for key, sha256 in earlier.digests.items() if key not in exempt}
        assert kept.items() <= digests.items(), "a visible object changed"
    return state


def _unsettled(
    done: list[Amendment], pending: Amendment | None, outcomes: Mapping[int, Outcome]
) -> set[str]:
    """The keys of files that are pruned, or may be as before an amendment or as after it."""
    lost, removed = set[str](), set[str]()
    for amendment in done:
        lost = lost - set(amendment.replaced) | set(outcomes[amendment.number].lost)
        removed |= set(amendment.removed)
    changing = set[str]() if pending is None else {*pending.replaced, *pending.removed}
    return lost | removed | changing


def _read_log(log: Storage, stream: CohortStream) -> tuple[list[LogRecord], Mapping[int, Outcome]]:
    records = list[LogRecord]()
    outcomes = dict[int, Outcome]()
    entries = [parse_log_key(stream, i.key) for i in log.list_objects(stream.log_prefix)]
    assert None not in entries, "a stranger is in the log"
    for entry in entries:
        if entry is not None and entry.is_outcome:
            key = outcome_key(stream, entry.number)
            outcomes[entry.number] = Outcome.from_bytes(_read(log, key), key=key)
        elif entry is not None:
            records.insert(0, read_record(log.open, stream, entry.number))
    numbers = [record.number for record in records]
    assert numbers == list(range(1, len(records) + 1)), f"the chain has gaps: {numbers}"
    assert set(outcomes) >= set(numbers[:-1]), "a record was passed over without an outcome"
    assert set(outcomes) <= set(numbers), "an outcome without a record"
    for number, outcome in outcomes.items():
        assert outcome.number == number, "an outcome of another record"
    return records, outcomes


def _assert_published(
    storage: Storage, record: SyncRecord, before: set[Row] | None, digests: Mapping[str, str]
) -> set[Row]:
    for file in record.files.values():
        assert file.key in digests, "a published file is not visible"
        if file.staged is not None:
            assert _are_bytes_of(file.staged, digests), "a published file has other bytes"
            assert storage.inspect(file.staged) is StagedState.PUBLISHED
    rows = {diff_type: set(_of_files(record, storage, diff_type)) for diff_type in DiffType}
    entering, exiting = rows[DiffType.ENTERING], rows[DiffType.EXITING]
    key = record.schema.key_index
    now = list(Members.of_record(record, storage.open))
    assert len(now) == record.members, "the number of members is another"
    assert _digest(record, now) == record.members_sha256, "the members are others"
    if record.adopted or before is None:
        return set(now)
    keys_before, keys_now = {row[key] for row in before}, {row[key] for row in now}
    assert len(before) == record.members_before
    assert {row[key] for row in entering} == keys_now - keys_before, "who enters is wrong"
    assert {row[key] for row in exiting} == keys_before - keys_now, "who exits is wrong"
    expected = keys_now & keys_before
    if record.existing.contains_entering:
        expected |= keys_now
    if record.existing.contains_exiting:
        expected |= keys_before
    assert {row[key] for row in rows[DiffType.EXISTING]} == expected, "who exists is wrong"
    return set(now)


def _assert_undecided(storage: Storage, record: SyncRecord, digests: Mapping[str, str]) -> None:
    staged = [s for s in (record.files[t].staged for t in DiffType) if s is not None]
    states = [storage.inspect(s) for s in staged]
    visible = [state is StagedState.PUBLISHED for state in states]
    assert visible == sorted(visible, reverse=True), "a file is visible before its predecessor"
    for s, is_visible in zip(staged, visible, strict=True):
        assert not is_visible or _are_bytes_of(s, digests), "half a file is visible"


def _assert_void(storage: Storage, record: SyncRecord, digests: Mapping[str, str]) -> None:
    states = dict[DiffType, StagedState]()
    for diff_type, file in record.files.items():
        if file.staged is not None:
            states[diff_type] = storage.inspect(file.staged)
            if states[diff_type] is StagedState.PUBLISHED:
                assert _are_bytes_of(file.staged, digests), "half a file is visible"
    assert states, "a baseline is void"
    assert StagedState.STAGED not in states.values(), "a void sync can still be published"
    assert states[DiffType.EXISTING] is not StagedState.PUBLISHED, "a void sync shows existing"


def _assert_no_stranger(storage: Storage, stream: CohortStream, state: StreamState) -> None:
    """No file of the stream is visible that the log does not know, but from before the log."""
    known = {key for record in state.records for key in record.keys}
    first = _first(state)
    begun_by_us = bool(state.records) and not state.records[0].adopted
    for item in parse_listing(stream, storage.list_objects(stream.data_prefix)):
        if isinstance(item, StreamFile) and (begun_by_us or item.name.synced_at >= first):
            assert item.info.key in known, "a file is visible that no record knows"


def _first(state: StreamState) -> datetime:
    """The time at which the log begins: a void record may be later than its successor."""
    times = (record.synced_at for record in state.records)
    return min(times, default=datetime.max.replace(tzinfo=UTC))


def _assert_readers_agree(
    storage: Storage,
    stream: CohortStream,
    log: Storage,
    state: StreamState,
    pending: Amendment | None,
) -> None:
    history = read_history(storage, stream, log=log)
    told = [sync.synced_at for sync in history if sync.synced_at >= _first(state)]
    expected = [r.synced_at for r in state.published if r.keys & state.digests.keys()]
    if state.in_doubt is not None and state.in_doubt.keys <= state.digests.keys():
        expected.append(state.in_doubt.synced_at)
    assert told == expected, "the history tells another story"
    if not state.records:
        return
    try:
        head = read_head(storage, stream, log=log)
    except UnfinishedSyncError:
        assert state.in_doubt is not None or pending is not None
    else:
        assert state.in_doubt is None
        assert pending is None
        assert (head and head.record) == (state.published[-1] if state.published else None)


def _of_files(record: SyncRecord, storage: Storage, diff_type: DiffType) -> list[Row]:
    file = record.files[diff_type]
    data = _read(storage, file.key)
    if file.is_compressed:
        data = b"".join(decompress_chunks([data]))
    assert list(verified([data], [file], file.key)) == [data]
    assert len(data) == file.size, "the recorded size is another"
    rows = list(record.schema.decode([data], canonical=not record.adopted, fill=True))
    assert len(rows) == file.rows, "the recorded number of rows is another"
    return rows


def _are_bytes_of(staged: StagedObject, digests: Mapping[str, str]) -> bool:
    """Whether they are visible; of a composed object the record alone can tell."""
    return staged.sha256 is None or digests[staged.key] == staged.sha256


def _digest(record: SyncRecord, rows: list[Row]) -> str:
    if record.files[DiffType.EXISTING].parts:
        return members_digest(record.schema, sum(map(row_digest, rows)))
    return hashlib.sha256(b"".join(record.schema.encode(rows))).hexdigest()


def _digests(storage: Storage) -> dict[str, str]:
    found = dict[str, str]()
    for info in storage.list_objects():
        data = _read(storage, info.key)
        assert info.size == len(data), "the listing says another size"
        found[info.key] = hashlib.sha256(data).hexdigest()
    return found


def _read(storage: Storage, key: str) -> bytes:
    with storage.open(key) as stream:
        return stream.read()
