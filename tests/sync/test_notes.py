"""Skipped, repeated and ignored data, and empty properties, appear wherever a sync is shown."""

import json
from datetime import UTC, datetime

import pytest

from amplitude_cohort_s3 import (
    Cadence,
    CohortStream,
    CohortSync,
    CsvSource,
    Destination,
    Guard,
    MemoryStorage,
    UserProperty,
    adopt,
    diff_members,
    forget,
    read_head,
    run_due,
    sync_cohort,
)
from amplitude_cohort_s3.cli.main import main
from amplitude_cohort_s3.distributed import ComposedDiff, write_part
from amplitude_cohort_s3.errors import MassExitError
from amplitude_cohort_s3.format.filename import DiffType
from amplitude_cohort_s3.sync import JobOutcome, plan_sync

AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)
SYNC = CohortSync(
    destination=Destination(name="d", match_by="user_id"),
    project_id=1,
    cohort_id="a",
    user_properties=[UserProperty("plan"), UserProperty("city")],
    cadence=Cadence.DAILY,
    guard=Guard(max_skipped=None),
)
# 3 members, of whom 2 have a plan and nobody a city; a repeated row, and 900 without a key.
ROWS = [
    *({"amplitude_id": n, "user_id": "", "plan": "x", "city": "y"} for n in range(900)),
    {"amplitude_id": 1001, "user_id": "ann", "plan": "pro", "city": "", "Hat": "1"},
    {"amplitude_id": 1002, "user_id": "bob", "plan": "pro", "city": ""},
    {"amplitude_id": 1003, "user_id": "cy", "plan": "", "city": None},
    {"amplitude_id": 1001, "user_id": "ann", "plan": "pro", "city": ""},
]
NOTES = (
    "900 rows without user_id were skipped",
    "1 repeated row was dropped",
    "ignored column that the sync does not have: Hat",
    "members with a value: plan 2 of 3, city 0 of 3",
    "warning: the property 'city' is empty for all members",
)


def shown_in(text, notes=NOTES):
    """Return whether a text has all notes."""
    return all(note.replace("'", "&#x27;") in text or note in text for note in notes)


def shown_as_text_and_table(value):
    return shown_in(str(value)) and shown_in(value._repr_html_())


def test_a_result_and_a_plan_show_them():
    plan = sync_cohort(SYNC, ROWS, MemoryStorage(), synced_at=AT, dry_run=True)
    result = sync_cohort(SYNC, ROWS, MemoryStorage(), synced_at=AT)
    assert plan.notes == result.notes == NOTES
    assert shown_as_text_and_table(plan)
    assert shown_as_text_and_table(result)
    assert result.record.filled == {"plan": 2, "city": 0}


def test_a_diff_shows_them():
    with diff_members((), ROWS, schema=SYNC.schema) as diff:
        assert shown_as_text_and_table(diff)
        assert diff.report.filled == {"plan": 2, "city": 0}
        plan = plan_sync(SYNC, diff, synced_at=AT, previous=None)
    assert shown_as_text_and_table(plan)


def test_a_repeated_sync_shows_them_again():
    storage = MemoryStorage()
    sync_cohort(SYNC, ROWS, storage, synced_at=AT)
    repeated = sync_cohort(SYNC, ROWS, storage, synced_at=AT)
    assert repeated.already_done
    assert shown_as_text_and_table(repeated)


def test_the_report_of_a_run_shows_them():
    report = run_due([(SYNC, ROWS)], MemoryStorage(), AT)
    assert shown_as_text_and_table(report)
    assert shown_in(report[0].detail)


class UnchangedSource:
    """A source that knows that its members are those of the newest sync."""

    def csv_source(self, schema):
        return CsvSource(chunks=lambda: schema.encode(map(schema.row, ROWS[900:])))

    def is_unchanged(self, origin, /):
        return True


def test_a_run_without_changes_shows_what_concerns_the_members():
    storage, source = MemoryStorage(), UnchangedSource()
    run_due([(SYNC, source)], storage, AT)
    report = run_due([(SYNC, source)], storage, LATER)
    assert report[0].outcome is JobOutcome.UNCHANGED
    assert shown_in(str(report), NOTES[3:])
    assert shown_in(report._repr_html_(), NOTES[3:])
    assert "entered" not in str(report)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"{n},,x,y,0" for n in range(900)]
    lines += ["1001,ann,pro,,1", "1002,bob,pro,,", "1003,cy,,,", "1001,ann,pro,,1"]
    (tmp_path / "members.csv").write_text(
        "\n".join(["amplitude_id,user_id,plan,city,Hat", *lines, ""])
    )
    (tmp_path / "amplitude-cohort-s3.toml").write_text(
        '[destinations.d]\nfolder = "bucket"\nmatch_by = "user_id"\n'
        '[syncs.s]\ndestination = "d"\nproject_id = 1\ncohort_id = "a"\ncadence = "daily"\n'
        'user_properties = ["plan", "city"]\nmembers = "members.csv"\n'
        "guard = { max_skipped = false }\n"
    )


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", [["sync", "s", "--dry-run"], ["sync", "s"], ["run"]])
def test_the_command_shows_them(command, capsys):
    assert main(command) == 0
    assert shown_in(capsys.readouterr().out)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", [["sync", "s", "--dry-run"], ["sync", "s"], ["run"]])
