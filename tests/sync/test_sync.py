"""The shell: sync_cohort, read_head, recover, adopt and read_history over two backends."""

import gzip
import io
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    Cadence,
    CohortFileName,
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    ExitGuard,
    LocalStorage,
    Member,
    MemoryStorage,
    NameStyle,
    Storage,
    UserProperty,
    adopt,
    diff_members,
    read_head,
    read_history,
    recover,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    CohortS3Error,
    ConcurrentSyncError,
    ConfigurationError,
    DuplicateKeyError,
    EmptyKeyError,
    HeadFilesMissingError,
    InvalidCellError,
    LogLimitError,
    MalformedCsvError,
    MassExitError,
    MatchByChangedError,
    MissingColumnsError,
    NaiveDatetimeError,
    NothingToAdoptError,
    ObjectChangedError,
    ObjectExistsError,
    RecordFormatError,
    SyncTimeError,
    SyncTimeTakenError,
    SyncVoidError,
    UnfinishedSyncError,
    UnloggedSyncsError,
    UnusableDiffError,
)
from amplitude_cohort_s3.log import SyncState
from amplitude_cohort_s3.log.keys import outcome_key, record_key
from amplitude_cohort_s3.sync import commit, plan_sync
from amplitude_cohort_s3.testing import strategies
from amplitude_cohort_s3.testing.faulty_storage import Fault, FaultyStorage

ENTERING, EXITING, EXISTING = DiffType
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
NOW = AT + 10 * HOUR
WAREHOUSE = Destination(name="warehouse", path="cohorts")
SYNC = CohortSync(destination=WAREHOUSE, project_id=123, cohort_id="26umsb5")
STREAM = SYNC.stream
OLD = [("1", "ann"), ("2", "bob"), ("3", "cy")]
NEW = [("2", "bob"), ("3", "cy"), ("4", "dee")]


@pytest.fixture(params=["memory", "local"])
def storage(request, tmp_path) -> Storage:
    return MemoryStorage() if request.param == "memory" else LocalStorage(tmp_path / "root")


def run(storage, members, at=AT, sync=SYNC, *, now=NOW, **options):
    return sync_cohort(sync, members, storage, synced_at=at, clock=lambda: now, **options)


def to(sync=SYNC, /, **settings):
    """The sync with other settings of its destination."""
    return attrs.evolve(sync, destination=attrs.evolve(sync.destination, **settings))


def contents(storage):
    """Every visible object: its key and bytes."""
    found = {}
    for info in storage.list_objects():
        with storage.open(info.key) as file:
            found[info.key] = file.read()
    return found


def data_files(storage):
    return {key: data for key, data in contents(storage).items() if "_syncs/" not in key}


def rows(storage, result):
    """The rows of the three files of a sync."""
    found = []
    for file in result.record.files.values():
        data = contents(storage)[file.key]
        if file.key.endswith(".gz"):
            data = gzip.decompress(data)
        found.append(list(result.record.schema.decode([data])))
    return found


def members_now(storage, sync=SYNC, **options):
    return list(read_head(storage, sync.stream, **options).members())


def staged_leftovers(storage):
    if isinstance(storage, MemoryStorage):
        return dict(vars(storage)["_staged"])
    folder = storage.root / ".amplitude_cohort_s3"
    return list(folder.iterdir()) if folder.exists() else []


def assert_nothing_changes(storage, error, act):
    """That it raises, and no object appears, goes or changes, and nothing stays staged."""
    before = contents(storage)
    with pytest.raises(error) as caught:
        act()
    assert contents(storage) == before
    assert not staged_leftovers(storage)
    return caught.value


# --- What a sync writes --------------------------------------------------------------


def test_the_first_sync_everyone_enters(storage):
    result = run(storage, OLD)
    assert rows(storage, result) == [OLD, [], OLD]
    assert data_files(storage) == {
        "cohorts/123_26umsb5_2026-11-23T14:05_entering.csv": (
            b"amplitudeID,userID\n1,ann\n2,bob\n3,cy\n"
        ),
        "cohorts/123_26umsb5_2026-11-23T14:05_exiting.csv": b"amplitudeID,userID\n",
        "cohorts/123_26umsb5_2026-11-23T14:05_existing.csv": (
            b"amplitudeID,userID\n1,ann\n2,bob\n3,cy\n"
        ),
    }
    assert not result.already_done
    assert not staged_leftovers(storage)


def test_an_ordinary_sync_is_the_difference_to_the_one_before(storage):
    run(storage, OLD)
    result = run(storage, reversed(NEW), AT + HOUR)
    assert rows(storage, result) == [[("4", "dee")], [("1", "ann")], NEW]
    assert (result.record.members_before, result.record.members) == (3, 3)
    assert members_now(storage) == NEW


def test_without_a_change_all_three_files_are_written(storage):
    run(storage, OLD)
    result = run(storage, OLD, AT + HOUR)
    assert rows(storage, result) == [[], [], OLD]
    assert len(data_files(storage)) == 6


