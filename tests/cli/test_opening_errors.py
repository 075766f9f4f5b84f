"""The command names the cause if a bucket can't be opened, and shows no traceback."""

import os
from pathlib import Path

import pytest
from commands import run_command

from amplitude_cohort_s3.cli._setup import CONFIG_FILE

CONFIG = """
[destinations.s3]
bucket = "my-bucket"
region = "{region}"
{options}

[syncs.actives]
destination = "s3"
project_id = 123
cohort_id = "26umsb5"
members = "m.csv"
"""
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
CASES = {
    "profile": ({"AWS_PROFILE": "typo"}, "eu-west-1", "", 1, "there is no profile 'typo'"),
    "no credentials": ({}, "eu-west-1", "", 1, "found no AWS credentials"),
    "region": (KEYS, "EU (Ireland)", "", 2, "'EU (Ireland)'"),
    "endpoint": (KEYS, "eu-west-1", 'endpoint_url = "127.0.0.1"', 2, "must begin with http://"),
    "acl": (KEYS, "eu-west-1", 'acl = "private"', 2, "acl must be"),
    "option": (KEYS, "eu-west-1", 'request_options = { X = "y" }', 2, "can't contain 'X'"),
    "secret": (
        KEYS,
        "eu-west-1",
        'request_options = { SSECustomerKey = "y" }',
        2,
        "must not contain SSECustomerKey",
    ),
    "variable": (KEYS | {"AWS_MAX_ATTEMPTS": "many"}, "eu-west-1", "", 2, "AWS_MAX_ATTEMPTS"),
}


@pytest.mark.parametrize("arguments", [["sync", "actives"], ["run"], ["verify", "actives"]])
@pytest.mark.parametrize("name", CASES)
def test_the_command_names_the_cause_if_a_bucket_can_not_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, arguments: list[str]
):
    variables, region, options, code, message = CASES[name]
    (tmp_path / CONFIG_FILE).write_text(CONFIG.format(region=region, options=options))
    (tmp_path / "m.csv").write_text("amplitude_id,user_id\n1,ann\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment = kept | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"} | variables
    monkeypatch.chdir(tmp_path)
    ended = run_command(*arguments, env=environment)
    assert message in ended.stdout + ended.stderr
    assert ended.returncode == code
