"""Options, counts, and hypothesis profiles: `dev`, or `ci` by HYPOTHESIS_PROFILE or in CI."""

import os
from collections import Counter

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


def pytest_terminal_summary(terminalreporter):
    """Prints how many cases the exhaustive tests went through."""
    cases = Counter[str]()
    for report in terminalreporter.stats.get("passed", []):
        test, _, _ = report.nodeid.partition("[")
        cases[test] += dict(report.user_properties).get("cases", 0)
    lines = [f"{number:>9,} {test}" for test, number in cases.items() if number]
    if lines:
        terminalreporter.section("cases")
        terminalreporter.write_line("\n".join(lines))
