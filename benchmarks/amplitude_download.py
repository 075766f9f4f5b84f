"""Downloads from Amplitude's API, compared with a script of the standard library.

    python benchmarks/amplitude_download.py [--small] [--runs 3] [--table FILE]

A fake of the API on this machine serves 2,000,000 users, the largest cohort of the API. The
script is ``scripts/urllib_download.py``: it keeps everything in memory, and writes nothing. The
measurement begins after the imports; the ratio is of CPU.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

from measuring import Candidate, Comparison, Row, Setting, Watch, main

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
KEYS = ("fake-api-key", "fake-secret-key")


class Users:
    """Users that are made while they are read."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for n in range(self.count):
            yield str(300_000_000_000 + n), hashlib.sha1(b"%d" % n).hexdigest()  # noqa: S324


# --- The candidates: each runs in a process of its own ---------------------------------------


def download(watch: Watch, base_url: str) -> Any:
    """Download the cohort as CSV."""
    source = AmplitudeCohorts(*KEYS, base_url=base_url).members(COHORT).csv_source(RowSchema())
    with watch:
        # Each row has one line end, and so has the header.
        lines = sum(chunk.count(b"\n") for chunk in source.chunks())
    return lines - 1


def first_sync(watch: Watch, base_url: str) -> Any:
    """Download the cohort, and sync it into an empty folder."""
    job = CohortSync(destination=Destination(name="here"), project_id=123, cohort_id=COHORT)
    cohorts = AmplitudeCohorts(*KEYS, base_url=base_url)
    with tempfile.TemporaryDirectory() as folder, watch:
        result = sync_cohort(job, cohorts.members(COHORT), LocalStorage(folder))
    return result.record.members


def script(watch: Watch, base_url: str) -> Any:
    """Download the ids with the script."""
    from scripts import urllib_download

    with watch:
        ids = urllib_download.download_ids(base_url, COHORT, *KEYS)
    return len(ids)


CANDIDATES = (download, first_sync, script)


# --- The parts -------------------------------------------------------------------------------


def downloads(setting: Setting) -> Iterable[Row]:
    """Compare a download alone, and a whole first sync, with the script."""
    count = 20_000 if setting.small else 2_000_000
    with FakeAmplitude() as fake:
        fake.polls, fake.url_seconds = 0, 3600
        fake.set_cohort(COHORT, Users(count), size=count)
        options = {"base_url": fake.base_url}
        for name, what in {"download": "download", "first_sync": "download and first sync"}.items():
            measure = f"{what} of {count:,} users"
            ours, theirs = Candidate(name, options), Candidate("script", options)
            compared = Comparison(measure, ours, theirs, runs=setting.runs)
            yield Row(f"{measure} / the standard library, CPU", compared.ratios("cpu"))
            yield Row(f"{measure}, peak memory", compared.medians("mb"), unit="MB")


if __name__ == "__main__":
    main("Downloads from Amplitude", __doc__, {"downloads": downloads}, CANDIDATES)
