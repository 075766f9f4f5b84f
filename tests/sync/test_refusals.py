"""Syncs that are refused, each with an error of its own and without a change."""

import errno
import gzip
import io

import attrs
import pytest
from syncs import (
    AT,
    EXISTING,
    EXITING,
    HOUR,
    NEW,
    OLD,
    STREAM,
    SYNC,
    assert_refused,
    contents,
    data_files,
    plan_and_diff,
    rows,
    run_sync,
    staged_objects,
    with_settings,
    write_like_amplitude,
)

from amplitude_cohort_s3 import (
    CohortFileName,
    ExistingMeaning,
    Guard,
    LocalStorage,
    MemoryStorage,
    UserProperty,
    diff_members,
    read_head,
    recover,
)
from amplitude_cohort_s3.errors import (
    AccessDeniedError,
    CohortS3Error,
    ConfigurationError,
    DuplicateKeyError,
    EmptyKeyError,
    HeadFilesMissingError,
    InvalidCellError,
    InvalidKeyError,
    LogLimitError,
    MalformedCsvError,
    MassExitError,
    MatchByChangedError,
    MissingColumnsError,
    NaiveDatetimeError,
    ObjectChangedError,
    RecordFormatError,
    StoreRefusedError,
    StoreUnavailableError,
    SyncVoidError,
    UnknownOutcomeError,
    UnloggedSyncsError,
    UnusableDiffError,
)
from amplitude_cohort_s3.log.keys import outcome_key, record_key
from amplitude_cohort_s3.sync import commit, plan_sync
from amplitude_cohort_s3.testing.faulty_storage import Fault, FaultyStorage

FAULTY_MEMBERS = [
    pytest.param([("", "a"), ("1", "b")], EmptyKeyError, id="an empty key"),
    pytest.param([("1", "a"), ("1", "b")], DuplicateKeyError, id="different rows of one key"),
    pytest.param([(1.5, "a")], InvalidCellError, id="a float"),
    pytest.param([{"user_id": "a"}], MissingColumnsError, id="a missing column"),
    pytest.param(["1", "2"], TypeError, id="texts"),
    pytest.param([], MassExitError, id="an empty source"),
    pytest.param([("9", "x")], MassExitError, id="a mass exit"),
]


@pytest.mark.parametrize(("members", "error"), FAULTY_MEMBERS)
def test_invalid_members_are_refused(storage, members, error):
    sync = attrs.evolve(SYNC, guard=Guard(max_exits=2))
    run_sync(storage, OLD, sync=sync)
    assert_refused(storage, error, lambda: run_sync(storage, members, AT + HOUR, sync))


def test_an_unreadable_file_is_refused(storage, tmp_path):
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"amplitude_id,user_id\n1\n")
    assert_refused(storage, MalformedCsvError, lambda: run_sync(storage, broken))
    cut_off = tmp_path / "cut.csv.gz"
    cut_off.write_bytes(gzip.compress(b"amplitude_id,user_id\n1,a\n")[:-9])
    assert_refused(storage, CohortS3Error, lambda: run_sync(storage, cut_off))
    assert_refused(storage, FileNotFoundError, lambda: run_sync(storage, tmp_path / "absent"))


def test_more_exits_than_the_guard_of_the_call_allows_are_refused(storage):
    run_sync(storage, OLD)
    error = assert_refused(
        storage, MassExitError, lambda: run_sync(storage, [], AT + HOUR, guard=Guard(max_exits=2))
    )
    assert (error.members_before, error.exits, error.limit) == (3, 3, 2)
    assert rows(storage, run_sync(storage, [], AT + HOUR, guard=Guard(max_exits=3)))[1] == OLD


def test_naive_datetimes_are_refused(storage):
    naive = AT.replace(tzinfo=None)
    assert_refused(storage, NaiveDatetimeError, lambda: run_sync(storage, OLD, naive))
    assert_refused(storage, NaiveDatetimeError, lambda: run_sync(storage, OLD, now=naive))


