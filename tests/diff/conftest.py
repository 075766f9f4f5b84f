"""Fixtures that choose between the two implementations of the engine: the kernel and Python."""

import pytest
from kernel_build import kernel_under_test

from amplitude_cohort_s3.format import kernel as kernel_module


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    return kernel_under_test(tmp_path_factory.mktemp("kernel"))


@pytest.fixture
def with_kernel(kernel, monkeypatch):
    monkeypatch.setattr(kernel_module, "_kernel", kernel)
    monkeypatch.setattr(kernel_module, "_STATE", "in use")


@pytest.fixture
def without_kernel(monkeypatch):
    monkeypatch.setattr(kernel_module, "_STATE", "disabled")
    monkeypatch.setenv(kernel_module.SWITCH, "0")  # for processes that the test starts


@pytest.fixture(params=["with_kernel", "without_kernel"])
def each_implementation(request):
    request.getfixturevalue(request.param)
