"""A plan: a sync decided in every detail, and nothing done."""

import pickle
import re
from datetime import UTC, datetime, timedelta

import attrs
import numpy as np
import pytest

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    Guard,
    Head,
    MemoryStorage,
    NameStyle,
    RowSchema,
    UserProperty,
    diff_members,
    read_head,
)
from amplitude_cohort_s3.errors import (
    MassExitError,
    MassGrowthError,
    MatchByChangedError,
    NaiveDatetimeError,
    SkippedRowsError,
    SyncTimeError,
    SyncTimeTakenError,
    TooFewMembersError,
    UnusableDiffError,
)
from amplitude_cohort_s3.storage import StagedObject
from amplitude_cohort_s3.sync import commit, plan_sync
from amplitude_cohort_s3.sync.plan import next_free_time

AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SYNC = CohortSync(destination=Destination(name="d", path="p"), project_id=1, cohort_id="a")


def members(*ids):
    return [(str(n), f"user{n}") for n in ids]


def plan(sync=SYNC, before=(), now=(), *, at=AT, previous=None, **options):
    with diff_members(before, now, schema=sync.schema, existing=sync.destination.existing) as diff:
        return plan_sync(sync, diff, synced_at=at, previous=previous, **options)


@pytest.fixture
def head() -> Head:
    """The head of a stream with the members 1 to 3 at AT."""
    storage = MemoryStorage()
    with diff_members((), members(1, 2, 3), schema=SYNC.schema) as diff:
        commit(plan_sync(SYNC, diff, synced_at=AT, previous=None), diff, storage)
    found = read_head(storage, SYNC.stream)
    assert found is not None
    return found


def test_a_plan_has_the_name_count_and_digest_of_each_file(head):
    later = AT + MINUTE
    before, now = members(1, 2, 3), members(2, 3, 4, 5)
    with diff_members(before, now, schema=SYNC.schema) as diff:
        made = plan_sync(SYNC, diff, synced_at=later, previous=head)
        files = [diff.entering, diff.exiting, diff.existing]
    assert list(made.files) == list(DiffType)
    assert [file.key for file in made.files.values()] == [
        f"p/1_a_2026-11-23T14:06_{word}.csv" for word in ("entering", "exiting", "existing")
    ]
    assert [(f.rows, f.size, f.sha256) for f in made.files.values()] == [
        (f.rows, f.size, f.sha256) for f in files
    ]
    assert [f.rows for f in made.files.values()] == [2, 1, 4]
    assert (made.members_before, made.members) == (3, 4)
    assert (made.previous, made.number) == (head.record.ref, 2)


def test_a_plan_is_a_value():
    one, other = plan(now=members(1, 2)), plan(now=members(2, 1))
    assert one == other != plan(now=members(1))
    assert pickle.loads(pickle.dumps(one)) == one
    assert "user1" not in repr(one) + str(one)


def test_a_plan_prints_as_a_preview():
    assert str(plan(now=members(1, 2))).splitlines() == [
        "sync of 2026-11-23T14:05:00+00:00: 0 -> 2 members",
        "         2 entering  p/1_a_2026-11-23T14:05_entering.csv",
        "         0 exiting   p/1_a_2026-11-23T14:05_exiting.csv",
        "         2 existing  p/1_a_2026-11-23T14:05_existing.csv",
    ]


def test_the_first_plan_has_no_previous_sync():
    made = plan(now=members(1))
    assert (made.previous, made.number, made.members_before) == (None, 1, 0)


def test_the_time_is_rounded_down_and_the_requested_time_is_kept():
    asked = AT + timedelta(seconds=59, microseconds=9)
    made = plan(at=asked)
    assert (made.synced_at, made.requested_at) == (AT, asked)
    assert plan(at=asked, requested_at=AT).requested_at == AT
    by_second = attrs.evolve(
        SYNC, destination=Destination(name="d", name_style=NameStyle(seconds=True))
    )
    assert plan(by_second, at=asked).synced_at == AT + timedelta(seconds=59)


def test_naive_times_are_refused():
    for times in ({"at": AT.replace(tzinfo=None)}, {"requested_at": AT.replace(tzinfo=None)}):
        with pytest.raises(NaiveDatetimeError):
            plan(**times)


def test_an_older_time_is_refused(head):
    with pytest.raises(SyncTimeError) as caught:
        plan(before=members(1, 2, 3), at=AT - MINUTE, previous=head)
    error = caught.value
    assert (error.problem, error.synced_at, error.other) == ("order", AT - MINUTE, AT)


