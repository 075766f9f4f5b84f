"""The examples for schedulers, each run by its scheduler's own code in a process of its own."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from croniter import croniter

from amplitude_cohort_s3 import LocalStorage, list_streams

EXAMPLES = Path(__file__).parents[2] / "examples"

CONFIG = """
[destinations.warehouse]
folder = "bucket"
path = "cohorts"
[syncs.actives]
destination = "warehouse"
project_id = 123
cohort_id = "26umsb5"
cadence = "hourly"
members = "members.csv"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "members.csv").write_text("amplitude_id,user_id,plan\n1,ann,pro\n2,bob,free\n")
    return tmp_path


def run(command, folder, code=0):
    ended = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(EXAMPLES),
            "AIRFLOW_HOME": str(folder / "airflow"),
            "COHORT_MEMBERS": "members.csv",
            "COHORT_STORAGE": "bucket",
            "COHORTS": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def synced(folder):
    return [(one.syncs, one.files) for one in list_streams(LocalStorage(folder / "bucket"))]


AIRFLOW = """
from airflow_dag import dag
assert str(dag.schedule) == "5 * * * *", dag.schedule
assert not dag.catchup
(task,) = dag.tasks
assert task.retries == 3
print(task.execute({}))
"""

DAGSTER = """
import os
from dagster import build_op_context
from dagster_job import cohorts, definitions, sync_due_cohorts
schedule = definitions.get_repository_def().get_schedule_def("cohorts_schedule")
assert schedule.cron_schedule == "5 * * * *"
assert schedule.job_name == cohorts.name
if os.path.exists("members.csv"):
    assert cohorts.execute_in_process().success
else:
    sync_due_cohorts(build_op_context())  # by itself, as a retry of the job waits for minutes
"""


@pytest.mark.parametrize("code", [AIRFLOW, DAGSTER], ids=["Airflow", "Dagster"])
def test_a_scheduler_runs_the_syncs_that_are_due_and_sees_failures(folder, code):
    shown = run([sys.executable, "-c", code], folder)
    assert "1 sync: 1 done" in shown
    assert synced(folder) == [(1, 3)]
    (folder / "members.csv").unlink()
    (folder / "bucket").rename(folder / "other")
    shown = run([sys.executable, "-c", code], folder, code=1)
    assert "1 sync: 1 failed" in shown
    assert "1 of 1 syncs failed" in shown


def test_the_crontab_is_valid_and_its_commands_run(folder):
    (folder / "amplitude-cohort-s3.toml").write_text(CONFIG)
    lines = (EXAMPLES / "crontab").read_text().splitlines()
    entries = [re.match(r"((?:\S+ ){5})(.*)", line) for line in lines if line[:1].isdigit()]
    assert len(entries) == 2
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)  # a Tuesday
    steps = [croniter(entry[1].strip(), noon).get_next(datetime) - noon for entry in entries]
    assert steps == [timedelta(minutes=5), timedelta(days=4, hours=16, minutes=30)]
    # cron uses this shell.
    assert "actives  done" in run(["/bin/sh", "-c", entries[0][2]], folder)
    assert "no findings" in run(["/bin/sh", "-c", entries[1][2]], folder)
    assert synced(folder) == [(1, 3)]
