"""The servers as fixtures, one start for each test process."""

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import servers
from servers import MissingServerError, Server

from amplitude_cohort_s3.testing.faulty_proxy import FaultyProxy


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return (collection_path.name == "test_your_own_bucket.py" and not config.option.s3_url) or None


def started(
    start: Callable[[Path], AbstractContextManager[Server]],
    factory: pytest.TempPathFactory,
) -> Generator[Server]:
    """A server. If it is not installed, the test is skipped, or fails in CI."""
    try:
        with start(factory.mktemp(start.__name__)) as server:
            yield server
    except MissingServerError as missing:
        if os.environ.get("CI") == "true" or os.environ.get("REQUIRE_SERVERS") == "1":
            pytest.fail(f"not installed: {missing}")
        pytest.skip(f"not installed: {missing}")


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    yield from started(servers.moto, tmp_path_factory)


@pytest.fixture(scope="session")
def radosgw(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    yield from started(servers.radosgw, tmp_path_factory)


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    yield from started(servers.ministack, tmp_path_factory)


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    yield from started(servers.rclone, tmp_path_factory)


@pytest.fixture(scope="session")
def moto_tls(moto: Server, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with servers.with_tls(moto, tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture(scope="session")
def ministack_tls(ministack: Server, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with servers.with_tls(ministack, tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture(scope="session")
def radosgw_tls(radosgw: Server, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with servers.with_tls(radosgw, tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture
def proxy(moto: Server) -> Generator[FaultyProxy]:
    """A proxy in front of moto, whose faults the test chooses."""
    with FaultyProxy(moto.url) as proxy:
        yield proxy
