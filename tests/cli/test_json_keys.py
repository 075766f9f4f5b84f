"""The keys and types of the objects that `--json` prints.

`python tests/cli/test_json_keys.py` writes the snapshot of them, json_keys.txt.
"""

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "support"))  # for the program that writes it

from commands import run_command

from amplitude_cohort_s3.cli._setup import CONFIG_FILE
from amplitude_cohort_s3.cli.main import _SUBCOMMANDS

SNAPSHOT = Path(__file__).with_name("json_keys.txt")

CONFIG = """
[destinations.warehouse]
folder = "bucket"
path = "cohorts"

[syncs.actives]
destination = "warehouse"
project_id = 123
cohort_id = "a"
user_properties = ["plan"]
cadence = "hourly"
members = "actives.csv"

[syncs.buyers]
destination = "warehouse"
project_id = 123
cohort_id = "b"
members = "buyers.csv"

[syncs.never]
destination = "warehouse"
project_id = 123
cohort_id = "c"
cadence = "daily"
members = "missing.csv"
"""
ACTIVES = "amplitude_id,user_id,plan,hat\n1,ann,pro,x\n2,bob,,y\n"
LATER = "amplitude_id,user_id,plan,hat\n2,bob,free,y\n3,cem,pro,z\n"
"""The members from the second sync on."""

# One after the other, in a folder with the file and the members.
COMMANDS = (
    "sync actives --at 2026-11-01T06:30Z --dry-run",
    "sync actives --at 2026-11-01T06:30Z",
    "sync never",
    "overdue actives never",
    "run actives never",
    "run buyers",
    "history actives",
    "runs actives",
    "members actives",
    "diff actives",
    "diff actives --rows",
    "changes actives",
    "overlap actives buyers",
    "overlap actives buyers --rows both",
    "report actives --output report.html",
    "streams bucket/cohorts",
    "recover actives",
    "forget actives 2 --dry-run",
    "forget actives 2 --yes",
    "prune actives --before 2026-11-02T00:00Z --dry-run",
    "prune actives --before 2026-11-02T00:00Z --yes",
    "clean-up actives --dry-run",
    "clean-up actives --yes",
    "parse-name 123_a_2026-11-23T14:05_exiting_key.csv",
    "verify actives",
    "adopt b --from bucket/cohorts",
)


def shapes():
    """Return a line for each key of each subcommand, with its types."""
    found = defaultdict(set)
    Path(CONFIG_FILE).write_text(CONFIG)
    for name in ("actives.csv", "buyers.csv"):
        Path(name).write_text(ACTIVES)
    for command in COMMANDS:
        name, *_ = command.split()
        prepare(name)
        ended = run_command(*command.split(), "--json")
        assert ended.stdout, f"{command}: {ended.stderr}"
        for value in objects(ended.stdout):
            for path, kind in keys(value, name):
                found[path].add(kind)
    return "".join(f"{path}: {' or '.join(sorted(kinds))}\n" for path, kinds in found.items())


def prepare(subcommand):
    if subcommand == "run":
        Path("actives.csv").write_text(LATER)
    if subcommand == "verify":
        file = max(Path("bucket/cohorts").glob("123_a_*_existing.csv"))
        file.chmod(0o644)
        file.write_bytes(file.read_bytes() + b"9,eve,\n")
    if subcommand == "adopt":
        for file in Path("bucket/cohorts/_syncs").rglob("*.json"):
            file.unlink()


def objects(text):
    """Return what a command printed: one value, or one in each line."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]


def keys(value, path):
    """Yield the path of each value with its type."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from keys(inner, f"{path} {key}")
        case list():
            for inner in value:
                yield from keys(inner, f"{path} []")
            if not value:
                yield f"{path} []", "nothing"
        case _:
            yield path, "null" if value is None else type(value).__name__


def test_the_keys_and_types_of_json_are_those_of_the_snapshot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shapes() == SNAPSHOT.read_text()


def test_the_snapshot_has_each_subcommand_that_prints_json():
    ours = {line.split()[0].removesuffix(":") for line in SNAPSHOT.read_text().splitlines()}
    assert ours == _SUBCOMMANDS.keys() - {"init", "policy"}  # They print TOML and a policy.


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        SNAPSHOT.write_text(shapes())
