"""The project's commands: ``pip install nox``, then ``nox -s quickstart`` or ``nox -s tests``."""

import os
import shutil
import tomllib
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
PRIMARY = PYTHONS[0]
"""Servers, typing and linting run on this one."""

nox.options.sessions = ["tests", "lint", "typing", "docs"]
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "uv|virtualenv"  # uv, where it is there, is many times faster

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())


@nox.session(default=False)
def quickstart(session: nox.Session) -> None:
    """Sync three downloads into the folder quickstart_bucket and read it back."""
    session.install("-e", ".")
    session.run("python", "examples/quickstart.py", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests on the first Python, in CI with more examples; on the others those of units."""
    groups = PROJECT["dependency-groups"]
    thorough = session.python == PRIMARY
    spark = groups["spark"] if thorough else []
    session.install("-e", ".[testing]", *groups["tests"], *spark)
    session.run(
        "pytest",
        # Many tests wait for servers and time-outs, and one process starts these servers first.
        *("-n3", "--dist=worksteal"),
        *([] if thorough else ["-m", "not servers", *_ONCE]),
        *session.posargs,
        env={"HYPOTHESIS_PROFILE": "ci" if thorough and os.environ.get("CI") else "dev"},
    )


# Crashes, races, exhaustive searches and foreign tools: one Python tells as much as three.
_ONCE = [
    f"--ignore=tests/{name}"
    for name in (
        *("policy", "spark", "sql", "test_policy.py", "test_kills.py", "test_races.py"),
        *("test_cut_matrix.py", "test_protocol_model.py", "test_state_machine.py"),
        *("test_forgetting.py", "test_pruning.py", "amplitude/test_amplitude_faults.py"),
    )
]


@nox.session(python=PRIMARY)
def lowest(session: nox.Session) -> None:
    """The unit tests with the oldest versions of what the package itself needs."""
    project = PROJECT["project"]
    bounds = [*project["dependencies"], *project["optional-dependencies"]["testing"]]
    oldest = [bound.replace(">=", "==") for bound in bounds]
    session.install("-e", ".", "pytest-xdist", *oldest)
    session.run("pytest", "-n2", *_UNITS, env={"HYPOTHESIS_PROFILE": "dev"})


# The tests that need nothing but the package and its own dependencies.
_UNITS = [
    *(
        f"tests/sources/amplitude/test_amplitude_{topic}.py"
        for topic in ("failures", "limits", "members", "secrets")
    ),
    *(
        f"tests/test_{name}.py"
        for name in (
            *("filename", "rows", "destination", "diff", "sync_log", "plan", "sync", "history"),
            *("storage", "open_storage", "errors", "notifications", "archives", "cut_matrix"),
            "golden_buckets",
        )
    ),
]


@nox.session(python=PRIMARY)
def schedulers(session: nox.Session) -> None:
    """The examples for cron, Airflow and Dagster, run by Airflow and Dagster themselves."""
    session.install("-e", ".[testing]", *PROJECT["dependency-groups"]["schedulers"])
    session.run("pytest", "tests/schedulers", *session.posargs)


@nox.session(python=PRIMARY, reuse_venv=False)
def package(session: nox.Session) -> None:
    """What would be released, in build/dist: the tests of the sdist against the wheel alone."""
    dist = Path("build/dist").absolute()
    shutil.rmtree(dist, ignore_errors=True)
    session.install(*PROJECT["dependency-groups"]["package"])
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    session.install(f"{wheel}[testing]", "pytest-xdist")
    unpacked = Path(session.create_tmp()).absolute()
    shutil.unpack_archive(sdist, unpacked, filter="data")
    with session.chdir(unpacked / sdist.name.removesuffix(".tar.gz")):
        shutil.rmtree("src")
        searches = {"tests/sync/test_cut_matrix.py", "tests/diff/test_diff.py"}  # they tell nothing new here
        units = [test for test in _UNITS if test not in searches]
        session.run("pytest", "-n2", *units, env={"HYPOTHESIS_PROFILE": "dev"})


@nox.session(python=PRIMARY)
def lint(session: nox.Session) -> None:
    """Check style with ruff, and which module may import which with import-linter."""
    session.install(*PROJECT["dependency-groups"]["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # It reads the sources, so the package need not be installed.
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "src"})


@nox.session(python=PRIMARY)
def typing(session: nox.Session) -> None:
    """Types: mypy and pyright, both strict, over the package and the typing tests."""
    session.install("-e", ".[testing]", *PROJECT["dependency-groups"]["typing"])
    session.run("mypy")
    session.run("pyright")


@nox.session(python=PRIMARY)
def docs(session: nox.Session) -> None:
    """The site, every warning an error, into build/site; and the notebooks, executed."""
    session.install("-e", ".[testing]", *PROJECT["dependency-groups"]["docs"])
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "-q", "docs", "build/site")
    session.run("pytest", "-p", "no:cacheprovider", "--nbmake", "examples", *session.posargs)


@nox.session(python=PRIMARY, default=False)
def mutants(session: nox.Session) -> None:
    """Takes one rule after the other out of the package, and shows which test notices.

    ``-- fsync`` chooses those with a word in their name.
    """
    session.install("-e", ".[testing]", *PROJECT["dependency-groups"]["tests"])
    session.run("python", "tests/mutants.py", *session.posargs)


@nox.session(python=PRIMARY, default=False)
def bench(session: nox.Session) -> None:
    """The benchmarks, in their full sizes, for the docs; ``-- --small`` for a look in a minute."""
    session.install("-e", ".", *PROJECT["dependency-groups"]["bench"])
    small = [argument for argument in session.posargs if argument == "--small"]
    session.run("python", "benchmarks/history.py", *small)
    table = [] if session.posargs else ["--table", "docs/explanation/bench_table.md"]
    session.run("python", "benchmarks/diff_engine.py", *table, *session.posargs)
    session.run("python", "benchmarks/amplitude_download.py", *small)
    session.run("python", "benchmarks/databases.py", *small)
