"""Runs killed with SIGKILL at random times: the next run continues, and nothing is lost."""

import random
import time

import pytest
import sqlalchemy as sa
from databases import log, new_url, stays
from histories import history_until
from killing import CONTEXT

from amplitude_cohort_s3 import LocalStorage, read_history
from amplitude_cohort_s3.sql import apply
from amplitude_cohort_s3.testing.small_cohort import STREAM, sync_ids

SYNCS = 8
KILLS = 6


def child(bucket: str, url: str, parent) -> None:
    history = read_history(LocalStorage(bucket), STREAM)
    engine = sa.create_engine(url)
    parent.send("begun")
    apply(history, engine)
    parent.send("ended")


@pytest.mark.parametrize(
    "kind", [pytest.param("psycopg", marks=pytest.mark.servers), "sqlite", "duckdb"]
)
def test_killed_runs_leave_complete_syncs(kind, tmp_path, request, record_property):
    storage = LocalStorage(tmp_path / "bucket")
    chance = random.Random(20261124)
    for number in range(SYNCS):
        sync_ids(storage, chance.sample(range(400), 200), number)
    history = read_history(storage, STREAM)
    whole, logs = uninterrupted(history, new_url(kind, tmp_path, request))
    duration = time_of_a_run(history, new_url(kind, tmp_path, request))

    killed = rounds = 0
    while killed < KILLS:
        url = new_url(kind, tmp_path, request)
        applied = 0
        while applied < SYNCS and killed < KILLS:
            ours, its = CONTEXT.Pipe()
            process = CONTEXT.Process(target=child, args=(str(tmp_path / "bucket"), url, its))
            process.start()
            its.close()
            assert ours.poll(60)
            assert ours.recv() == "begun"
            time.sleep(chance.uniform(0, duration * 1.1))
            process.kill()
            process.join()
            rounds += 1
            engine = sa.create_engine(url)
            before, applied = applied, len(log(engine))
            assert stays(engine) == whole[applied]
            assert log(engine) == logs[applied]
            assert applied >= before
            killed += applied < SYNCS
            engine.dispose()
        engine = sa.create_engine(url)
        apply(history, engine)
        assert (stays(engine), log(engine)) == (whole[-1], logs[-1])
        engine.dispose()
    record_property("cases", rounds)


def uninterrupted(history, url):
    """Return the tables before the first sync and after each."""
    engine = sa.create_engine(url)
    whole, logs = [[]], [[]]
    for number in range(1, SYNCS + 1):
        apply(history_until(history, number), engine)
        whole.append(stays(engine))
        logs.append(log(engine))
    engine.dispose()
    return whole, logs


def time_of_a_run(history, url):
    engine = sa.create_engine(url)
    begun = time.perf_counter()
    apply(history, engine)
    engine.dispose()
    return time.perf_counter() - begun
