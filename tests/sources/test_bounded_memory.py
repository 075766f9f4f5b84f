"""Sources that are much larger than the memory they may take."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is elsewhere there")

# Few rows, so that they are read fast, of large cells.
TABLES = """
import pyarrow as pa

ROWS = 6_000


def table(part):
    ids = list(map(str, range(part * ROWS, part * ROWS + ROWS)))
    wide = [f"{id_}-{'x' * 1500}" for id_ in ids]
    return pa.table({"amplitude_id": ids, "user_id": wide, "plan": wide, "other": wide})
"""

WRITE = f"""
import sys

import pyarrow.parquet as pq
{TABLES}
for folder, parts in zip(sys.argv[1:], (3, 14)):
    for part in range(parts):
        pq.write_table(table(part), f"{{folder}}/{{part:03}}.parquet")
"""

READ = f"""
import re
import sys

from amplitude_cohort_s3 import RowSchema
from amplitude_cohort_s3.sources import MemberFiles, select
from amplitude_cohort_s3.sources.rows import as_csv
{TABLES}
SCHEMA = RowSchema(properties=("plan",))


def source(kind, folder, parts):
    match kind:
        case "dataset":
            import pyarrow.dataset as ds

            return ds.dataset(folder)
        case "files":
            return MemberFiles(folder)
        case "selection":
            where = {{"other": lambda text: text[0] != "9"}}
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
read(kind, small, 3)
before = peak()
print(read(kind, large, 14), peak() - before)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of files, the second nearly five times as large."""
    folders = [tmp_path_factory.mktemp(name) for name in ("small", "large")]
    run(WRITE, *folders)
    return folders


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["dataset", "files", "selection", "frames"])
def test_many_times_the_rows_take_no_more_memory(kind, folders):
    size, growth = map(int, run(READ, kind, *folders).split())
    assert growth < size / 2 > 50, (growth, size)
