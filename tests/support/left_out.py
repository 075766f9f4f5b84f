"""The tests that the quick run leaves out, by the reason, and the options for both parts.

``--quick`` leaves out what is listed here. ``--thorough`` runs what ``--quick`` left out, and the
property tests again, with the number of examples of the hypothesis profile. So the two together
run every test, and the long ones once. Without an option, pytest runs all tests.
"""

from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# The tests with the marker `servers`, by their folder or file.
SERVERS = {
    "s3": "S3 servers",
    "sql": "PostgreSQL",
    "distributed/spark": "Spark",
    "test_benchmarks.py": "benchmarks",
}

# Folders, files, classes and single tests, by the reason.
_OTHERS = {
    "builds of the kernel": [
        "format/test_kernel_harness.py",
    ],
    "damaged files": [
        "history/test_stay_tables.py::test_a_damaged_file_raises_the_same_error",
        "history/test_verification.py::test_each_claim_of_the_newest_record_is_compared_with_the_bucket",
        "history/test_verification.py::test_each_value_of_each_entry_is_checked",
    ],
    "exhaustive searches": [
        "maintenance/test_forgetting_interrupted.py",
        "maintenance/test_pruning.py::test_pruning_that_fails_at_any_call_is_completed",
        "storage/test_power_cuts.py",
        "sync/test_cut_matrix.py",
        "sync/test_early_staging.py::TestEarlyCut",
        "sync/test_protocol_model.py",
        "sync/test_state_machine.py",
    ],
    "policies, judged by other tools": [
        "policy/test_policy_lint.py",
        "policy/test_policy_recorded.py::test_exactly_the_sent_requests_are_allowed",
        "policy/test_policy_verdicts.py",
    ],
    "races and killed processes": [
        "maintenance/test_maintenance_races.py",
        "sql/test_sql_kills.py",
        "sync/test_kills.py",
        "sync/test_races.py",
    ],
    "schedulers": [
        "schedulers",
    ],
    "Snowflake": [
        "sql/test_sql_options.py::test_snowflakes_statements_run_in_fakesnow",
    ],
    "Spark": [
        "format/test_named_rows.py::test_a_row_of_pyspark_is_read_by_name",
        "sql/test_sql_athena.py",
    ],
}
OTHERS = {place: reason for reason, places in _OTHERS.items() for place in places}

# The sessions of nox that run them, if it is not `thorough`.
SESSIONS = {"builds of the kernel": "kernel", "schedulers": "schedulers", "Spark": "spark"}

# They import packages that the quick run does not install, so it can't count their tests.
_NOT_IMPORTED = ("policy/test_policy_lint.py", "policy/test_policy_verdicts.py", "schedulers")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out what takes long")
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run what --quick leaves out, and the property tests with more examples",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if config.option.quick and _relative(collection_path) in _NOT_IMPORTED:
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not (config.option.quick or config.option.thorough):
        return
    reasons = {item: _reason(item) for item in items}
    config.stash[_COUNTS] = Counter(reason for reason in reasons.values() if reason)
    if config.option.quick:
        kept = [item for item in items if reasons[item] is None]
    else:
        kept = [item for item in items if reasons[item] or _is_property(item)]
    chosen = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = kept


_COUNTS = pytest.StashKey[Counter[str]]()


def _reason(item: pytest.Item) -> str | None:
    """Return why the quick run leaves the test out, or None."""
    groups = OTHERS | (SERVERS if item.get_closest_marker("servers") else {})
    path = _relative(item.path)
    test = item.nodeid.partition("[")[0].split("::")[1:]
    places = [*(parent.as_posix() for parent in Path(path).parents), path]
    places += ["::".join([path, *test[: n + 1]]) for n in range(len(test))]
    return next((groups[place] for place in places if place in groups), None)


def _relative(path: Path) -> str:
    return path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else ""


def _is_property(item: pytest.Item) -> bool:
    return getattr(getattr(item, "obj", None), "is_hypothesis_test", False)


# --- The counts, which a process of pytest-xdist sends to the one that prints them ----------------


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    worker = getattr(session.config, "workeroutput", None)
    if worker is not None and _COUNTS in session.config.stash:
        worker["left_out"] = dict(session.config.stash[_COUNTS])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    counts = getattr(node, "workeroutput", {}).get("left_out")
    if counts is not None:
        node.config.stash[_COUNTS] = Counter(counts)


def pytest_terminal_summary(terminalreporter) -> None:
    """Print what the quick run left out, and the commands that run it."""
    config = terminalreporter.config
    if not config.option.quick or _COUNTS not in config.stash:
        return
    terminalreporter.section("left out")
    counts = sorted(config.stash[_COUNTS].items())
    counts += [(OTHERS[place], f"tests/{place}") for place in _NOT_IMPORTED]
    for reason, number in counts:
        session = SESSIONS.get(reason, "thorough")
        terminalreporter.write_line(f"nox -s {session:<10} {reason}: {number}")
    terminalreporter.write_line("nox -s everything all of these, and what else CI runs")
