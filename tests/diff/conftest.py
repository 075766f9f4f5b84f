"""Fixtures that choose between the two implementations of the engine: the kernel and Python."""

import importlib
import re
from pathlib import Path

import pytest
from kernel_build import kernel_under_test

from amplitude_cohort_s3.format import kernel as kernel_module

PACKAGE = Path(kernel_module.__file__).parents[1]
USERS = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if re.search(r"\bHAS_KERNEL\b", path.read_text(encoding="utf-8"))
]
"""The modules that choose an implementation."""


def use_kernel(monkeypatch, is_used):
    """Let all modules use the kernel, or none."""
    for module in [importlib.import_module(name) for name in USERS]:
        monkeypatch.setattr(module, "HAS_KERNEL", is_used)


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    return kernel_under_test(tmp_path_factory.mktemp("kernel"))


@pytest.fixture
def with_kernel(kernel, monkeypatch):
    monkeypatch.setattr(kernel_module, "_kernel", kernel)
    use_kernel(monkeypatch, is_used=True)


@pytest.fixture
def without_kernel(monkeypatch):
    use_kernel(monkeypatch, is_used=False)
    monkeypatch.setenv(kernel_module.SWITCH, "0")  # for processes that the test starts


@pytest.fixture(params=["with_kernel", "without_kernel"])
def each_implementation(request):
    request.getfixturevalue(request.param)
