"""The table of tested versions in the docs has the lower bounds of pyproject.toml."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "compatibility.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def bounds(requirements: list[str]) -> dict[str, str]:
    found = (re.match(r"([\w.-]+)(?:\[\w+\])?>=([\d.]+)", each) for each in requirements)
    return {match[1]: match[2] for match in found if match}


def required() -> dict[str, set[str]]:
    """The lower bounds of the package, of its extras and of the packages of the tests."""
    optional = PROJECT["project"]["optional-dependencies"]
    groups = PROJECT["dependency-groups"]
    lists = [PROJECT["project"]["dependencies"], *optional.values(), groups["tests"]]
    found: dict[str, set[str]] = {}
    for requirements in lists:
        for name, bound in bounds(requirements).items():
            found.setdefault(name, set()).add(bound)
    return found


def table() -> dict[str, str]:
    rows = re.findall(
        r"^\| ([\w.-]+) \| ([\d.]+) \| [\d.]+ \| .+ \|$", PAGE.read_text(), re.MULTILINE
    )
    return dict(rows)


def test_each_package_has_one_lower_bound():
    assert [name for name, found in required().items() if len(found) > 1] == []


def test_the_table_has_the_lower_bounds_of_the_project():
    listed = table()
    assert {name: {bound} for name, bound in listed.items()} == {
        name: required()[name] for name in listed
    }


def test_the_table_has_each_dependency_and_each_package_of_an_extra():
    tests = bounds(PROJECT["dependency-groups"]["tests"])
    assert required().keys() - tests.keys() <= table().keys()
    for extra in PROJECT["project"]["optional-dependencies"].values():
        assert bounds(extra).keys() <= table().keys()
