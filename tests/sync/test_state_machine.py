"""Writers, readers, recoveries and crashes in random order, in memory and in a folder."""

from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings

from amplitude_cohort_s3 import LocalStorage, MemoryStorage
from amplitude_cohort_s3.testing.state_machine import StreamMachine

ORDERS = 30
STEPS = 15
SETTINGS = settings(
    max_examples=ORDERS,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class MemoryMachine(StreamMachine):
    def new_storage(self):
        return MemoryStorage()


class LocalMachine(StreamMachine):
    def new_storage(self):
        self.folder = TemporaryDirectory()
        return LocalStorage(self.folder.name)

    def teardown(self):
        super().teardown()
        self.folder.cleanup()


TestMemoryInAnyOrder = MemoryMachine.TestCase
TestMemoryInAnyOrder.settings = SETTINGS
TestLocalInAnyOrder = LocalMachine.TestCase
TestLocalInAnyOrder.settings = settings(SETTINGS, max_examples=ORDERS // 2)
