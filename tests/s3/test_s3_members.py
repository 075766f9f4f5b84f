"""Members from files in S3, by URI, with the credentials of the environment."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from servers import Server

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    MemberFile,
    RowSchema,
    diff_members,
    errors,
    sync_cohort,
)
from amplitude_cohort_s3.sources import MemberFiles

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


def entering(file: MemberFile | MemberFiles) -> list[tuple[str, ...]]:
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
    with pytest.raises(errors.MemberFileNotFoundError, match="of a folder ends in a slash"):
        entering(MemberFile(f"s3://{bucket}/in"))


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


UNLOAD = {
    "unload/a.csv": b"plan,userID,amplitudeID\npro,ann,1\n",
    "unload/day=1/b.csv": b"amplitude_id,user_id,plan\n2,bob,free\n",
    "unload/day=1/": b"",  # a folder that the console of S3 made
    "unload/day=2/c.csv": b"amplitude_id,plan\n3,\n",
    "unload/_SUCCESS": b"",
    "unload/day=1/_temporary/d.csv": b"not members",
    "unload/day=1/.e.csv.crc": b"not members",
    "unload2/f.csv": b"amplitude_id,plan\n9,\n",
    "unload/x[1]^.txt": b"not members",
}


def put_unload(moto: Server, bucket: str) -> None:
    for key, body in UNLOAD.items():
        moto.client().put_object(Bucket=bucket, Key=key, Body=body)


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("unload/day=1/", "2"),
        ("unload/day=*/", "23"),
        ("unload/*.csv", "1"),
        ("unload/**/*.csv", "123"),
        ("unload/day=?/?.csv", "23"),
        ("unload/day=[!1]/*", "3"),
        ("unload*/f.*", "9"),
        ("**.csv", ""),
        ("**/*.csv", "1239"),
        ("unload/_*", "empty"),
    ],
)
def test_folders_and_patterns_in_a_bucket(moto: Server, bucket: str, path: str, ids: str):
    put_unload(moto, bucket)
    files = MemberFiles(f"s3://{bucket}/{path}")
    if ids == "":
        with pytest.raises(errors.MemberFileNotFoundError, match="no file matches"):
            entering(files)
    elif ids == "empty":
        with pytest.raises(errors.MalformedCsvError, match="unload/_SUCCESS"):
            entering(files)
    else:
        assert "".join(row[0] for row in entering(files)) == ids


def test_a_sync_reads_the_folder_at_a_location_and_no_secret_is_recorded(moto, bucket, tmp_path):
    put_unload(moto, bucket)
    moto.client().delete_object(Bucket=bucket, Key="unload/x[1]^.txt")
    sync = CohortSync(
        destination=Destination("d"), project_id=1, cohort_id="a", user_properties=["plan"]
    )
    record = sync_cohort(sync, f"s3://{bucket}/unload/", tmp_path / "bucket").record
    assert (record.members, record.source) == (3, {"files": "unload"})


def test_more_files_than_a_page_of_a_listing(moto: Server, bucket: str):
    for number in range(1, 9):
        body = b"amplitude_id,plan\n" + (b"7,\n" if number > 6 else b"")
        moto.client().put_object(Bucket=bucket, Key=f"in/{number:05}.csv", Body=body)
    client, pages = moto.client(), []
    listing = "s3.ListObjectsV2"
    client.meta.events.register(
        f"provide-client-params.{listing}", lambda params, **_: {**params, "MaxKeys": 3}
    )
    client.meta.events.register(f"after-call.{listing}", lambda **_: pages.append(1))
    of_client = {"transport_params": {"client": client}}
    files = MemberFiles(f"s3://{bucket}/in/", **of_client)
    assert len([*files.files()]) == 8
    assert len(pages) == 3
    files = MemberFiles(f"s3://{bucket}/in/0000?.csv", **of_client)
    assert entering(files) == [("7", "", "")]


def test_files_are_listed_and_read_with_a_client_of_the_caller(
    moto: Server, monkeypatch: pytest.MonkeyPatch
):
    """The environment has other credentials and no endpoint."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    bucket = moto.new_bucket()
    put_unload(moto, bucket)
    files = MemberFiles(
        [f"s3://{bucket}/unload/*.csv", f"s3://{bucket}/unload/day=2/"],
        transport_params={"client": moto.client()},
    )
    assert [row[0] for row in entering(files)] == ["1", "3"]


def test_a_bucket_that_cannot_be_listed_is_an_error(moto: Server, bucket: str):
    with pytest.raises(errors.StorageError, match="nobodys-bucket"):
        entering(MemberFiles("s3://nobodys-bucket/unload/"))
    with pytest.raises(errors.MemberFileNotFoundError, match="no file matches"):
        entering(MemberFiles(f"s3://{bucket}/unload/"))


def test_an_object_that_disappears_after_the_listing_is_an_error(moto: Server, bucket: str):
    put_unload(moto, bucket)
    listed = MemberFiles(f"s3://{bucket}/unload/day=?/").files()
    next(listed)
    moto.client().delete_object(Bucket=bucket, Key="unload/day=2/c.csv")
    with pytest.raises(errors.MemberFileNotFoundError, match=r"c\.csv"):
        entering(next(listed))
