"""The subcommands for monitors: the run log, and the syncs that are overdue."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from amplitude_cohort_s3 import CohortSync, Destination, read_history, sync_cohort
from amplitude_cohort_s3.cli._setup import CONFIG_FILE
from amplitude_cohort_s3.cli.exit_codes import ExitCode
from amplitude_cohort_s3.cli.main import main

CONFIG = """
[destinations.warehouse]
folder = "bucket"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Return the current folder, with a configuration of a sync of each cadence."""
    monkeypatch.chdir(tmp_path)
    syncs = [
        f'[syncs.{name}]\ndestination = "warehouse"\nproject_id = 7\ncohort_id = "{name}"\n'
        f'cadence = "{cadence}"\n'
        for name, cadence in (("once", "one-time"), ("hours", "hourly"), ("days", "daily"))
    ]
    (tmp_path / CONFIG_FILE).write_text(CONFIG + "\n".join(syncs))
    return tmp_path


@pytest.fixture
def run(capsys):
    def run(*arguments, code=ExitCode.DONE):
        found = main([str(one) for one in arguments])
        out, err = capsys.readouterr()
        assert found == code, err
        return out if code in (ExitCode.DONE, ExitCode.FINDINGS) else err

    return run


def sync_ago(cohort_id, **ago):
    sync = CohortSync(destination=Destination("warehouse"), project_id=7, cohort_id=cohort_id)
    when = datetime.now(UTC) - timedelta(**ago)
    sync_cohort(sync, [("1", "ann"), ("2", "bob")], "bucket", synced_at=when, clock=lambda: when)
    return sync.stream


def test_the_run_log_is_printed_and_is_json(run):
    stream = sync_ago("hours", hours=3)
    sync_ago("hours", hours=1)
    runs = read_history("bucket", stream).runs()
    assert run("runs", "hours") == f"{runs}\n"
    assert run("runs", "hours", "--from", "bucket") == f"{runs}\n"
    found = json.loads(run("runs", "hours", "--json"))
    assert [one["outcome"] for one in found] == ["published", "published"]
    assert [one["writer"] for one in found] == [one.writer for one in runs]
    assert found[0]["synced_at"] == runs[0].synced_at.isoformat()
    assert "no complete sync" in run("runs", "days", code=ExitCode.FAILED)


def test_the_source_of_a_run_is_an_object_in_json(run, folder):
    (folder / "members.csv").write_text("amplitude_id,user_id\n1,ann\n")
    sync = CohortSync(destination=Destination("warehouse"), project_id=7, cohort_id="once")
    sync_cohort(sync, "members.csv", "bucket")
    (found,) = json.loads(run("runs", "once", "--json"))
    assert found["source"] == {"file": "members.csv"}
    for log in (folder / "bucket" / "_syncs").rglob("*.json"):
        log.unlink()
    (found,) = json.loads(run("runs", "once", "--json"))
    assert (found["outcome"], found["source"]) == ("published", None)


def test_syncs_that_are_overdue_or_never_ran_are_findings(run):
    found = run("overdue", code=ExitCode.FINDINGS).splitlines()
    assert [line.split()[0] for line in found[1:]] == ["once", "hours", "days"]
    assert all("never synced" in line for line in found[1:])
    for cohort_id in ("once", "hours", "days"):
        sync_ago(cohort_id, days=3)
    found = run("overdue", code=ExitCode.FINDINGS).splitlines()
    assert [line.split()[0] for line in found[1:]] == ["hours", "days"]
    rows = json.loads(run("overdue", "--json", "hours", code=ExitCode.FINDINGS))
    assert [(one["sync"], one["cadence"]) for one in rows] == [("hours", "hourly")]
    assert 70 * 3600 <= rows[0]["overdue"] < 72 * 3600
    sync_ago("hours", minutes=0)
    sync_ago("days", minutes=0)
    assert run("overdue") == "no sync is overdue\n"
    assert json.loads(run("overdue", "--json")) == []


def test_an_unknown_sync_is_a_fault_of_the_command_line(run):
    assert "there is no sync 'weeks'" in run("overdue", "weeks", code=ExitCode.USAGE)
