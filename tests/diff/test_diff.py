"""The diff of two sets of members, tested through diff_members only."""

import gzip
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import CsvSource, DiffType, ExistingMeaning, Member, RowSchema
from amplitude_cohort_s3 import diff_members as diff_members_
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    DuplicateKeyError,
    EmptyKeyError,
    InvalidCellError,
    MalformedCsvError,
    MissingColumnsError,
)
from amplitude_cohort_s3.sources import MemberFile
from amplitude_cohort_s3.testing import strategies

ENTERING, EXITING, EXISTING = DiffType
MEMBERS, STAYED, PREVIOUS = ExistingMeaning
IDS = RowSchema()
PLAN = RowSchema(properties=("plan",))
BY_USER = RowSchema(properties=("plan",), key="user_id")


def diff_members(previous, current, schema=IDS, **options):
    return diff_members_(previous, current, schema=schema, **options)


def three(previous, current, schema=IDS, **options):
    """The rows of entering, exiting, existing."""
    with diff_members(previous, current, schema, **options) as diff:
        return tuple(list(diff.rows(diff_type)) for diff_type in DiffType)


def csv(data, **options):
    return CsvSource(chunks=lambda: iter([data]), **options)


OLD = [("1", "ann"), ("2", "bob"), ("3", "cy")]
NEW = [("2", "bob"), ("3", "cy"), ("4", "dee")]


@pytest.mark.parametrize(
    ("meaning", "existing"),
    [(MEMBERS, NEW), (STAYED, NEW[:2]), (PREVIOUS, OLD)],
)
def test_the_files_have_the_users_that_entered_exited_and_exist(meaning, existing):
    assert three(OLD, NEW, existing=meaning) == ([("4", "dee")], [("1", "ann")], existing)


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_at_the_first_sync_all_members_enter_and_none_exit(meaning):
    existing = NEW if meaning is MEMBERS else []
    assert three((), NEW, existing=meaning) == (NEW, [], existing)


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_without_a_change_no_member_enters_or_exits(meaning):
    assert three(OLD, OLD, existing=meaning) == ([], [], OLD)


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_a_cohort_may_be_empty(meaning):
    assert three((), (), existing=meaning) == ([], [], [])
    assert three(OLD, (), existing=meaning) == ([], OLD, OLD if meaning is PREVIOUS else [])


@given(st.data(), st.sampled_from(ExistingMeaning))
def test_law_the_current_and_previous_members_follow_from_the_files(data, meaning):
    schema = data.draw(strategies.schemas())
    rows = data.draw(strategies.rows(schema))
    old = rows[: data.draw(st.integers(0, len(rows)))]
    new = rows[data.draw(st.integers(0, len(rows))) :]
    entering, exiting, existing = three(old, new, schema, existing=meaning)
    key = schema.key_index

    def keys(found):
        return {row[key] for row in found}

    # These hold for all three meanings.
    now = keys(entering) | keys(existing) - keys(exiting)
    assert {row for row in [*entering, *existing] if row[key] not in keys(exiting)} == set(new)
    assert now == keys(new)
    assert (keys(existing) - keys(entering)) | keys(exiting) == keys(old)
    # These depend on the meaning.
    match meaning:
        case ExistingMeaning.MEMBERS:
            assert set(entering) <= set(existing)
            assert not keys(exiting) & keys(existing)
        case ExistingMeaning.STAYED:
            assert not keys(entering) & keys(existing)
            assert not keys(exiting) & keys(existing)
        case ExistingMeaning.PREVIOUS:
            assert set(exiting) <= set(existing)
            assert not keys(entering) & keys(existing)


