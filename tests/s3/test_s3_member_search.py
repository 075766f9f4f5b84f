"""The history of one user reads small parts of large files, with few requests."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from servers import Server

from amplitude_cohort_s3 import CohortSync, Destination, DiffType, UserProperty, read_history
from amplitude_cohort_s3.errors import ObjectChangedError
from amplitude_cohort_s3.storage.s3.storage import S3Storage
from amplitude_cohort_s3.sync import sync_cohort

pytestmark = pytest.mark.servers

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 60_000
PLANS = ("free", 'the "best", so far', "two\nlines")
SYNC = CohortSync(
    destination=Destination(name="d", path="in"),
    project_id=1,
    cohort_id="a",
    user_properties=(UserProperty("plan"),),
)


def sync_days(storage: S3Storage, keys: list[str]) -> None:
    """Sync two days, at which every third user is absent; every tenth cell has quotes."""
    for day in range(2):
        rows = [
            (key, "a long name " * 15, PLANS[n % 10 if n % 10 < len(PLANS) else 0])
            for n, key in enumerate(keys)
            if n % 3 != day
        ]
        sync_cohort(SYNC, rows, storage, synced_at=START + timedelta(days=day), guard=False)


def test_a_large_file_takes_a_handful_of_requests(radosgw: Server):
    storage = S3Storage(radosgw.new_bucket(), client=radosgw.client())
    chosen = random.Random(2)
    keys = sorted(str(n) for n in chosen.sample(range(10**11, 10**12), ROWS))
    sync_days(storage, keys)
    history = read_history(storage, SYNC.stream)
    sizes = {info.key: info.size for sync in history for info in sync.files.values()}
    large = [key for key, size in sizes.items() if size > 3 << 20]
    assert len(large) >= 5
    seen: list[tuple[str, str | None]] = []
    storage.client.meta.events.register(
        "provide-client-params.s3.GetObject",
        lambda params, **_: seen.append((params["Key"], params.get("Range"))),
    )
    expected = {0: [(1, None)], 1: [(0, 1)], 2: [(0, None)]}
    for n in [0, 1, 2, *chosen.sample(range(ROWS), 9), ROWS - 1]:
        seen.clear()
        stays = history.member_history(keys[n])
        days = [(s.entered, s.exited) for s in stays]
        times = [START, START + timedelta(days=1)]
        assert days == [(times[i], None if o is None else times[o]) for i, o in expected[n % 3]]
        assert stays[0].row[0] == keys[n]
        for key in large:
            assert sum(one == key for one, _ in seen) <= 7
    assert history.member_history("5") == history.member_history("") == []


def test_a_file_that_is_replaced_during_the_search_is_read(moto: Server):
    storage = S3Storage(moto.new_bucket(), client=moto.client())
    keys = [str(10**11 + n) for n in range(ROWS)]
    sync_days(storage, keys)
    history = read_history(storage, SYNC.stream)
    key = history[0].files[DiffType.ENTERING].key
    with storage.open(key) as stream:
        data = stream.read()

    def replace(params: dict[str, Any], **_: object) -> None:
        if params["Key"] == key and "Range" in params:
            moto.client().put_object(Bucket=storage.bucket, Key=key, Body=data[:-1] + b"!\n")

    storage.client.meta.events.register("provide-client-params.s3.GetObject", replace)
    with pytest.raises(ObjectChangedError):
        history.member_history(keys[ROWS // 2])
