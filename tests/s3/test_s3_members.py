"""Members from files in S3, by URI, with the credentials of the environment."""

import io
from datetime import UTC, datetime

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