def test_an_empty_cohort_is_legal(storage):
    assert rows(storage, run(storage, [])) == [[], [], []]
    assert rows(storage, run(storage, [], AT + HOUR)) == [[], [], []]
    assert rows(storage, run(storage, NEW, AT + 2 * HOUR)) == [NEW, [], NEW]
    emptied = run(storage, [], AT + 3 * HOUR, max_exits=3)
    assert rows(storage, emptied) == [[], NEW, []]


def test_a_returning_user_enters_again(storage):
    for n, members in enumerate([OLD, NEW, OLD]):
        result = run(storage, members, AT + n * HOUR)
    assert rows(storage, result) == [[("1", "ann")], [("4", "dee")], OLD]


@pytest.mark.parametrize(
    ("meaning", "first", "second"),
    [
        (ExistingMeaning.MEMBERS, OLD, NEW),
        (ExistingMeaning.STAYED, [], NEW[:2]),
        (ExistingMeaning.PREVIOUS, [], OLD),
    ],
)
def test_all_three_meanings_are_written_and_read(storage, meaning, first, second):
    sync = to(existing=meaning)
    assert rows(storage, run(storage, OLD, sync=sync)) == [OLD, [], first]
    assert members_now(storage) == OLD
    result = run(storage, NEW, AT + HOUR, sync)
    assert rows(storage, result) == [[("4", "dee")], [("1", "ann")], second]
    assert members_now(storage) == NEW
    assert result.record.existing is meaning
    history = read_history(storage, STREAM)
    assert [list(history.members_at(s)) for s in history] == [OLD, NEW]


def test_the_meaning_may_change_and_is_recorded(storage):
    for n, meaning in enumerate([*ExistingMeaning, *reversed(ExistingMeaning)]):
        members = [OLD, NEW][n % 2]
        assert run(storage, members, AT + n * HOUR, to(existing=meaning)).record.existing is meaning
        assert members_now(storage) == members
    history = read_history(storage, STREAM)
    assert [list(history.members_at(s)) for s in history] == [OLD, NEW] * 3


@settings(max_examples=25)
@given(st.data(), st.sampled_from(ExistingMeaning), st.sampled_from([None, "gzip"]))
def test_law_members_at_each_sync_are_those_that_were_given(data, meaning, compression):
    destination = Destination(
        name="d",
        match_by=data.draw(st.sampled_from(["amplitude_id", "user_id", UserProperty("plan")])),
        existing=meaning,
        compression=compression,
        header_style=data.draw(st.sampled_from(["documented", "api"])),
    )
    sync = CohortSync(
        destination=destination,
        project_id=0,
        cohort_id="a",
        user_properties=[UserProperty("plan")],
        exit_guard=ExitGuard(number=10**6),
    )
    storage = MemoryStorage()
    given_rows = []
    for n in range(data.draw(st.integers(1, 3))):
        given_rows.append(data.draw(strategies.rows(sync.schema)))
        run(storage, given_rows[-1], AT + n * MINUTE, sync, max_exits=10**6)
    history = read_history(storage, sync.stream)
    key = sync.schema.key_index
    assert [list(history.members_at(s)) for s in history] == [
        sorted(members, key=lambda row: row[key].encode()) for members in given_rows
    ]


def test_gzip_is_written_and_read(storage):
    sync = to(compression="gzip", existing=ExistingMeaning.STAYED)
    run(storage, OLD, sync=sync)
    result = run(storage, NEW, AT + HOUR, sync)
    assert all(key.endswith(".csv.gz") for key in data_files(storage))
    assert rows(storage, result) == [[("4", "dee")], [("1", "ann")], NEW[:2]]
    assert members_now(storage) == NEW
    plain = run(MemoryStorage(), OLD).record
    packed = run(MemoryStorage(), OLD, sync=to(compression="gzip")).record
    assert [f.sha256 for f in packed.files.values()] == [f.sha256 for f in plain.files.values()]


def test_members_come_from_the_location_of_a_csv_file(storage, tmp_path):
    source = tmp_path / "export.csv"
    source.write_bytes(b'"amplitude_id","user_id","shoe"\r\n"2","bob","44"\r\n"1","ann",""\r\n')
    for n, location in enumerate([source, str(source)]):
        result = run(storage, location, AT + n * HOUR)
        assert rows(storage, result)[2] == OLD[:2]
        assert result.ignored_columns == ("shoe",)
        assert result.record.source == {"file": "export.csv"}


def test_properties_may_come_and_go(storage):
    plan, shoe = UserProperty("plan"), UserProperty("shoe")

    def step(n, properties, members):
        sync = attrs.evolve(SYNC, user_properties=properties)
        return run(storage, members, AT + n * HOUR, sync)

    step(0, [plan], [("1", "a", "x"), ("2", "b", "x")])
    added = step(1, [plan, shoe], [("2", "b", "y", "44")])
    assert rows(storage, added) == [[], [("1", "a", "x", "")], [("2", "b", "y", "44")]]
    swapped = step(2, [shoe, plan], [("2", "b", "44", "y"), ("3", "c", "45", "z")])
    assert swapped.record.schema.header == ("amplitudeID", "userID", "shoe", "plan")
    assert rows(storage, swapped)[0] == [("3", "c", "45", "z")]
    gone = step(3, [], [("3", "c")])
    assert rows(storage, gone) == [[], [("2", "b")], [("3", "c")]]


