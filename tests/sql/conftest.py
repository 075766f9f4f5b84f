"""Databases as fixtures: each test has a database, each test process one PostgreSQL server."""

import os
from collections.abc import Generator
from pathlib import Path

import databases
import pytest
import sqlalchemy as sa
from databases import KINDS, MissingServerError, PostgreSQL, new_url


@pytest.fixture(scope="session")
def postgresql() -> Generator[PostgreSQL]:
    """Start PostgreSQL; if it is not installed, skip the test, or fail in CI."""
    try:
        with databases.postgresql() as server:
            yield server
    except MissingServerError as missing:
        if os.environ.get("CI") == "true" or os.environ.get("REQUIRE_SERVERS") == "1":
            pytest.fail(f"not installed: {missing}")
        pytest.skip(f"not installed: {missing}")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_url(request.param, tmp_path, request)


@pytest.fixture
def engine(url: str) -> Generator[sa.Engine]:
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()