def test_the_json_of_the_command_has_them(command, capsys):
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    found = found[0] if command == ["run"] else found
    assert tuple(found["notes"]) == NOTES
    assert (found["skipped"], found["collapsed"], found["ignored_columns"]) == (900, 1, ["Hat"])
    assert found["filled"] == {"plan": 2, "city": 0}


# --- Cohorts without members ---

SKIPPED = "there are no members: all 500 rows were skipped, for lack of the key user_id"
NO_ROWS = "there are no members: the source has no rows"


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([{"amplitude_id": 1, "user_id": "", "plan": "x", "city": ""}] * 500, SKIPPED),
        ([], NO_ROWS),
    ],
)
def test_a_first_sync_without_members_says_so_and_why(rows, note):
    storage = MemoryStorage()
    plan = sync_cohort(SYNC, rows, storage, synced_at=AT, dry_run=True)
    result = sync_cohort(SYNC, rows, storage, synced_at=AT)
    report = run_due([(SYNC, rows)], MemoryStorage(), AT)
    with diff_members((), rows, schema=SYNC.schema) as diff:
        for value in (plan, result, report, diff):
            assert note in str(value)
            assert note in value._repr_html_()
            assert "warning" not in str(value)


# --- Other ways to the same record ---


def test_an_adopted_head_shows_what_its_file_has():
    storage = MemoryStorage()
    stream = CohortStream(project_id=1, cohort_id="theirs")
    rows = "7,gus,\n7,gus,\n8,hal,\n9,,x\n"
    for word, lines in (("entering", ""), ("exiting", ""), ("existing", rows)):
        key = f"1_theirs_2026-01-01T06:30_{word}.csv"
        storage.create(key, f"amplitudeID,userID,plan\n{lines}".encode())
    head = adopt(storage, stream, match_by="user_id")
    notes = (
        "1 row without user_id was skipped",
        "1 repeated row was dropped",
        "members with a value: plan 0 of 2",
        "warning: the property 'plan' is empty for all members",
    )
    assert shown_in(str(head), notes)
    assert shown_in(head._repr_html_(), notes)
    assert "gus" not in str(head)


def test_parts_that_many_writers_wrote_are_counted_alike():
    storage, schema = MemoryStorage(), SYNC.schema
    rows = [("1", "ann", "pro", ""), ("2", "bob", "", 'x "y"'), ("3", "cy", "pro", "")]
    parts = [
        write_part(storage, "_staging/0", rows[:2], schema=schema),
        write_part(storage, "_staging/1", rows[2:], schema=schema),
    ]
    composed = ComposedDiff.of_parts(
        {DiffType.ENTERING: parts, DiffType.EXITING: [], DiffType.EXISTING: parts},
        schema=schema,
        skipped=900,
    )
    assert composed.report.filled == {"plan": 2, "city": 1}
    assert shown_in(repr(composed), [NOTES[0], "plan 2 of 3, city 1 of 3"])


@pytest.mark.parametrize("existing", ["MEMBERS", "STAYED", "PREVIOUS"])
def test_forgetting_corrects_the_counts(existing):
    meaning = type(SYNC.destination.existing)[existing]
    sync = CohortSync(
        destination=Destination(name="d", existing=meaning),
        project_id=1,
        cohort_id="a",
        user_properties=SYNC.user_properties,
    )
    storage = MemoryStorage()
    rows = [("1", "ann", "pro", ""), ("2", "bob", "pro", "Rome"), ("3", "cy", "", "Rome")]
    sync_cohort(sync, rows[:2], storage, synced_at=AT)
    sync_cohort(sync, rows, storage, synced_at=LATER)
    forget(storage, sync.stream, ["1"])
    record = read_head(storage, sync.stream).record
    assert (record.members, record.filled) == (2, {"plan": 1, "city": 2})


def test_a_refusal_by_the_guard_says_that_rows_were_skipped():
    storage = MemoryStorage()
    keyed = [{"amplitude_id": n, "user_id": f"u{n}", "plan": "", "city": ""} for n in range(900)]
    sync_cohort(SYNC, keyed, storage, synced_at=AT)
    with pytest.raises(
        MassExitError, match="and 900 rows were skipped for lack of a key"
    ) as caught:
        sync_cohort(SYNC, ROWS, storage, synced_at=LATER)
    assert caught.value.skipped == 900
