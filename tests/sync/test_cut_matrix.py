"""The cut matrix of the storages in memory and in a folder; that of S3 is in tests/s3."""

from itertools import count

import pytest

from amplitude_cohort_s3 import LocalStorage, MemoryStorage
from amplitude_cohort_s3.testing.cut_matrix import CutMatrix


class TestMemoryCut(CutMatrix):
    @pytest.fixture
    def new_storage(self):
        return MemoryStorage


class TestLocalCut(CutMatrix):
    @pytest.fixture
    def new_storage(self, tmp_path):
        numbers = count()
        return lambda: LocalStorage(tmp_path / str(next(numbers)))
