"""The storages in which most tests of this folder run."""

import pytest

from amplitude_cohort_s3 import LocalStorage, MemoryStorage, Storage


@pytest.fixture(params=["memory", "local"])
def storage(request, tmp_path) -> Storage:
    if request.param == "memory":
        return MemoryStorage()
    return LocalStorage(tmp_path / "root")
