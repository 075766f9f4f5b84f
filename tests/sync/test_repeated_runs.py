"""A repeated run of a sync is recognised; a different sync with its time is refused."""

import attrs
import pytest
from syncs import (
    AT,
    HOUR,
    MINUTE,
    NEW,
    OLD,
    SYNC,
    abandon,
    assert_refused,
    contents,
    data_files,
    make_void,
    run_sync,
    staged_objects,
    with_settings,
)

from amplitude_cohort_s3 import (
    ExistingMeaning,
    Member,
    MemoryStorage,
    NameStyle,
    UserProperty,
)
from amplitude_cohort_s3.errors import (
    SyncTimeError,
    SyncTimeTakenError,
)


def test_a_repeated_run_with_the_same_members_is_already_done(storage):
    first = run_sync(storage, OLD)
    before = contents(storage)
    for members in (OLD, OLD[::-1], [*OLD, OLD[0]], [Member(*row) for row in OLD]):
        again = run_sync(storage, members)
        assert (again.record, again.already_done) == (first.record, True)
    assert contents(storage) == before
    assert not staged_objects(storage)


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_a_repeated_run_is_recognised_with_each_meaning_of_existing(storage, meaning):
    sync = with_settings(existing=meaning)
    run_sync(storage, OLD, sync=sync)
    second = run_sync(storage, NEW, AT + HOUR, sync)
    again = run_sync(storage, NEW, AT + HOUR, sync)
    assert (again.record, again.already_done) == (second.record, True)


@pytest.mark.parametrize(
    ("change", "members"),
    [
        pytest.param({}, NEW, id="members"),
        pytest.param(
            {"user_properties": [UserProperty("plan")]}, [(*r, "") for r in OLD], id="columns"
        ),
        pytest.param(
            {"destination": attrs.evolve(SYNC.destination, existing=ExistingMeaning.STAYED)},
            OLD,
            id="meaning",
        ),
        pytest.param(
            {"destination": attrs.evolve(SYNC.destination, header_style="api")}, OLD, id="header"
        ),
        pytest.param(
            {"destination": attrs.evolve(SYNC.destination, name_style=NameStyle(separator="-"))},
            OLD,
            id="names",
        ),
        pytest.param(
            {"destination": attrs.evolve(SYNC.destination, compression="gzip")}, OLD, id="gzip"
        ),
    ],
)
def test_a_different_sync_with_the_time_of_the_head_is_refused(storage, change, members):
    run_sync(storage, OLD)
    error = assert_refused(
        storage,
        SyncTimeTakenError,
        lambda: run_sync(storage, members, AT, attrs.evolve(SYNC, **change)),
    )
    assert (error.synced_at, error.next_free) == (AT, AT + MINUTE)
    assert (
        run_sync(storage, members, error.next_free, attrs.evolve(SYNC, **change)).record.number == 2
    )


def test_a_sync_with_a_changed_property_is_a_different_sync(storage):
    sync = attrs.evolve(SYNC, user_properties=[UserProperty("plan")])
    run_sync(storage, [("1", "a", "x")], sync=sync)
    with pytest.raises(SyncTimeTakenError):
        run_sync(storage, [("1", "a", "y")], sync=sync)


@pytest.fixture(scope="module")
def objects_of_long_stream():
    """The objects of eight syncs, an hour apart; the fourth was void."""
    storage = MemoryStorage()
    for n in range(9):
        members = [(str(m), "") for m in range(n + 1)]
        if n == 4:
            make_void(storage, members, AT + n * HOUR)
        else:
            run_sync(storage, members, AT + n * HOUR)
    return contents(storage)


@pytest.fixture
def long_stream(storage, objects_of_long_stream):
    for key, data in objects_of_long_stream.items():
        storage.create(key, data)
    return storage


@pytest.mark.parametrize("n", [0, 1, 3, 5, 7, 8])
def test_a_repeated_run_of_an_older_sync_is_already_done(long_stream, n):
    before = contents(long_stream)
    result = run_sync(long_stream, [(str(m), "") for m in range(n + 1)], AT + n * HOUR)
    assert (result.already_done, result.record.synced_at) == (True, AT + n * HOUR)
    assert contents(long_stream) == before


@pytest.mark.parametrize("n", [0, 1, 3, 5, 7])
def test_a_different_sync_with_the_time_of_an_older_one_is_refused(long_stream, n):
    error = assert_refused(
        long_stream,
        SyncTimeTakenError,
        lambda: run_sync(long_stream, OLD, AT + n * HOUR, guard=False),
    )
    assert error.next_free == AT + 8 * HOUR + MINUTE


@pytest.mark.parametrize("n", [-1, 0.5, 4, 6.5, 7.5])
def test_an_older_time_that_no_sync_has_is_refused(long_stream, n):
    at = AT + n * HOUR
    error = assert_refused(
        long_stream, SyncTimeError, lambda: run_sync(long_stream, OLD, at, guard=False)
    )
    assert (error.problem, error.synced_at, error.other) == ("order", at, AT + 8 * HOUR)


def test_a_repeated_run_after_a_crash_ends_in_the_same_files(storage):
    run_sync(storage, OLD)
    abandon(storage, NEW, AT + HOUR)
    result = run_sync(storage, NEW, AT + HOUR)
    assert result.already_done
    twin = MemoryStorage()
    run_sync(twin, OLD)
    run_sync(twin, NEW, AT + HOUR)
    assert data_files(storage) == data_files(twin)