def test_an_occupied_time_is_refused_with_the_next_free_time(head):
    head = attrs.evolve(head, occupied_times=frozenset({AT, AT + MINUTE, AT + 2 * MINUTE}))
    for taken in (AT, AT + timedelta(seconds=59), AT + MINUTE, AT + 2 * MINUTE):
        with pytest.raises(SyncTimeTakenError) as caught:
            plan(before=members(1, 2, 3), now=members(1), at=taken, previous=head)
        assert caught.value.next_free == AT + 3 * MINUTE


@pytest.mark.parametrize(
    ("style", "not_before", "free"),
    [
        (NameStyle(), AT - MINUTE, AT + MINUTE),
        (NameStyle(), AT, AT + MINUTE),
        (NameStyle(), AT + timedelta(seconds=59), AT + MINUTE),
        (NameStyle(), AT + timedelta(seconds=90), AT + MINUTE),
        (NameStyle(), AT + 5 * MINUTE, AT + 5 * MINUTE),
        (NameStyle(seconds=True), AT, AT + timedelta(seconds=1)),
    ],
)
def test_next_free_time_returns_the_first_free_time(head, style, not_before, free):
    assert next_free_time(style, not_before, head, head.occupied_times) == free
    assert next_free_time(style, not_before, None, frozenset()) == style.floor(not_before)


# --- What a plan refuses -------------------------------------------------------------------------


def test_matching_by_another_column_than_before_is_refused(head):
    sync = attrs.evolve(SYNC, destination=Destination(name="d", path="p", match_by="user_id"))
    with pytest.raises(MatchByChangedError) as caught:
        plan(sync, now=members(1), at=AT + MINUTE, previous=head)
    assert (caught.value.recorded, caught.value.requested) == ("amplitude_id", "user_id")


@pytest.mark.parametrize(
    ("guard", "before", "now", "limit"),
    [
        (Guard(), 300, 149, 150),
        (Guard(), 2, 0, 0),  # an empty source
        (Guard(max_exits=0), 2, 1, 0),
        (Guard(max_exits=0.1), 1200, 1079, 120),
        (Guard(max_exits=3), 30, 26, 3),
        (Guard(max_exits=np.float64(0.1)), 1200, 1079, 120),
        (Guard(max_exits=0.57), 10_000, 4299, 5700),  # 5699.999… as a product of floats
    ],
)
def test_a_mass_exit_is_refused_unless_the_override_allows_it(guard, before, now, limit):
    sync = attrs.evolve(SYNC, guard=guard)
    sides = members(*range(before)), members(*range(now))
    with pytest.raises(MassExitError) as caught:
        plan(sync, *sides)
    assert (caught.value.members_before, caught.value.exits, caught.value.limit) == (
        before,
        before - now,
        limit,
    )
    assert_override_works(caught.value, sync, sides)
    with pytest.raises(MassExitError):
        plan(sync, *sides, guard=Guard(max_exits=before - now - 1))


def assert_override_works(error, sync, sides):
    """Do what the message of a refusal advises: the sync is planned."""
    assert plan(sync, *sides, guard=override_of(error)).members == len(sides[1])


def override_of(error):
    """Return the guard that the message of a refusal advises."""
    (override,) = re.findall(r"sync once with guard=(.*)", str(error))
    assert override == error.override
    return eval(override, {"Guard": Guard})


@pytest.mark.parametrize(("before", "now"), [(300, 150), (101, 1), (0, 0), (3, 3)])
def test_exits_within_the_guard_are_accepted(before, now):
    assert plan(SYNC, members(*range(before)), members(*range(now))).members == now


@pytest.mark.parametrize(
    ("guard", "before", "now", "limit"),
    [
        (Guard(), 300, 601, 300),
        (Guard(), 50, 151, 100),  # few members: 100 more are always allowed
        (Guard(max_growth=0.1), 2000, 2201, 200),
        (Guard(max_growth=2), 1, 4, 2),
        (Guard(max_growth=2), 0, 0, None),
        (Guard(max_growth=2), 0, 9, None),  # a first sync, or an empty cohort before
        (Guard(max_growth=None), 1, 900, None),
        (Guard(), 300, 600, None),
        (Guard(), 50, 150, None),
    ],
)
def test_a_cohort_that_grows_too_much_is_refused(guard, before, now, limit):
    sync = attrs.evolve(SYNC, guard=guard)
    sides = members(*range(before)), members(*range(now))
    if limit is None:
        assert plan(sync, *sides).members == now
        return
    with pytest.raises(MassGrowthError) as caught:
        plan(sync, *sides)
    assert (caught.value.members_before, caught.value.members) == (before, now)
    assert caught.value.limit == limit
    assert_override_works(caught.value, sync, sides)


BY_USER = attrs.evolve(SYNC, destination=attrs.evolve(SYNC.destination, match_by="user_id"))


