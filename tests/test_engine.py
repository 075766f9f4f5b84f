"""The default engine: the contract, with ranges of all sizes; and cleaning up."""

import pytest

from amplitude_cohort_s3.engine import PartitionEngine
from amplitude_cohort_s3.testing.engine_contract import DiffEngineContract


class TestDefault(DiffEngineContract):
    @pytest.fixture
    def engine(self):
        return PartitionEngine()


class TestTinyRanges(DiffEngineContract):
    """Everything that large input goes through, on small input."""

    @pytest.fixture(params=[(60, 200), (1000, 3000), (500, 1 << 20)])
    def engine(self, request):
        range_bytes, batch_bytes = request.param
        return PartitionEngine(range_bytes=range_bytes, batch_bytes=batch_bytes)
