"""Comparisons of members: changed properties, diffs of any two syncs, overlaps of two cohorts."""

import gzip
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from implementations import use_kernel

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    UserProperty,
    forget,
    overlap,
    prune,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import ConfigurationError, UnknownMembersError

START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = {"amplitude_id": 0, "user_id": 1}
PLANS = ("", "free", 'pro, "gold"', "two\nlines")


def at(number):
    return START + timedelta(hours=number)


@st.composite
def cohorts(draw, key="amplitude_id"):
    """Return the columns and the members of some syncs; a member's cells often change."""
    seed = random.Random(draw(st.integers(0, 1 << 30)))
    other = {"amplitude_id": "user_id", "user_id": "amplitude_id"}[key]
    found = []
    for _ in range(draw(st.integers(1, 5))):
        columns = ["plan", *seed.sample(["city", "score"], seed.randrange(3))]
        members = {}
        for number in seed.sample(range(9), seed.randrange(10)):
            name = f"{number}+" if number % 3 else f"{number}"
            cells = {column: seed.choice(PLANS) for column in columns}
            members[name] = {key: name, other: f"7{number % seed.choice((5, 9))}", **cells}
        found.append((columns, members))
    return found


def build(cohorts, *, meaning=ExistingMeaning.MEMBERS, key="amplitude_id", log=None):
    """Sync the cohorts one after the other."""
    storage, results = MemoryStorage(), []
    for number, (columns, members) in enumerate(cohorts):
        sync = CohortSync(
            destination=Destination("d", match_by=key, existing=meaning),
            project_id=1,
            cohort_id="a",
            user_properties=[UserProperty(column) for column in columns],
        )
        rows = [*members.values()]
        results.append(sync_cohort(sync, rows, storage, synced_at=at(number), guard=False, log=log))
    return storage, sync.stream, results


def model(cohorts, key="amplitude_id"):
    """Return the changes as tuples, computed with dicts."""
    changes = []
    order = list(dict.fromkeys(name for columns, _ in cohorts for name in columns))
    for number in range(1, len(cohorts)):
        (had, before), (has, now) = cohorts[number - 1 : number + 1]
        ids = [name for name in KEYS if name != key]
        common = [*ids, *(name for name in order if name in had and name in has)]
        for name in sorted(before.keys() & now.keys()):
            row = now[name]
            changes += [
                (at(number), row["amplitude_id"], row["user_id"], column, old, row[column])
                for column in common
                if (old := before[name][column]) != row[column]
            ]
    return changes


def changed_members(changes, key):
    """Return the number of changed members at each sync."""
    members = {(change[0], change[1 + KEYS[key]]) for change in changes}
    return lambda number: sum(when == at(number) for when, _ in members)


def left_as_other_tools_do(storage, seed):
    """Return the bucket without its log, with unsorted files, some of them compressed."""
    chosen, copy = random.Random(seed), MemoryStorage()
    for found in storage.list_objects():
        if "/_syncs/" in f"/{found.key}":
            continue
        header, *rows = storage.open(found.key).read().decode().split("\n", 1)
        cells = rows[0].removesuffix("\n").split("\n") if rows and rows[0] else []
        if not any("two" in line or line.startswith("lines") for line in cells):
            chosen.shuffle(cells)
        data = "\n".join([header, *cells, ""]).encode()
        is_packed = chosen.random() < 0.5
        key = found.key + ".gz" * is_packed
        copy.create(key, gzip.compress(data) if is_packed else data)
    return copy


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "Python"])
@pytest.mark.parametrize("key", list(KEYS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_changes_are_those_of_dicts(kernel, key, meaning, keep_log, data):
    found = data.draw(cohorts(key))
    expected = model(found, key)
    with pytest.MonkeyPatch.context() as patch:
        if not kernel:
            use_kernel(patch, is_used=False)
        storage, stream, results = build(
            found, meaning=meaning, key=key, log=None if keep_log else MemoryStorage()
        )
        changed = changed_members(expected, key)
        assert [one.record.changed for one in results] == [changed(n) for n in range(len(found))]
        if not keep_log:
            storage = left_as_other_tools_do(storage, len(found))
        history = read_history(storage, stream, match_by=key)
        assert [tuple(change) for change in history.changes()] == expected
        if keep_log:
            assert [one.changed for one in history.churn()] == [
                changed(n) for n in range(len(found))
            ]
        first, last = data.draw(st.tuples(*[st.integers(0, len(found) - 1)] * 2))
        before, now = found[first][1], found[last][1]
        with history.diff(history[first], at(last)) as diff:
            rows = {t: {row[KEYS[key]] for row in diff.rows(t)} for t in DiffType}
        assert rows[DiffType.ENTERING] == now.keys() - before.keys()
        assert rows[DiffType.EXITING] == before.keys() - now.keys()
        assert rows[DiffType.EXISTING] == now.keys()


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "Python"])
@settings(max_examples=min(25, settings().max_examples), deadline=None)
@given(one=cohorts(), other=cohorts(), number=st.integers(0, 4))
def test_an_overlap_is_that_of_sets(kernel, one, other, number):
    with pytest.MonkeyPatch.context() as patch:
        if not kernel:
            use_kernel(patch, is_used=False)
        histories = [read_history(*build(found)[:2]) for found in (one, other)]
        first, second = (found[: number + 1][-1][1] for found in (one, other))
        found = overlap(*histories, at(number))
        groups = {
            "only_first": first.keys() - second.keys(),
            "both": first.keys() & second.keys(),
            "only_second": second.keys() - first.keys(),
        }
        for group, keys in groups.items():
            members = found.members(group)
            assert getattr(found, group) == len(keys) == len(members)
            assert [row[0] for row in members] == sorted(keys)
            assert members.to_arrow()["amplitude_id"].to_pylist() == sorted(keys)
        both = len(groups["both"])
        assert found.share_of_first * len(first) == pytest.approx(both)
        assert found.share_of_second * len(second) == pytest.approx(both)
        assert found.jaccard * len(first | second) == pytest.approx(both)