def test_the_header_style_may_change(storage):
    run(storage, OLD)
    result = run(storage, NEW, AT + HOUR, to(header_style="api"))
    assert rows(storage, result) == [[("4", "dee")], [("1", "ann")], NEW]
    assert contents(storage)[result.record.files[EXITING].key] == b"amplitude_id,user_id\n1,ann\n"
    assert members_now(storage) == NEW


def test_names_may_change_their_style(storage):
    run(storage, OLD)
    style = NameStyle(separator="-", seconds=True)
    result = run(storage, NEW, AT + timedelta(seconds=1), to(name_style=style))
    assert [name.rpartition("/")[2] for name in sorted(result.record.keys)] == [
        f"123_26umsb5_2026-11-23T14-05-01_{word}.csv"
        for word in ("entering", "existing", "exiting")
    ]
    assert run(storage, OLD, AT + MINUTE).record.previous.number == 2
    assert [s.synced_at.second for s in read_history(storage, STREAM)] == [0, 1, 0]


def test_members_may_be_matched_by_user_id(storage):
    sync = to(match_by="user_id")
    first = run(storage, [("9", "b"), ("", "a"), ("7", "")], sync=sync)
    assert rows(storage, first)[2] == [("", "a"), ("9", "b")]
    assert first.record.skipped == 1
    second = run(storage, [("1", "b")], AT + HOUR, sync)
    assert rows(storage, second) == [[], [("", "a")], [("1", "b")]]


def test_members_may_be_matched_by_a_property(storage):
    sync = to(match_by=UserProperty("crm"))
    run(storage, [("1", "a", "x"), ("1", "a", "y"), ("2", "b", "")], sync=sync)
    second = run(storage, [Member("3", "c", {"crm": "y"})], AT + HOUR, sync)
    assert second.record.schema.header == ("amplitudeID", "userID", "crm")
    assert rows(storage, second) == [[], [("1", "a", "x")], [("3", "c", "y")]]


def test_duplicates_are_kept_by_choice(storage):
    result = run(storage, [("1", "b"), ("1", "a"), ("1", "a")], duplicates="keep_smallest")
    assert rows(storage, result)[2] == [("1", "a")]
    assert result.record.collapsed == 2


def test_streams_of_other_routing_keys_and_paths_are_apart(storage):
    syncs = [
        SYNC,
        attrs.evolve(SYNC, routing_key="vip"),
        attrs.evolve(SYNC, routing_key="vip_entering"),
        attrs.evolve(SYNC, cohort_id="26umsb5-2"),
        attrs.evolve(SYNC, project_id=12),
        to(path="cohorts/eu"),
        to(path=""),
    ]
    for n, sync in enumerate(syncs):
        run(storage, [(str(n), "")], sync=sync)
    for n, sync in enumerate(syncs):
        assert members_now(storage, sync) == [(str(n), "")]
        assert len(read_history(storage, sync.stream)) == 1


def test_a_sync_can_be_composed_by_hand_from_its_parts(storage):
    run(storage, OLD)
    head = read_head(storage, STREAM)
    with diff_members(head.members(), NEW, schema=SYNC.schema) as diff:
        plan = plan_sync(SYNC, diff, synced_at=AT + HOUR, previous=head)
        assert data_files(storage).keys().isdisjoint(f.key for f in plan.files.values())
        by_hand = commit(plan, diff, storage)
    assert by_hand.record.number == 2
    twin = MemoryStorage()
    run(twin, OLD)
    run(twin, NEW, AT + HOUR)
    assert data_files(storage) == data_files(twin)


def test_results_and_plans_name_nobody(storage):
    result = run(storage, OLD)
    assert "ann" not in repr(result) + str(result)
    head = read_head(storage, STREAM)
    assert "ann" not in repr(head) + repr(head.members())
    assert "ann" not in repr(read_history(storage, STREAM))


# --- The log elsewhere ---------------------------------------------------------------


def test_the_log_may_be_elsewhere_so_that_the_bucket_holds_data_only(storage):
    log = MemoryStorage()
    run(storage, OLD, log=log)
    result = run(storage, NEW, AT + HOUR, log=log)
    assert rows(storage, result)[0] == [("4", "dee")]
    assert contents(storage) == data_files(storage)
    assert set(contents(log)) == {
        key(STREAM, n) for key in (record_key, outcome_key) for n in (1, 2)
    }
    assert members_now(storage, log=log) == NEW
    history = read_history(storage, STREAM, log=log)
    assert [history.record(s).number for s in history] == [1, 2]
    assert run(storage, NEW, AT + HOUR, log=log).already_done


