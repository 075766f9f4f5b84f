"""The command with files, an API and a terminal; as a process where a process is interrupted."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from commands import run_command

from amplitude_cohort_s3 import (
    LocalStorage,
    MemoryStorage,
    errors,
    list_streams,
    sync_cohort,
)
from amplitude_cohort_s3.cli._output import COMMAND
from amplitude_cohort_s3.cli._setup import CONFIG_FILE
from amplitude_cohort_s3.cli.config import Config
from amplitude_cohort_s3.cli.exit_codes import ExitCode, exit_code
from amplitude_cohort_s3.format import kernel_state
from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage

# The script is installed beside the Python interpreter.
SCRIPT = Path(sys.executable).with_name(COMMAND)

CONFIG = """
[amplitude.main]
base_url = "{base_url}"
api_key_env = "TEST_API_KEY"
secret_key_env = "TEST_SECRET_KEY"

[destinations.warehouse]
folder = "bucket"
path = "cohorts"

[destinations.s3]
bucket = "my-bucket"
region = "eu-west-1"
path = "cohorts"

[syncs.actives]
destination = "warehouse"
project_id = 123
cohort_id = "26umsb5"
user_properties = ["plan"]
cadence = "hourly"
members = {{ file = "actives.csv", columns = {{ id = "amplitude_id" }} }}

