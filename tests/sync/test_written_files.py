"""The three files of a sync, and the settings that change them."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syncs import (
    AT,
    EXITING,
    HOUR,
    MINUTE,
    NEW,
    OLD,
    STREAM,
    SYNC,
    contents,
    data_files,
    members_now,
    rows,
    run_sync,
    staged_objects,
    with_settings,
)

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    ExistingMeaning,
    Member,
    MemoryStorage,
    NameStyle,
    UserProperty,
    diff_members,
    read_head,
    read_history,
)
from amplitude_cohort_s3.log.keys import outcome_key, record_key
from amplitude_cohort_s3.sync import commit, plan_sync
from amplitude_cohort_s3.testing import strategies


def test_in_the_first_sync_every_member_enters(storage):
    result = run_sync(storage, OLD)
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
    assert not staged_objects(storage)


def test_a_sync_writes_the_difference_to_the_previous_sync(storage):
    run_sync(storage, OLD)
    result = run_sync(storage, reversed(NEW), AT + HOUR)
    assert rows(storage, result) == [[("4", "dee")], [("1", "ann")], NEW]
    assert (result.record.members_before, result.record.members) == (3, 3)
    assert members_now(storage) == NEW


def test_three_files_are_written_even_if_nothing_changed(storage):
    run_sync(storage, OLD)
    result = run_sync(storage, OLD, AT + HOUR)
    assert rows(storage, result) == [[], [], OLD]
    assert len(data_files(storage)) == 6


def test_an_empty_cohort_can_be_synced(storage):
    assert rows(storage, run_sync(storage, [])) == [[], [], []]
    assert rows(storage, run_sync(storage, [], AT + HOUR)) == [[], [], []]
    assert rows(storage, run_sync(storage, NEW, AT + 2 * HOUR)) == [NEW, [], NEW]
    emptied = run_sync(storage, [], AT + 3 * HOUR, guard=False)
    assert rows(storage, emptied) == [[], NEW, []]


def test_a_returning_user_enters_again(storage):
    for n, members in enumerate([OLD, NEW, OLD]):
        result = run_sync(storage, members, AT + n * HOUR)
    assert rows(storage, result) == [[("1", "ann")], [("4", "dee")], OLD]


@pytest.mark.parametrize(
    ("meaning", "first", "second"),
    [
        (ExistingMeaning.MEMBERS, OLD, NEW),
        (ExistingMeaning.STAYED, [], NEW[:2]),
        (ExistingMeaning.PREVIOUS, [], OLD),
    ],
)
def test_each_meaning_of_existing_can_be_written_and_read(storage, meaning, first, second):
    sync = with_settings(existing=meaning)
    assert rows(storage, run_sync(storage, OLD, sync=sync)) == [OLD, [], first]
    assert members_now(storage) == OLD
    result = run_sync(storage, NEW, AT + HOUR, sync)
    assert rows(storage, result) == [[("4", "dee")], [("1", "ann")], second]
    assert members_now(storage) == NEW
    assert result.record.existing is meaning
    history = read_history(storage, STREAM)
    assert [list(history.members_at(s)) for s in history] == [OLD, NEW]


def test_the_meaning_of_existing_can_change_and_is_recorded(storage):
    for n, meaning in enumerate([*ExistingMeaning, *reversed(ExistingMeaning)]):
        members = [OLD, NEW][n % 2]
        assert (
            run_sync(
                storage, members, AT + n * HOUR, with_settings(existing=meaning)
            ).record.existing
            is meaning
        )
        assert members_now(storage) == members
    history = read_history(storage, STREAM)
    assert [list(history.members_at(s)) for s in history] == [OLD, NEW] * 3


@settings(max_examples=min(25, settings().max_examples))
@given(st.data(), st.sampled_from(ExistingMeaning), st.sampled_from([None, "gzip"]))
def test_the_history_returns_the_members_that_were_synced(data, meaning, compression):
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
        guard=False,
    )
    storage = MemoryStorage()
    given_rows = []
    for n in range(data.draw(st.integers(1, 3))):
        given_rows.append(data.draw(strategies.rows(sync.schema)))
        run_sync(storage, given_rows[-1], AT + n * MINUTE, sync, guard=False)
    history = read_history(storage, sync.stream)
    key = sync.schema.key_index
    assert [list(history.members_at(s)) for s in history] == [
        sorted(members, key=lambda row: row[key].encode()) for members in given_rows
    ]


def test_compressed_files_can_be_written_and_read(storage):
    sync = with_settings(compression="gzip", existing=ExistingMeaning.STAYED)
    run_sync(storage, OLD, sync=sync)
    result = run_sync(storage, NEW, AT + HOUR, sync)
    assert all(key.endswith(".csv.gz") for key in data_files(storage))
    assert rows(storage, result) == [[("4", "dee")], [("1", "ann")], NEW[:2]]
    assert members_now(storage) == NEW
    plain = run_sync(MemoryStorage(), OLD).record
    packed = run_sync(MemoryStorage(), OLD, sync=with_settings(compression="gzip")).record
    assert [f.sha256 for f in packed.files.values()] == [f.sha256 for f in plain.files.values()]


def test_members_can_be_the_path_of_a_csv_file(storage, tmp_path):
    source = tmp_path / "export.csv"
    source.write_bytes(b'"amplitude_id","user_id","shoe"\r\n"2","bob","44"\r\n"1","ann",""\r\n')
    for n, location in enumerate([source, str(source)]):
        result = run_sync(storage, location, AT + n * HOUR)
        assert rows(storage, result)[2] == OLD[:2]
        assert result.ignored_columns == ("shoe",)
        assert result.record.source == {"file": "export.csv"}


def test_properties_can_be_added_and_removed_between_syncs(storage):
    plan, shoe = UserProperty("plan"), UserProperty("shoe")

    def step(n, properties, members):
        sync = attrs.evolve(SYNC, user_properties=properties)
        return run_sync(storage, members, AT + n * HOUR, sync)

    step(0, [plan], [("1", "a", "x"), ("2", "b", "x")])
    added = step(1, [plan, shoe], [("2", "b", "y", "44")])
    assert rows(storage, added) == [[], [("1", "a", "x", "")], [("2", "b", "y", "44")]]
    swapped = step(2, [shoe, plan], [("2", "b", "44", "y"), ("3", "c", "45", "z")])
    assert swapped.record.schema.header == ("amplitudeID", "userID", "shoe", "plan")
    assert rows(storage, swapped)[0] == [("3", "c", "45", "z")]
    gone = step(3, [], [("3", "c")])
    assert rows(storage, gone) == [[], [("2", "b")], [("3", "c")]]


def test_the_header_style_can_change_between_syncs(storage):
    run_sync(storage, OLD)
    result = run_sync(storage, NEW, AT + HOUR, with_settings(header_style="api"))
    assert rows(storage, result) == [[("4", "dee")], [("1", "ann")], NEW]
    assert contents(storage)[result.record.files[EXITING].key] == b"amplitude_id,user_id\n1,ann\n"
    assert members_now(storage) == NEW


def test_the_style_of_the_file_names_can_change_between_syncs(storage):
    run_sync(storage, OLD)
    style = NameStyle(separator="-", seconds=True)
    result = run_sync(storage, NEW, AT + timedelta(seconds=1), with_settings(name_style=style))
    assert [name.rpartition("/")[2] for name in sorted(result.record.keys)] == [
        f"123_26umsb5_2026-11-23T14-05-01_{word}.csv"
        for word in ("entering", "existing", "exiting")
    ]
    assert run_sync(storage, OLD, AT + MINUTE).record.previous.number == 2
    assert [s.synced_at.second for s in read_history(storage, STREAM)] == [0, 1, 0]


def test_members_can_be_matched_by_user_id(storage):
    sync = with_settings(match_by="user_id")
    first = run_sync(storage, [("9", "b"), ("", "a"), ("7", "")], sync=sync)
    assert rows(storage, first)[2] == [("", "a"), ("9", "b")]
    assert first.record.skipped == 1
    second = run_sync(storage, [("1", "b")], AT + HOUR, sync)
    assert rows(storage, second) == [[], [("", "a")], [("1", "b")]]


def test_members_can_be_matched_by_a_property(storage):
    sync = with_settings(match_by=UserProperty("crm"))
    run_sync(storage, [("1", "a", "x"), ("1", "a", "y"), ("2", "b", "")], sync=sync)
    second = run_sync(storage, [Member("3", "c", {"crm": "y"})], AT + HOUR, sync)
    assert second.record.schema.header == ("amplitudeID", "userID", "crm")
    assert rows(storage, second) == [[], [("1", "a", "x")], [("3", "c", "y")]]


def test_keep_smallest_keeps_one_of_several_rows_with_the_same_key(storage):
    result = run_sync(storage, [("1", "b"), ("1", "a"), ("1", "a")], duplicates="keep_smallest")
    assert rows(storage, result)[2] == [("1", "a")]
    assert result.record.collapsed == 2


def test_different_streams_do_not_affect_each_other(storage):
    syncs = [
        SYNC,
        attrs.evolve(SYNC, routing_key="vip"),
        attrs.evolve(SYNC, routing_key="vip_entering"),
        attrs.evolve(SYNC, cohort_id="26umsb5-2"),
        attrs.evolve(SYNC, project_id=12),
        with_settings(path="cohorts/eu"),
        with_settings(path=""),
    ]
    for n, sync in enumerate(syncs):
        run_sync(storage, [(str(n), "")], sync=sync)
    for n, sync in enumerate(syncs):
        assert members_now(storage, sync) == [(str(n), "")]
        assert len(read_history(storage, sync.stream)) == 1


def test_a_sync_can_be_made_with_diff_members_plan_sync_and_commit(storage):
    run_sync(storage, OLD)
    head = read_head(storage, STREAM)
    with diff_members(head.members(), NEW, schema=SYNC.schema) as diff:
        plan = plan_sync(SYNC, diff, synced_at=AT + HOUR, previous=head)
        assert data_files(storage).keys().isdisjoint(f.key for f in plan.files.values())
        by_hand = commit(plan, diff, storage)
    assert by_hand.record.number == 2
    twin = MemoryStorage()
    run_sync(twin, OLD)
    run_sync(twin, NEW, AT + HOUR)
    assert data_files(storage) == data_files(twin)


def test_no_repr_contains_a_member(storage):
    result = run_sync(storage, OLD)
    assert "ann" not in repr(result) + str(result)
    head = read_head(storage, STREAM)
    assert "ann" not in repr(head) + repr(head.members())
    assert "ann" not in repr(read_history(storage, STREAM))


def test_the_log_can_be_in_another_storage(storage):
    log = MemoryStorage()
    run_sync(storage, OLD, log=log)
    result = run_sync(storage, NEW, AT + HOUR, log=log)
    assert rows(storage, result)[0] == [("4", "dee")]
    assert contents(storage) == data_files(storage)
    assert set(contents(log)) == {
        key(STREAM, n) for key in (record_key, outcome_key) for n in (1, 2)
    }
    assert members_now(storage, log=log) == NEW
    history = read_history(storage, STREAM, log=log)
    assert [history.record(s).number for s in history] == [1, 2]
    assert run_sync(storage, NEW, AT + HOUR, log=log).already_done
