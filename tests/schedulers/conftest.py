"""These tests run only if the schedulers are installed: ``nox -s schedulers`` installs them."""

from importlib.util import find_spec


def pytest_ignore_collect():
    return find_spec("dagster") is None or None
