"""One session of Spark on two cores for all tests. It repeats a failed task."""

import os
import shutil
import sys
from collections.abc import Generator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from spark_cohorts import new_session

# The module servers is in tests/s3.
sys.path.append(str(Path(__file__).parents[2] / "s3"))


@pytest.fixture(scope="session")
def spark() -> Generator:
    for missing, command in (
        (shutil.which("java") is None, "apt-get install openjdk-17-jre-headless"),
        (find_spec("pyspark") is None, "pip install pyspark"),
    ):
        if missing and os.environ.get("CI") == "true":
            pytest.fail(f"not installed: {command}")
        if missing:
            pytest.skip(f"not installed: {command}")
    session = new_session("local[2,4]")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def bucket(tmp_path_factory) -> Generator:
    """A function that creates a bucket of moto and returns how to open it, picklable for tasks."""
    import servers  # noqa: PLC0415 - its folder is on the path now
    from spark_cohorts import open_bucket  # noqa: PLC0415

    with servers.moto(tmp_path_factory.mktemp("moto")) as server:
        yield lambda: partial(open_bucket, server.url, server.new_bucket())
