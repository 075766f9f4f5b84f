"""What a download from Amplitude's API costs, at the largest cohort that it gives.

Run it with ``nox -s bench``. A fake of the API on this machine serves 2,000,000 users; each
contestant is a process of its own: the download alone, a whole first sync into a folder, and
the script that one would write instead (the answer into memory, ``gzip``, ``csv``, a set of
ids). CPU, wall and peak memory; CPU also as a ratio to the script, median of three rounds.
"""

import argparse
import base64
import csv
import gzip
import hashlib
import io
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from amplitude_cohort_s3 import (
    AmplitudeCohorts,
    CohortSync,
    Destination,
    LocalStorage,
    RowSchema,
    sync_cohort,
)
from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude

COHORT = "26umsb5"


class Users:
    """Made while they are read."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for n in range(self.count):
            yield str(300_000_000_000 + n), hashlib.sha1(b"%d" % n).hexdigest()  # noqa: S324


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a hundredth of the size, for CI")
    parser.add_argument("--as", dest="contestant", choices=sorted(CONTESTANTS))
    parser.add_argument("--base-url")
    arguments = parser.parse_args()
    if arguments.contestant:
        measure(CONTESTANTS[arguments.contestant], arguments.base_url)
        return
    count, rounds_wanted = (20_000, 1) if arguments.small else (2_000_000, 3)
    with FakeAmplitude() as fake:
        fake.polls, fake.url_seconds = 0, 3600
        fake.set_cohort(COHORT, Users(count), size=count)
        rounds = [run_all(fake.base_url) for _ in range(rounds_wanted)]
    print(f"{count:,} users, median of {len(rounds)} rounds")
    print("                CPU s   to script   wall s   peak MB")
    for name in CONTESTANTS:
        cpu, wall, peak = (
            statistics.median(one[name][what] for one in rounds) for what in ("cpu", "wall", "peak")
        )
        ratio = statistics.median(one[name]["cpu"] / one["script"]["cpu"] for one in rounds)
        print(f"{name:12} {cpu:8.2f}   {ratio:8.2f}x  {wall:7.2f}   {peak:7.0f}")


def run_all(base_url: str) -> dict[str, dict[str, float]]:
    """One round: each contestant once."""
    found: dict[str, dict[str, float]] = {}
    for name in CONTESTANTS:
        command = [sys.executable, __file__, "--as", name, "--base-url", base_url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout)
    return found


def measure(contestant: Callable[[str], None], base_url: str) -> None:
    """Run one candidate and print its figures."""
    cpu, wall = time.process_time(), time.perf_counter()
    contestant(base_url)
    print(
        json.dumps(
            {
                "cpu": time.process_time() - cpu,
                "wall": time.perf_counter() - wall,
                "peak": peak_kilobytes() / 1024,
            }
        )
    )


def peak_kilobytes() -> int:
    """Of this process; ``ru_maxrss`` is that of its parent, which serves, if that is more."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def connect(base_url: str) -> AmplitudeCohorts:
    return AmplitudeCohorts("fake-api-key", "fake-secret-key", base_url=base_url)


def download(base_url: str) -> None:
    for _ in connect(base_url).members(COHORT).csv_source(RowSchema()).chunks():
        pass


def sync(base_url: str) -> None:
    job = CohortSync(destination=Destination(name="here"), project_id=123, cohort_id=COHORT)
    with tempfile.TemporaryDirectory() as folder:
        sync_cohort(job, connect(base_url).members(COHORT), LocalStorage(folder))


def script(base_url: str) -> None:
    pair = base64.b64encode(b"fake-api-key:fake-secret-key").decode()

    def get(path: str) -> bytes:
        request = urllib.request.Request(base_url + path)  # noqa: S310
        request.add_unredirected_header("Authorization", f"Basic {pair}")
        with urllib.request.urlopen(request) as response:  # noqa: S310
            return response.read()

    export = json.loads(get(f"/api/5/cohorts/request/{COHORT}"))["request_id"]
    while json.loads(get(f"/api/5/cohorts/request-status/{export}"))["async_status"][4] != "C":
        time.sleep(1)
    text = gzip.decompress(get(f"/api/5/cohorts/request/{export}/file")).decode()
    ids = {row["amplitude_id"] for row in csv.DictReader(io.StringIO(text))}
    assert ids  # noqa: S101


CONTESTANTS = {"download": download, "sync": sync, "script": script}


if __name__ == "__main__":
    main()