# --- Examples -------------------------------------------------------------------------------

TWO_SYNCS = [
    (["plan"], {"1": {"amplitude_id": "1", "user_id": "ann", "plan": "free"}}),
    (
        ["plan", "city"],
        {"1": {"amplitude_id": "1", "user_id": "ann", "plan": "pro", "city": "Rome"}},
    ),
]


def test_a_change_has_named_cells_and_shows_no_user():
    history = read_history(*build(TWO_SYNCS)[:2])
    (change,) = history.changes()
    assert (change["property"], change["old"], change["new"]) == ("plan", "free", "pro")
    assert (change.column, change.old, change.new, change["user_id"]) == (
        "plan",
        "free",
        "pro",
        "ann",
    )
    assert "ann" not in repr(change)
    assert "free" not in repr(change)
    assert (
        repr(history.changes())
        == "ValueTable(PropertyChange: synced_at, amplitude_id, user_id, ...)"
    )


def test_changes_are_a_data_frame():
    table = read_history(*build(TWO_SYNCS)[:2]).changes()
    assert table.columns == ("synced_at", "amplitude_id", "user_id", "property", "old", "new")
    assert [*table.to_polars().rows()] == [tuple(change) for change in table]
    assert table.to_arrow().num_rows == len(table.to_pandas()) == 1
    with pytest.raises(TypeError):
        len(table)


def test_a_sync_whose_record_states_no_change_is_not_read():
    class Counting(MemoryStorage):
        opened = 0

        def open(self, key):
            self.opened += key.endswith(".csv")
            return super().open(key)

    storage, stream, _ = build([TWO_SYNCS[0]] * 3)
    counting = Counting()
    for found in storage.list_objects():
        counting.create(found.key, storage.open(found.key).read())
    history = read_history(counting, stream)
    assert [*history.changes()] == []
    assert counting.opened == 0


def test_a_change_shows_at_the_next_sync_that_has_all_members():
    plans = ["free", "pro", "pro", "gold"]
    syncs = [
        (["plan"], {n: {"amplitude_id": n, "user_id": "", "plan": plan} for n in "12"})
        for plan in plans
    ]
    storage, stream, _ = build(syncs)
    prune(storage, stream, before=at(2), keep="changes")
    changes = [(one.synced_at, one.old, one.new) for one in read_history(storage, stream).changes()]
    # The members at the pruned syncs are replayed from the entries, which have the first plan.
    assert changes == [(at(2), "free", "pro")] * 2 + [(at(3), "pro", "gold")] * 2


def test_a_property_that_replayed_rows_lack_is_not_a_change():
    syncs = [TWO_SYNCS[0], TWO_SYNCS[1], TWO_SYNCS[1]]
    storage, stream, _ = build(syncs)
    prune(storage, stream, before=at(2), keep="changes")
    changes = read_history(storage, stream).changes()
    # The members at the second sync are replayed from the first one, which has no city.
    assert [(one.synced_at, one.column) for one in changes] == [(at(2), "plan")]


def test_changes_need_members_that_are_known():
    storage, stream, _ = build(TWO_SYNCS, log=MemoryStorage())
    for found in [*storage.list_objects()]:
        if "existing" in found.key:
            storage.delete(found.key)
    changes = read_history(storage, stream).changes()
    with pytest.raises(UnknownMembersError):
        changes.head(1)


def test_the_count_is_not_known_after_members_were_forgotten():
    storage, stream, _ = build([*TWO_SYNCS, TWO_SYNCS[1]])
    forget(storage, stream, ["1"])
    history = read_history(storage, stream)
    assert [one.changed for one in history.churn()] == [None] * 3
    assert "-" in str(history.churn())
    assert history.verify() == ()


def test_histories_that_match_members_by_different_columns_have_no_overlap():
    one, other = (read_history(*build(TWO_SYNCS, key=key)[:2]) for key in KEYS)
    with pytest.raises(ConfigurationError, match="'amplitude_id', the second by 'user_id'"):
        overlap(one, other)


def test_the_time_of_an_overlap_may_be_that_of_a_sync_of_either_history():
    plans = ["free", "pro", "gold"]
    syncs = [
        (["plan"], {n: {"amplitude_id": n, "plan": "x"} for n in plans[: k + 1]}) for k in range(3)
    ]
    history, other = read_history(*build(syncs)[:2]), read_history(*build(syncs[:2])[:2])
    assert [overlap(history, other, sync).both for sync in history] == [1, 2, 2]
    assert [overlap(history, other, sync).both for sync in other] == [1, 2]
    foreign = read_history(*build(TWO_SYNCS)[:2])
    with pytest.raises(ValueError, match="not in this history"):
        overlap(history, other, foreign[0])


def test_a_group_that_does_not_exist_is_an_error():
    history = read_history(*build(TWO_SYNCS)[:2])
    with pytest.raises(ConfigurationError, match="only_first, both, only_second"):
        overlap(history, history).members("first")
