"""Members from files in S3, by URI, with the credentials of the environment."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from servers import Server

from amplitude_cohort_s3 import DiffType, MemberFile, RowSchema, diff_members, errors

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.servers

SCHEMA = RowSchema(properties=("plan",))


@pytest.fixture
def bucket(moto: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return moto.new_bucket()


def entering(file: MemberFile) -> list[tuple[str, ...]]:
    with diff_members((), file, schema=SCHEMA) as diff:
        return list(diff.rows(DiffType.ENTERING))


def test_csv_and_parquet_are_read_from_a_bucket(moto: Server, bucket: str):
    client = moto.client()
    client.put_object(Bucket=bucket, Key="in/m.csv", Body=b"user_id,id,plan\nann,1,pro\n")
    file = MemberFile(f"s3://{bucket}/in/m.csv", columns={"id": "amplitude_id"})
    assert entering(file) == [("1", "ann", "pro")]

    parquet = io.BytesIO()
    day = datetime(2026, 1, 1, tzinfo=UTC)
    table = pa.table({"amplitude_id": range(5000), "seen": [day] * 5000, "plan": ["pro"] * 5000})
    pq.write_table(table, parquet, row_group_size=1000)
    client.put_object(Bucket=bucket, Key="in/m.parquet", Body=parquet.getvalue())
    rows = entering(MemberFile(f"s3://{bucket}/in/m.parquet"))
    assert len(rows) == 5000
    assert rows[0] == ("0", "", "pro")


def test_what_is_not_there_is_our_error(bucket: str):
    with pytest.raises(errors.MemberFileNotFoundError, match="NoSuchKey"):
        entering(MemberFile(f"s3://{bucket}/none.csv"))
    with pytest.raises(errors.MemberFileNotFoundError, match="NoSuchBucket"):
        entering(MemberFile("s3://nobodys-bucket/none.csv"))


def test_the_command_syncs_from_bucket_to_bucket(moto: Server, bucket: str, tmp_path: Path):
    moto.client().put_object(Bucket=bucket, Key="in/m.csv", Body=b"amplitude_id,user_id\n1,ann\n")
    other = moto.new_bucket()
    (tmp_path / "amplitude-cohort-s3.toml").write_text(f"""
        [destinations.other]
        bucket = "{other}"
        region = "us-east-1"
        endpoint_url = "{moto.url}"
        log = "s3://{bucket}"
        [syncs.all]
        destination = "other"
        project_id = 1
        cohort_id = "a"
        cadence = "daily"
        members = "s3://{bucket}/in/m.csv"
    """)

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "amplitude_cohort_s3", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True, timeout=120
        ).stdout

    assert json.loads(run("run", "--json"))[0]["outcome"] == "done"
    assert json.loads(run("run", "--json"))[0]["outcome"] == "not due"
    assert run("members", "all") == "amplitudeID,userID\n1,ann\n"
    assert run("verify") == "no findings\n"
    keys = [o["Key"] for o in moto.client().list_objects_v2(Bucket=other)["Contents"]]
    assert sorted(key.split("/")[0][:4] for key in keys if not key.startswith("_")) == ["1_a_"] * 3


def test_a_file_is_read_with_a_client_of_the_caller(moto: Server, monkeypatch: pytest.MonkeyPatch):
    """The environment has other credentials and no endpoint."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    client, bucket = moto.client(), moto.new_bucket()
    client.put_object(Bucket=bucket, Key="m.csv", Body=b"amplitude_id,plan\n1,pro\n")
    file = MemberFile(f"s3://{bucket}/m.csv", transport_params={"client": client})
    assert entering(file) == [("1", "", "pro")]
