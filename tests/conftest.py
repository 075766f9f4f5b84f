"""Options, counts, and hypothesis profiles: `dev`, or what HYPOTHESIS_PROFILE names."""

import os
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from botocore.loaders import create_loader
from hypothesis import HealthCheck, settings
from kernel_build import kernel_under_test

pytest_plugins = ["left_out"]

settings.register_profile(
    "quick", max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--s3-url",
        metavar="s3://BUCKET/PREFIX",
        help="also run the storage contract below this prefix of a bucket of your own",
    )


@pytest.fixture(scope="session", autouse=True)
def quick_disk():
    """Flush nothing to the disk: 5 ms each time. Power cuts have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def parsed_once():
    """Let the sessions of boto3 share what they parse: a client takes 10 ms instead of 60."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", cache(create_loader))
        yield


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    """The native kernel as an extension module."""
    return kernel_under_test(tmp_path_factory.mktemp("kernel"))


def pytest_terminal_summary(terminalreporter):
    """Print the number of cases of the exhaustive tests."""
    cases = _cases(terminalreporter)
    lines = [f"{number:>9,} {test}" for test, number in cases.items() if number]
    if lines:
        terminalreporter.section("cases")
        terminalreporter.write_line("\n".join(lines))
    for broken in _broken_promises(terminalreporter):
        terminalreporter.write_line(broken, red=True)


def pytest_sessionfinish(session):
    """A run with fewer cases than the docs promise has failed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and _broken_promises(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _cases(reporter) -> Counter[str]:
    cases = Counter[str]()
    for report in reporter.stats.get("passed", []):
        test, _, _ = report.nodeid.partition("[")
        cases[test] += dict(report.user_properties).get("cases", 0)
    return cases


def _broken_promises(reporter) -> list[str]:
    config = reporter.config
    if config.option.keyword or config.option.markexpr or any("::" in a for a in config.args):
        return []  # Only some of a test's cases were selected.
    return [
        f"{PROMISES.name} promises {promised(test):,} cases of {test}, and these are {number:,}"
        for test, number in _cases(reporter).items()
        if 0 < number < promised(test)
    ]


PROMISES = Path(__file__).parent.parent / "docs" / "explanation" / "promises.md"


@cache
def promises() -> dict[str, int]:
    """The counts of the docs, by test."""
    rows = re.findall(r"^\| .* \| `(.+)` \| ([0-9,]+) \|$", PROMISES.read_text(), re.MULTILINE)
    return {f"tests/{test}": int(number.replace(",", "")) for test, number in rows}


def promised(test: str) -> int:
    return promises().get(test, 0)