def test_a_log_that_is_elsewhere_and_forgotten_is_missed_and_nothing_stored(storage):
    run(storage, OLD, log=MemoryStorage())
    assert_nothing_changes(storage, UnloggedSyncsError, lambda: run(storage, NEW, AT + HOUR))
    assert_nothing_changes(
        storage, UnloggedSyncsError, lambda: run(storage, NEW, AT + HOUR, log=MemoryStorage())
    )


# --- Reruns and time ------------------------------------------------------------------


def test_the_time_is_floored_and_that_value_named_recorded_and_compared(storage):
    result = run(storage, OLD, AT + timedelta(seconds=59, microseconds=999_999))
    assert result.record.synced_at == AT
    assert result.record.requested_at == NOW
    assert all("T14:05_" in key for key in data_files(storage))
    assert run(storage, OLD, AT + timedelta(seconds=3)).already_done


def test_another_time_zone_is_the_same_instant(storage):
    run(storage, OLD, datetime.fromisoformat("2026-11-23T19:35:00+05:30"))
    assert run(storage, OLD, AT).already_done


def test_a_rerun_at_the_heads_time_with_the_same_members_is_already_done(storage):
    first = run(storage, OLD)
    before = contents(storage)
    for members in (OLD, OLD[::-1], [*OLD, OLD[0]], [Member(*row) for row in OLD]):
        again = run(storage, members)
        assert (again.record, again.already_done) == (first.record, True)
    assert contents(storage) == before
    assert not staged_leftovers(storage)


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_a_rerun_is_known_under_every_meaning(storage, meaning):
    sync = to(existing=meaning)
    run(storage, OLD, sync=sync)
    second = run(storage, NEW, AT + HOUR, sync)
    again = run(storage, NEW, AT + HOUR, sync)
    assert (again.record, again.already_done) == (second.record, True)


@pytest.mark.parametrize(
    ("change", "members"),
    [
        pytest.param({}, NEW, id="members"),
        pytest.param(
            {"user_properties": [UserProperty("plan")]}, [(*r, "") for r in OLD], id="columns"
        ),
        pytest.param(
            {"destination": attrs.evolve(WAREHOUSE, existing=ExistingMeaning.STAYED)},
            OLD,
            id="meaning",
        ),
        pytest.param(
            {"destination": attrs.evolve(WAREHOUSE, header_style="api")}, OLD, id="header"
        ),
        pytest.param(
            {"destination": attrs.evolve(WAREHOUSE, name_style=NameStyle(separator="-"))},
            OLD,
            id="names",
        ),
        pytest.param({"destination": attrs.evolve(WAREHOUSE, compression="gzip")}, OLD, id="gzip"),
    ],
)
def test_the_heads_time_with_anything_different_is_an_error_that_names_the_next(
    storage, change, members
):
    run(storage, OLD)
    error = assert_nothing_changes(
        storage,
        SyncTimeTakenError,
        lambda: run(storage, members, AT, attrs.evolve(SYNC, **change)),
    )
    assert (error.synced_at, error.next_free) == (AT, AT + MINUTE)
    assert run(storage, members, error.next_free, attrs.evolve(SYNC, **change)).record.number == 2


def test_a_changed_property_alone_is_another_sync(storage):
    sync = attrs.evolve(SYNC, user_properties=[UserProperty("plan")])
    run(storage, [("1", "a", "x")], sync=sync)
    with pytest.raises(SyncTimeTakenError):
        run(storage, [("1", "a", "y")], sync=sync)


@pytest.fixture
def long_stream(storage):
    """Eight syncs, an hour apart; the fourth was void."""
    for n in range(9):
        members = [(str(m), "") for m in range(n + 1)]
        if n == 4:
            make_void(storage, members, AT + n * HOUR)
        else:
            run(storage, members, AT + n * HOUR)
    return storage


def make_void(storage, members, at, sync=SYNC):
    """A sync whose staged files were removed by a rule of the bucket."""

    class Losing(type(storage)):
        def publish(self, staged, /):
            if "existing" in staged.key:
                self.discard(staged)
            return super().publish(staged)

    losing = Losing.__new__(Losing)
    losing.__dict__.update(storage.__dict__)
    with pytest.raises(SyncVoidError):
        run(losing, members, at, sync)


@pytest.mark.parametrize("n", [0, 1, 3, 5, 7, 8])
def test_a_rerun_of_an_older_sync_is_found_and_already_done(long_stream, n):
    before = contents(long_stream)
    result = run(long_stream, [(str(m), "") for m in range(n + 1)], AT + n * HOUR)
    assert (result.already_done, result.record.synced_at) == (True, AT + n * HOUR)
    assert contents(long_stream) == before


@pytest.mark.parametrize("n", [0, 1, 3, 5, 7])
def test_an_older_time_with_anything_different_is_taken(long_stream, n):
    error = assert_nothing_changes(
        long_stream, SyncTimeTakenError, lambda: run(long_stream, OLD, AT + n * HOUR, max_exits=9)
    )
    assert error.next_free == AT + 8 * HOUR + MINUTE


