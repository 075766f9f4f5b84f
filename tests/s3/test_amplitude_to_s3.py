"""From Amplitude's API into a bucket and back to intervals, with faults on both sides."""

import logging
import random
from datetime import timedelta
from typing import Any

import pytest
from amplitude_fakes import START, STEPS, Time, assert_no_secret_in, connect
from servers import Server

from amplitude_cohort_s3 import (
    CohortS3Error,
    CohortSync,
    Destination,
    Member,
    S3Storage,
    UserProperty,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude
from amplitude_cohort_s3.testing.faulty_proxy import FaultyProxy, NetworkFault

pytestmark = pytest.mark.servers

SYNC = CohortSync(
    destination=Destination(name="s3", path="cohorts", compression="gzip"),
    project_id=123,
    cohort_id="26umsb5",
    user_properties=(UserProperty("plan"),),
)
DAYS = 3
FAULTS: list[dict[str, Any]] = [
    {"fault": NetworkFault.RESET_BEFORE},
    {"fault": NetworkFault.LOSE_ANSWER},
    {"fault": NetworkFault.CUT_BODY},
    {"fault": NetworkFault.ERROR_BEFORE, "status": 503},
    {"fault": NetworkFault.ERROR_AFTER, "status": 500, "code": "InternalError"},
]


def cohort_of(day: int) -> list[Member]:
    """Return the members of a day: 30 leave and 20 enter each day; many cells need quotes."""
    return [
        Member(str(300_000_000_000 + n), f"user, {n}" if n % 3 else "", {"plan": f'"{n % 2}"'})
        for n in range(30 * day, 2_000 + 20 * day)
    ]


def rows(members: list[Member]) -> list[tuple[str, ...]]:
    return sorted(SYNC.schema.row(member) for member in members)


@pytest.mark.parametrize("seed", range(2))
def test_a_pipeline_with_faults_on_both_sides_loses_nothing(
    radosgw: Server, caplog: Any, seed: int
):
    caplog.set_level(logging.DEBUG, logger="urllib3")
    chosen = random.Random(seed)
    passing = Time()
    bucket = radosgw.new_bucket()
    told = ""
    with FakeAmplitude(clock=passing.clock) as fake, FaultyProxy(radosgw.url) as proxy:
        fake.inline_bytes = chosen.choice([0, 1 << 30])
        fake.packing = chosen.choice(["gzip", "none"])
        amplitude = connect(fake, passing)
        client = radosgw.client(proxy.url, retries={"total_max_attempts": 2, "mode": "standard"})
        storage = S3Storage(bucket, client=client, settling_time=0.2)
        for day in range(DAYS):
            passing.seconds = day * 86_400.0
            fake.set_cohort("26umsb5", cohort_of(day))
            for _ in range(3):
                fake.cause(**chosen.choice(FAULTS), path=chosen.choice(list(STEPS.values())))
                proxy.cause(**chosen.choice(FAULTS), path=bucket, first=chosen.randint(1, 12))
            for _ in range(8):  # as a scheduler does: the same run again until it is done
                try:
                    result = sync_cohort(
                        SYNC,
                        amplitude.members("26umsb5"),
                        storage,
                        synced_at=START + timedelta(days=day),
                        clock=passing.clock,
                    )
                except CohortS3Error as error:
                    told += f"{error!r} {error} {error.__cause__!r}"
                    continue
                told += f"{result} {result!r} {result.record.to_bytes()!r}"
                break
            else:
                pytest.fail(f"day {day} was never done")
        assert not fake.limited
        assert_no_secret_in(fake, told + caplog.text)

    honest = S3Storage(bucket, client=radosgw.client())
    history = read_history(honest, SYNC.stream)
    assert [list(history.members_at(one)) for one in history] == [
        rows(cohort_of(day)) for day in range(DAYS)
    ]
    assert history.verify() == ()
    stays = list(history.intervals())
    # A user who left on the second day, and one who entered last and stays.
    left_at = {stay.row[0]: stay.exited for stay in stays}
    assert left_at["300000000000"] == START + timedelta(days=1)
    assert left_at[str(300_000_000_000 + 2_000 + 20 * (DAYS - 1) - 1)] is None
    assert len(stays) == 2_000 + 20 * (DAYS - 1)
    stored = [honest.open(info.key).read() for info in honest.list_objects()]
    with FakeAmplitude() as same_keys:
        assert_no_secret_in(same_keys, repr(stored))
