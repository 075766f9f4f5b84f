"""The command without a configuration file: it reads a bucket by its location."""

import json
from datetime import UTC, datetime

import pytest

from amplitude_cohort_s3 import CohortSync, Destination, sync_cohort
from amplitude_cohort_s3.cli._setup import CONFIG_FILE
from amplitude_cohort_s3.cli.config import Config
from amplitude_cohort_s3.cli.exit_codes import ExitCode
from amplitude_cohort_s3.cli.main import main

AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
MEMBERS = "amplitudeID,userID\n1,ann\n2,bob\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Return the current folder, with the bucket ``bucket``: a cohort, and one with two keys."""
    monkeypatch.chdir(tmp_path)
    for cohort_id, routing_key in [("one", None), ("two", "a"), ("two", "b")]:
        sync = CohortSync(
            destination=Destination("d", path="p/cohorts"),
            project_id=7,
            cohort_id=cohort_id,
            routing_key=routing_key,
        )
        sync_cohort(sync, [("1", "ann"), ("2", "bob")], "bucket", synced_at=AT)
    return tmp_path


@pytest.fixture
def run(capsys):
    def run(*arguments, code=ExitCode.DONE):
        try:
            found = main([str(one) for one in arguments])
        except SystemExit as exit_:  # from the parser of the command line
            found = exit_.code
        out, err = capsys.readouterr()
        assert found == code, err
        return out if code is ExitCode.DONE else err

    return run


def test_streams_lists_the_cohorts_of_a_location(run):
    lines = run("streams", "bucket").splitlines()
    assert lines[0].split()[:5] == ["path", "project", "cohort", "routing", "key"]
    assert [line.split()[:5] for line in lines[1:]] == [
        ["p/cohorts", "7", "one", "-", "1"],
        ["p/cohorts", "7", "two", "a", "1"],
        ["p/cohorts", "7", "two", "b", "1"],
    ]
    found = json.loads(run("streams", "bucket/p", "--json"))
    assert [one["routing_key"] for one in found] == [None, "a", "b"]
    assert found[0]["first"] == AT.isoformat()


@pytest.mark.parametrize("location", ["bucket", "bucket/p", "bucket/p/cohorts", "{root}/bucket"])
def test_a_cohort_is_read_from_the_root_or_from_a_folder_in_it(run, location, folder):
    location = location.format(root=folder)
    assert run("members", "one", "--from", location) == MEMBERS
    assert run("history", "one", "--from", location).splitlines()[1].split()[2:] == list("22000")
    assert run("verify", "one", "--from", location) == "no findings\n"


def test_the_options_choose_among_the_streams_of_a_cohort(run):
    both = run("members", "two", "--from", "bucket", code=ExitCode.USAGE)
    assert "--project 7 --routing-key a, in p/cohorts; --project 7 --routing-key b, in " in both
    assert run("members", "two", "--from", "bucket", "--routing-key", "b") == MEMBERS
    none = run("verify", "two", "one", "--from", "bucket", "--project", 8, code=ExitCode.USAGE)
    assert "no stream of the cohort 'two' has these options; it has: --project 7 --routing" in none


def test_a_missing_cohort_is_an_error_that_lists_the_cohorts(run):
    for command in ("members", "history", "verify"):
        message = run(command, "typo", "--from", "bucket", code=ExitCode.USAGE)
        assert "there is no cohort 'typo'; the cohorts here are: one, two" in message


def test_a_location_without_cohorts_is_an_error(run, folder):
    for arguments in (["streams", "nowhere"], ["history", "one", "--from", "bucket/nowhere"]):
        assert "the folder does not exist" in run(*arguments, code=ExitCode.USAGE)
    assert not (folder / "nowhere").exists()
    (folder / "empty").mkdir()
    assert "empty has no files of cohorts" in run("streams", "empty", code=ExitCode.FAILED)
    message = run("members", "one", "--from", "empty", code=ExitCode.USAGE)
    assert "there are no files of cohorts here" in message