@pytest.mark.parametrize("n", [-1, 0.5, 4, 6.5, 7.5])
def test_an_older_time_that_no_sync_has_is_out_of_order(long_stream, n):
    at = AT + n * HOUR
    error = assert_nothing_changes(
        long_stream, SyncTimeError, lambda: run(long_stream, OLD, at, max_exits=9)
    )
    assert (error.problem, error.synced_at, error.other) == ("order", at, AT + 8 * HOUR)


def test_without_a_time_the_first_free_moment_from_now_on_is_taken(storage):
    now = AT + timedelta(seconds=30)
    times = [run(storage, OLD, None, now=now).record.synced_at for _ in range(3)]
    assert times == [AT, AT + MINUTE, AT + 2 * MINUTE]
    much_later = run(storage, OLD, None, now=now + HOUR)
    assert much_later.record.synced_at == AT + HOUR
    assert not much_later.already_done


def test_without_a_time_a_moment_that_a_void_sync_left_files_in_is_passed_over(storage):
    run(storage, OLD)
    make_void(storage, NEW, AT + MINUTE)
    assert run(storage, NEW, None, now=AT + MINUTE).record.synced_at == AT + 2 * MINUTE


def test_a_clock_that_is_a_little_behind_is_tolerated(storage):
    run(storage, OLD, AT)
    result = run(storage, NEW, None, now=AT - 15 * MINUTE)
    assert result.record.synced_at == AT + MINUTE


def test_a_clock_that_is_far_behind_the_head_is_an_error(storage):
    run(storage, OLD, AT)
    now = AT - 15 * MINUTE - timedelta(seconds=1)
    error = assert_nothing_changes(storage, SyncTimeError, lambda: run(storage, NEW, None, now=now))
    assert (error.problem, error.synced_at, error.other) == ("clock", now, AT)


def test_an_explicit_time_is_never_moved(storage):
    run(storage, OLD, AT)
    result = run(storage, NEW, AT + MINUTE, now=AT + HOUR)
    assert result.record.synced_at == AT + MINUTE
    assert run(storage, OLD, AT + 2 * MINUTE, now=AT + MINUTE).record.synced_at == AT + 2 * MINUTE


@pytest.mark.parametrize(
    "ahead", [timedelta(0), MINUTE, 15 * MINUTE, 15 * MINUTE + timedelta(seconds=59)]
)
def test_a_time_up_to_15_minutes_ahead_is_accepted(storage, ahead):
    assert run(storage, OLD, AT + ahead, now=AT).record.synced_at == NameStyle().floor(AT + ahead)


@pytest.mark.parametrize("ahead", [16 * MINUTE, timedelta(days=365)])
def test_a_time_further_ahead_is_an_error(storage, ahead):
    error = assert_nothing_changes(
        storage, SyncTimeError, lambda: run(storage, OLD, AT + ahead, now=AT)
    )
    assert (error.problem, error.synced_at, error.other) == ("future", AT + ahead, AT)


def test_times_of_published_syncs_strictly_increase(storage):
    for members in (OLD, NEW, OLD):
        run(storage, members, None, now=AT)
    times = [s.synced_at for s in read_history(storage, STREAM)]
    assert times == sorted(set(times))
    assert len(times) == 3


def test_a_rerun_after_a_crash_ends_as_without_the_crash(storage):
    run(storage, OLD)
    abandon(storage, NEW, AT + HOUR)
    result = run(storage, NEW, AT + HOUR)
    assert result.already_done
    twin = MemoryStorage()
    run(twin, OLD)
    run(twin, NEW, AT + HOUR)
    assert data_files(storage) == data_files(twin)


class CrashError(Exception):
    """The process is gone."""


def abandon(storage, members, at=AT, sync=SYNC, *, log=None):
    """A sync whose writer dies right after its record."""

    class Dying(type(storage)):
        def publish(self, staged, /):
            raise CrashError

    dying = Dying.__new__(Dying)
    dying.__dict__.update(storage.__dict__)
    with pytest.raises(CrashError):
        run(dying, members, at, sync, log=log or storage)


# --- Another writer ------------------------------------------------------------------


def planned(storage, members, at):
    head = read_head(storage, STREAM)
    before = () if head is None else head.members()
    diff = diff_members(before, members, schema=SYNC.schema)
    return plan_sync(SYNC, diff, synced_at=at, previous=head), diff


@pytest.mark.parametrize("first", [True, False])
def test_of_two_writers_one_wins_and_the_other_leaves_nothing(storage, first):
    if not first:
        run(storage, OLD[:1])
    plan, diff = planned(storage, OLD, AT + HOUR)
    winner = run(storage, NEW, AT + MINUTE)
    with diff:
        error = assert_nothing_changes(
            storage, ConcurrentSyncError, lambda: commit(plan, diff, storage)
        )
    assert (error.record_key, error.winner) == (winner.record.key, AT + MINUTE)