@given(st.data(), st.sampled_from(ExistingMeaning))
def test_law_the_files_do_not_depend_on_the_order_of_the_rows(data, meaning):
    schema = data.draw(strategies.schemas())
    rows = data.draw(strategies.rows(schema))
    old, new = rows[: len(rows) * 2 // 3], rows[len(rows) // 3 :]
    shuffled = data.draw(st.permutations(old)), data.draw(st.permutations(new))
    with (
        diff_members(old, new, schema, existing=meaning) as one,
        diff_members(*shuffled, schema, existing=meaning) as other,
    ):
        assert digests(one) == digests(other)


def digests(diff):
    report = diff.report
    return [report.members_sha256, *(report.files[t].sha256 for t in DiffType)]


@given(st.data())
def test_the_files_are_canonical_bytes_in_the_order_of_the_key(data):
    schema = data.draw(strategies.schemas())
    rows = data.draw(strategies.rows(schema))
    ordered = sorted(rows, key=lambda row: row[schema.key_index].encode())
    canonical = b"".join(schema.encode(ordered))
    with diff_members((), rows, schema) as diff:
        for file in (diff.entering, diff.existing):
            written = b"".join(file.chunks())
            assert written == canonical
            assert (file.rows, file.size) == (len(rows), len(canonical))
            assert file.sha256 == hashlib.sha256(canonical).hexdigest()
        assert b"".join(diff.exiting.chunks()) == schema.header_line
        assert diff.report.members_sha256 == hashlib.sha256(canonical).hexdigest()


def test_amplitude_ids_are_in_the_order_of_their_bytes():
    rows = [(n, "") for n in ("2", "10", "1", "100", "09", "12345678901234567890")]
    entering, _, _ = three((), rows)
    assert [row[0] for row in entering] == ["09", "1", "10", "100", "12345678901234567890", "2"]


def test_the_members_digest_is_the_same_under_every_meaning():
    found = set()
    for meaning in ExistingMeaning:
        with diff_members(OLD, NEW, existing=meaning) as diff:
            found.add(diff.report.members_sha256)
    assert len(found) == 1


# --- Properties ------------------------------------------------------------------------------

BEFORE = [("1", "a", "free"), ("2", "b", "free"), ("3", "c", "free")]
AFTER = [("2", "b", "free"), ("3", "c", "paid"), ("4", "d", "paid")]


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_a_changed_property_alone_is_neither_entering_nor_exiting(meaning):
    entering, exiting, existing = three(BEFORE, AFTER, PLAN, existing=meaning)
    assert entering == [("4", "d", "paid")]
    assert exiting == [("1", "a", "free")]
    assert ("3", "c", "paid") in existing


def test_with_the_meaning_previous_existing_contains_the_rows_of_exiting():
    _, exiting, existing = three(BEFORE, AFTER, PLAN, existing=PREVIOUS)
    assert set(exiting) <= set(existing)


def test_a_new_column_is_empty_in_exiting():
    old = csv(b"amplitudeID,userID\n1,a\n2,b\n", canonical=True)
    assert three(old, AFTER, PLAN)[1] == [("1", "a", "")]


def test_a_removed_column_is_dropped_from_exiting():
    old = csv(b"amplitudeID,userID,shoe,plan\n1,a,44,free\n2,b,45,free\n", canonical=True)
    assert three(old, AFTER, PLAN)[1] == [("1", "a", "free")]


# --- Keys ------------------------------------------------------------------------------------


def test_an_error_has_the_number_and_lines_of_rows_without_an_amplitude_id():
    rows = [("1", "a"), ("", "b"), ("2", ""), ("", "c")]
    with pytest.raises(EmptyKeyError) as caught:
        three((), csv(b"".join(IDS.encode(rows))))
    assert (caught.value.column, caught.value.count) == ("amplitude_id", 2)
    assert caught.value.lines == (3, 5)


@pytest.mark.parametrize("key", ["user_id", "plan"])
def test_rows_with_another_key_that_is_empty_are_skipped_and_counted(key):
    schema = RowSchema(properties=("plan",), key=key)
    rows = [("1", "a", "p"), ("2", "", ""), ("", "b", "q"), ("3", "", "")]
    with diff_members((), rows, schema) as diff:
        assert (diff.report.members_now, diff.report.skipped) == (2, 2)
        assert [row[0] for row in diff.rows(ENTERING)] == ["1", ""]


def test_ids_that_are_not_the_key_may_be_empty_and_repeat():
    rows = [("", "a", ""), ("", "b", ""), ("7", "c", ""), ("7", "d", "")]
    with diff_members((), rows, BY_USER) as diff:
        assert diff.report.members_now == 4


def test_members_are_matched_by_the_key_only():
    assert three([("1", "a", "x")], [("9", "a", "y")], BY_USER) == ([], [], [("9", "a", "y")])
    assert three([("1", "a", "x")], [("1", "b", "x")], BY_USER)[:2] == (
        [("1", "b", "x")],
        [("1", "a", "x")],
    )


def test_rows_are_in_the_order_of_another_key():
    rows = [("1", "b", ""), ("2", "a", ""), ("3", "B", ""), ("4", "ä", ""), ("5", "a b", "")]
    entering, _, _ = three((), rows, BY_USER)
    assert [row[1] for row in entering] == ["B", "a", "a b", "b", "ä"]


@pytest.mark.parametrize("duplicates", ["refuse", "keep_smallest"])
def test_equal_rows_collapse_and_are_counted(duplicates):
    with diff_members((), [*NEW, NEW[0], NEW[0]], duplicates=duplicates) as diff:
        assert list(diff.rows(EXISTING)) == NEW
        assert (diff.report.members_now, diff.report.collapsed) == (3, 2)


def test_an_error_has_the_number_and_lines_of_different_rows_with_one_key():
    rows = [("1", "a"), ("2", "b"), ("1", "secret"), ("2", "b"), ("3", "c"), ("3", "d")]
    with pytest.raises(DuplicateKeyError) as caught:
        three((), csv(b"".join(IDS.encode(rows))))
    assert (caught.value.column, caught.value.count) == ("amplitude_id", 2)
    assert caught.value.lines == (4, 7)
    assert "secret" not in str(caught.value)


def test_keep_smallest_keeps_the_row_with_the_smaller_bytes_in_any_order():
    rows = [("1", "b"), ("1", "a"), ("1", "c"), ("2", "x")]
    for given_rows in (rows, rows[::-1]):
        with diff_members((), given_rows, duplicates="keep_smallest") as diff:
            assert list(diff.rows(ENTERING)) == [("1", "a"), ("2", "x")]
            assert diff.report.collapsed == 2


# --- Members in all forms -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(lambda: NEW, id="sequences"),
        pytest.param(lambda: iter(NEW), id="an iterator, which can be read once"),
        pytest.param(lambda: set(NEW), id="a set"),
        pytest.param(lambda: [Member(*row) for row in NEW], id="Members"),
        pytest.param(lambda: [{"amplitudeID": int(a), "userID": u} for a, u in NEW], id="mappings"),
        pytest.param(lambda: csv(b"amplitudeID,userID\n4,dee\n3,cy\n2,bob\n"), id="CSV bytes"),
        pytest.param(
            lambda: csv(b'"user_id","amplitude_id"\r\n"cy","3"\r\n"bob","2"\r\n"dee","4"\r\n'),
            id="Amplitude's export",
        ),
    ],
)
def test_members_are_accepted_in_many_forms(members):
    assert three(OLD, members()) == ([("4", "dee")], [("1", "ann")], NEW)
    assert three(members(), members()) == ([], [], NEW)


