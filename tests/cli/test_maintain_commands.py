"""The subcommands that repair, continue or shorten a stream, and that ask before they do."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    LocalStorage,
    MemoryStorage,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.cli._output import COMMAND
from amplitude_cohort_s3.cli._setup import CONFIG_FILE
from amplitude_cohort_s3.cli.exit_codes import ExitCode
from amplitude_cohort_s3.cli.main import main
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage

SCRIPT = Path(sys.executable).with_name(COMMAND)
DAY = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
SYNC = CohortSync(
    destination=Destination("warehouse", path="cohorts"),
    project_id=123,
    cohort_id="26umsb5",
    user_properties=["plan"],
)
CONFIG = """
[destinations.warehouse]
folder = "bucket"
path = "cohorts"

[syncs.actives]
destination = "warehouse"
project_id = 123
cohort_id = "26umsb5"
user_properties = ["plan"]
"""
DAYS = [
    [("1", "ann", "pro"), ("2", "bob", "")],
    [("2", "bob", ""), ("3", "c,y", "x")],
    [("2", "bob", ""), ("3", "c,y", "x"), ("4", "dee", "")],
]

BOTH_WAYS = [("actives",), ("26umsb5", "--from", "bucket"), ("26umsb5", "--from", "bucket/cohorts")]
each_way = pytest.mark.parametrize("where", BOTH_WAYS, ids=["file", "root", "path"])


@pytest.fixture(scope="module")
def three_syncs(tmp_path_factory):
    bucket = tmp_path_factory.mktemp("three_syncs") / "bucket"
    for number, members in enumerate(DAYS):
        sync_cohort(SYNC, members, str(bucket), synced_at=DAY + timedelta(days=number))
    return bucket


@pytest.fixture(autouse=True)
def folder(three_syncs, tmp_path, monkeypatch):
    """Return the current folder, with a configuration and a bucket with three syncs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(CONFIG)
    shutil.copytree(three_syncs, tmp_path / "bucket")
    return tmp_path


