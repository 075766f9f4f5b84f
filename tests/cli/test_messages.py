"""The command's messages: options and keys of the file, no Python; and the exit codes."""

import inspect
import re
from pathlib import Path

import pytest

from amplitude_cohort_s3 import errors
from amplitude_cohort_s3.cli._output import in_command
from amplitude_cohort_s3.cli._setup import CONFIG_FILE
from amplitude_cohort_s3.cli.exit_codes import ExitCode
from amplitude_cohort_s3.cli.main import main

CONFIG = """
[destinations.local]
folder = "bucket"
path = "cohorts"
[destinations.offline]
bucket = "my-bucket"
region = "eu-west-1"
endpoint_url = "http://127.0.0.1:9"
[destinations.port]
bucket = "my-bucket"
endpoint_url = "localhost:9000"
[destinations.file]
folder = "m.csv"
[syncs.unload]
destination = "local"
project_id = 1
cohort_id = "b"
members = "bucket"
[syncs.twice]
destination = "local"
project_id = 1
cohort_id = "c"
cadence = "daily"
user_properties = ["plan"]
members = "twice.csv"
""" + "".join(
    f'[syncs.{name}]\ndestination = "{name}"\nproject_id = 1\ncohort_id = "a"\n'
    f'user_properties = ["plan"]\ncadence = "daily"\nmembers = "m.csv"\n'
    for name in ("local", "offline", "port", "file")
)

FILES = {
    CONFIG_FILE: CONFIG,
    "m.csv": "amplitude_id,user_id,plan\n1,ann,pro\n2,bob,free\n",
    "none.csv": "amplitude_id,user_id,plan\n",
    "twice.csv": "amplitude_id,user_id,plan\n1,ann,pro\n1,bob,free\n",
    "names.csv": "amplitude_id,Email,Tier\n1,ann,pro\n",
    "ids.csv": "id,Email,plan\n1,ann,pro\n",
    "latin.toml": "# Zoë",
    "empty.toml": "",
    "bad.toml": "x = [",
}

TOML_MEMBERS = 'as in members = { file = "...", columns = { "..." ='

