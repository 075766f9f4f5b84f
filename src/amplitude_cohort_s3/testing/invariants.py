"""Assertions of the invariants of a stream, which hold at every moment."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from attrs import frozen

from ..errors import UnfinishedSyncError
from ..format.columns import Row
from ..format.compression import decompress_chunks
from ..format.content import verified
from ..format.digests import members_digest, row_digest
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
    """The state of a stream that fulfils the invariants.

    Attributes:
        records: All records of syncs, oldest first.
        published: The published syncs, oldest first; the last one is the head.
        unfinished: The newest record, if it is the record of a sync and has no outcome.
        amendments: The amendments of ``forget`` and ``prune``, oldest first. The newest one may
            have no outcome yet.
        digests: The sha256 of every visible object of both storages, by its key.
    """

    records: tuple[SyncRecord, ...]
    published: tuple[SyncRecord, ...]
    unfinished: SyncRecord | None
    amendments: tuple[Amendment, ...]
    digests: Mapping[str, str]


def assert_invariants(
    storage: Storage,
    stream: CohortStream,
    log: Storage | None = None,
    *,
    earlier: StreamState | None = None,
) -> StreamState:
    """Assert the invariants of a stream, which hold even while processes write to it.

    - The records form one chain without gaps, and all but the newest have an outcome.
    - A record refers to the head before it by the digest of that record, and the times of
      published syncs increase.
    - A published sync has its three files with the recorded bytes. Its members are those of the
      previous sync, plus those who entered, minus those who exited.
    - If ``existing`` is visible, both other files are too, and its sync has a record and is not
      void.
    - No file of a void sync is staged, so no process can publish it.
    - ``read_history`` and ``read_head`` agree with the log.
    - With ``earlier``: each object that was visible then still exists and is unchanged.

    ``forget`` and ``prune`` are exceptions: only files that an amendment names may have been
    changed or removed, and a changed file has the digest and counts of the amendment.

    Args:
        storage: The storage of the data.
        stream: The stream.
        log: The storage of the log, if it is not ``storage``.
        earlier: The state that an earlier call returned.

    Returns:
        The state of the stream.

    Raises:
        AssertionError: An invariant is violated.
    """
    log = log or storage
    records, outcomes = _read_log(log, stream)
    digests = _digests(storage) if log is storage else _digests(storage) | _digests(log)
    _assert_chain(records, outcomes)
    published = _assert_syncs(storage, records, outcomes, digests)
    syncs = tuple(record for record in records if isinstance(record, SyncRecord))
    state = StreamState(
        records=syncs,
        published=tuple(published),
        unfinished=syncs[-1] if syncs and syncs[-1].number not in outcomes else None,
        amendments=tuple(record for record in records if isinstance(record, Amendment)),
        digests=digests,
    )
    _assert_all_files_logged(storage, stream, state)
    pending = [a for a in state.amendments if a.number not in outcomes]
    _assert_readers_agree(storage, stream, log, state, amending=bool(pending))
    if earlier is not None:
        amended = {key for a in state.amendments for key in (*a.replaced, *a.removed)}
        kept = {key: sha256 for key, sha256 in earlier.digests.items() if key not in amended}
        assert kept.items() <= digests.items(), "a visible object changed"
    return state


def _assert_chain(records: list[LogRecord], outcomes: Mapping[int, Outcome]) -> None:
    """Assert that each record continues the head before it, and each outcome fits its record."""
    head: SyncRecord | None = None
    for record in records:
        assert record.previous == (head.ref if head else None), "a record continues another head"
        outcome = outcomes.get(record.number)
        if isinstance(record, Amendment):
            assert head is not None, "there is no sync to amend"
            if outcome is not None:
                assert outcome.amended, "the outcome of an amendment is that of a sync"
                expected = record.applied_to(head, outcome.lost)
                assert outcome.head == expected, "the outcome has a differently amended head"
        elif outcome is not None and outcome.published:
            assert outcome.head == record, "the outcome contains another record"
            assert head is None or head.synced_at < record.synced_at, "times do not increase"
        elif outcome is not None:
            assert outcome.head == head, "a void sync changed the head"
        if outcome is not None:
            head = outcome.head


def _assert_syncs(
    storage: Storage,
    records: list[LogRecord],
    outcomes: Mapping[int, Outcome],
    digests: Mapping[str, str],
) -> list[SyncRecord]:
    """Assert that the files of each sync fit its outcome.

    Returns:
        The records of the published syncs, with all amendments applied.
    """
    amendments = [record for record in records if isinstance(record, Amendment)]
    done = [amendment for amendment in amendments if amendment.number in outcomes]
    pending = next((a for a in amendments if a.number not in outcomes), None)
    undefined = _undefined_keys(done, pending, outcomes)
    published = list[SyncRecord]()
    published_keys = {
        key
        for record in records
        if isinstance(record, SyncRecord)
        and (outcome := outcomes.get(record.number))
        and outcome.published
        for key in record.keys
    }
    members: set[Row] | None = set()
    for record in records:
        outcome = outcomes.get(record.number)
        if isinstance(record, Amendment):
            continue
        if outcome is None:
            _assert_unfinished(storage, record, digests)
        elif not outcome.published:
            _assert_void(storage, record, digests, published_keys)
        else:
            now = record
            for amendment in done:
                if amendment.number > record.number:
                    now = amendment.applied_to(now, outcomes[amendment.number].lost)
            if record.keys & undefined:
                members = None
            else:
                members = _assert_published(storage, now, members, digests)
            published.append(now)
    return published


def _undefined_keys(
    done: list[Amendment], pending: Amendment | None, outcomes: Mapping[int, Outcome]
) -> set[str]:
    """Return the keys of files that were pruned or lost, or whose amendment is unfinished."""
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
    assert None not in entries, "a foreign object is in the log"
    for entry in entries:
        if entry is not None and entry.is_outcome:
            key = outcome_key(stream, entry.number)
            outcomes[entry.number] = Outcome.from_bytes(_read(log, key), key=key)
        elif entry is not None:
            records.insert(0, read_record(log.open, stream, entry.number))
    numbers = [record.number for record in records]
    assert numbers == list(range(1, len(records) + 1)), f"the chain has gaps: {numbers}"
    assert set(outcomes) >= set(numbers[:-1]), "a record before the newest has no outcome"
    assert set(outcomes) <= set(numbers), "an outcome has no record"
    for number, outcome in outcomes.items():
        assert outcome.number == number, "an outcome has another record's number"
    return records, outcomes


def _assert_published(
    storage: Storage, record: SyncRecord, before: set[Row] | None, digests: Mapping[str, str]
) -> set[Row]:
    for file in record.files.values():
        assert file.key in digests, "a published file is not visible"
        if file.staged is not None:
            assert _are_bytes_of(file.staged, digests), "a published file has changed bytes"
            assert storage.inspect(file.staged) is StagedState.PUBLISHED
    rows = {diff_type: set(_of_files(record, storage, diff_type)) for diff_type in DiffType}
    entering, exiting = rows[DiffType.ENTERING], rows[DiffType.EXITING]
    key = record.schema.key_index
    now = list(Members.of_record(record, storage.open))
    assert len(now) == record.members, "the number of members differs"
    assert _digest(record, now) == record.members_sha256, "the members differ"
    if record.adopted or before is None:
        return set(now)
    keys_before, keys_now = {row[key] for row in before}, {row[key] for row in now}
    assert len(before) == record.members_before
    assert {row[key] for row in entering} == keys_now - keys_before, "the entering members differ"
    assert {row[key] for row in exiting} == keys_before - keys_now, "the exiting members differ"
    expected = keys_now & keys_before
    if record.existing.contains_entering:
        expected |= keys_now
    if record.existing.contains_exiting:
        expected |= keys_before
    assert {row[key] for row in rows[DiffType.EXISTING]} == expected, "the existing members differ"
    return set(now)


def _assert_unfinished(storage: Storage, record: SyncRecord, digests: Mapping[str, str]) -> None:
    staged = [s for s in (record.files[t].staged for t in DiffType) if s is not None]
    states = [storage.inspect(s) for s in staged]
    visible = [state is StagedState.PUBLISHED for state in states]
    assert visible == sorted(visible, reverse=True), "files are published in the wrong order"
    for s, is_visible in zip(staged, visible, strict=True):
        assert not is_visible or _are_bytes_of(s, digests), "an incomplete file is visible"


def _assert_void(
    storage: Storage, record: SyncRecord, digests: Mapping[str, str], published: set[str]
) -> None:
    states = dict[DiffType, StagedState]()
    for diff_type, file in record.files.items():
        if file.staged is not None:
            states[diff_type] = storage.inspect(file.staged)
            if states[diff_type] is StagedState.PUBLISHED:
                assert _are_bytes_of(file.staged, digests), "an incomplete file is visible"
    assert states, "an adopted sync is void"
    assert StagedState.STAGED not in states.values(), "a void sync can still be published"
    # A repeated run of the sync may have published the same bytes under the same key.
    if record.files[DiffType.EXISTING].key not in published:
        assert states[DiffType.EXISTING] is not StagedState.PUBLISHED, (
            "existing of a void sync is visible"
        )


def _assert_all_files_logged(storage: Storage, stream: CohortStream, state: StreamState) -> None:
    """Assert that a record names each visible file, except files that are older than the log."""
    known = {key for record in state.records for key in record.keys}
    first = _first_time(state)
    begun_by_us = bool(state.records) and not state.records[0].adopted
    for item in parse_listing(stream, storage.list_objects(stream.data_prefix)):
        if isinstance(item, StreamFile) and (begun_by_us or item.name.synced_at >= first):
            assert item.info.key in known, "a visible file is in no record"


def _first_time(state: StreamState) -> datetime:
    """Return the smallest time in the log, which the first record may not have if it is void."""
    times = (record.synced_at for record in state.records)
    return min(times, default=datetime.max.replace(tzinfo=UTC))


def _assert_readers_agree(
    storage: Storage,
    stream: CohortStream,
    log: Storage,
    state: StreamState,
    *,
    amending: bool,
) -> None:
    """Assert that the public readers agree with the log. Its newest entry may be unfinished."""
    history = read_history(storage, stream, log=log)
    found = [sync.synced_at for sync in history if sync.synced_at >= _first_time(state)]
    expected = [r.synced_at for r in state.published if r.keys & state.digests.keys()]
    if state.unfinished is not None and state.unfinished.keys <= state.digests.keys():
        expected.append(state.unfinished.synced_at)
    assert found == expected, "the history differs from the log"
    if not state.records:
        return
    try:
        head = read_head(storage, stream, log=log)
    except UnfinishedSyncError:
        assert state.unfinished is not None or amending
    else:
        assert state.unfinished is None
        assert not amending
        assert (head and head.record) == (state.published[-1] if state.published else None)


def _of_files(record: SyncRecord, storage: Storage, diff_type: DiffType) -> list[Row]:
    file = record.files[diff_type]
    data = _read(storage, file.key)
    if file.is_compressed:
        data = b"".join(decompress_chunks([data]))
    assert list(verified([data], file, file.key)) == [data]
    assert len(data) == file.size, "the recorded size differs"
    rows = list(record.schema.decode([data], canonical=not record.adopted, fill=True))
    assert len(rows) == file.rows, "the recorded number of rows differs"
    return rows


def _are_bytes_of(staged: StagedObject, digests: Mapping[str, str]) -> bool:
    """Return whether the visible bytes are the staged ones; True if there is no digest."""
    return staged.sha256 is None or digests[staged.key] == staged.sha256


def _digest(record: SyncRecord, rows: Sequence[Row]) -> str:
    if record.files[DiffType.EXISTING].parts:
        return members_digest(record.schema, sum(map(row_digest, rows)))
    return hashlib.sha256(b"".join(record.schema.encode(rows))).hexdigest()


def _digests(storage: Storage) -> dict[str, str]:
    found = dict[str, str]()
    for info in storage.list_objects():
        data = _read(storage, info.key)
        assert info.size == len(data), "the listing has another size"
        found[info.key] = hashlib.sha256(data).hexdigest()
    return found


def _read(storage: Storage, key: str) -> bytes:
    with storage.open(key) as stream:
        return stream.read()
