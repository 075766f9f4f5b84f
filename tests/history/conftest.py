"""The random histories that many tests read: of each meaning, with and without a log."""

import pytest
from random_history import random_cohorts

from amplitude_cohort_s3 import ExistingMeaning, LocalStorage, MemoryStorage, Storage


@pytest.fixture(params=list(ExistingMeaning), ids=lambda meaning: meaning.value)
def meaning(request) -> ExistingMeaning:
    return request.param


@pytest.fixture(params=[True, False], ids=["log", "no log"])
def keep_log(request) -> bool:
    return request.param


@pytest.fixture(params=range(3))
def cohorts(request):
    return random_cohorts(request.param)


@pytest.fixture(params=["memory", "local"])
def storage(request, tmp_path) -> Storage:
    return MemoryStorage() if request.param == "memory" else LocalStorage(tmp_path / "root")