def test_a_missing_routing_key_is_refused_before_any_sync():
    with pytest.raises(ConfigurationError, match="requires a routing key"):
        with_settings(require_suffix=True)


def test_matching_by_another_column_than_before_is_refused(storage):
    run_sync(storage, OLD)
    for match_by in ("user_id", UserProperty("crm")):
        assert_refused(
            storage,
            MatchByChangedError,
            lambda match_by=match_by: run_sync(
                storage, NEW, AT + HOUR, with_settings(match_by=match_by)
            ),
        )
    elsewhere = attrs.evolve(with_settings(match_by="user_id"), routing_key="by-user")
    assert run_sync(storage, NEW, AT + HOUR, elsewhere).record.number == 1


def test_an_unlogged_file_of_the_stream_is_refused(storage):
    run_sync(storage, OLD)
    name = CohortFileName(123, "26umsb5", AT + HOUR, "entering")
    storage.create(name.key("cohorts"), b"a stranger's")
    error = assert_refused(storage, UnloggedSyncsError, lambda: run_sync(storage, NEW, AT + HOUR))
    assert error.names == (name.key("cohorts"),)


def test_a_sync_is_void_if_a_name_is_occupied_between_plan_and_commit(storage):
    plan, diff = plan_and_diff(storage, OLD, AT)
    taken = plan.files[EXISTING].key
    storage.create(taken, b"a stranger's")
    with diff, pytest.raises(SyncVoidError):
        commit(plan, diff, storage)
    assert data_files(storage) == {taken: b"a stranger's"}
    assert not staged_objects(storage)


def test_a_sync_that_omits_the_storage_of_the_log_is_refused(storage):
    run_sync(storage, OLD, log=MemoryStorage())
    assert_refused(storage, UnloggedSyncsError, lambda: run_sync(storage, NEW, AT + HOUR))
    assert_refused(
        storage, UnloggedSyncsError, lambda: run_sync(storage, NEW, AT + HOUR, log=MemoryStorage())
    )


def test_a_stream_that_has_files_but_no_log_is_refused(storage):
    write_like_amplitude(storage, AT, OLD, [], OLD)
    error = assert_refused(storage, UnloggedSyncsError, lambda: run_sync(storage, NEW, AT + HOUR))
    assert len(error.names) == 3
    assert "adopt" in str(error)
    with pytest.raises(UnloggedSyncsError):
        read_head(storage, STREAM)


def test_a_head_that_lost_a_file_is_refused(storage):
    run_sync(storage, OLD)
    lost = run_sync(storage, NEW, AT + HOUR).record.files[EXITING].key
    storage.delete(lost)
    error = assert_refused(
        storage, HeadFilesMissingError, lambda: run_sync(storage, OLD, AT + 2 * HOUR)
    )
    assert error.keys == (lost,)


@pytest.mark.parametrize("meaning", ExistingMeaning)
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_changed_file_of_the_head_is_refused(storage, meaning, compression):
    sync = with_settings(existing=meaning, compression=compression)
    run_sync(storage, OLD, sync=sync)
    second = run_sync(storage, NEW, AT + HOUR, sync)
    key = second.record.files[EXISTING].key
    data = b"amplitudeID,userID\n8,eve\n"
    storage.delete(key)
    storage.create(key, gzip.compress(data) if compression else data)
    assert_refused(storage, ObjectChangedError, lambda: run_sync(storage, NEW, AT + 2 * HOUR, sync))


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_files_changed_after_planning_are_not_published(storage, compression):
    sync = with_settings(compression=compression)
    with diff_members((), OLD, schema=SYNC.schema) as diff:
        plan = plan_sync(sync, diff, synced_at=AT, previous=None)
        path = diff.report.files[EXISTING].path
        path.write_bytes(path.read_bytes().replace(b"bob", b"rob"))
        with pytest.raises(UnusableDiffError, match="'existing' was changed"):
            commit(plan, diff, storage)
    assert contents(storage) == {}
    if isinstance(storage, LocalStorage):
        assert [path for path in storage.root.rglob("*") if path.is_file()] == []