def test_an_option_that_needs_a_location_says_so(run):
    message = run("history", "actives", "--routing-key", "a", code=ExitCode.USAGE)
    assert "--routing-key needs --from LOCATION" in message
    assert "--from needs the ids of cohorts" in run(
        "verify", "--from", "bucket", code=ExitCode.USAGE
    )


def test_without_the_file_the_message_names_init(run):
    message = run("history", "actives", code=ExitCode.USAGE)
    assert "amplitude-cohort-s3 init" in message


def test_init_writes_a_file_that_works_and_replaces_none(run, folder):
    assert "sync actives --dry-run" in run("init")
    text = (folder / CONFIG_FILE).read_text()
    assert list(Config.from_toml(text, name="x").syncs) == ["actives"]
    (folder / "actives.csv").write_text("amplitude_id,user_id,plan\n1,ann,pro\n")
    assert "0 -> 1 members" in run("sync", "actives", "--dry-run")
    assert "exists already" in run("init", code=ExitCode.USAGE)
    assert (folder / CONFIG_FILE).read_text() == text


def test_every_commented_line_of_the_template_is_valid(run, folder):
    run("init")
    lines = (folder / CONFIG_FILE).read_text().splitlines()
    # Lines of prose begin with a capital letter. The bucket takes the place of the folder.
    keys = [line.removeprefix("# ") for line in lines if not line.startswith(("# The", "# Mem"))]
    text = "\n".join(line for line in keys if not line.startswith("folder"))
    config = Config.from_toml(text, name="x")
    assert config.destinations["warehouse"].destination.bucket == "my-bucket"
    assert sorted(config.syncs) == ["actives", "all", "payers"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_json_is_accepted_in_any_position(run, place):
    arguments = ["streams", "bucket"]
    arguments.insert(place, "--json")
    assert json.loads(run(*arguments))


def test_a_time_without_a_zone_is_refused_with_a_valid_example(run):
    message = run("members", "one", "--from", "bucket", "--at", "2026-11-24", code=2)
    assert "for UTC, write 2026-11-24T00:00Z" in message
    accepted = message.rsplit(" ", 1)[1].strip()
    assert run("members", "one", "--from", "bucket", "--at", accepted) == MEMBERS


def test_a_sync_that_never_ran_is_an_error_of_history(run, folder):
    run("init")
    message = run("history", "actives", code=ExitCode.FAILED)
    assert "no complete sync" in message


def test_report_writes_a_page_that_replaces_an_older_one(run, folder):
    (folder / "report.html").write_text("old")
    assert run("report", "one", "--from", "bucket", "--output", "report.html") == (
        "report.html is written.\n"
    )
    page = (folder / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "Cohort one" in page
    assert "Made <time" in page
    assert "--verify" in page
    found = json.loads(
        run("report", "one", "--from", "bucket", "--output", "new.html", "--verify", "--json")
    )
    assert found == {"output": "new.html", "title": "Cohort one", "findings": 0}
    assert "No findings." in (folder / "new.html").read_text()


def test_report_ends_like_verify_if_there_are_findings(run, folder):
    (lost,) = (folder / "bucket/p/cohorts").glob("7_one_*existing.csv")
    lost.unlink()
    arguments = ("report", "one", "--from", "bucket", "--output", "report.html")
    run(*arguments)
    run(*arguments, "--verify", code=ExitCode.FINDINGS)
    assert "a file is missing" in (folder / "report.html").read_text()


def test_a_report_that_cannot_be_written_is_an_error(run):
    message = run("report", "one", "--from", "bucket", "--output", "no/report.html", code=2)
    assert "no/report.html:\n  - can't be written (No such file or directory)" in message
    message = run("report", "one", "--from", "bucket", code=ExitCode.USAGE)
    assert "--output" in message
