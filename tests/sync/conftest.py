"""The storages in which most tests of this folder run."""

import pytest

from amplitude_cohort_s3 import LocalStorage, MemoryStorage, Storage


@pytest.fixture(params=["memory", "local"])
def storage(request, tmp_path, monkeypatch) -> Storage:
    if request.param == "memory":
        return MemoryStorage()
    # Power cuts have tests of their own; here each fsync would cost 5 ms and show nothing.
    monkeypatch.setattr("os.fsync", lambda _: None)
    return LocalStorage(tmp_path / "root")