@pytest.mark.parametrize(
    ("guard", "keyed", "keyless", "limit"),
    [
        (Guard(), 300, 301, 300),
        (Guard(), 0, 101, 100),  # also at a first sync
        (Guard(max_skipped=0), 5, 1, 0),
        (Guard(max_skipped=0.1), 1800, 201, 200),
        (Guard(max_skipped=None), 0, 500, None),
        (Guard(), 0, 100, None),
        (Guard(), 300, 300, None),
    ],
)
def test_too_many_rows_without_a_key_are_refused(guard, keyed, keyless, limit):
    sync = attrs.evolve(BY_USER, guard=guard)
    now = [(str(n), f"u{n}" if n < keyed else "") for n in range(keyed + keyless)]
    if limit is None:
        assert plan(sync, (), now).members == keyed
        return
    with pytest.raises(SkippedRowsError) as caught:
        plan(sync, (), now)
    error = caught.value
    assert (error.rows, error.skipped, error.limit) == (keyed + keyless, keyless, limit)
    assert plan(sync, (), now, guard=override_of(error)).members == keyed


def test_a_cohort_below_the_minimum_is_refused():
    sync = attrs.evolve(SYNC, guard=Guard(min_members=3))
    assert plan(sync, (), members(1, 2, 3)).members == 3
    with pytest.raises(TooFewMembersError) as caught:
        plan(sync, (), members(1, 2))
    assert (caught.value.members, caught.value.minimum) == (2, 3)
    assert_override_works(caught.value, sync, ((), members(1, 2)))


def test_the_guard_can_be_replaced_or_switched_off_for_one_sync():
    sides = members(*range(300)), members(*range(2))
    with pytest.raises(MassExitError):
        plan(SYNC, *sides)
    assert plan(SYNC, *sides, guard=False).members == 2
    assert plan(attrs.evolve(SYNC, guard=False), *sides).members == 2
    unlimited = attrs.evolve(SYNC, guard=False)
    with pytest.raises(MassExitError) as caught:
        plan(unlimited, *sides, guard=Guard(max_exits=297))
    assert_override_works(caught.value, unlimited, sides)


def test_the_advised_guard_keeps_the_other_limits_of_the_one_that_refused():
    guard = Guard(max_exits=9, max_growth=None, min_members=2)
    sides = members(*range(300)), members(*range(2))
    for sync, options in [(attrs.evolve(SYNC, guard=guard), {}), (SYNC, {"guard": guard})]:
        with pytest.raises(MassExitError) as caught:
            plan(sync, *sides, **options)
        assert caught.value.override == "Guard(max_exits=298, max_growth=None, min_members=2)"
        assert override_of(caught.value) == attrs.evolve(guard, max_exits=298)
        assert_override_works(caught.value, sync, sides)


@pytest.mark.parametrize(
    "made_with",
    [{"schema": RowSchema(header_style="api")}, {"existing": ExistingMeaning.STAYED}],
    ids=["schema", "meaning"],
)
def test_a_diff_of_another_schema_or_meaning_is_refused(made_with):
    options = {"schema": SYNC.schema} | made_with
    with (
        diff_members((), members(1), **options) as diff,
        pytest.raises(UnusableDiffError, match="to diff_members"),
    ):
        plan_sync(SYNC, diff, synced_at=AT, previous=None)


def test_committing_another_diff_than_the_planned_one_is_refused():
    storage = MemoryStorage()
    made = plan(now=members(1, 2))
    other = diff_members((), members(1, 3), schema=SYNC.schema)
    with other as diff, pytest.raises(UnusableDiffError, match="plan"):
        commit(made, diff, storage)
    assert list(storage.list_objects()) == []


# --- The record of a plan ------------------------------------------------------------


def test_the_record_has_the_values_of_the_plan():
    sync = attrs.evolve(
        SYNC,
        destination=Destination(name="d", bucket="b", path="p", existing=ExistingMeaning.STAYED),
        user_properties=[UserProperty("plan")],
    )
    made = plan(sync, now=[("1", "a", "x"), ("1", "a", "x")])
    staged = {
        diff_type: StagedObject(key=file.key, size=1, sha256="0" * 64, handle={})
        for diff_type, file in made.files.items()
    }
    record = made.record(number=7, staged=staged, writer="w")
    assert (record.number, record.writer, record.bucket) == (7, "w", "b")
    assert (record.schema, record.existing) == (sync.schema, ExistingMeaning.STAYED)
    assert (record.members, record.collapsed, record.skipped) == (1, 1, 0)
    assert [(f.key, f.rows, f.size, f.sha256) for f in record.files.values()] == [
        (f.key, f.rows, f.size, f.sha256) for f in made.files.values()
    ]
    assert {t: f.staged for t, f in record.files.items()} == staged
