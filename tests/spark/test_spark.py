"""Syncs with Spark: the bytes of the one-machine engine, whatever a task or the driver suffers."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from spark_cohorts import HOUR, START, FailsOnce, a_sync, files, frame, rows

from amplitude_cohort_s3 import (
    DiffType,
    ExistingMeaning,
    LocalStorage,
    MemoryStorage,
    read_head,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    DuplicateKeyError,
    InvalidTextError,
    MassExitError,
    ObjectTooLargeError,
    SyncTimeTakenError,
    TooManyPartsError,
    UnsupportedValueError,
)
from amplitude_cohort_s3.spark import sync_frames

pytestmark = [pytest.mark.servers, pytest.mark.filterwarnings("ignore")]

ROWS = int(os.environ.get("SPARK_ROWS", "20000"))


def on_one_machine(sync, *cohorts):
    storage = MemoryStorage()
    for number, (first, last) in enumerate(cohorts):
        when = START + number * HOUR
        sync_cohort(sync, rows(first, last), storage, synced_at=when, clock=lambda t=when: t)
    return files(storage)


def on_spark(sync, members, storage, number, **more):
    when = START + number * HOUR
    return sync_frames(sync, members, storage, synced_at=when, clock=lambda: when, **more)


def staged(storage):
    return [info.key for info in storage().list_objects("_staging/")]


def test_the_files_are_those_of_the_one_machine_engine(spark, bucket):
    storage, sync = bucket(), a_sync()
    cohorts = [(0, ROWS), (ROWS // 10, ROWS + ROWS // 10)]
    for number, (first, last) in enumerate(cohorts):
        result = on_spark(sync, frame(spark, first, last), storage, number, part_bytes=ROWS * 6)
    expected = on_one_machine(sync, *cohorts)
    assert {k: hash(v) for k, v in files(storage()).items()} == {
        k: hash(v) for k, v in expected.items()
    }
    assert len(result.record.files[DiffType.EXISTING].parts) > 3
    assert result.record.files[DiffType.EXISTING].sha256 is None
    assert staged(storage) == []
    assert read_history(storage(), sync.stream).verify() == ()
    assert "Uploads" not in storage().client.list_multipart_uploads(Bucket=storage().bucket)
    # A repeated run is known, however it would be divided; another one is refused.
    again = on_spark(sync, frame(spark, *cohorts[1]), storage, 1, part_bytes=ROWS * 20)
    assert again.already_done
    assert again.record == result.record
    with pytest.raises(SyncTimeTakenError):
        on_spark(sync, frame(spark, *cohorts[0]), storage, 1)
    assert staged(storage) == []


@pytest.mark.parametrize("existing", list(ExistingMeaning))
def test_both_engines_continue_each_other_under_every_meaning(spark, tmp_path, existing):
    sync, storage = a_sync(existing), partial(LocalStorage, tmp_path / "root")
    cohorts = [(0, 300), (30, 330), (60, 360), (0, 360)]
    sync_cohort(sync, rows(*cohorts[0]), storage(), synced_at=START, clock=lambda: START)
    on_spark(sync, frame(spark, *cohorts[1]), storage, 1, part_bytes=3000)
    on_spark(sync, frame(spark, *cohorts[2]), storage, 2, part_bytes=2000)
    last = START + 3 * HOUR
    sync_cohort(sync, rows(*cohorts[3]), storage(), synced_at=last, clock=lambda: last)
    assert files(storage()) == on_one_machine(sync, *cohorts)
    assert read_history(storage(), sync.stream).verify() == ()


def test_a_task_that_fails_is_tried_again_and_leaves_no_trace(spark, tmp_path):
    storage = FailsOnce(tmp_path / "root")
    result = on_spark(a_sync(), frame(spark, 0, 2000), storage, 0, part_bytes=20_000)
    assert (tmp_path / "root.first").exists()
    assert files(storage()) == on_one_machine(a_sync(), (0, 2000))
    assert result.record.members == 2000
    assert staged(storage) == []


def run(driver, root):
    script = Path(__file__).with_name("spark_cohorts.py")
    command = [sys.executable, script, driver, str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_killed_driver_leaves_nothing_visible_and_a_rerun_completes(spark, tmp_path):
    root, sync = tmp_path / "root", a_sync()
    storage = partial(LocalStorage, root)
    on_spark(sync, frame(spark, 0, 1000), storage, 0)
    before = files(storage())
    child = run("killed_driver", root)
    assert child.returncode == -9, child.stderr[-2000:]
    assert files(storage()) == before
    assert len(staged(storage)) == 3
    assert read_head(storage(), sync.stream).record.synced_at == START
    on_spark(sync, frame(spark, 100, 1100), storage, 1)
    assert files(storage()) == on_one_machine(sync, (0, 1000), (100, 1100))


def test_what_can_not_be_synced_is_told_and_nothing_is_written(spark, tmp_path):
    storage, sync = partial(LocalStorage, tmp_path / "root"), a_sync()
    good = frame(spark, 0, 10)

    def limited(limit):
        found = storage()
        found.__class__ = type("Small", (LocalStorage,), {"max_object_bytes": limit})
        return found

    cases = [
        (ObjectTooLargeError, good, {"storage": partial(limited, 100)}),
        (TooManyPartsError, frame(spark, 0, 2000), {"part_bytes": 4}),
        (ConfigurationError, good, {"staging": "cohorts/1_a_x"}),
        (ConfigurationError, good, {"sync": a_sync(compression="gzip")}),
        (UnsupportedValueError, good.withColumn("plan", good["amplitudeID"].cast("double")), {}),
        (InvalidTextError, good.replace("a,b", "a\0b"), {}),
        (DuplicateKeyError, good.union(good.replace("a,b", "x")), {}),
    ]
    for error, members, more in cases:
        given = {"sync": sync, "storage": storage, "number": 0} | more
        with pytest.raises(error):
            on_spark(given.pop("sync"), members, given.pop("storage"), given.pop("number"), **given)
    assert list(storage().list_objects()) == []
    on_spark(sync, good, storage, 0)
    with pytest.raises(MassExitError):
        on_spark(sync, frame(spark, 0, 5), storage, 1, max_exits=4)
    assert len(files(storage())) == 3
    assert staged(storage) == []


def test_spark_reads_the_files_with_the_documented_options(spark, tmp_path):
    storage = partial(LocalStorage, tmp_path / "root")
    result = on_spark(a_sync(), frame(spark, 0, 100), storage, 0)
    # Hadoop's local file system takes no colon at all; those of the stores do, in exact names.
    path = tmp_path / "existing.csv"
    (tmp_path / "root" / result.record.files[DiffType.EXISTING].key).rename(path)
    read = spark.read.options(header=True, multiLine=True, escape='"', quote='"')
    found = read.csv(str(path)).na.fill("").collect()
    assert sorted(map(tuple, found)) == sorted(rows(0, 100))
