"""One table of the file syncs every cohort of a project whose name matches a pattern."""

import json
from pathlib import Path

import pytest

from amplitude_cohort_s3 import CohortStream, LocalStorage, MemoryStorage, errors
from amplitude_cohort_s3.cli._setup import CONFIG_FILE
from amplitude_cohort_s3.cli.config import Config
from amplitude_cohort_s3.cli.exit_codes import ExitCode
from amplitude_cohort_s3.cli.main import main
from amplitude_cohort_s3.sync.stored_cohorts import stored_cohorts
from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude

CONFIG = """
[amplitude.project]
base_url = "{base_url}"

[destinations.warehouse]
folder = "bucket"
path = "cohorts"

[syncs.all]
cohorts = "Marketing *"
destination = "warehouse"
project_id = 123
cadence = "{cadence}"
user_properties = ["plan"]
members = {{ amplitude = "project", columns = {{ tier = "plan" }} }}
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Yield a fake with the cohorts a and b of the pattern, and one that does not match."""
    monkeypatch.chdir(tmp_path)
    with FakeAmplitude() as fake:
        fake.polls = 0
        monkeypatch.setenv("AMPLITUDE_API_KEY", fake.api_key)
        monkeypatch.setenv("AMPLITUDE_SECRET_KEY", fake.secret_key)
        for cohort_id in "ab":
            fake.set_cohort(cohort_id, [("1", "ann")], name=f"Marketing {cohort_id}")
        fake.set_cohort("x", [("1", "ann")], name="Sales")
        write_config(fake)
        yield fake


def write_config(fake, more="", cadence="one-time"):
    Path(CONFIG_FILE).write_text(CONFIG.format(base_url=fake.base_url, cadence=cadence) + more)


@pytest.fixture
def run(capsys):
    def run(*arguments, code=ExitCode.DONE):
        found = main(list(arguments))
        out, err = capsys.readouterr()
        assert found == code, out + err
        return out if code is ExitCode.DONE else out + err

    return run


def outcomes(run, *arguments, code=ExitCode.DONE):
    text = run("run", "--json", *arguments, code=code)
    jobs, _ = json.JSONDecoder().raw_decode(text)
    return {one["sync"]: one["outcome"] for one in jobs}


def requests(fake, path):
    return sum(path in request for request in fake.requests)


def test_a_run_syncs_each_cohort_and_every_command_knows_its_name(run, fake):
    assert outcomes(run, "--dry-run") == {"all.a": "due", "all.b": "due"}
    assert outcomes(run) == {"all.a": "done", "all.b": "done"}
    assert fake.downloads == 2
    assert outcomes(run) == {"all.a": "not due", "all.b": "not due"}
    assert run("members", "all.a") == "amplitudeID,userID,plan\n1,ann,\n"
    assert run("history", "all.b").splitlines()[1].split()[2:6] == list("1100")
    assert outcomes(run, "all.b") == {"all.b": "not due"}
    assert "1 -> 1 members" in run("sync", "all.a", "--dry-run")
    assert "all" not in run("verify")


def test_reading_commands_need_no_keys_and_ask_amplitude_nothing(run, fake, monkeypatch):
    outcomes(run)
    monkeypatch.delenv("AMPLITUDE_API_KEY")
    fake.clear_faults()  # clears the requests
    assert run("verify", "all") == "no findings\n"
    assert run("verify") == "no findings\n"
    assert run("members", "all.b", "--json")
    assert json.loads(run("recover", "all.b", "--json"))["sync"] == "all.b"
    assert fake.requests == []
    assert "AMPLITUDE_API_KEY is not set" in run("run", code=ExitCode.USAGE)


def test_verify_finds_faults_in_the_cohorts_of_a_pattern(run, fake, tmp_path):
    outcomes(run)
    (file,) = tmp_path.glob("bucket/cohorts/123_b_*_entering.csv")
    file.chmod(0o644)
    file.write_text("")
    found = run("verify", code=ExitCode.FINDINGS)
    assert found.startswith("all.b: ")
    assert "all.a" not in found


