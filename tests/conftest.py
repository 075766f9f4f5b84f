"""What all tests share."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how many cases the exhaustive tests went through."""
    cases = Counter[str]()
    for report in terminalreporter.stats.get("passed", []):
        test, _, _ = report.nodeid.partition("[")
        cases[test] += dict(report.user_properties).get("cases", 0)
    lines = [f"{number:>9,} {test}" for test, number in cases.items() if number]
    if lines:
        terminalreporter.section("cases")
        terminalreporter.write_line("\n".join(lines))
