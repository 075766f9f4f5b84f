"""Syncs into an S3 server, killed with SIGKILL at random moments; none is lost or done twice."""

from functools import partial

import pytest
from killing import kill_often
from servers import Server

from amplitude_cohort_s3 import S3Storage

pytestmark = pytest.mark.servers

ROUNDS = 25


def opened(server: Server, bucket: str) -> S3Storage:
    return S3Storage(bucket, client=server.client(), settling_time=0.2)


def test_killed_syncs_into_a_bucket_are_finished(radosgw: Server, record_property):
    counts = kill_often(lambda: partial(opened, radosgw, radosgw.new_bucket()), ROUNDS)
    # The number of killed syncs depends on the load of the machine. It must not be 0.
    assert counts["killed"] > ROUNDS / 10
    record_property("cases", counts["rounds"])
