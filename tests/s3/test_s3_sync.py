"""Whole syncs on S3 servers: end to end, in a race, and when the server goes away."""

import multiprocessing
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from servers import Server
from test_s3_requests import Counted

from amplitude_cohort_s3 import (
    CohortS3Error,
    CohortSync,
    Destination,
    ExistingMeaning,
    MemoryStorage,
    S3Storage,
    detect_existing_meaning,
    diff_members,
    read_head,
    read_history,
    recover,
    sync_cohort,
)
from amplitude_cohort_s3.sync import commit, plan_sync
from amplitude_cohort_s3.testing.faulty_proxy import FaultyProxy, NetworkFault

pytestmark = pytest.mark.servers

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_sync(**destination: Any) -> CohortSync:
    return CohortSync(
        destination=Destination(name="s3", path="cohorts", **destination),
        project_id=1,
        cohort_id="abc",
    )


def members(first: int, count: int) -> list[tuple[str, str]]:
    return [(str(n), f"user {n}") for n in range(first, first + count)]


@pytest.fixture(params=["moto", "radosgw", "ministack"])
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("meaning", list(ExistingMeaning))
def test_syncs_come_back_as_a_history(server: Server, meaning: ExistingMeaning, compression: Any):
    storage = S3Storage(server.new_bucket(), client=server.client())
    sync = a_sync(existing=meaning, compression=compression)
    cohorts = [members(0, 10), members(3, 10), [], members(5, 3)]
    for number, cohort in enumerate(cohorts):
        sync_cohort(sync, cohort, storage, synced_at=START + number * HOUR, guard=False)
    history = read_history(S3Storage(storage.bucket, client=server.client()), sync.stream)
    assert [list(history.members_at(one)) for one in history] == [sorted(c) for c in cohorts]
    assert [one.returned for one in history.churn()] == [0, 0, 0, 3]
    assert detect_existing_meaning(history) == {meaning}
    assert history.verify() == ()


@pytest.mark.parametrize("syncs", [3, 100])
def test_the_requests_of_a_sync_do_not_grow_with_the_history(moto: Server, syncs: int):
    # The history is written in memory, which is quick, and copied.
    written = MemoryStorage()
    for number in range(syncs):
        sync_cohort(a_sync(), members(number, 10), written, synced_at=START + number * HOUR)
    storage = S3Storage(moto.new_bucket(), client=moto.client())
    with ThreadPoolExecutor(8) as pool:
        keys = [info.key for info in written.list_objects()]
        list(pool.map(lambda key: storage.create(key, written.open(key).read()), keys))
    counted = Counted(storage)
    sync, later = a_sync(), START + syncs * HOUR

    sync_cohort(sync, members(syncs, 10), storage, synced_at=later)
    cold = counted.take()
    assert len(cold) <= 22

    head = read_head(storage, sync.stream)
    assert head is not None
    counted.take()
    with diff_members(head.members(), members(syncs, 10), schema=sync.schema) as diff:
        plan = plan_sync(sync, diff, synced_at=later + HOUR, previous=head)
        commit(plan, diff, storage)
    assert len(counted.take()) <= 15


def race(url: str, bucket: str, keys: tuple[str, str], writer: int) -> list[str]:
    """A process that syncs ten times and reports the result of each sync."""
    server = Server(name="raced", url=url, access_key=keys[0], secret_key=keys[1])
    storage = S3Storage(bucket, client=server.client())
    said = list[str]()
    for attempt in range(4):
        try:
            result = sync_cohort(
                a_sync(), members(writer * 100 + attempt, 10), storage, guard=False
            )
            said.append(f"done {result.record.number}")
        except CohortS3Error as error:
            said.append(type(error).__name__)
    return said


def test_of_ten_racing_processes_each_record_has_one_winner(radosgw: Server):
    bucket = radosgw.new_bucket()
    storage = S3Storage(bucket, client=radosgw.client())
    storage.create("past/the/probe", b"")
    keys = (radosgw.access_key, radosgw.secret_key)
    with multiprocessing.get_context("spawn").Pool(10) as pool:
        said = pool.starmap(race, [(radosgw.url, bucket, keys, writer) for writer in range(10)])
    outcomes = [one for per_writer in said for one in per_writer]
    done = sorted(int(one.split()[1]) for one in outcomes if one.startswith("done"))
    assert len(done) == len(set(done)) >= 1, outcomes
    assert {one for one in outcomes if not one.startswith("done")} <= {
        "ConcurrentSyncError",
        "SyncVoidError",
    }
    recover(storage, a_sync().stream)
    history = read_history(storage, a_sync().stream)
    assert len(history) >= len(done)
    assert history.verify() == ()
    uploads = radosgw.client().list_multipart_uploads(Bucket=bucket)
    assert uploads.get("Uploads", []) == []


@pytest.fixture
def proxy(radosgw: Server) -> Generator[FaultyProxy]:
    with FaultyProxy(radosgw.url) as proxy:
        yield proxy


@pytest.mark.parametrize("requests", range(1, 19))
def test_a_sync_that_lost_its_server_is_finished_by_another_process(
    radosgw: Server, proxy: FaultyProxy, requests: int
):
    """Cut after each of the requests that a sync needs."""
    bucket = radosgw.new_bucket()
    direct = S3Storage(bucket, client=radosgw.client())
    sync_cohort(a_sync(), members(0, 10), direct, synced_at=START)
    cut_off = S3Storage(bucket, client=radosgw.client(proxy.url, retries={"total_max_attempts": 1}))
    cut_off.create("past/the/probe", b"")
    proxy.clear_faults()
    proxy.cause(NetworkFault.RESET_BEFORE, first=requests + 1, times=1_000_000)
    with pytest.raises((CohortS3Error, OSError)):
        sync_cohort(a_sync(), members(5, 10), cut_off, synced_at=START + HOUR)

    elsewhere = S3Storage(bucket, client=radosgw.client())
    result = sync_cohort(a_sync(), members(5, 10), elsewhere, synced_at=START + HOUR)
    history = read_history(elsewhere, a_sync().stream)
    assert [one.synced_at for one in history] == [START, START + HOUR]
    assert list(history.members_at(history[1])) == sorted(members(5, 10))
    assert history.verify() == ()
    assert result.record.synced_at == START + HOUR