def test_a_loser_whose_winner_says_the_same_has_its_result(storage):
    plan, diff = planned(storage, OLD, AT)
    winner = run(storage, OLD, AT)
    before = contents(storage)
    with diff:
        result = commit(plan, diff, storage)
    assert (result.record, result.already_done) == (winner.record, True)
    assert contents(storage) == before
    assert not staged_leftovers(storage)


def test_a_loser_finishes_a_winner_that_died(storage):
    plan, diff = planned(storage, OLD, AT)
    abandon(storage, NEW, AT + MINUTE)
    with diff, pytest.raises(ConcurrentSyncError):
        commit(plan, diff, storage)
    assert members_now(storage) == NEW


def test_a_winner_that_is_void_is_no_winner(storage):
    plan, diff = planned(storage, OLD, AT)
    make_void(storage, NEW, AT + MINUTE)
    with diff:
        assert commit(plan, diff, storage).record.number == 2
    assert members_now(storage) == OLD


def test_files_of_a_void_sync_with_a_later_time_do_not_block_the_stream(storage):
    run(storage, OLD)
    make_void(storage, NEW, AT + HOUR)
    for n in range(1, 4):
        assert run(storage, NEW, AT + n * MINUTE).record.number == n + 2
    with pytest.raises(SyncTimeTakenError):
        run(storage, OLD, AT + HOUR)
    assert run(storage, OLD, AT + 2 * HOUR).record.number == 6


# --- Recovery ------------------------------------------------------------------------


def test_recovery_of_nothing_does_nothing(storage):
    assert recover(storage, STREAM).outcome == "nothing"
    run(storage, OLD)
    before = contents(storage)
    assert recover(storage, STREAM).outcome == "nothing"
    assert contents(storage) == before


def test_an_unfinished_sync_is_seen_and_recovery_publishes_it(storage):
    abandon(storage, OLD)
    with pytest.raises(UnfinishedSyncError):
        read_head(storage, STREAM)
    assert [s.state for s in read_history(storage, STREAM).unpublished] == [SyncState.IN_DOUBT]
    report = recover(storage, STREAM)
    assert (report.outcome, report.record.synced_at) == ("published", AT)
    assert members_now(storage) == OLD


def test_recovery_declares_void_what_lost_a_file_and_leaves_existing_invisible(storage):
    run(storage, OLD)
    abandon(storage, NEW, AT + HOUR)
    with storage.open(record_key(STREAM, 2)) as file:
        data = file.read()
    record = type(run(MemoryStorage(), OLD).record).from_bytes(data, key="k")
    storage.discard(record.files[EXITING].staged)
    assert recover(storage, STREAM).outcome == "void"
    assert len(data_files(storage)) == 3
    assert not staged_leftovers(storage)
    assert members_now(storage) == OLD
    history = read_history(storage, STREAM)
    assert [s.state for s in history.unpublished] == [SyncState.VOID]
    assert run(storage, NEW, AT + HOUR).record.number == 3


# --- What a sync refuses, each by an error of its own, and nothing is stored ---------

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
def test_members_that_can_not_be_synced_are_refused(storage, members, error):
    sync = attrs.evolve(SYNC, exit_guard=ExitGuard(number=2))
    run(storage, OLD, sync=sync)
    assert_nothing_changes(storage, error, lambda: run(storage, members, AT + HOUR, sync))


def test_a_file_that_can_not_be_read_is_refused(storage, tmp_path):
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"amplitude_id,user_id\n1\n")
    assert_nothing_changes(storage, MalformedCsvError, lambda: run(storage, broken))
    cut_off = tmp_path / "cut.csv.gz"
    cut_off.write_bytes(gzip.compress(b"amplitude_id,user_id\n1,a\n")[:-9])
    assert_nothing_changes(storage, CohortS3Error, lambda: run(storage, cut_off))
    assert_nothing_changes(storage, FileNotFoundError, lambda: run(storage, tmp_path / "absent"))


def test_max_exits_is_a_ceiling(storage):
    run(storage, OLD)
    error = assert_nothing_changes(
        storage, MassExitError, lambda: run(storage, [], AT + HOUR, max_exits=2)
    )
    assert (error.members_before, error.exits, error.limit) == (3, 3, 2)
    assert rows(storage, run(storage, [], AT + HOUR, max_exits=3))[1] == OLD


def test_naive_datetimes_are_refused(storage):
    naive = AT.replace(tzinfo=None)
    assert_nothing_changes(storage, NaiveDatetimeError, lambda: run(storage, OLD, naive))
    assert_nothing_changes(storage, NaiveDatetimeError, lambda: run(storage, OLD, now=naive))


def test_a_missing_routing_key_is_refused_before_there_is_a_sync():
    with pytest.raises(ConfigurationError, match="requires a routing key"):
        to(require_suffix=True)


