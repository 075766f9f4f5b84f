"""Several writers, readers, recoverers and crashes in any order, over a bucket."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from servers import Server

from amplitude_cohort_s3 import S3Storage
from amplitude_cohort_s3.testing.cut_matrix import CutMatrix, dies
from amplitude_cohort_s3.testing.state_machine import StreamMachine

pytestmark = pytest.mark.servers

ORDERS = 4
STEPS = 8


def test_syncs_into_a_bucket_in_any_order(moto: Server, record_property):
    client = moto.client()

    class Machine(StreamMachine):
        def new_storage(self) -> S3Storage:
            return S3Storage(moto.new_bucket(), client=client, settling_time=0.02)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=ORDERS,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    record_property("cases", ORDERS * STEPS)


class TestMotoCut(CutMatrix):
    """A process that dies, at each call; the other storages meet the other failures too."""

    failures = (dies,)
    moments = ("after",)
    own_log = (False,)
    # These would take minutes; the machine recovers, and reads after each step. Damaged data is
    # detected above the storage.
    test_damaged_data_is_detected_or_does_not_matter = None
    test_a_recovery_that_fails_at_any_call_loses_nothing = None
    test_after_any_failure_a_reader_sees_the_old_state_or_the_new = None
    test_a_void_first_sync_does_not_block_the_minute_that_it_left_files_in = None

    @pytest.fixture
    def new_storage(self, moto: Server):
        client = moto.client()
        return lambda: S3Storage(moto.new_bucket(), client=client, settling_time=0.02)
