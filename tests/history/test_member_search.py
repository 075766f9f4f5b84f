"""The history of one user is that of ``intervals``, although its files are only searched."""

import io
import random
from datetime import timedelta

import pytest
from forgetting import forget_ids, sync_all
from random_history import START, build

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    LocalStorage,
    MemoryStorage,
    UserProperty,
    adopt,
    prune,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import ObjectChangedError, ObjectNotFoundError
from amplitude_cohort_s3.history import _sorted_file, member_search
from amplitude_cohort_s3.testing.small_cohort import STREAM, clock_at, moment


@pytest.fixture(params=["searched", "read whole"])
def sizes(request, monkeypatch):
    """Make each file a large one that is searched in small steps, or leave it a small one."""
    if request.param == "searched":
        monkeypatch.setattr(member_search, "_SMALL_BYTES", 0)
        monkeypatch.setattr(_sorted_file, "_BUFFER_BYTES", 16)
        monkeypatch.setattr(_sorted_file, "_WINDOW_BYTES", 63)
        monkeypatch.setattr(_sorted_file, "_CHUNK_BYTES", 32)
        monkeypatch.setattr(_sorted_file, "_STEPS", (64, _sorted_file.MAX_ROW_BYTES))
    return request.param


@pytest.fixture
def searches(monkeypatch):
    """The results of the search; None if it gave up."""
    answers, search = [], member_search.find_row

    def noted(*arguments):
        answers.append(search(*arguments))
        return answers[-1]

    monkeypatch.setattr(member_search, "find_row", noted)
    return answers


def assert_same_stays(history, *absent):
    """Compare the stays of each user, and of keys that nobody has, with those of all users."""
    index = history.columns.index(history.match_by)
    by_key = {}
    for stay in history.intervals():
        by_key.setdefault(stay.row[index], []).append(stay)
    for key in {*by_key, *absent, "nobody"}:
        assert history.member_history(key) == by_key.get(key, []), key


def test_the_stays_that_a_search_finds_are_those_of_a_full_reading(
    sizes, meaning, keep_log, cohorts, searches
):
    storage, sync = build(cohorts, meaning, keep_log=keep_log)
    assert_same_stays(read_history(storage, sync.stream), "0", "99", "1,u1", '"', "é")
    assert bool(searches) == keep_log
    # A cell of this history has a quote and a line end, so a place may be in doubt.
    assert sum(found is None for found in searches) <= len(searches) / 4


@pytest.mark.parametrize("key", ["user_id", "plan"])
def test_any_column_may_be_the_key(sizes, tmp_path, key, searches):
    plan = UserProperty("plan")
    match_by = plan if key == "plan" else key
    destination = Destination(name="d", match_by=match_by, user_property=plan)
    sync = CohortSync(destination=destination, project_id=1, cohort_id="a")
    storage, chosen = LocalStorage(tmp_path / "root"), random.Random(1)
    for day in range(4):
        numbers = chosen.sample(range(60), 40)
        rows = [(str(n), f"user,{n}", f'p"{n}\n{n},u,é') for n in numbers]
        when = START + timedelta(days=day)
        sync_cohort(sync, rows, storage, synced_at=when, guard=False)
    history = read_history(storage, sync.stream)
    assert history.match_by == key
    assert_same_stays(history, "1", "user")
    assert searches


def test_rows_in_cells_are_not_users(sizes, tmp_path):
    """The cell of one user has rows of users who never were members, in order."""
    cell = "\n".join(f"{n:03},fake,x" for n in range(100, 400))
    storage = LocalStorage(tmp_path / "root")
    sync = CohortSync(
        destination=Destination(name="d"),
        project_id=1,
        cohort_id="a",
        user_properties=(UserProperty("plan"),),
    )
    for day in range(3):
        rows = [(f"{n:03}", "u", cell if n == 99 else "x") for n in [*range(day, 100), 999]]
        sync_cohort(sync, rows, storage, synced_at=START + timedelta(days=day), guard=False)
    fakes = [f"{n:03}" for n in range(100, 400, 13)]
    assert_same_stays(read_history(storage, sync.stream), *fakes)


def test_columns_may_be_added_and_removed_between_syncs(sizes, searches):
    storage = MemoryStorage()
    for first, properties in enumerate([("plan",), ("plan", "city"), ("city",), ("plan",)]):
        chosen = tuple(map(UserProperty, properties))
        sync_all(storage, [{1, 2, 3 + first}], first=first, properties=chosen)
    assert_same_stays(read_history(storage, STREAM))
    assert searches
    assert None not in searches


def test_an_adopted_sync_is_read(sizes, meaning, cohorts):
    storage, sync = build(cohorts, meaning, keep_log=False)
    if meaning is ExistingMeaning.MEMBERS:
        adopt(storage, sync.stream)
        assert_same_stays(read_history(storage, sync.stream))


def test_compressed_files_are_read(sizes, searches):
    storage = MemoryStorage()
    sync_all(storage, [{1, 2, 3}, {2, 3, 4}], compression="gzip")
    assert_same_stays(read_history(storage, STREAM))
    assert not any(searches)


class Odd(MemoryStorage):
    """Streams that can't seek, or that have only the methods which earlier versions called."""

    def __init__(self, seekable):
        super().__init__()
        self.is_seekable = seekable

    def open(self, key, /):
        stream = super().open(key)

        class Stream(io.BytesIO):
            def seekable(stream):  # noqa: N805
                return self.is_seekable

            def seek(stream, *_):  # noqa: N805
                raise io.UnsupportedOperation("seek")

        return Stream(stream.read())


@pytest.mark.parametrize("seekable", [True, False])
def test_a_storage_whose_streams_can_not_seek_is_read(sizes, seekable):
    storage = Odd(seekable)
    sync_all(storage, [{1, 2, 3}, {2, 3, 4}])
    assert_same_stays(read_history(storage, STREAM))


@pytest.mark.parametrize(
    "change",
    [
        lambda storage: forget_ids(storage, 3),
        lambda storage: prune(storage, STREAM, before=moment(2), clock=clock_at(moment(90))),
    ],
)
def test_files_that_were_replaced_or_removed_since_the_listing_are_listed_again(
    sizes, meaning, change
):
    storage = MemoryStorage()
    sync_all(storage, [{1, 2, 3}, {2, 3, 4}, {3, 4, 6}], meaning=meaning)
    loaded = [read_history(storage, STREAM) for _ in range(6)]
    change(storage)
    fresh = read_history(storage, STREAM)
    for history, key in zip(loaded, "123467", strict=True):
        assert history.member_history(key) == fresh.member_history(key)
    assert_same_stays(fresh)


def test_a_file_of_another_size_or_none_is_an_error(sizes):
    storage = MemoryStorage()
    sync_all(storage, [{1, 2, 3}, {2, 3, 4}])
    history = read_history(storage, STREAM)
    key = history[1].files[DiffType.EXITING].key
    storage.delete(key)
    with pytest.raises(ObjectNotFoundError):
        history.member_history("2")
    storage.create(key, b"amplitudeID,userID\n2,user 2\n3,user 3\n")
    with pytest.raises(ObjectChangedError):
        history.member_history("2")


def test_a_small_file_is_verified():
    storage = MemoryStorage()
    sync_all(storage, [{1, 2, 3}, {2, 3, 4}])
    history = read_history(storage, STREAM)
    key = history[1].files[DiffType.EXITING].key
    with storage.open(key) as stream:
        data = stream.read()
    storage.delete(key)
    storage.create(key, data.replace(b"1", b"5"))
    with pytest.raises(ObjectChangedError):
        history.member_history("2")
