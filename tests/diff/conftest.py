"""Fixtures that choose between the two implementations of the engine: the kernel and Python."""

import pytest
from implementations import use_kernel

from amplitude_cohort_s3.format import kernel as kernel_module
from amplitude_cohort_s3.format._kernel_loading import SWITCH


@pytest.fixture
def with_kernel(kernel, monkeypatch):
    monkeypatch.setattr(kernel_module, "_kernel", kernel)
    use_kernel(monkeypatch, is_used=True)


@pytest.fixture
def without_kernel(monkeypatch):
    use_kernel(monkeypatch, is_used=False)
    monkeypatch.setenv(SWITCH, "0")  # for processes that the test starts


@pytest.fixture(params=["with_kernel", "without_kernel"])
def each_implementation(request):
    request.getfixturevalue(request.param)