[syncs.payers]
destination = "warehouse"
project_id = 123
cohort_id = "9law9ns"
cadence = "daily"
members = {{ amplitude = "main" }}
"""

ACTIVES = "id,user_id,plan,hat\n1,ann,pro,x\n2,bob,free,y\n"
DAY = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(CONFIG.format(base_url="http://127.0.0.1:9"))
    (tmp_path / "actives.csv").write_text(ACTIVES)
    return tmp_path


def run(*arguments, code=ExitCode.DONE, **options):
    """Run the command, check its exit code, and return its output."""
    ended = run_command(*arguments, **options)
    assert ended.returncode == code, ended.stderr
    return ended


def sync_at(number, **options):
    return run("sync", "actives", "--at", (DAY + timedelta(days=number)).isoformat(), **options)


def test_a_cohort_is_previewed_synced_and_read_back(folder):
    looked = run("sync", "actives", "--at", "2026-11-01T06:30Z", "--dry-run")
    assert not (folder / "bucket").exists()
    assert looked.stdout.splitlines() == [
        "sync of 2026-11-01T06:30:00+00:00: 0 -> 2 members",
        "         2 entering  cohorts/123_26umsb5_2026-11-01T06:30_entering.csv",
        "         0 exiting   cohorts/123_26umsb5_2026-11-01T06:30_exiting.csv",
        "         2 existing  cohorts/123_26umsb5_2026-11-01T06:30_existing.csv",
        "ignored column that the sync does not have: hat",
        "members with a value: plan 2 of 2",
    ]
    done = sync_at(0)
    assert done.stdout.splitlines()[0] == "sync of 2026-11-01T06:30:00+00:00: done"
    assert "ignored column that the sync does not have: hat\n" in done.stdout
    assert done.stderr == ""
    assert sync_at(0).stdout.splitlines()[0].endswith("already done")

    (folder / "actives.csv").write_text(ACTIVES.replace("1,ann", "3,ann"))
    assert [
        f["rows"]
        for f in json.loads(run("sync", "actives", "--at", "2026-11-02T06:30Z", "--json").stdout)[
            "files"
        ].values()
    ] == [1, 1, 2]

    repeated = json.loads(run("sync", "actives", "--at", "2026-11-02T06:30Z", "--json").stdout)
    expected = {"outcome": "already done", "already_done": True, "recoveries": []}
    assert repeated.items() >= expected.items()

    assert run("history", "actives").stdout.splitlines() == [
        "synced_at            members  entered  exited  returned  changed",
        "2026-11-01 06:30:00        2        2       0         0        0",
        "2026-11-02 06:30:00        2        1       1         0        0",
    ]
    assert json.loads(run("history", "actives", "--json").stdout)[1] == {
        "synced_at": "2026-11-02T06:30:00+00:00",
        "members": 2,
        "entered": 1,
        "exited": 1,
        "returned": 0,
        "changed": 0,
    }
    assert run("members", "actives").stdout == "amplitudeID,userID,plan\n2,bob,free\n3,ann,pro\n"
    then = run("members", "actives", "--at", "2026-11-01T12:00Z", "--json").stdout.splitlines()
    assert json.loads(then[0]) == {"amplitude_id": "1", "user_id": "ann", "plan": "pro"}
    assert run("verify", "actives").stdout == "no findings\n"
    missing = run("verify", code=ExitCode.FAILED)
    assert "payers: the stream has no complete sync" in missing.stderr
    assert missing.stdout == ""


def test_verify_has_an_exit_code_for_findings(folder):
    sync_at(0)
    file = folder / "bucket" / "cohorts" / "123_26umsb5_2026-11-01T06:30_entering.csv"
    file.chmod(0o644)
    file.write_text(file.read_text().replace("ann", "eve"))
    found = run("verify", "actives", code=ExitCode.FINDINGS).stdout
    assert found.startswith("actives: 2026-11-01 06:30:00: a file differs from its record")
    assert "eve" not in found
    (finding,) = json.loads(run("verify", "--json", code=ExitCode.FINDINGS).stdout)
    assert (finding["sync"], finding["kind"]) == ("actives", "edited_file")


def test_a_mass_exit_has_its_own_exit_code_and_an_option_that_allows_it(folder):
    sync_at(0)
    (folder / "actives.csv").write_text("id,user_id,plan\n")
    refused = sync_at(1, code=ExitCode.GUARD)
    assert "2 of 2 members would exit" in refused.stderr
    assert refused.stderr.endswith("if they really left, pass --max-exits 2\n")
    assert refused.stdout == ""
    run("sync", "actives", "--dry-run", code=ExitCode.GUARD)
    failed = json.loads(run("sync", "actives", "--json", code=ExitCode.GUARD).stdout)
    assert (failed["outcome"], failed["error"]["type"]) == ("failed", "MassExitError")
    run("sync", "actives", "--max-exits", "-1", code=ExitCode.USAGE)
    run("sync", "actives", "--max-exits", "2")


def write_actives(folder, ids, keyless=0):
    rows = [f"{i},u{i},pro\n" for i in ids] + [",nobody,pro\n"] * keyless
    (folder / "actives.csv").write_text("id,user_id,plan\n" + "".join(rows))


@pytest.mark.parametrize(
    ("ids", "flag", "limit", "enough"),
    [
        (range(320), "--max-growth", "19", "20"),
        (range(150), "--max-exits", "0.49", "0.5"),
        (range(299), "--min-members", "300", "299"),
    ],
)
def test_each_limit_of_the_guard_has_an_option(folder, ids, flag, limit, enough):
    write_actives(folder, range(300))
    sync_at(0)
    write_actives(folder, ids)
    refused = run("sync", "actives", flag, limit, code=ExitCode.GUARD).stderr
    assert f"pass {flag} " in refused
    run("sync", "actives", flag, enough)


def test_the_hint_of_a_refusal_by_the_guard_is_a_command_that_syncs(folder):
    config = CONFIG.replace('folder = "bucket"', 'folder = "bucket"\nmatch_by = "user_id"')
    (folder / CONFIG_FILE).write_text(config.format(base_url="http://127.0.0.1:9"))
    write_actives(folder, range(300))
    sync_at(0)
    lines = (folder / "actives.csv").read_text()
    (folder / "actives.csv").write_text(lines + "7,,pro\n" * 301)
    refused = run("sync", "actives", code=ExitCode.GUARD).stderr
    assert refused.endswith("if it may be empty, pass --max-skipped 301\n")
    run("sync", "actives", "--max-skipped", "300", code=ExitCode.GUARD)
    assert "301" in run("sync", "actives", "--max-skipped", "301").stdout


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--max-exits", "2.0", "max_exits is a share, which must be at most 1.0"),
        ("--max-growth", "-1", "max_growth must be 0 or more, not -1"),
        ("--max-growth", "inf", "max_growth must be 0 or more, not inf"),
        ("--max-skipped", "nan", "max_skipped must be 0 or more, not nan"),
        ("--max-skipped", "half", "invalid limit 'half'; use a number such as 500"),
        ("--min-members", "0.5", "must be a whole number"),
        ("--min-members", "-5", "must be a whole number, 0 or more"),
    ],
)
def test_wrong_limits_are_faults_of_the_command_line(folder, flag, value, words):
    assert words in run("sync", "actives", flag, value, code=ExitCode.USAGE).stderr
    assert not (folder / "bucket").exists()


def test_the_members_can_be_a_folder_or_a_pattern(folder):
    brackets = folder / "data[1]"
    (brackets / "unload" / "day=1").mkdir(parents=True)
    (brackets / "unload" / "_SUCCESS").touch()
    for number, part in enumerate(("a.csv", "day=1/b.csv", "day=1/c.csv"), 1):
        (brackets / "unload" / part).write_text(f"id,plan\n{number},pro\n")
    config = brackets / CONFIG_FILE
    for location, members in (("unload/", 3), ("unload/**/[bc].csv", 2), ("unload/day=*/", 2)):
        text = CONFIG.format(base_url="http://127.0.0.1:9").replace("actives.csv", location)
        config.write_text(text.replace('cohort_id = "26umsb5"', f'cohort_id = "c{len(location)}"'))
        done = run("--config", str(config), "sync", "actives", "--json").stdout
        assert json.loads(done)["members"] == members
    given = ("sync", "actives", "--dry-run", "--json", "--members")
    (folder / "given").mkdir()
    (folder / "given" / "a.csv").write_text("amplitude_id,plan\n1,pro\n")
    for location in ("given", "given/", "given/*.csv"):
        assert json.loads(run(*given, location).stdout)["members"] == 1
    assert "no file matches" in run(*given, "given/*.parquet", code=ExitCode.FAILED).stderr


def test_a_dry_run_previews_what_follows_an_unfinished_sync_and_does_not_finish_it(folder):
    sync_at(0)
    (outcome,) = folder.rglob("*.end.json")
    outcome.unlink()
    previewed = run("sync", "actives", "--at", "2026-11-02T06:30Z", "--dry-run").stdout
    assert previewed.startswith("sync of 2026-11-02T06:30:00+00:00: 2 -> 2 members")
    assert "due" in run("run", "actives", "--dry-run").stdout
    assert not outcome.exists()


def test_a_dry_run_that_needs_unpublished_files_names_the_way_to_publish_them(folder):
    die_before_publishing(folder)
    refused = run("sync", "actives", "--dry-run", code=ExitCode.RETRY)
    assert refused.stderr.endswith("Run amplitude-cohort-s3 recover NAME first\n")
    run("recover", "actives")
    assert sync_at(1).stdout.splitlines()[0].endswith("done")
    run("sync", "actives", "--dry-run")


def die_before_publishing(folder):
    """Leave the first sync recorded and staged, as a writer that died does."""
    config = Config.from_toml((folder / CONFIG_FILE).read_text(), name=CONFIG_FILE)
    sync, members = config.syncs["actives"].sync, [("1", "ann", "pro")]
    counting = Fault()
    sync_cohort(sync, members, FaultyStorage(MemoryStorage(), counting), synced_at=DAY)
    fault = Fault(at=counting.calls.index("publish"))
    with suppress(Death):
        storage = FaultyStorage(LocalStorage(folder / "bucket"), fault)
        sync_cohort(sync, members, storage, synced_at=DAY)


def test_run_syncs_what_is_due_from_files_and_from_amplitude(folder):
    with FakeAmplitude() as fake:
        fake.polls = 0
        fake.set_cohort("9law9ns", [("7", "eve")])
        (folder / CONFIG_FILE).write_text(CONFIG.format(base_url=fake.base_url))
        keys = {"TEST_API_KEY": fake.api_key, "TEST_SECRET_KEY": fake.secret_key}
        environment = {**os.environ, **keys}
        due = run("run", "--dry-run", env=environment).stdout
        assert re.findall(r"^(\w+) +(.+)$", due, re.MULTILINE)[1:] == [
            ("actives", "due"),
            ("payers", "due"),
        ]
        done = run("run", env=environment)
        notes = "ignored column that the sync does not have: hat; members with a value: plan 2 of 2"
        assert [line.split(maxsplit=2) for line in done.stdout.splitlines()] == [
            ["sync", "outcome"],
            ["actives", "done", f"2 members, 2 entered, 0 exited; {notes}"],
            ["payers", "done", "1 member, 1 entered, 0 exited"],
        ]
        again = json.loads(run("run", "payers", "--json", env=environment).stdout)
        assert again == [{"sync": "payers", "outcome": "not due"}]
        wrong = {**environment, "TEST_SECRET_KEY": "5ec4e7-and-wrong"}
        refused = run("sync", "payers", code=ExitCode.FAILED, env=wrong)
        assert "refuses the API key" in refused.stderr
        shown = due + done.stdout + done.stderr + refused.stderr + refused.stdout
    for secret in (fake.api_key, fake.secret_key, "5ec4e7", "eve", "ann"):
        assert secret not in shown
        for file in (folder / "bucket").rglob("*.json"):
            assert secret not in file.read_text()


def test_the_exit_code_of_a_run_is_that_of_its_failure(folder):
    environment = {**os.environ, "TEST_API_KEY": "a", "TEST_SECRET_KEY": "b"}
    (folder / "actives.csv").unlink()
    ended = run("run", "actives", code=ExitCode.FAILED, env=environment)
    assert "MemberFileNotFoundError: the member file 'actives.csv' does not exist" in ended.stdout
    assert ended.stderr == "amplitude-cohort-s3: 1 of 1 sync failed\n"


def test_members_can_be_read_from_standard_input(folder):
    run("sync", "actives", "--members", "-", input="amplitude_id,user_id,plan\n5,cy,pro\n")
    assert "5,cy,pro" in run("members", "actives").stdout


def test_policy_and_parse_name_need_no_aws_account(tmp_path):
    text = '[destinations.s3]\nbucket = "my-bucket"\nregion = "eu-west-1"\npath = "cohorts"\n'
    config = tmp_path / "policy.toml"
    config.write_text(text)
    role = "arn:aws:iam::111122223333:role/etl"
    policy = json.loads(
        run("policy", "s3", "--principal", role, "--config", config, "--create-only").stdout
    )
    assert policy["Statement"][0]["Principal"] == {"AWS": role}
    named = run("parse-name", "cohorts/123_26umsb5_2026-11-23T14:05_entering_v_ip.csv").stdout
    assert named.splitlines() == [
        "path     project_id  cohort_id  synced_at                  diff_type  routing_key",
        "cohorts  123         26umsb5    2026-11-23T14:05:00+00:00  entering   v_ip",
    ]
    named = run("parse-name", "0_a_2026-11-23T14:05_exiting.csv").stdout
    assert named.splitlines()[1].split() == [
        "0", "a", "2026-11-23T14:05:00+00:00", "exiting", "-",
    ]  # fmt: skip
    (parsed,) = json.loads(run("parse-name", "a_2026-11-23T14-05_exiting.csv", "--json").stdout)
    assert (parsed["project_id"], parsed["routing_key"]) == (None, None)
    assert (
        "not the name of a cohort file" in run("parse-name", "x.csv", code=ExitCode.FAILED).stderr
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: SUBCOMMAND"),
        (["sync"], "required: name"),
        (
            ["sync", "actives", "--at", "2026-11-01T06:30"],
            "has no time zone; for UTC, write 2026-11-01T06:30Z",
        ),
        (["sync", "actives", "--at", "noon"], "invalid time 'noon'; use ISO 8601 with a time zone"),
        (["sync", "nobody"], "there is no sync 'nobody'; the syncs are: actives, payers"),
        (["policy", "nobody", "--principal", "x"], "the destinations are: warehouse, s3"),
        (["sync", "payers"], "the environment variable TEST_API_KEY is not set"),
        (["run"], "the environment variable TEST_SECRET_KEY is not set"),
        (["verify", "--config", "none.toml"], "there is no such file; pass the file's location"),
        (["--config", "none.toml", "verify"], "there is no such file; pass the file's location"),
        (["--config", "x", "verify", "--config", "none.toml"], "none.toml:"),
    ],
)
def test_a_wrong_command_line_or_environment_starts_nothing(folder, arguments, message):
    ended = run(*arguments, code=ExitCode.USAGE)
    assert message in ended.stderr
    assert ended.stdout == ""
    assert not (folder / "bucket").exists()


def test_each_fault_of_the_configuration_file_is_printed_on_its_own_line(folder):
    (folder / CONFIG_FILE).write_text("a = 1\n[destinations.x]\n[syncs.y]\n")
    assert run("run", code=ExitCode.USAGE).stderr.splitlines() == [
        "amplitude-cohort-s3: amplitude-cohort-s3.toml:",
        "  - destinations.x must have either bucket or folder",
        "  - syncs.y.destination is missing",
        "  - syncs.y.project_id is missing",
        "  - syncs.y.cohort_id is missing",
        "  - a is unknown; the keys at the top level are amplitude, destinations, syncs",
    ]


def test_errors_that_a_retry_may_solve_have_the_exit_code_for_a_retry():
    when = datetime(2026, 1, 1, tzinfo=UTC)
    for error in (
        errors.ConcurrentSyncError("k", when),
        errors.UnknownOutcomeError("k", "r"),
        errors.StoreUnavailableError("b", "r"),
        errors.AmplitudeUnavailableError("s", "r"),
        errors.AmplitudeTimeoutError("s", 1.0),
    ):
        assert exit_code(error) is ExitCode.RETRY
    assert exit_code(errors.AmplitudeLimitError("downloads", 500, 500)) is ExitCode.FAILED
    assert exit_code(errors.ConfigurationError("s", ("f",))) is ExitCode.USAGE


# --- Interruptions and terminals ---------------------------------------------------------


def test_a_reader_that_stops_early_causes_no_error_message(folder):
    (folder / "actives.csv").write_text(
        "id,user_id,plan\n" + "".join(f"{n},user {n},pro\n" for n in range(150_000))
    )
    sync_at(0)
    pipeline = f"set -o pipefail; '{SCRIPT}' members actives | head -n 1"
    ended = subprocess.run(
        ["bash", "-c", pipeline], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "amplitudeID,userID,plan\n"
    assert ended.stderr == ""
    assert ended.returncode == ExitCode.BROKEN_PIPE


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_an_interrupted_sync_leaves_no_files(folder, sent, code):
    def files():
        return [path for path in Path("bucket").rglob("*") if path.is_file()]

    with subprocess.Popen(
        [SCRIPT, "sync", "actives", "--members", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # The diff has begun once the storage has files for it; it then waits for more input.
        process.stdin.write("amplitude_id,plan\n")
        process.stdin.writelines(f"{n},free\n" for n in range(500_000))
        process.stdin.flush()
        for _ in range(600):
            if files():
                break
            time.sleep(0.1)
        else:
            pytest.fail("the diff did not begin within a minute")
        process.send_signal(sent)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in said
    assert files() == []
    assert list(list_streams(LocalStorage("bucket"))) == []


def run_in_terminal(*arguments):
    """Return what the command prints, and what a terminal of 80 columns shows meanwhile."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 80))
    with subprocess.Popen([SCRIPT, *arguments], stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        assert process.stdout is not None
        output = process.stdout.read().decode()
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the end of a terminal on Linux
                break
    os.close(ours)
    assert process.returncode == 0
    return output, shown.decode()


def test_progress_is_drawn_on_a_terminal_and_not_in_the_output(folder):
    pytest.importorskip("tqdm")
    output, shown = run_in_terminal("sync", "actives")
    for step in ("read", "compare", "store"):
        assert f"{step}: 100%" in shown
    assert "2.00/2.00" in shown
    assert "B/s" in shown
    assert output.splitlines()[0].endswith("done")
    output, shown = run_in_terminal("verify", "actives")
    assert "verify: 100%" in shown
    assert output == "no findings\n"
    (found,) = list_streams(LocalStorage("bucket"))
    assert (found.syncs, found.files) == (1, 3)


def test_the_module_can_be_run_as_the_command():
    ended = subprocess.run(
        [sys.executable, "-m", "amplitude_cohort_s3", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    kernel = f" (native kernel {kernel_state()})"
    assert re.fullmatch(r"\d+\.\d+\.\d+" + re.escape(kernel) + r"\n", ended.stdout)
    helped = run("--help").stdout
    for code in ExitCode:
        assert f"{code.value} {code.name.lower().replace('_', ' ')}" in re.sub(r"\s+", " ", helped)
