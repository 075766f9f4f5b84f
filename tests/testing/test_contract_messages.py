"""A failing contract explains itself: it shows the values that it compared."""

import subprocess
import sys

WRONG_STORAGE = """
import pytest

from amplitude_cohort_s3 import MemoryStorage
from amplitude_cohort_s3.storage import StagedState
from amplitude_cohort_s3.testing.storage_contract import StorageContract


class Wrong(MemoryStorage):
    def inspect(self, staged, /):
        found = super().inspect(staged)
        return StagedState.PUBLISHED if found is StagedState.TAKEN else found


class TestWrong(StorageContract):
    @pytest.fixture
    def storage(self):
        return Wrong()
"""


def test_a_failing_contract_shows_the_values_that_differ(tmp_path):
    (tmp_path / "test_wrong.py").write_text(WRONG_STORAGE)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-k", "publish_never_overwrites"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "assert <StagedState.PUBLISHED: 'published'> in {<StagedState" in ended.stdout
