"""What reading costs: names in a listing, and intervals over a long history.

Run it with ``nox -s bench``. Names: CPU against one regular-expression match and one
``datetime.fromisoformat`` each, side by side, median of five. Intervals: 200 syncs of
1,000,000 members with 1 % churn, of which the bucket keeps the first ``entering``, the
newest ``existing`` and the changes; CPU, and the peak memory of a process of its own.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from amplitude_cohort_s3 import (
    CohortFileName,
    CohortStream,
    DiffType,
    LocalStorage,
    NameStyle,
    RowSchema,
    read_history,
)
from amplitude_cohort_s3.format._grammar import FILE_NAME

STREAM = CohortStream(project_id=123, cohort_id="26umsb5", path="cohorts")
SCHEMA = RowSchema(properties=("plan",))
START = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a hundredth of the size, for CI")
    parser.add_argument(
        "--read", help="only read the intervals of this folder, and say what it took"
    )
    arguments = parser.parse_args()
    if arguments.read:
        read_intervals(arguments.read)
        return
    size = 100 if arguments.small else 1
    names(100_000 // size)
    with tempfile.TemporaryDirectory() as folder:
        write_bucket(folder, members=1_000_000 // size, syncs=200 if size == 1 else 20)
        subprocess.run([sys.executable, __file__, "--read", folder], check=True)


def names(count: int) -> None:
    """CPU of parsing keys, as a ratio to the two steps that nobody can leave out."""
    keys = [
        STREAM.name(START + timedelta(hours=n), diff_type, NameStyle()).key(STREAM.path)
        for n in range(count // 3)
        for diff_type in DiffType
    ]

    def floor() -> None:
        for key in keys:
            name = key.rpartition("/")[2]
            FILE_NAME.fullmatch(name)
            datetime.fromisoformat(name[12:28])

    def ours() -> None:
        for key in keys:
            CohortFileName.from_key(key)

    ratios = sorted(cpu(ours) / cpu(floor) for _ in range(5))
    print(f"names: {len(keys):,} keys, CPU {statistics.median(ratios):.2f}x match + fromisoformat")


def cpu(run: Callable[[], None]) -> float:
    """Seconds of CPU."""
    before = time.process_time()
    run()
    return time.process_time() - before


def write_bucket(folder: str, *, members: int, syncs: int) -> None:
    """Return a bucket of a stream without a log, with one snapshot."""
    storage = LocalStorage(folder)
    churn = members // 100
    for number in range(syncs):
        came = range(members + (number - 1) * churn, members + number * churn)
        write(storage, number, DiffType.ENTERING, range(members) if number == 0 else came)
        left = range((number - 1) * churn, number * churn) if number else range(0)
        write(storage, number, DiffType.EXITING, left)
    last = (syncs - 1) * churn
    write(storage, syncs - 1, DiffType.EXISTING, range(last, last + members))


def write(storage: LocalStorage, number: int, diff_type: DiffType, users: range) -> None:
    """One file of the bucket."""
    when = START + timedelta(days=number)
    key = STREAM.name(when, diff_type, NameStyle()).key(STREAM.path)
    rows = ((str(300_000_000_000 + n), f"user{n}@example.com", "pro") for n in users)
    storage.publish(storage.stage(key, SCHEMA.encode(rows)))


def read_intervals(folder: str) -> None:
    """Read the intervals and print the figures."""
    history = read_history(LocalStorage(folder), STREAM)
    before = time.process_time()
    stays = sum(1 for _ in history.intervals())
    seconds = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"intervals: {len(history)} syncs, {stays:,} stays, CPU {seconds:.1f} s, "
        f"peak memory {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
