"""Options and hypothesis profiles: `dev` by default, `ci` by HYPOTHESIS_PROFILE=ci or in CI."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--s3-url",
        metavar="s3://BUCKET/PREFIX",
        help="also run the storage contract below this prefix of a bucket of your own",
    )
