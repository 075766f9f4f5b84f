"""The native kernel that the tests use."""

import pytest
from kernel_build import kernel_under_test


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    return kernel_under_test(tmp_path_factory.mktemp("kernel"))
