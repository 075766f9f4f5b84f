"""The work of a run over many streams, and of a verification, grows in proportion to them."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from forgetting import LATER, sync_all

from amplitude_cohort_s3 import (
    Cadence,
    CohortSync,
    Destination,
    LocalStorage,
    MemoryStorage,
    prune,
    read_history,
    run_due,
)
from amplitude_cohort_s3.sync import JobOutcome
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Counting(MemoryStorage):
    """Another storage, with the names of the calls and their arguments."""

    def __init__(self, storage):
        self.storage = storage
        self.calls = list[tuple[str, str]]()

    def list_objects(self, prefix="", /, **more):
        self.calls.append(("list", prefix))
        return self.storage.list_objects(prefix, **more)

    def open(self, key, /):
        self.calls.append(("open", key))
        return self.storage.open(key)


def jobs_of(count):
    destination = Destination(name="d", path="cohorts")
    return [
        (
            CohortSync(
                destination=destination, project_id=1, cohort_id=f"c{n}", cadence=Cadence.HOURLY
            ),
            [("1", "ann")],
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [3, 9])
def test_a_stream_that_is_not_due_costs_one_listing_and_one_read_of_its_log(count):
    storage, jobs = MemoryStorage(), jobs_of(count)
    run_due(jobs, storage, NOON)
    counting = Counting(storage)
    report = run_due(jobs, counting, NOON + timedelta(minutes=30))
    assert {one.outcome for one in report} == {JobOutcome.NOT_DUE}
    listed = [prefix for name, prefix in counting.calls if name == "list"]
    assert sorted(listed) == sorted(sync.stream.log_prefix for sync, _ in jobs)
    assert len(counting.calls) == 2 * count


def test_a_run_reads_no_more_of_a_folder_with_many_streams(tmp_path, monkeypatch):
    seen = 0
    scandir = os.scandir

    class Entries:
        def __init__(self, path):
            self.entries = scandir(path)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.entries.close()

        def __iter__(self):
            nonlocal seen
            for entry in self.entries:
                seen += 1
                yield entry

    counts = []
    for count in (4, 16):
        storage, jobs = LocalStorage(tmp_path / str(count)), jobs_of(count)
        run_due(jobs, storage, NOON)
        with monkeypatch.context() as patch:
            patch.setattr("os.scandir", Entries)
            seen = 0
            run_due(jobs, storage, NOON + timedelta(minutes=30))
        counts.append(seen / count)
    assert counts == [2, 2]  # The record and its outcome.


@pytest.mark.parametrize("keep", ["changes", "nothing"])
def test_the_reads_of_a_verification_are_in_proportion_to_the_syncs(keep):
    calls = []
    for count in (6, 12, 24):
        storage = MemoryStorage()
        sync_all(storage, [{1, number + 2} for number in range(count)])
        prune(storage, STREAM, before=moment(count), keep=keep, clock=LATER)
        counting = Counting(storage)
        assert read_history(counting, STREAM).verify() == ()
        assert sum(name == "list" for name, _ in counting.calls) == 2
        calls.append(len(counting.calls))
    assert calls[2] - calls[1] == 2 * (calls[1] - calls[0])
    assert calls[2] <= 12 * 24
