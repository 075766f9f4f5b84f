"""The cohort that the tests sync with Spark. Spark's tasks import this module too."""

import hashlib
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import boto3

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    ExistingMeaning,
    LocalStorage,
    S3Storage,
    UserProperty,
)
from amplitude_cohort_s3 import __file__ as package_file
from amplitude_cohort_s3.distributed import sync_frames
from amplitude_cohort_s3.sync import SyncStart

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
WORKER_PATH = f"{Path(__file__).parent}{os.pathsep}{Path(package_file).parents[1]}"
NASTY = ["a,b", 'q "x" q', "two\nlines", "cr\rhere", "é日😀", "", " blank ", "\\", "NULL", "007"]


def new_session(master, **options):
    """A session whose workers use the interpreter and the package of the tests."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - it takes a second

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = WORKER_PATH
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        # Hadoop's usual local file system also writes checksum files, and can't name them if
        # the name of the file contains a colon. S3 has no such files.
        "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
        **options,
    }
    builder = SparkSession.builder.master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return session


def a_sync(existing=ExistingMeaning.MEMBERS, **options):
    return CohortSync(
        destination=Destination(name="spark", path="cohorts", existing=existing, **options),
        project_id=1,
        cohort_id="a",
        user_properties=(UserProperty("plan"),),
        guard=False,
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


def digests(storage):
    """The SHA-256 of each of these files, to compare large ones."""
    found = {}
    for info in storage.list_objects("cohorts/1_a_"):
        digest = hashlib.sha256()
        with storage.open(info.key) as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        found[info.key] = digest.hexdigest()
    return found


class FailsOnce:
    """Opens a folder. The first task that publishes a part fails after that."""

    def __init__(self, root):
        self.root = str(root)

    def __call__(self):
        from pyspark import TaskContext  # noqa: PLC0415 - it takes a second

        storage = LocalStorage(self.root)
        if TaskContext.get() is not None:
            storage.publish = partial(self._publish, storage.publish)
        return storage

    def _publish(self, publish, staged):
        published = publish(staged)
        if self._is_first():
            raise RuntimeError("this task fails after it published its part")
        return published

    def _is_first(self):
        try:
            os.close(os.open(f"{self.root}.first", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


class HoldsOneTask:
    """Opens a folder. The first attempt at one part publishes it only after another attempt won.

    Each step leaves a mark, which is a file with its name.
    """

    def __init__(self, root):
        self.root = str(root)

    def __call__(self):
        from pyspark import TaskContext  # noqa: PLC0415 - it takes a second

        storage, task = LocalStorage(self.root), TaskContext.get()
        if task is None:
            storage.compose = partial(self._compose, storage.compose)
        else:
            storage.publish = partial(self._publish, storage.publish, task.attemptNumber())
        return storage

    def mark(self, name):
        return Path(f"{self.root}.{name}")

    def _publish(self, publish, attempt, staged):
        if "entering-00000" not in staged.key:
            return publish(staged)
        if attempt == 0:
            _wait_for(self.mark("composing"))
        published = publish(staged)
        self.mark(f"attempt-{attempt}").write_text(staged.key)
        return published

    def _compose(self, compose, *arguments, **options):
        self.mark("composing").touch()
        _wait_for(self.mark("attempt-0"))
        return compose(*arguments, **options)


def _wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.02)


def speculating_driver(root, master):
    """A driver whose cluster starts a second attempt at a slow task."""
    spark = new_session(
        master,
        **{
            "spark.speculation": "true",
            "spark.speculation.interval": "50ms",
            "spark.speculation.multiplier": "1.1",
            "spark.speculation.quantile": "0.1",
            "spark.speculation.efficiency.enabled": "false",
            "spark.locality.wait": "0s",
            "spark.executor.memory": "512m",
            # Spark kills the attempt that lost. Here it survives and writes its part.
            "spark.task.interruptOnKill": "false",
            "spark.python.task.killTimeout": "60s",
        },
    )
    sync_frames(
        a_sync(),
        frame(spark, 0, 3000),
        HoldsOneTask(root),
        synced_at=START,
        part_bytes=20_000,
        clock=lambda: START,
    )
    spark.stop()


def killed_driver(root):
    """A driver that is killed when it has the parts and would commit."""

    def killed(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    SyncStart.commit = killed
    spark = new_session("local[2]")
    sync_frames(
        a_sync(),
        frame(spark, 100, 1100),
        partial(LocalStorage, root),
        synced_at=START + HOUR,
        clock=lambda: START + HOUR,
    )


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
