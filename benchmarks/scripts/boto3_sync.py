"""A sync with S3 as one would write it with boto3's transfers and polars."""

from pathlib import Path
from typing import Any

from scripts import polars_diff


def sync(client: Any, bucket: str, previous: str, current: Path, prefix: str, work: Path) -> None:
    """Download the previous members, write the three files, and upload them.

    Args:
        client: A client of boto3 for S3.
        bucket: The bucket.
        previous: The key of the previous members.
        current: The file of the current members.
        prefix: The prefix of the keys of the new files.
        work: An empty folder.
    """
    client.download_file(bucket, previous, str(work / "previous.csv"))
    polars_diff.write_diff(work / "previous.csv", current, work)
    for name in ("entering", "exiting", "existing"):
        client.upload_file(str(work / f"{name}.csv"), bucket, f"{prefix}{name}.csv")