def test_another_match_by_is_refused(storage):
    run(storage, OLD)
    for match_by in ("user_id", UserProperty("crm")):
        assert_nothing_changes(
            storage,
            MatchByChangedError,
            lambda match_by=match_by: run(storage, NEW, AT + HOUR, to(match_by=match_by)),
        )
    elsewhere = attrs.evolve(to(match_by="user_id"), routing_key="by-user")
    assert run(storage, NEW, AT + HOUR, elsewhere).record.number == 1


def test_a_name_that_a_stranger_took_is_refused(storage):
    run(storage, OLD)
    name = CohortFileName(123, "26umsb5", AT + HOUR, "entering")
    storage.create(name.key("cohorts"), b"a stranger's")
    error = assert_nothing_changes(
        storage, UnloggedSyncsError, lambda: run(storage, NEW, AT + HOUR)
    )
    assert error.names == (name.key("cohorts"),)


def test_a_name_that_is_taken_between_plan_and_commit_voids_the_sync(storage):
    plan, diff = planned(storage, OLD, AT)
    taken = plan.files[EXISTING].key
    storage.create(taken, b"a stranger's")
    with diff, pytest.raises(SyncVoidError):
        commit(plan, diff, storage)
    assert data_files(storage) == {taken: b"a stranger's"}
    assert not staged_leftovers(storage)


def test_a_stream_without_a_log_is_refused(storage):
    amplitude_writes(storage, AT, OLD, [], OLD)
    error = assert_nothing_changes(
        storage, UnloggedSyncsError, lambda: run(storage, NEW, AT + HOUR)
    )
    assert len(error.names) == 3
    assert "adopt" in str(error)
    with pytest.raises(UnloggedSyncsError):
        read_head(storage, STREAM)


def test_a_head_that_lost_a_file_is_refused_and_never_replaced_by_an_older(storage):
    run(storage, OLD)
    lost = run(storage, NEW, AT + HOUR).record.files[EXITING].key
    storage.delete(lost)
    error = assert_nothing_changes(
        storage, HeadFilesMissingError, lambda: run(storage, OLD, AT + 2 * HOUR)
    )
    assert error.keys == (lost,)


@pytest.mark.parametrize("meaning", ExistingMeaning)
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_head_file_that_was_changed_is_refused(storage, meaning, compression):
    sync = to(existing=meaning, compression=compression)
    run(storage, OLD, sync=sync)
    second = run(storage, NEW, AT + HOUR, sync)
    key = second.record.files[EXISTING].key
    data = b"amplitudeID,userID\n8,eve\n"
    storage.delete(key)
    storage.create(key, gzip.compress(data) if compression else data)
    assert_nothing_changes(
        storage, ObjectChangedError, lambda: run(storage, NEW, AT + 2 * HOUR, sync)
    )


def test_another_bucket_than_the_storages_is_refused(storage):
    storage.bucket = "given"
    error = assert_nothing_changes(
        storage, ConfigurationError, lambda: run(storage, OLD, sync=to(bucket="wanted"))
    )
    assert "given" in str(error)
    assert "wanted" in str(error)
    assert run(storage, OLD, sync=to(bucket="given")).record.bucket == "given"


@pytest.mark.parametrize("key", [record_key, outcome_key])
def test_a_log_that_was_edited_is_refused(storage, key):
    run(storage, OLD)
    run(storage, NEW, AT + HOUR)
    if key is record_key:
        storage.delete(outcome_key(STREAM, 2))
    edited = contents(storage)[key(STREAM, 2)].replace(b'"members": 3', b'"members": 3.0')
    storage.delete(key(STREAM, 2))
    storage.create(key(STREAM, 2), edited)
    assert_nothing_changes(storage, RecordFormatError, lambda: run(storage, OLD, AT + 2 * HOUR))


def test_a_log_that_was_copied_from_another_stream_is_refused(storage):
    run(storage, OLD)
    other = attrs.evolve(SYNC, routing_key="vip")
    for key in (record_key, outcome_key):
        storage.create(key(other.stream, 1), contents(storage)[key(STREAM, 1)])
    assert_nothing_changes(storage, RecordFormatError, lambda: run(storage, OLD, AT, other))


# --- Adoption ------------------------------------------------------------------------


def amplitude_writes(storage, at, entering, exiting, existing, *, words=DiffType):
    """A sync as Amplitude might write it: rows in any order, every cell quoted, CRLF."""
    for diff_type, members in zip(DiffType, (entering, exiting, existing), strict=True):
        lines = [("amplitude_id", "user_id"), *reversed(members)]
        data = "".join('"{}"\r\n'.format('","'.join(cells)) for cells in lines)
        if diff_type in words:
            storage.create(STREAM.name(at, diff_type, NameStyle()).key("cohorts"), data.encode())