# The arguments, the exit code, and the essential words of the message.
WRONG_USES = [
    ("snyc", 2, "invalid choice: 'snyc' (choose from"),
    ("sync local m.csv", 2, "sync: error: unknown arguments: m.csv"),
    ("sync local --dryrun", 2, "sync: error: unknown arguments: --dryrun"),
    ("sync Local", 2, "there is no sync 'Local'; the syncs are: unload, twice, local, offline"),
    ("sync unload", 1, "can't be read (Is a directory). End its location with a slash"),
    ("sync local --at 2026-11-01", 2, "has no time zone; for UTC, write 2026-11-01T00:00Z"),
    ("sync local --at 2026-11-20Z", 2, "'2026-11-20Z' has no hour; write 2026-11-20T00:00Z"),
    ("sync local --at 2026-13-01T00:00Z", 2, "there is no time '2026-13-01T00:00Z': month must"),
    ("sync local --at 2020", 2, "use ISO 8601 with a time zone, e.g. 2026-11-23T06:30Z"),
    ("sync local --at 2999-01-01T00:00Z", 1, "later than the clock"),
    ("sync local --at 2020-01-01T00:00Z", 1, "Pass a later time, or leave out --at"),
    ("sync local --max-exits all", 2, "--max-exits: invalid limit 'all'; use a number such as 500"),
    ("sync local --max-exits -1", 2, "max_exits must be 0 or more, not -1"),
    ("sync local --max-skipped 1.5", 2, "max_skipped is a share"),
    ("sync local --duplicates first", 2, "choose from"),
    ("sync local --members no.csv", 1, "the member file 'no.csv' does not exist"),
    ("sync local --members bucket/*.json", 1, "does not exist (no file matches)"),
    ("sync local --members none.csv", 3, "if they really left, pass --max-exits 2"),
    ("sync local --members twice.csv", 1, "(line 3). Remove the duplicates, or pass --duplicates"),
    ("sync local --members names.csv", 1, "The data has: 'amplitude_id', 'Email', 'Tier'. Rename"),
    ("sync local --members names.csv", 1, TOML_MEMBERS + ' "plan" } }'),
    ("sync local --members ids.csv", 1, TOML_MEMBERS + ' "user_id" } }'),
    ("sync offline", 75, "Check the network, the region and the endpoint, or run the same again"),
    ("sync port", 2, f"{CONFIG_FILE}: destinations.port:\n  - endpoint_url 'localhost:9000' must"),
    ("sync file", 2, f"{CONFIG_FILE}: destinations.file:\n  - the root 'm.csv' is a file"),
    ("run --config empty.toml", 2, "it has no syncs; add a table [syncs.<name>]"),
    ("verify --config empty.toml", 2, "it has no syncs; add a table [syncs.<name>]"),
    ("sync a --config empty.toml", 2, "there is no sync 'a'; it has no syncs"),
    ("run --config latin.toml", 2, "it is not UTF-8; save it as UTF-8"),
    ("run --config bucket", 2, "can't be read (Is a directory); pass another file with --config"),
    ("run --config bad.toml", 2, "not valid TOML: Invalid value"),
    ("history a --from m.csv", 2, "is a file, not a folder: pass a folder"),
    ("history a --from s3:/x", 2, "write s3://my-bucket for a bucket"),
    ("history a --from gs://x", 2, "the URL begins with gs://: write s3://my-bucket"),
    ("history a --from bucket --project x", 2, "must be a whole number, 0 or more, not 'x'"),
    ("history a --from bucket --match-by email", 1, "The data has: 'amplitude_id', 'user_id'"),
    ("members local --at 2020-01-01T00:00Z", 1, "the first sync is of 2026-01-01T00:00:00+00:00"),
    ("history offline", 75, "is not available (EndpointConnectionError: http://127.0.0.1:9)"),
    ("policy local --principal x", 2, "policy local:\n  - the destination 'local' has no bucket"),
    ("policy offline --principal etl", 2, "--principal 'etl' must be an ARN"),
    ("parse-name members.csv", 1, "Names look like 123_26umsb5_2026-11-23T14:05_entering_key.csv"),
]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Return the current folder, with the files, and a sync of ``local`` with two members."""
    folder = tmp_path_factory.mktemp("cli")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="latin-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in [
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("AWS_MAX_ATTEMPTS", "1"),
        ]:
            patch.setenv(name, value)
        assert main(["sync", "local", "--at", "2026-01-01T00:00Z"]) == ExitCode.DONE
        yield folder


@pytest.mark.parametrize(("line", "code", "words"), WRONG_USES)
def test_a_wrong_use_of_the_command_says_what_to_do(line, code, words, capsys):
    try:
        found = main(line.split())
    except SystemExit as exit_:  # from the parser of the command line
        found = exit_.code
    message = capsys.readouterr().err
    assert words in message
    assert found == code
    assert not re.search(r"\w\(\)|\w=['\"\w]|MemberFile|S3Storage|Traceback", message)
    assert "ann" not in message


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_run_advises_the_options_of_sync(options, capsys):
    assert main(["run", "twice", *options]) == ExitCode.FAILED
    advice = "or run amplitude-cohort-s3 sync twice --duplicates keep_smallest"
    assert advice in capsys.readouterr().out


# The command never raises these: their causes are in Python code.
ONLY_IN_PYTHON = {
    errors.ArgumentTypeError,
    errors.DatabaseRefusedError,
    errors.InvalidPolicyError,
    errors.MissingCapabilityError,
    errors.NaiveDatetimeError,
    errors.ObjectTooLargeError,
    errors.TablesError,
    errors.UnknownMembersError,
    errors.UnusableDiffError,
}


@pytest.mark.parametrize(
    "cls",
    [
        cls
        for cls in vars(errors).values()
        if inspect.isclass(cls) and "Example: " in str(cls.__doc__) and cls not in ONLY_IN_PYTHON
    ],
)
def test_the_command_shows_no_advice_in_python(cls):
    example = " ".join(inspect.getdoc(cls).partition("Example: ")[2].split())
    message = in_command(example)
    assert not re.search(r"\w\(|\w=['\"\w]|MemberFile|S3Storage|\bDestination [^']", message)


def test_the_reference_has_every_exit_code():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "command.md").read_text()
    table = page.partition("## Exit codes")[2].partition("##")[0]
    cells = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    codes = [int(code) for cell in cells for code in cell.split(",")]
    assert sorted(codes) == sorted(ExitCode)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ("local", ExitCode.DONE),
        ("offline", ExitCode.RETRY),
        ("offline file", ExitCode.FAILED),
        ("port file", ExitCode.USAGE),
    ],
)
def test_a_run_has_the_exit_code_of_its_failures_if_it_is_one(names, code):
    assert main(["run", *names.split()]) == code