def test_a_pattern_none_of_whose_cohorts_was_ever_synced_is_not_overlooked(run, fake):
    single = '[syncs.own]\ndestination="warehouse"\nproject_id=123\ncohort_id="a"\n'
    write_config(fake, single + 'members={ amplitude="project" }\n', cadence="daily")
    outcomes(run, "own")
    # The cohort with a table of its own is not one of the pattern.
    for names in ((), ("all",)):
        found = json.loads(run("overdue", "--json", *names, code=ExitCode.FINDINGS))
        assert found == [{"sync": "all", "cadence": "daily", "newest": None, "overdue": None}]
    assert "all   daily    never synced" in run("overdue", code=ExitCode.FINDINGS)
    message = run("verify", code=ExitCode.FAILED)
    assert "all: no cohort of this pattern was ever synced; sync them with" in message
    outcomes(run)
    assert run("overdue") == "no sync is overdue\n"
    assert run("verify") == "no findings\n"


def test_a_new_cohort_is_synced_and_a_vanished_one_is_reported(run, fake):
    outcomes(run)
    fake.set_cohort("c", [("1", "ann")], name="Marketing c")
    fake.remove_cohort("a")
    found = outcomes(run)
    assert found == {"all.b": "not due", "all.c": "done", "all.a": "gone"}
    table = run("run")
    assert "all.a  gone     Amplitude lists no such cohort any more" in table
    assert outcomes(run, "all.a") == {"all.a": "gone"}
    # Its files can still be read.
    assert run("members", "all.a") == "amplitudeID,userID,plan\n1,ann,\n"


@pytest.mark.parametrize("change", ["renamed", "archived", "unpublished"])
def test_a_cohort_that_no_longer_matches_is_reported(run, fake, change):
    outcomes(run)
    cohort = fake.set_cohort("a", [("1", "ann")])
    cohort.name = "Sales a" if change == "renamed" else cohort.name
    cohort.archived = change == "archived"
    cohort.published = change != "unpublished"
    assert outcomes(run) == {"all.b": "not due", "all.a": "gone"}


def test_a_vanished_cohort_is_named_on_standard_error(fake, capsys):
    main(["run"])
    fake.remove_cohort("a")
    main(["run"])
    assert "no longer synced: all.a" in capsys.readouterr().err


def test_a_pattern_without_cohorts_fails_alone(run, fake):
    outcomes(run)
    for cohort_id in "ab":
        fake.remove_cohort(cohort_id)
    found = outcomes(run, code=ExitCode.FAILED)
    assert found == {"all": "failed", "all.a": "gone", "all.b": "gone"}
    assert "none of the 1 discoverable cohort has a name that matches 'Marketing *'" in run(
        "run", code=ExitCode.FAILED
    )


def test_if_amplitude_refuses_the_other_syncs_run_and_nothing_is_reported_as_gone(
    run, fake, monkeypatch, tmp_path
):
    (tmp_path / "m.csv").write_text("amplitude_id,user_id\n1,ann\n")
    single = '[syncs.one]\ndestination="warehouse"\nproject_id=123\ncohort_id="one"\n'
    write_config(fake, single + 'members="m.csv"\n')
    outcomes(run)
    monkeypatch.setenv("AMPLITUDE_SECRET_KEY", "wrong")
    assert outcomes(run, code=ExitCode.FAILED) == {"all": "failed", "one": "not due"}


def test_a_table_of_its_own_takes_precedence_over_a_pattern(run, fake):
    more = '[syncs.own]\ndestination="warehouse"\nproject_id=123\ncohort_id="a"\n'
    more += 'members={ amplitude="project" }\n'
    more += '[syncs.every]\ncohorts="*"\ndestination="warehouse"\nproject_id=123\n'
    more += 'members={ amplitude="project" }\n'
    write_config(fake, more)
    assert outcomes(run) == dict.fromkeys(["all.b", "own", "every.x"], "done")
    assert outcomes(run, "every") == {"every.x": "not due"}
    # What one pattern names is not gone for the other.
    assert outcomes(run, "all") == {"all.b": "not due"}
    assert run("verify") == "no findings\n"
    assert fake.downloads == 3


