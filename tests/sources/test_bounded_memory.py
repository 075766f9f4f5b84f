"""Sources that are much larger than the memory they may take."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is elsewhere there")

READ = """
import re
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from amplitude_cohort_s3 import RowSchema
from amplitude_cohort_s3.sources import MemberFiles, select
from amplitude_cohort_s3.sources.rows import as_csv

ROWS = 50_000
SCHEMA = RowSchema(properties=("plan",))


def table(part):
    ids = list(map(str, range(part * ROWS, part * ROWS + ROWS)))
    wide = [f"{id_}-{'x' * 100}" for id_ in ids]
    return pa.table({"amplitude_id": ids, "user_id": wide, "plan": wide, "other": wide})


def files(folder, parts):
    for part in range(parts):
        pq.write_table(table(part), f"{folder}/{part:03}.parquet")


def source(kind, folder, parts):
    match kind:
        case "dataset":
            return ds.dataset(folder)
        case "files":
            return MemberFiles(folder)
        case "selection":
            where = {"other": lambda text: text[0] != "9"}
            return select(folder, where=where, hash=["plan"], secret="s")
        case "frames":
            return (table(part).to_pandas() for part in range(parts))


def peak():
    # (ru_maxrss would be at least that of the process that started this one.)
    with open("/proc/self/status") as file:
        return int(re.search(r"VmHWM:\\s+(\\d+)", file.read())[1]) >> 10


def read(kind, folder, parts):
    members = as_csv(source(kind, folder, parts), SCHEMA, fill=False)
    return sum(map(len, members.chunks())) >> 20


kind, small, large = sys.argv[1:]
files(small, 3)
files(large, 14)
read(kind, small, 3)
before = peak()
print(read(kind, large, 14), peak() - before)
"""


@pytest.mark.parametrize("kind", ["dataset", "files", "selection", "frames"])
def test_many_times_the_rows_take_no_more_memory(kind, tmp_path):
    folders = [tmp_path / "small", tmp_path / "large"]
    for folder in folders:
        folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", READ, kind, *map(str, folders)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    size, growth = map(int, done.stdout.split())
    assert growth < size / 2 > 50, (growth, size)