def test_adopt_makes_the_newest_complete_sync_the_baseline(storage):
    amplitude_writes(storage, AT, OLD, [], OLD)
    amplitude_writes(storage, AT + HOUR, NEW[2:], OLD[:1], NEW)
    data = data_files(storage)
    head = adopt(storage, STREAM, clock=lambda: NOW)
    assert data_files(storage) == data
    assert (head.record.adopted, head.record.synced_at) == (True, AT + HOUR)
    assert list(head.members()) == NEW
    assert read_head(storage, STREAM) == head
    result = run(storage, OLD, AT + 2 * HOUR)
    assert rows(storage, result) == [[("1", "ann")], [("4", "dee")], OLD]
    history = read_history(storage, STREAM)
    assert [history.record(s) is not None for s in history] == [False, True, True]
    assert [list(history.members_at(s)) for s in history] == [OLD, NEW, OLD]


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(NEW, id="members"),
        pytest.param(NEW[:2], id="stayed"),
        pytest.param(OLD, id="previous"),
    ],
)
def test_adopt_reads_the_members_whatever_existing_means(storage, existing):
    amplitude_writes(storage, AT, NEW[2:], OLD[:1], existing)
    assert list(adopt(storage, STREAM).members()) == NEW
    assert members_now(storage) == NEW


def test_adopt_may_match_by_another_column(storage):
    amplitude_writes(storage, AT, OLD, [], OLD)
    adopt(storage, STREAM, match_by="user_id")
    sync = to(match_by="user_id")
    assert rows(storage, run(storage, [("9", "bob")], AT + HOUR, sync))[0] == []
    assert_nothing_changes(storage, MatchByChangedError, lambda: run(storage, OLD, AT + 2 * HOUR))


def test_what_can_not_be_adopted_is_refused_with_its_own_cure(storage):
    error = assert_nothing_changes(storage, NothingToAdoptError, lambda: adopt(storage, STREAM))
    assert "no complete sync" in error.reason
    amplitude_writes(storage, AT, OLD, [], OLD)
    amplitude_writes(storage, AT + HOUR, NEW[2:], OLD[:1], NEW, words=[ENTERING])
    error = assert_nothing_changes(storage, NothingToAdoptError, lambda: adopt(storage, STREAM))
    assert "lacks files" in error.reason
    amplitude_writes(storage, AT + HOUR, NEW[2:], OLD[:1], NEW)
    adopt(storage, STREAM)
    error = assert_nothing_changes(storage, NothingToAdoptError, lambda: adopt(storage, STREAM))
    assert "log already" in error.reason


# --- Schedule -----------------------------------------------------------------------


def test_a_schedule_is_kept_by_the_last_sync_in_the_bucket(storage):
    hourly = attrs.evolve(SYNC, cadence=Cadence.HOURLY)
    run(storage, OLD, sync=hourly)
    last = read_head(storage, STREAM).record.synced_at
    assert not hourly.is_due(last, AT + 54 * MINUTE)
    assert hourly.is_due(last, AT + 55 * MINUTE)


# --- What went wrong once ---------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_files_that_were_changed_since_they_were_planned_are_not_published(storage, compression):
    sync = to(compression=compression)
    with diff_members((), OLD, schema=SYNC.schema) as diff:
        plan = plan_sync(sync, diff, synced_at=AT, previous=None)
        path = diff.report.files[EXISTING].path
        path.write_bytes(path.read_bytes().replace(b"bob", b"rob"))
        with pytest.raises(UnusableDiffError, match="'existing' was changed"):
            commit(plan, diff, storage)
    assert contents(storage) == {}
    if isinstance(storage, LocalStorage):
        assert [path for path in storage.root.rglob("*") if path.is_file()] == []


def test_a_store_that_calls_our_own_record_anothers_is_not_believed():
    """A client that repeats a create whose answer was lost is told that its key is taken."""
    storage = MemoryStorage()
    counted = Fault()
    run(FaultyStorage(MemoryStorage(), counted), OLD)
    at = counted.calls.index("create")
    repeats = Fault(at=at, when="after", error=ObjectExistsError, forever=False)
    result = run(FaultyStorage(storage, repeats), OLD)
    assert repeats.happened
    assert not result.already_done
    assert read_head(storage, STREAM).record == result.record


def test_a_log_that_has_had_its_last_number_is_full(storage, monkeypatch):
    monkeypatch.setattr("amplitude_cohort_s3.sync.plan.MAX_NUMBER", 1)
    run(storage, OLD)
    before = contents(storage)
    with pytest.raises(LogLimitError, match="_syncs/123_26umsb5"):
        run(storage, NEW, AT + HOUR)
    assert contents(storage) == before
    if isinstance(storage, LocalStorage):
        assert len([path for path in storage.root.rglob("*") if path.is_file()]) == len(before)


class EndlessStorage(MemoryStorage):
    """Its objects never end, and it counts what is taken of them."""

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


def test_an_entry_of_the_log_that_never_ends_is_none():
    storage = EndlessStorage()
    for key, read in ((record_key, recover), (outcome_key, read_head)):
        storage.create(key(STREAM, 1), b"")
        with pytest.raises(RecordFormatError, match="over 16 MiB"):
            read(storage, STREAM)
    assert storage.taken < 64 << 20
