"""The commands of the project: ``pip install nox uv``, then for example ``nox -s tests``."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
PRIMARY = PYTHONS[0]
"""The Python for the servers, typing and linting."""

nox.options.sessions = ["tests", "lint", "typing", "docs"]
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "uv|virtualenv"  # uv is many times faster, if it is installed

# The tests start hundreds of processes. Each would compile what it imports again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The session ``everything`` runs two sessions at a time, with one process of pytest each.
_PROCESSES = ("-n", os.environ.get("TEST_PROCESSES", "2"), "--dist=worksteal")

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]


@nox.session(default=False)
def quickstart(session: nox.Session) -> None:
    """Sync three downloads into the folder quickstart_bucket and read it back."""
    session.install("-e", ".")
    session.run("python", "examples/quickstart.py", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the quick tests on the Python at hand; they need what pip installs, and no server.

    ``-- tests/format`` passes arguments to pytest, and leaves nothing out.
    """
    _run_quick_tests(session)


@nox.session(python=PYTHONS, default=False)
def units(session: nox.Session) -> None:
    """Run the quick tests on each supported Python, as the session ``tests`` does."""
    _run_quick_tests(session)
    if session.python != PRIMARY and not session.posargs:
        # On the first Python, the session ``lowest`` tests the code without the native kernel.
        pure = _QUICK | {"AMPLITUDE_COHORT_S3_KERNEL": "0"}
        session.run("pytest", *_PROCESSES, "--quick", *_SOME_THAT_CALL_THE_KERNEL, env=pure)


def _run_quick_tests(session: nox.Session) -> None:
    session.install("-e", ".[testing]", *GROUPS["tests"])
    if session.posargs:
        session.run("pytest", *session.posargs)
    else:
        session.run("pytest", *_PROCESSES, "--quick", env=_QUICK)


_QUICK = {"HYPOTHESIS_PROFILE": "quick"}

# The tests of the diff choose the implementation themselves.
_SOME_THAT_CALL_THE_KERNEL = (
    "tests/format/test_block_reading.py",
    "tests/format/test_filled.py",
    "tests/format/test_rows.py",
    "tests/history/test_history.py",
)


@nox.session(python=PRIMARY, default=False)
def thorough(session: nox.Session) -> None:
    """Run what the quick tests leave out, and the property tests with many more examples.

    The tests of S3 servers and PostgreSQL are skipped if these are not installed.
    ``-- tests/s3`` passes arguments to pytest instead.
    """
    session.install("-e", ".[testing]", *GROUPS["tests"], *GROUPS["servers"])
    if session.posargs:
        session.run("pytest", *session.posargs, env=_THOROUGH)
        return
    # The sessions ``spark`` and ``kernel`` run the others.
    others = [*(f"--deselect={path}" for path in _SPARK), "--ignore-glob=*/test_*kernel*.py"]
    # Three processes, because many of these tests wait for servers.
    session.run("pytest", "-n3", "--dist=worksteal", "--thorough", *others, env=_THOROUGH)


_THOROUGH = {"HYPOTHESIS_PROFILE": "ci"}


@nox.session(python=PRIMARY, default=False)
def spark(session: nox.Session) -> None:
    """Run all tests of Spark with the newest version; they need Java 17.

    ``-- -k killed`` passes arguments to pytest.
    """
    session.install("-e", ".[testing]", *GROUPS["tests"], *GROUPS["spark"])
    session.run("pytest", *_SPARK, *session.posargs, env=_THOROUGH | _JAVA)


_SPARK = (
    "tests/distributed/spark",
    "tests/format/test_named_rows.py::test_a_row_of_pyspark_is_read_by_name",
    "tests/sql/test_sql_athena.py",
    "tests/test_benchmarks.py::test_a_benchmark_compares_the_answers_of_all_candidates[spark]",
)
# In a session of minutes, the second compiler of Java takes more time than it saves.
_JAVA = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}

