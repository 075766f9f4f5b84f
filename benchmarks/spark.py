"""A sync of a data frame of PySpark, compared with a plain job of PySpark.

    python benchmarks/spark.py [--small] [--runs 3] [--folder DIR] [--table FILE]

There are 2,000,000 members before and now, of whom 5 % change. Spark runs in local mode on all
cores, and needs Java. Both jobs read the current members from the same CSV file. The plain job,
``scripts/pyspark_diff.py``, also reads the previous members from a CSV file and writes three
folders. ``sync_frames`` verifies and writes the same files as ``sync_cohort``. The measurement
begins when the session has started; the ratio is of wall time.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from measuring import VARIANTS, Candidate, Comparison, Row, Setting, Watch, main, run
from sample_data import START, cohort, digest_of_rows, drawn_ids, write_members

from amplitude_cohort_s3 import DiffType, LocalStorage
from amplitude_cohort_s3.distributed import sync_frames


def session_of(work: str) -> Any:
    """Return a session in local mode."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "4g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": work,
        "spark.sql.shuffle.partitions": str(os.cpu_count()),
    }
    builder = SparkSession.builder.master("local[*]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def sync_with_spark(watch: Watch, data: str) -> Any:
    """Sync with ``sync_frames``."""
    with tempfile.TemporaryDirectory(dir=data) as out:
        spark, bucket = session_of(out), Path(out, "bucket")
        # Hard links are enough, because the files of a bucket are never overwritten.
        shutil.copytree(Path(data, "bucket"), bucket, copy_function=os.link)
        with watch:
            current = spark.read.csv(f"{data}/current.csv", header=True)
            result = sync_frames(cohort(), current, partial(LocalStorage, bucket))
        spark.stop()
        files = result.record.files
        return {t.value: digest_of_rows([bucket / files[t].key]) for t in DiffType}


def plain_job(watch: Watch, data: str) -> Any:
    """Write the three folders with a plain job."""
    from scripts import pyspark_diff

    with tempfile.TemporaryDirectory(dir=data) as out:
        spark = session_of(out)
        with watch:
            previous, current = (
                spark.read.csv(f"{data}/{name}.csv", header=True)
                for name in ("previous", "current")
            )
            pyspark_diff.write_diff(previous, current, out)
        spark.stop()
        return {t.value: digest_of_rows(Path(out, t.value).glob("*.csv")) for t in DiffType}


def first_sync(_: Watch, data: str) -> None:
    """Make the bucket with the previous members, as an earlier sync with Spark left it."""
    with tempfile.TemporaryDirectory(dir=data) as work:
        spark = session_of(work)
        previous = spark.read.csv(f"{data}/previous.csv", header=True)
        bucket = Path(data, "bucket")
        sync_frames(cohort(), previous, partial(LocalStorage, bucket), synced_at=START)
        spark.stop()


def sync(setting: Setting) -> Iterator[Row]:
    """Compare a sync with the plain job."""
    rows = 20_000 if setting.small else 2_000_000
    data = setting.folder / f"spark-{rows}"
    if not (data / "bucket").exists():
        data.mkdir(exist_ok=True)
        ids = drawn_ids(rows + rows // 20)
        write_members(data / "previous.csv", ids[:rows])
        write_members(data / "current.csv", ids[rows // 20 :])
        run(Candidate("first_sync", {"data": data}))
    ours, theirs = (Candidate(name, {"data": data}) for name in ("sync_with_spark", "plain_job"))
    compared = Comparison(
        f"sync_frames, {rows:,} rows",
        ours,
        theirs,
        runs=setting.runs,
        variants=VARIANTS[:1] if setting.small else VARIANTS,  # a session takes many seconds
    )
    measure = f"`sync_frames` of {rows:,} rows / a plain job"
    yield Row(f"{measure}, wall", compared.ratios("wall"), (1.3, 1.3))
    yield Row(f"{measure}, CPU", compared.ratios("cpu"))


if __name__ == "__main__":
    main("Spark", __doc__, {"sync": sync}, (sync_with_spark, plain_job, first_sync))