@pytest.fixture
def run(capsys, monkeypatch):
    """Return a function that runs the command, whose standard input is no terminal."""

    def run(*arguments, code=ExitCode.DONE, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            found = main([str(one) for one in arguments])
        except SystemExit as exit_:  # from the parser of the command line
            found = exit_.code
        out, err = capsys.readouterr()
        assert found == code, err
        return out if code is ExitCode.DONE else out + err

    return run


def files():
    return {path: path.read_bytes() for path in Path("bucket/cohorts").glob("*.csv")}


def verified():
    history = read_history("bucket", SYNC)
    assert history.verify() == ()
    return history


# --- diff --------------------------------------------------------------------------------


@each_way
def test_diff_compares_the_last_two_syncs(run, where):
    assert run("diff", *where).splitlines() == [
        "2026-11-02T06:30:00+00:00 to 2026-11-03T06:30:00+00:00: 2 -> 3 members",
        "         1 entering",
        "         0 exiting",
        "         0 changed",
    ]


def test_diff_compares_the_members_at_two_times(run):
    times = ("--between", "2026-11-01T06:30Z", "2026-11-30T00:00Z")
    assert json.loads(run("--json", "diff", "actives", *times)) == {
        "sync": "actives",
        "before": "2026-11-01T06:30:00+00:00",
        "after": "2026-11-03T06:30:00+00:00",
        "members_before": 2,
        "members": 3,
        "entering": 2,
        "exiting": 1,
        "changed": 0,
    }
    assert run("diff", "actives", *times, "--rows").splitlines() == [
        "diff_type,amplitudeID,userID,plan",
        'entering,3,"c,y",x',
        "entering,4,dee,",
        "exiting,1,ann,pro",
    ]
    lines = run("diff", "actives", "--rows", *times, "--json").splitlines()
    assert [json.loads(line)["diff_type"] for line in lines] == ["entering"] * 2 + ["exiting"]
    assert json.loads(lines[2]) == {
        "diff_type": "exiting",
        "amplitude_id": "1",
        "user_id": "ann",
        "plan": "pro",
    }


def test_changes_prints_each_changed_property(run):
    assert run("changes", "actives") == "synced_at,amplitude_id,user_id,property,old,new\n"
    members = [("2", "bob", "pro"), ("3", "c,y", "x"), ("4", "d", "")]
    sync_cohort(SYNC, members, "bucket", synced_at=DAY + timedelta(days=3))
    assert run("changes", "actives").splitlines()[1:] == [
        "2026-11-04T06:30:00+00:00,2,bob,plan,,pro",
        "2026-11-04T06:30:00+00:00,4,d,user_id,dee,d",
    ]
    lines = run("--json", "changes", "26umsb5", "--from", "bucket").splitlines()
    assert json.loads(lines[0]) == {
        "synced_at": "2026-11-04T06:30:00+00:00",
        "amplitude_id": "2",
        "user_id": "bob",
        "property": "plan",
        "old": "",
        "new": "pro",
    }


def test_diff_leaves_the_name_of_a_property_as_it_is(run, folder):
    sync = CohortSync(
        destination=Destination("d"), project_id=1, cohort_id="odd", user_properties=["diff_type"]
    )
    for number, members in enumerate([[], [("1", "ann", "mine")]]):
        sync_cohort(sync, members, "other", synced_at=DAY + timedelta(days=number))
    assert run("diff", "odd", "--from", "other", "--rows").splitlines() == [
        "diff_type_,amplitudeID,userID,diff_type",
        "entering,1,ann,mine",
    ]


@pytest.fixture
def buyers(folder):
    """Add the sync ``buyers`` to the configuration, and a cohort that matches by another column."""
    (folder / CONFIG_FILE).write_text(
        CONFIG + '[syncs.buyers]\ndestination = "warehouse"\nproject_id = 123\ncohort_id = "b"\n'
    )
    for cohort_id, key in (("b", "amplitude_id"), ("c", "user_id")):
        destination = Destination("warehouse", path="cohorts", match_by=key)
        sync = CohortSync(destination=destination, project_id=123, cohort_id=cohort_id)
        sync_cohort(sync, [("1", "ann"), ("9", "eve")], "bucket", synced_at=DAY)


@pytest.mark.usefixtures("buyers")
@pytest.mark.parametrize("where", [("buyers",), ("b", "--from", "bucket")], ids=["file", "root"])
def test_overlap_counts_the_members_of_two_cohorts(run, where):
    first = "26umsb5" if "--from" in where else "actives"
    assert run("overlap", first, *where, "--at", "2026-11-01T12:00Z").splitlines() == [
        f"first: {first} at 2026-11-01T06:30:00+00:00",
        f"second: {where[0]} at 2026-11-01T06:30:00+00:00",
        "group        members  of first  of second",
        "only first         1  50.0%",
        "both               1  50.0%     50.0%",
        "only second        1            50.0%",
        "Jaccard index: 33.3%",
    ]
    assert json.loads(run("overlap", first, *where, "--json")) == {
        "first": {"sync": first, "synced_at": "2026-11-03T06:30:00+00:00"},
        "second": {"sync": where[0], "synced_at": "2026-11-01T06:30:00+00:00"},
        "only_first": 3,
        "both": 0,
        "only_second": 2,
        "share_of_first": 0.0,
        "share_of_second": 0.0,
        "jaccard": 0.0,
    }


@pytest.mark.usefixtures("buyers")
def test_overlap_prints_the_rows_of_one_group(run):
    arguments = ("overlap", "actives", "buyers", "--at", "2026-11-01T06:30Z", "--rows")
    assert run(*arguments, "both") == "amplitudeID,userID,plan\n1,ann,pro\n"
    assert run(*arguments, "only_first") == "amplitudeID,userID,plan\n2,bob,\n"
    assert json.loads(run(*arguments, "only_second", "--json")) == {
        "amplitude_id": "9",
        "user_id": "eve",
    }


@pytest.mark.usefixtures("buyers")
def test_overlap_refuses_cohorts_and_times_that_it_can_not_compare(run):
    message = run("overlap", "26umsb5", "c", "--from", "bucket", code=ExitCode.USAGE)
    assert "matches members by 'amplitude_id', the second by 'user_id'" in message
    early = ("--at", "2026-10-01T00:00Z")
    message = run("overlap", "actives", "buyers", *early, code=ExitCode.FAILED)
    assert "the first sync is of 2026-11-01" in message
    message = run("overlap", "actives", "buyers", "--rows", "all", code=ExitCode.USAGE)
    assert "choose from 'only_first', 'both', 'only_second'" in message


@pytest.mark.parametrize(
    ("times", "code", "message"),
    [
        (["2026-11-01T06:30Z"], ExitCode.USAGE, "expected 2 arguments"),
        (["2026-11-03T00:00Z", "2026-11-01T06:30Z"], ExitCode.USAGE, "name the earlier one first"),
        (["2026-10-01T00:00Z", "2026-11-01T06:30Z"], ExitCode.FAILED, "the first sync is of 2026"),
        (["2026-11-01", "2026-11-03"], ExitCode.USAGE, "has no time zone"),
    ],
)
def test_diff_refuses_times_that_it_can_not_compare(run, times, code, message):
    assert message in run("diff", "actives", "--between", *times, code=code)


def test_diff_of_a_stream_with_one_sync_says_so(run):
    sync_cohort(SYNC, DAYS[0], "new", synced_at=DAY)
    message = run("diff", "26umsb5", "--from", "new", code=ExitCode.FAILED)
    assert "has one sync, of 2026-11-01T06:30:00+00:00, and none before" in message


# --- adopt and recover -------------------------------------------------------------------


@each_way
def test_adopt_begins_the_log_of_a_foreign_stream(run, where, folder):
    for path in folder.glob("bucket/cohorts/_syncs/*/*"):
        path.unlink()
    text = run("adopt", *where)
    assert text == "adopted the sync of 2026-11-03T06:30:00+00:00, with 3 members\n"
    assert sync_cohort(SYNC, DAYS[0], "bucket").record.members == 2
    message = run("adopt", *where, code=ExitCode.FAILED)
    assert "the stream has a log already. Sync with the subcommand sync" in message


def test_adopt_prints_json(run, folder):
    for path in folder.glob("bucket/cohorts/_syncs/*/*"):
        path.unlink()
    assert json.loads(run("adopt", "--json", "actives")) == {
        "sync": "actives",
        "outcome": "adopted",
        "synced_at": "2026-11-03T06:30:00+00:00",
        "members": 3,
    }


def die_before_publishing():
    """Leave a sync recorded and staged, as a writer that died does."""
    when, counting = DAY + timedelta(days=9), Fault()
    sync_cohort(SYNC, DAYS[0], FaultyStorage(MemoryStorage(), counting), synced_at=when)
    fault = Fault(at=counting.calls.index("publish"))
    with suppress(Death):
        sync_cohort(SYNC, DAYS[0], FaultyStorage(LocalStorage("bucket"), fault), synced_at=when)


@each_way
def test_recover_finishes_a_sync_whose_process_died(run, where):
    die_before_publishing()
    assert len(verified_with_one_finding()) == 3
    assert run("recover", *where) == (
        "the unfinished sync of 2026-11-10T06:30:00+00:00 is published\n"
    )
    assert len(verified()) == 4
    assert json.loads(run("recover", *where, "--json"))["outcome"] == "nothing"


def test_recover_can_abandon_a_sync(run):
    die_before_publishing()
    found = json.loads(run("recover", "actives", "--abandon", "--json"))
    assert found == {
        "sync": "actives",
        "outcome": "void",
        "synced_at": "2026-11-10T06:30:00+00:00",
    }
    assert len(verified()) == 3


def verified_with_one_finding():
    history = read_history("bucket", SYNC)
    assert len(history.verify()) == 1
    return history


# --- forget, prune and clean-up ----------------------------------------------------------

DESTRUCTIVE = {
    "forget": ("forget", "actives", "ann", "--by", "user_id"),
    "prune": ("prune", "actives", "--before", "2026-11-03T00:00Z"),
    "clean-up": ("clean-up", "actives", "--older-than", "0m"),
}
each_destructive = pytest.mark.parametrize("command", DESTRUCTIVE.values(), ids=DESTRUCTIVE)


@pytest.fixture
def leftover():
    """Stage a file that no record names."""
    key = "cohorts/123_26umsb5_2026-12-01T06:30_entering.csv"
    LocalStorage("bucket").stage(key, [b"amplitudeID\n"])
    return key


@each_destructive
def test_without_a_terminal_the_plan_is_shown_and_nothing_is_changed(run, leftover, command):
    before = files()
    shown = run(*command, code=ExitCode.USAGE)
    assert "cohorts/123_26umsb5_" in shown
    assert "nothing was changed" in shown
    assert "pass --yes" in shown
    assert files() == before
    assert leftover in run("clean-up", "actives", "--older-than", "0m", "--dry-run")


@each_destructive
def test_a_dry_run_prints_the_plan_as_its_result(run, leftover, command):
    before = files()
    assert "cohorts/123_26umsb5_" in run(*command, "--dry-run")
    assert json.loads(run(*command, "--dry-run", "--json"))["outcome"] == "planned"
    assert files() == before


@each_way
def test_forget_removes_the_people_and_names_nobody(run, where):
    before = files()
    shown = run("forget", *where, "ann", "nobody", "--by", "user_id", "--yes")
    assert "forgot 1 person in 3 files" in shown
    assert "ann" not in shown
    assert "nobody" not in shown
    assert sum(before[path] != data for path, data in files().items()) == 3
    assert not any(b"ann" in data for data in files().values())
    verified()


def test_forget_reads_ids_from_standard_input(run):
    arguments = ("forget", "actives", "-", "--by", "user_id", "--yes", "--json")
    done = json.loads(run(*arguments, stdin=b"\xef\xbb\xbfann\r\n\nc,y\n"))
    assert (done["outcome"], done["people"], done["number"]) == ("done", 2, 4)
    assert {file["rows"] for file in done["files"]} == {1}
    assert not any(b"c,y" in data for data in files().values())


def test_ids_are_in_no_message(run):
    shown = run("forget", "actives", "-", "ann", code=ExitCode.USAGE)
    shown += run("forget", "actives", "-", "--yes", stdin=b"\xffann\n", code=ExitCode.USAGE)
    shown += run("forget", "actives", "x", "-ann", "--yes", code=ExitCode.USAGE)
    shown += run("forget", "actives", "ann", "--by", "none", "--yes", code=ExitCode.FAILED)
    shown += run("forget", "nothing", "ann", "--yes", code=ExitCode.USAGE)
    shown += run("forget", "actives", "ann", "--by", "user_id", code=ExitCode.USAGE)
    assert "ann" not in shown
    assert "unknown arguments" in shown
    assert run("forget", "actives", "--yes", "--by", "user_id", "--", "-ann")


@each_way
def test_prune_deletes_old_snapshots(run, where):
    done = json.loads(run("prune", *where, "--before", "2026-11-03T00:00Z", "--yes", "--json"))
    assert [file["key"] for file in done["files"]] == [
        f"cohorts/123_26umsb5_2026-11-0{day}T06:30_existing.csv" for day in (1, 2)
    ]
    assert len(files()) == 7
    assert len(verified()) == 3
    again = run("prune", *where, "--before", "2026-11-03T00:00Z")
    assert again.endswith("prune 0 files of 0 bytes\n")


def test_prune_can_keep_nothing(run):
    arguments = ("prune", "actives", "--before", "2026-11-03T07:00Z", "--keep", "nothing")
    assert "prune 6 files" in run(*arguments, "--yes")
    assert len(verified()) == 1


@each_way
def test_clean_up_removes_leftovers_that_are_old_enough(run, leftover, where):
    assert run("clean-up", *where) == "no leftovers\n"
    assert run("clean-up", *where, "--older-than", "0m", "--yes") == f"{leftover}\n"
    assert run("clean-up", *where, "--older-than", "0m") == "no leftovers\n"
    message = run("clean-up", *where, "--older-than", "2", code=ExitCode.USAGE)
    assert "invalid age '2'; use a number of minutes, hours or days" in message


# --- A terminal --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code"),
    [("y", ExitCode.DONE), ("YES", ExitCode.DONE), ("n", ExitCode.FAILED), ("", ExitCode.FAILED)],
)
def test_on_a_terminal_the_command_asks_and_only_yes_is_a_yes(folder, answer, code):
    before = files()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [SCRIPT, *DESTRUCTIVE["forget"]],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        shown, asked = process.communicate(timeout=60)
        os.close(ours)
    assert process.returncode == code, asked
    assert "Forget them? This can't be undone. [y/N]" in asked
    assert asked.index("forget 1 person in 3 of 9 files") < asked.index("[y/N]")
    assert (files() != before) == (code is ExitCode.DONE)
    assert ("forgot 1 person" in shown) == (code is ExitCode.DONE)
    assert ("nothing was changed" in asked) == (code is not ExitCode.DONE)
    assert "ann" not in shown + asked


def test_the_command_as_a_process_reads_ids_and_prints_rows(folder):
    pipeline = f"echo ann | '{SCRIPT}' forget actives - --by user_id --yes"
    pipeline += f" && '{SCRIPT}' diff actives --rows | grep -c ^entering,"
    ended = subprocess.run(
        ["bash", "-c", pipeline], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.endswith("\n1\n")
    assert ended.stderr == ""


def test_every_help_text_has_an_example_that_the_parser_accepts(run, capsys):
    from amplitude_cohort_s3.cli.main import _SUBCOMMANDS, _parser  # noqa: PLC0415

    for name, (_, _, example) in _SUBCOMMANDS.items():
        helped = " ".join(run(name, "--help").split())
        assert f"example: {COMMAND} {example}" in helped
        words = example.partition(" > ")[0].partition(" < ")[0].split()
        options = _parser().parse_args(words)
        assert words[0] == name
        assert callable(options.run)