def test_members_are_read_from_a_csv_file_compressed_or_not(tmp_path):
    data = b"\xef\xbb\xbf" + b"".join(IDS.encode(NEW))
    plain, packed = tmp_path / "plain.csv", tmp_path / "named wrongly.csv"
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    for file in (plain, str(packed)):
        with diff_members((), MemberFile(file)) as diff:
            assert list(diff.rows(DiffType.ENTERING)) == NEW
            assert diff.origin == {"file": Path(file).name}


def test_members_can_be_the_location_of_a_file(tmp_path):
    file = tmp_path / "members.csv"
    file.write_text("amplitude_id,user_id\n1,a\n")
    with diff_members((), str(file), schema=RowSchema()) as diff:
        assert diff.entering.rows == 1
    with diff_members(file, (), schema=RowSchema(), existing="stayed") as diff:
        assert diff.exiting.rows == 1
    with pytest.raises(ArgumentTypeError, match="MemberFile"):
        three((), b"1,a")


def test_a_list_of_texts_is_refused():
    with pytest.raises(TypeError):
        three((), ["1", "2"])


@pytest.mark.parametrize(
    "members",
    [
        [{"amplitude_id": 1, "shoe": 44}, {"amplitude_id": 2, "hat": 7, "shoe": None}],
        [Member("1", "", {"shoe": "44"}), Member("2", "", {"hat": "7"})],
        csv(b"hat,amplitude_id,shoe\n,1,44\n7,2,\n"),
    ],
    ids=["mappings", "Members", "CSV"],
)
def test_undeclared_columns_are_ignored_and_listed(members):
    with diff_members((), members) as diff:
        assert diff.report.ignored_columns == ("hat", "shoe")
        assert diff.report.members_now == 2


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ([{"amplitude_id": "1"}], MissingColumnsError),
        (csv(b"amplitude_id\n1\n"), MissingColumnsError),
        ([{"plan": "x"}], MissingColumnsError),
        ([("1", "a")], MalformedCsvError),
        ([(1.5, "a", "")], InvalidCellError),
        ([("1", "a\0", "")], InvalidCellError),
        (csv(b"amplitude_id,plan\n1,x,y\n"), MalformedCsvError),
        (csv(b""), MalformedCsvError),
    ],
)
def test_members_that_can_not_be_read_are_an_error_and_leave_no_files(tmp_path, members, error):
    with pytest.raises(error):
        diff_members((), members, PLAN, work_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_source_leaves_no_files(tmp_path):
    def rows():
        yield ("1", "a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diff_members((), rows(), work_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_files_are_in_work_dir_while_the_diff_is_open(tmp_path):
    with diff_members(OLD, NEW, work_dir=tmp_path) as diff:
        assert len(list(tmp_path.iterdir())) == 1
        with diff.entering.open() as file:
            assert file.read(11) == b"amplitudeID"
    assert list(tmp_path.iterdir()) == []
    diff.close()


def test_counts_and_reprs_have_no_user_ids():
    with diff_members(OLD, NEW) as diff:
        report = diff.report
        assert (report.members_before, report.members_now) == (3, 3)
        for word in ("ann", "dee"):
            assert word not in repr(diff)
            assert word not in repr(report)


def test_a_mapping_with_a_column_in_two_spellings_must_have_one_value_for_it():
    agreed = {"amplitudeID": 42, "amplitude_id": "42", "userID": None, "user_id": ""}
    assert three([], [agreed])[0] == [("42", "")]
    differing = [{"amplitude_id": "1"}, {"amplitudeID": "2", "amplitude_id": "3"}]
    with pytest.raises(MalformedCsvError, match="2: the column amplitude_id occurs twice"):
        three([], differing)


# --- Changed members --------------------------------------------------------------------------


@pytest.mark.usefixtures("each_implementation")
@pytest.mark.parametrize("properties", [2, 70])
def test_a_column_that_the_previous_members_lack_is_not_a_change(properties):
    schema = RowSchema(properties=[f"p{n}" for n in range(properties)])
    values = ['"x", y'] * properties
    before = b"".join(RowSchema(properties=["p0"]).encode([("1", "a", values[0]), ("2", "b", "")]))
    for canonical in (True, False):
        source = csv(before, canonical=canonical, repeatable=False)
        now = [("1", "a", *values), ("2", "B", "", *values[1:]), ("3", "c", *values)]
        with diff_members(source, now, schema) as diff:
            assert diff.report.changed == 1


def test_a_diff_shows_the_number_of_changed_members():
    with diff_members([("1", "ann"), ("2", "bob")], [("1", "ann b"), ("2", "bob")]) as diff:
        assert "0 entering, 0 exiting, 2 existing, 1 changed" in repr(diff)
        assert "2 → 2 members, 1 changed" in diff._repr_html_()
    with diff_members([("1", "ann")], [("1", "ann")]) as diff:
        assert diff.report.changed == 0
        assert "changed" not in repr(diff) + diff._repr_html_()