def test_a_cohort_with_an_unusable_id_fails_alone_until_it_has_a_table_of_its_own(run, fake):
    fake.set_cohort("o_d", [("1", "ann")], name="Marketing odd")
    every = '[syncs.every]\ncohorts="*"\ndestination="warehouse"\nproject_id=123\n'
    every += 'members={ amplitude="project" }\n'
    write_config(fake, every)
    done = {"all.a": "done", "all.b": "done", "every.x": "done"}
    found = outcomes(run, code=ExitCode.FAILED)
    assert found == done | {"all.o_d": "failed"}
    failed = run("run", "all.o_d", code=ExitCode.FAILED)
    assert "the cohort 'Marketing odd' can't be synced by a pattern: cohort_id 'o_d'" in failed
    assert run("verify") == "no findings\n"
    own = '[syncs.odd]\ndestination="warehouse"\nproject_id=123\ncohort_id="odd"\n'
    own += 'members={ amplitude="project", cohort_id="o_d" }\n'
    write_config(fake, every + own)
    assert outcomes(run) == {**dict.fromkeys(done, "not due"), "odd": "done"}


def test_the_downloads_of_a_month_end_a_run_in_time_and_the_rest_follows(run, fake):
    fake.monthly_limit = 1
    assert outcomes(run, code=ExitCode.FAILED) == {"all.a": "done", "all.b": "failed"}
    assert fake.limited == []
    assert requests(fake, "/cohorts/request/b") == 0
    assert "1 of 1 downloads of this month are used" in run("run", code=ExitCode.FAILED)
    fake.monthly_limit = 2
    assert outcomes(run) == {"all.a": "not due", "all.b": "done"}


def test_many_cohorts_share_one_list(run, fake):
    for number in range(20):
        fake.set_cohort(f"c{number}", [("1", "ann")], name=f"Marketing {number}")
    assert set(outcomes(run).values()) == {"done"}
    lists = [one for one in fake.requests if one == "GET /api/3/cohorts"]
    assert len(lists) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sync", "all"], "name one of them, such as all.26umsb5"),
        (["history", "all"], "name one of them, such as all.26umsb5"),
        (["run", "all.x"], "there is no sync 'all.x'; those of all are: all.a, all.b"),
        (["sync", "all.x"], "no cohort with this id whose name matches 'Marketing *'"),
        (["run", "other.a"], "there is no sync 'other.a'"),
        (["sync", "all.not an id"], "cohort_id 'not an id'"),
    ],
)
def test_a_name_that_no_cohort_has_is_an_error_of_the_command_line(run, fake, arguments, message):
    assert message in run(*arguments, code=ExitCode.USAGE)
    assert fake.downloads == 0


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            ('cohorts = "M', 'cohort_id = "a"\ncohorts = "M'),
            "must have either cohort_id or cohorts",
        ),
        (("Marketing *", ""), 'syncs.all.cohorts must be a pattern of names, such as "Market'),
        (("{ amplitude", '{ file = "a.csv" } # '), "syncs.all.members must be { amplitude"),
        (('project",', 'project", cohort_id = "a",'), "cohort_id must not be set beside cohorts"),
        (('"Marketing *"', "7"), "syncs.all.cohorts must be a string, not an integer"),
    ],
)
def test_faults_of_the_table_are_named(change, fault):
    text = CONFIG.format(base_url="http://127.0.0.1:9", cadence="daily")
    assert Config.from_toml(text, name="f").syncs["all"].cohorts == "Marketing *"
    with pytest.raises(errors.ConfigurationError) as caught:
        Config.from_toml(text.replace(*change), name="f")
    assert fault in str(caught.value)


@pytest.mark.parametrize("routing_key", [None, "k_1"])
@pytest.mark.parametrize("path", ["", "p/cohorts"])
def test_cohorts_with_a_log_are_found_by_one_request_each(routing_key, path):
    class Counting(MemoryStorage):
        listings = 0

        def list_objects(self, prefix="", /, *, start_after=None):
            self.listings += 1
            return super().list_objects(prefix, start_after=start_after)

    storage = Counting()

    def stream(cohort_id, project_id=12, key=routing_key):
        return CohortStream(project_id=project_id, cohort_id=cohort_id, path=path, routing_key=key)

    ids = ["a", "a-b", "a0", "b"]
    others = [stream("z", 123), stream("z", 1), stream("z", key="other"), stream("z", None)]
    for one in [*map(stream, ids), *others]:
        for number in range(3):
            storage.create(f"{one.log_prefix}{number:08}.json", b"{}")
    storage.create(f"{path}/_syncs/12_/x".removeprefix("/"), b"")
    assert sorted(stored_cohorts(storage, stream("any"))) == ids
    assert storage.listings == len(ids) + 3  # the other key, the odd folder, and the end
    assert list(stored_cohorts(LocalStorage("nowhere"), stream("any"))) == []