def test_a_sync_for_another_bucket_is_refused(storage):
    storage.bucket = "given"
    error = assert_refused(
        storage,
        ConfigurationError,
        lambda: run_sync(storage, OLD, sync=with_settings(bucket="wanted")),
    )
    assert "given" in str(error)
    assert "wanted" in str(error)
    assert run_sync(storage, OLD, sync=with_settings(bucket="given")).record.bucket == "given"


@pytest.mark.parametrize("key", [record_key, outcome_key])
def test_an_edited_log_is_refused(storage, key):
    run_sync(storage, OLD)
    run_sync(storage, NEW, AT + HOUR)
    if key is record_key:
        storage.delete(outcome_key(STREAM, 2))
    edited = contents(storage)[key(STREAM, 2)].replace(b'"members": 3', b'"members": 3.0')
    storage.delete(key(STREAM, 2))
    storage.create(key(STREAM, 2), edited)
    assert_refused(storage, RecordFormatError, lambda: run_sync(storage, OLD, AT + 2 * HOUR))


def test_a_log_copied_from_another_stream_is_refused(storage):
    run_sync(storage, OLD)
    other = attrs.evolve(SYNC, routing_key="vip")
    for key in (record_key, outcome_key):
        storage.create(key(other.stream, 1), contents(storage)[key(STREAM, 1)])
    assert_refused(storage, RecordFormatError, lambda: run_sync(storage, OLD, AT, other))


def test_a_log_without_free_numbers_is_refused(storage, monkeypatch):
    monkeypatch.setattr("amplitude_cohort_s3.sync.plan.MAX_NUMBER", 1)
    run_sync(storage, OLD)
    before = contents(storage)
    with pytest.raises(LogLimitError, match="_syncs/123_26umsb5"):
        run_sync(storage, NEW, AT + HOUR)
    assert contents(storage) == before
    if isinstance(storage, LocalStorage):
        assert len([path for path in storage.root.rglob("*") if path.is_file()]) == len(before)


class EndlessStorage(MemoryStorage):
    """A storage whose objects never end. It counts the bytes that are read."""

    taken = 0

    def open(self, key, /):
        storage = self

        class Endless(io.RawIOBase):
            def readable(self):
                return True

            def readinto(self, buffer):
                storage.taken += len(buffer)
                return len(buffer)

        return io.BufferedReader(Endless())


def test_an_endless_entry_of_the_log_is_refused():
    storage = EndlessStorage()
    for key, read in ((record_key, recover), (outcome_key, read_head)):
        storage.create(key(STREAM, 1), b"")
        with pytest.raises(RecordFormatError, match="over 16 MiB"):
            read(storage, STREAM)
    assert storage.taken < 64 << 20


@pytest.mark.parametrize(
    "error",
    [
        AccessDeniedError("my-bucket", "key", "s3:PutObject"),
        StoreRefusedError("my-bucket", "key", "PutObject", "InvalidRequest"),
        InvalidKeyError("key", "the name of its folder is too long"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_nothing_stays_staged_if_the_record_was_certainly_refused(storage, error):
    class Refusing(FaultyStorage):
        def create(self, key, data, /):
            raise error

    with pytest.raises(type(error)):
        run_sync(Refusing(storage, Fault()), OLD, AT)
    assert staged_objects(storage) == []


@pytest.mark.parametrize(
    "error", [UnknownOutcomeError("key", "reset"), StoreUnavailableError("my-bucket", "SlowDown")]
)
def test_files_stay_staged_if_their_record_may_exist(storage, error):
    class Failing(FaultyStorage):
        def create(self, key, data, /):
            super().create(key, data)
            raise error

    with pytest.raises(type(error)):
        run_sync(Failing(storage, Fault()), OLD, AT)
    assert len(staged_objects(storage)) == 3
    assert recover(storage, STREAM).outcome == "published"
