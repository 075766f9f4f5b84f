"""Opening a storage by its URL, its folder or its destination."""

import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

from amplitude_cohort_s3.errors import ConfigurationError
from amplitude_cohort_s3.storage import LocalStorage, open_storage
from amplitude_cohort_s3.storage.s3.storage import S3Storage


@frozen
class Place:
    bucket: str | None
    region: str | None = None


@pytest.fixture(autouse=True)
def aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # Without keys boto3 would ask the network for them.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize("url", ["s3://my.bucket-1", "s3://my.bucket-1/", "S3://my.bucket-1"])
def test_an_s3_url_opens_a_bucket(url: str):
    storage = open_storage(url)
    assert isinstance(storage, S3Storage)
    assert storage.bucket == "my.bucket-1"


def test_a_destination_opens_its_bucket_in_its_region():
    storage = open_storage(Place("bucket", "eu-central-1"))
    assert isinstance(storage, S3Storage)
    assert storage.bucket == "bucket"
    assert storage.client.meta.region_name == "eu-central-1"


@pytest.mark.parametrize("place", ["my-bucket", "./a:b", "C:/x", "2026-11-23T14:05"])
def test_a_bare_name_is_a_folder(place: str):
    assert open_storage(place).root == Path(place).absolute()


@pytest.mark.parametrize("place", ["/tmp/x y", Path("/tmp/x y"), "file:///tmp/x%20y"])
def test_a_path_or_a_file_url_is_a_folder(place: str | Path):
    storage = open_storage(place)
    assert isinstance(storage, LocalStorage)
    assert storage.root == Path("/tmp/x y")


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("s3://bucket/cohorts", "pass the rest as path"),
        ("s3://", "name of a bucket"),
        ("s3://AK:secret@bucket", "name of a bucket"),
        ("file://host/x", "absolute path"),
        ("gs://bucket", "the URL begins with gs://: write s3://my-bucket"),
        ("s3:my-bucket", "write s3://my-bucket for a bucket"),
        ("s3:AK:secret@bucket", "write s3://my-bucket for a bucket"),
        ("file:/tmp", "no // after"),
        ("cohorts:v2", "./name:with-a-colon for a folder"),
        (Place(None), "has no bucket"),
    ],
)
def test_an_invalid_location_is_explained(place: str | Place, rule: str):
    with pytest.raises(ConfigurationError, match=rule) as caught:
        open_storage(place)
    assert "secret" not in str(caught.value)


def test_importing_and_opening_a_folder_does_not_import_boto3():
    code = (
        "import sys, amplitude_cohort_s3.storage as s; s.open_storage('x');"
        "print(sorted({'boto3', 'botocore', 'smart_open'} & set(sys.modules)), s.S3Storage)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] <class")
