"""The project's commands: ``pip install nox``, then ``nox -s quickstart`` or ``nox -s tests``."""

import os
import tomllib
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
PRIMARY = PYTHONS[0]
"""Servers, typing and linting run on this one."""

nox.options.sessions = ["tests", "lint", "typing"]
nox.options.reuse_existing_virtualenvs = True

DEPENDENCIES = tomllib.loads(Path("pyproject.toml").read_text())


@nox.session(default=False)
def quickstart(session: nox.Session) -> None:
    """Sync three downloads into the folder quickstart_bucket and read it back."""
    session.install("-e", ".")
    session.run("python", "examples/quickstart.py", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests; those with servers on the first Python only."""
    group = "tests" if session.python != PRIMARY else "servers"
    session.install("-e", ".[testing]", *_group(group))
    marker = [] if session.python == PRIMARY else ["-m", "not servers"]
    profile = "ci" if os.environ.get("CI") else "dev"
    session.run(
        "pytest",
        "-n2",
        *marker,
        *session.posargs,
        env={"HYPOTHESIS_PROFILE": profile},
    )


@nox.session(python=PRIMARY)
def lowest(session: nox.Session) -> None:
    """The unit tests with the oldest versions that pyproject.toml allows."""
    project = DEPENDENCIES["project"]
    bounds = [*project["dependencies"], *project["optional-dependencies"]["testing"]]
    session.install("-e", ".", *_group("tests"), *[bound.replace(">=", "==") for bound in bounds])
    session.run("pytest", "-n2", "-m", "not servers", *session.posargs)


@nox.session(python=PRIMARY)
def lint(session: nox.Session) -> None:
    """Style: ruff's linter and formatter."""
    session.install(*_group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=PRIMARY)
def typing(session: nox.Session) -> None:
    """Types: mypy and pyright, both strict, over the package and the typing tests."""
    session.install("-e", ".[testing]", *_group("typing"))
    session.run("mypy")
    session.run("pyright")


def _group(name: str) -> list[str]:
    """The tools of a dependency group, of the groups that it includes too."""
    tools = list[str]()
    for entry in DEPENDENCIES["dependency-groups"][name]:
        tools += _group(entry["include-group"]) if isinstance(entry, dict) else [entry]
    return tools
