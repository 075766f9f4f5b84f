"""The sample bucket is consistent and reproducible, and reads the same with and without a log."""

import pytest

from amplitude_cohort_s3 import DiffType, MemoryStorage, list_streams, read_history
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.sample_bucket import fill_bucket


def contents(storage):
    csv = (info.key for info in storage.list_objects() if info.key.endswith(".csv"))
    return {key: storage.open(key).read() for key in csv}


@pytest.fixture(scope="module")
def logged():
    storage = MemoryStorage()
    return storage, fill_bucket(storage, syncs=9, members=400)


def test_its_syncs_are_complete_and_consistent(logged):
    storage, stream = logged
    state = assert_invariants(storage, stream)
    assert len(state.published) == 9
    assert read_history(storage, stream).verify() == ()


def test_it_has_the_cases_that_are_hard_for_readers(logged):
    storage, stream = logged
    churn = read_history(storage, stream).churn()
    assert all(row.entered and row.exited for row in churn[1:])
    assert any(row.returned for row in churn)
    data = contents(storage)[f"cohorts/123_26umsb5_2026-11-01T06:30_{DiffType.EXISTING}.csv"]
    assert b'"enterprise, annual"' in data
    assert '"Côte d""Ivoire"'.encode() in data


def test_it_is_reproducible_and_depends_on_the_seed(logged):
    storage, _ = logged
    same, other = MemoryStorage(), MemoryStorage()
    fill_bucket(same, syncs=9, members=400)
    fill_bucket(other, syncs=9, members=400, seed=1)
    assert contents(same) == contents(storage)
    assert contents(other) != contents(storage)


def test_it_has_the_same_files_without_a_log(logged):
    storage, stream = logged
    as_amplitude = MemoryStorage()
    assert fill_bucket(as_amplitude, syncs=9, members=400, logged=False) == stream
    assert contents(as_amplitude) == contents(storage)
    assert len(contents(storage)) == len(list(as_amplitude.list_objects())) == 27
    (found,) = list_streams(as_amplitude)
    assert (found.syncs, found.has_log) == (9, False)
    assert read_history(as_amplitude, stream).verify() == ()