# All sessions of CI, the longest first. Two of them run at a time, so that the last ones are short.
_EVERYTHING = (
    "thorough",
    *(f"units-{python}" for python in PYTHONS),
    "kernel",
    "spark",
    "lowest",
    "lowest_extras",
    "lowest_spark",
    f"package {' '.join(f'wheel-{python}' for python in PYTHONS[1:])}",
    "schedulers",
    "docs site",  # site looks at what docs has built
    "without_compiler",
    "typing",
    "lint",
    "quickstart",
)


@nox.session(venv_backend="none", default=False)
def everything(session: nox.Session) -> None:
    """Run all sessions of CI, two at a time; ``-- lint typing`` leaves out these two.

    This needs all supported Pythons, and the Debian packages that ``.ci/run`` installs.
    """
    nox_command = (sys.executable, "-m", "nox", "--error-on-missing-interpreters", "--session")

    def has_failed(name: str, environment: dict[str, str]) -> bool:
        started = time.monotonic()
        ended = subprocess.run(  # noqa: S603 -- the names are those of this file
            [*nox_command, *name.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=os.environ | environment,
        )
        seconds = round(time.monotonic() - started)
        outcome = "FAILED" if ended.returncode else "passed"
        sys.stdout.write(f"{ended.stdout}\n=== {name} {outcome} in {seconds} s ===\n")
        sys.stdout.flush()
        return ended.returncode != 0

    names = [name for name in _EVERYTHING if name not in session.posargs]
    # The folders of tens of thousands of tests cost less in memory. The session ``tests``, which CI
    # runs too, has them on a disk.
    with (
        tempfile.TemporaryDirectory(prefix="", dir=_folder_in_memory()) as folder,
        ThreadPoolExecutor(max_workers=2) as pool,
    ):
        Path(folder).chmod(0o1777)  # Some tests run as another account.
        # In CI, a missing server is a failure.
        environment = {"CI": "true", "TEST_PROCESSES": "0", "TMPDIR": folder}
        results = pool.map(lambda name: has_failed(name, environment), names)
        failed = [name for name, is_failure in zip(names, results, strict=True) if is_failure]
    if failed:
        session.error(f"failed: {', '.join(failed)}")


def _folder_in_memory() -> str | None:
    """Return where temporary files are in memory and programs may be run, if there is room."""
    folder = Path("/dev/shm")  # noqa: S108 -- the caller makes a folder of its own in it
    if not folder.is_dir():
        return None
    found = os.statvfs(folder)
    is_usable = not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize > 6 << 30
    return str(folder) if is_usable else None


@nox.session(python=PRIMARY)
def lowest(session: nox.Session) -> None:
    """Run the unit tests with the oldest versions of the dependencies, in pure Python."""
    session.install("-e", ".", "pytest-xdist", *_lowest("testing"))
    session.run(
        "pytest",
        *_PROCESSES,
        "--quick",
        *_UNITS,
        env=_QUICK | {"AMPLITUDE_COHORT_S3_KERNEL": "0"},
    )


def _lowest(*extras: str) -> list[str]:
    """Return the requirements of the package and of some extras, each at its lower bound."""
    optional = PROJECT["project"]["optional-dependencies"]
    bounds = [*PROJECT["project"]["dependencies"], *(b for name in extras for b in optional[name])]
    return [bound.replace(">=", "==") for bound in bounds]


@nox.session(python=PRIMARY, default=False)
def lowest_extras(session: nox.Session) -> None:
    """Test the extras, and the other packages of the tests, with their lowest versions."""
    extras = PROJECT["project"]["optional-dependencies"].keys() - {"all", "spark"}
    tests = [bound.replace(">=", "==") for bound in GROUPS["tests"]]
    session.install("-e", ".", *_lowest(*sorted(extras)), *tests)
    session.run("pytest", *_PROCESSES, "--quick", *_OF_EXTRAS, *_OLD, *session.posargs, env=_QUICK)


_OF_EXTRAS = (
    "tests/diff/test_progress.py",
    "tests/distributed/test_encoded_rows.py",
    "tests/distributed/test_frames.py",
    "tests/format/test_compression.py",
    "tests/format/test_named_rows.py",
    "tests/history/test_plot.py",
    "tests/history/test_tables.py",
    "tests/sources/test_arrow.py",
    "tests/sources/test_cells.py",
    "tests/sources/test_files.py",
    "tests/sources/test_many_sources.py",
    "tests/sources/test_selection.py",
    "tests/sql/test_sql_apply.py",
)
# Old versions use what newer versions of their own dependencies deprecate.
_OLD = ("-W", "default::DeprecationWarning")


@nox.session(python=PRIMARY, default=False)
def lowest_spark(session: nox.Session) -> None:
    """Sync with the lowest versions of PySpark and pandas, and nothing but the extra ``spark``.

    The session ``spark`` runs all tests of Spark with the newest versions.
    """
    session.install("-e", ".[spark,testing]", "trustme", *_lowest("spark", "testing"))
    # A diff in both engines, a sync that reads and writes parts, and the files as Spark reads them.
    some = "(continue_each_other and MEMBERS) or evaluated_once or documented_options"
    session.run("pytest", "tests/distributed/spark", "-k", some, *session.posargs, env=_JAVA)


# The tests that need nothing but the package, pytest and hypothesis: all of these folders,
# without the files that import an optional package. Those of the kernel and of the diff run the
# Python code, or both, in every session.
_NEED_MORE = {
    "tests/format/test_compression.py",
    "tests/format/test_foreign_csv.py",
    "tests/format/test_named_rows.py",
    "tests/history/test_archives.py",
    "tests/history/test_changing_bucket.py",
    "tests/history/test_comparisons.py",
    "tests/history/test_foreign_files.py",
    "tests/history/test_line_batches.py",
    "tests/history/test_plot.py",
    "tests/history/test_runs.py",
    "tests/history/test_stay_tables.py",
    "tests/history/test_tables.py",
    "tests/history/test_windows.py",
    "tests/log/test_record_schema.py",
    "tests/settings/test_cadence.py",
    "tests/sources/amplitude/test_amplitude_faults.py",
    "tests/sources/test_arrow.py",
    "tests/sources/test_bounded_memory.py",
    "tests/sources/test_cells.py",
    "tests/sources/test_files.py",
    "tests/sources/test_float_ids.py",
    "tests/sources/test_many_sources.py",
    "tests/sources/test_names.py",
    "tests/sources/test_open_files.py",
    "tests/sources/test_selection.py",
    "tests/sync/test_plan.py",
    "tests/sync/test_times.py",
}
_UNITS = sorted(
    {
        *("tests/test_errors.py", "tests/test_notifications.py"),
        *(
            path.as_posix()
            for folder in ("format", "history", "log", "settings", "sources", "storage")
            for path in Path("tests", folder).rglob("test_*.py")
            if "kernel" not in path.name
        ),
        *(path.as_posix() for path in Path("tests/sync").glob("test_*.py")),
    }
    - _NEED_MORE
)


@nox.session(python=PRIMARY)
def schedulers(session: nox.Session) -> None:
    """Run the examples for cron, Airflow and Dagster with Airflow and Dagster."""
    session.install("-e", ".[testing]", *GROUPS["schedulers"])
    session.run("pytest", "tests/schedulers", *session.posargs)


# A warning fails the build of a release, but not an installation elsewhere, because other compilers
# have other warnings.
_STRICT = {"CFLAGS": "-Wall -Wextra -Wshadow -Werror"}

# The kind of a wheel: the tag of its name, the state of the kernel in it, and an environment in
# which it is built.
_WHEELS = {
    "cp311-abi3": ("in use", _STRICT),
    "py3-none-any": ("not built", {"AMPLITUDE_COHORT_S3_KERNEL": "0"}),
}
# The code is that of the other sessions. Here, a file may be missing, or the kernel may not fit.
_TESTS_OF_A_WHEEL = (
    "tests/test_errors.py",
    "tests/history/test_history.py",
    "tests/storage/test_storage_contract.py",
    "tests/sync/test_written_files.py",
)
_TESTS_OF_THE_KERNEL = ("tests/format/test_kernel.py", "tests/format/test_kernel_spans.py")


@nox.session(python=PRIMARY, reuse_venv=False)
@nox.parametrize("kind", sorted(_WHEELS))
def package(session: nox.Session, kind: str) -> None:
    """Build a release in build/dist, and run tests of the sdist against the wheel alone.

    The wheel with the native kernel is for Python 3.11 and all later ones on one platform; the
    pure wheel is for all other platforms. The session ``wheel`` installs them on later Pythons.
    """
    _, environment = _WHEELS[kind]
    dist = Path("build/dist", kind).absolute()
    shutil.rmtree(dist, ignore_errors=True)
    session.install(*GROUPS["package"])
    build = ("python", "-m", "build", "--outdir", str(dist))
    session.run(*build, silent=True, env=environment)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    if f"-{kind}" not in wheel.name:
        session.error(f"the kernel was not compiled: this is the wheel {wheel.name}")
    if "-linux_" in wheel.name:
        # This checks what the kernel links to, and renames the wheel as the package index requires.
        session.run("auditwheel", "repair", "--wheel-dir", str(dist), str(wheel), silent=True)
        wheel.unlink()
        (wheel,) = dist.glob("*.whl")
        session.run("abi3audit", "--strict", str(wheel))
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    _test_wheel(session, kind)


@nox.session(python=PYTHONS[1:], reuse_venv=False, default=False)
def wheel(session: nox.Session) -> None:
    """Test the wheels that the session ``package`` has built on the first Python."""
    for kind in sorted(_WHEELS):
        _test_wheel(session, kind)


def _test_wheel(session: nox.Session, kind: str) -> None:
    dist = Path("build/dist", kind).absolute()
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    session.install("--force-reinstall", f"{wheel}[testing]", "pytest-xdist")
    state, _ = _WHEELS[kind]
    _check_version(session, state)
    unpacked = Path(session.create_tmp(), kind).absolute()
    shutil.rmtree(unpacked, ignore_errors=True)
    shutil.unpack_archive(sdist, unpacked, filter="data")
    chosen = [*_TESTS_OF_A_WHEEL, *(_TESTS_OF_THE_KERNEL if state == "in use" else ())]
    with session.chdir(unpacked / sdist.name.removesuffix(".tar.gz")):
        shutil.rmtree("src")
        session.run("pytest", *_PROCESSES, "--quick", *chosen, env=_QUICK)


def _check_version(session: nox.Session, state: str) -> None:
    version = session.run("amplitude-cohort-s3", "--version", silent=True)
    if f"kernel {state}" not in str(version):
        session.error(f"the installation reports: {version}")


@nox.session(python=PRIMARY, default=False)
def kernel(session: nox.Session) -> None:
    """Test the native kernel at length, under sanitizers and on other processors.

    On Debian this needs gcc, gcc-aarch64-linux-gnu, gcc-s390x-linux-gnu, qemu-user, clang and
    libclang-rt-dev.
    ``-- 30000`` tries 30,000 random calls and diffs instead of 1,000.
    """
    rounds = session.posargs[0] if session.posargs else "1000"
    session.install("-e", ".[testing]", "pytest-xdist")
    tests = sorted(path.as_posix() for path in Path("tests").rglob("test_*kernel*.py"))
    pytest = ("pytest", *_PROCESSES)
    thorough = {"HYPOTHESIS_PROFILE": "ci", "KERNEL_ROUNDS": rounds, "KERNEL_TARGETS": "all"}
    session.run(*pytest, *tests, env=thorough)
    folder = Path(session.create_tmp()).absolute()
    build = ("python", "tests/support/kernel_build.py", str(folder))
    sanitizer = session.run("cc", "-print-file-name=libasan.so", silent=True, external=True)
    sanitized = {
        "KERNEL_UNDER_TEST": str(session.run(*build, silent=True)).strip(),
        "LD_PRELOAD": str(sanitizer).strip(),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself keeps memory until it ends.
        "PYTHONMALLOC": "malloc",
        "KERNEL_ROUNDS": str(int(rounds) // 5),
    }
    # The harness has its own sanitizers, and a compiler does not run under these.
    tests.remove("tests/format/test_kernel_harness.py")
    session.run(*pytest, *tests, env=thorough | sanitized)


@nox.session(python=PRIMARY, default=False)
def kernel_mutants(session: nox.Session) -> None:
    """Remove one bounds check of the kernel at a time, and show which call notices it."""
    session.install("-e", ".[testing]")
    session.run("python", "tests/kernel_mutants.py", *session.posargs)


# Machines that cannot build the kernel.
_MACHINES = {
    "no compiler": {"CC": "/no/compiler"},
    "a compiler that fails": {"CC": "false"},
    "no headers of Python": {"SKBUILD_CMAKE_DEFINE": "Python_INCLUDE_DIR=/no/headers"},
}


@nox.session(python=PRIMARY, reuse_venv=False)
def without_compiler(session: nox.Session) -> None:
    """Install the package on machines without what the kernel needs, and run a sync."""
    session.install(".", env={"AMPLITUDE_COHORT_S3_KERNEL": "0"})
    again = ("--no-deps", "--force-reinstall", ".")
    for environment in _MACHINES.values():
        session.install(*again, env=environment)
        _check_version(session, "not built")
        session.run("python", Path("examples/quickstart.py").absolute(), external=True)
    session.install(*again)
    _check_version(session, "in use")


@nox.session(python=PRIMARY)
def lint(session: nox.Session) -> None:
    """Check the style with ruff, and the imports between modules with import-linter."""
    session.install(*GROUPS["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # It reads the sources, so the package need not be installed.
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "src"})


@nox.session(python=PRIMARY)
def typing(session: nox.Session) -> None:
    """Check the types of the package and the typing tests with mypy and pyright, both strict."""
    session.install("-e", ".[testing]", *GROUPS["typing"])
    session.run("mypy")
    session.run("pyright")


@nox.session(python=PRIMARY)
def docs(session: nox.Session) -> None:
    """Build the site in build/site, with warnings as errors, and execute the notebooks.

    The picture of the docs must be what the example draws; the other one is written by hand.
    """
    session.install("-e", ".[testing]", *GROUPS["docs"])
    drawn = Path(session.create_tmp(), "history.svg").absolute()
    session.run("python", "examples/draw_history.py", str(drawn))
    if drawn.read_bytes() != Path("docs/history.svg").read_bytes():
        session.error("docs/history.svg is out of date. Run python examples/draw_history.py")
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "-q", "docs", "build/site")
    session.run("pytest", "-p", "no:cacheprovider", "--nbmake", "examples", *session.posargs)


@nox.session(python=PRIMARY, default=False)
def site(session: nox.Session) -> None:
    """Look at each page that the session ``docs`` has built, and at reports, in Chromium.

    On Debian this needs chromium and chromium-driver.
    """
    session.install("-e", ".[testing]", *GROUPS["site"])
    session.run("python", "tests/site_in_browser.py", "build/site")
    session.run("python", "tests/reports_in_browser.py")


@nox.session(python=PRIMARY, default=False)
def mutants(session: nox.Session) -> None:
    """Remove one rule of the package at a time, and show which test fails without it.

    ``-- disk`` selects the rules that contain the word.
    """
    # An editable installation would come before the changed copy on the path.
    session.install(".[testing]", *GROUPS["tests"], *GROUPS["servers"])
    session.run("python", "tests/mutants.py", *session.posargs)


@nox.session(python=PRIMARY, default=False)
def bench(session: nox.Session) -> None:
    """Run all benchmarks, and write the tables of the docs; ``-- --small`` takes a minute.

    ``-- reading s3`` selects benchmarks. All of them need 2 cores, 24 GiB of memory, 40 GB of
    disk, Java, PostgreSQL and radosgw, and about 40 minutes.
    """
    session.install("-e", ".[testing]", *GROUPS["bench"], *GROUPS["spark"])
    small = "--small" in session.posargs
    chosen = [argument for argument in session.posargs if argument != "--small"]
    for name in chosen or _BENCHMARKS:
        table = f"docs/explanation/benchmarks/{name}.md"
        options = ["--small"] if small else ["--table", table]
        session.run("python", f"benchmarks/{name}.py", *options)


_BENCHMARKS = ("writing", "reading", "s3", "spark", "databases", "amplitude_download")
