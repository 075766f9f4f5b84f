"""The cohort that the tests sync with Spark; imported by its tasks too."""

import os
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import boto3

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    ExistingMeaning,
    ExitGuard,
    LocalStorage,
    S3Storage,
    UserProperty,
)

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NASTY = ["a,b", 'q "x" q', "two\nlines", "cr\rhere", "é日😀", "", " blank ", "\\", "NULL", "007"]


def new_session(master, **more):
    """A session whose workers find this folder and the interpreter of the tests."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - it takes a second

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    options = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        # Hadoop's local file system keeps checksums in files whose names it can't make
        # of a name with a colon; S3 has none either.
        "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
        **more,
    }
    builder = SparkSession.builder.master(master)
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return session


def a_sync(existing=ExistingMeaning.MEMBERS, **more):
    return CohortSync(
        destination=Destination(name="spark", path="cohorts", existing=existing, **more),
        project_id=1,
        cohort_id="a",
        user_properties=(UserProperty("plan"),),
        exit_guard=ExitGuard(share=1, number=10_000_000),
    )


def rows(first, last):
    return [(str(n), f"user é{n}", NASTY[n % len(NASTY)]) for n in range(first, last)]


def frame(spark, first, last):
    """The same rows as :func:`rows`, made by Spark itself."""
    from pyspark.sql import functions as f  # noqa: PLC0415

    n = f.col("id").cast("string")
    plans = f.array(*(f.lit(text) for text in NASTY))
    plan = plans[(f.col("id") % len(NASTY)).cast("int")]
    return spark.range(first, last).select(
        n.alias("amplitudeID"), f.concat(f.lit("user é"), n).alias("userID"), plan.alias("plan")
    )


def open_bucket(url, bucket):
    session = boto3.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")
    return S3Storage(bucket, session=session, endpoint_url=url, settling_time=0.1)


def files(storage):
    found = {}
    for info in storage.list_objects("cohorts/1_a_"):
        with storage.open(info.key) as stream:
            found[info.key] = stream.read()
    return found


class FailsOnce:
    """Opens a folder; the first task that has published a part fails then."""

    def __init__(self, root):
        self.root = str(root)

    def __call__(self):
        from pyspark import TaskContext  # noqa: PLC0415

        storage = LocalStorage(self.root)
        if TaskContext.get() is not None:
            storage.publish = partial(self._publish, storage.publish)
        return storage

    def _publish(self, publish, staged):
        published = publish(staged)
        if self._is_first():
            raise RuntimeError("this task fails after its part is there")
        return published

    def _is_first(self):
        try:
            os.close(os.open(f"{self.root}.first", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


def killed_driver(root):
    """A driver that dies when the parts are there: it is killed where it would commit."""
    import signal  # noqa: PLC0415

    import amplitude_cohort_s3.spark as module  # noqa: PLC0415

    def killed(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    module.commit = killed
    spark = new_session("local[2]")
    module.sync_frames(
        a_sync(),
        frame(spark, 100, 1100),
        partial(LocalStorage, root),
        synced_at=START + HOUR,
        clock=lambda: START + HOUR,
    )


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
