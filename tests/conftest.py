"""Options of the whole test suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--s3-url",
        metavar="s3://BUCKET/PREFIX",
        help="also run the storage contract below this prefix of a bucket of your own",
    )
