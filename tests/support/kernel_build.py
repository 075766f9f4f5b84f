"""Builds of the native kernel for tests: as an extension module, and in the C harness.

`python kernel_build.py FOLDER` builds the module with AddressSanitizer and
UndefinedBehaviorSanitizer, and prints its path.
"""

import importlib.machinery
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "kernel"
HARNESS = Path(__file__).with_name("kernel")
CORE = [path for path in sorted(SOURCES.glob("*.c")) if path.name != "module.c"]
HAS_COMPILER = shutil.which("cc") is not None

STRICT = "-std=c11 -Wall -Wextra -Wshadow -Werror"
SANITIZED = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
_WRAPPED = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc", "free")]
MAX_TEXT_BYTES = 50_000
"""The largest text of the harness. That of the extension module is nearly 4 GiB."""


def build_module(folder, flags="-O2", *, compiler="cc", sources=SOURCES, failing_allocations=False):
    """Build the extension module, and return its path."""
    path = folder / f"_kernel{importlib.machinery.EXTENSION_SUFFIXES[-1]}"
    include = f"-I{sysconfig.get_path('include')}"
    extra = [HARNESS / "failing_allocations.c", *_WRAPPED] if failing_allocations else []
    output = ["-shared", "-fPIC", include, "-o", path]
    flags = shlex.split(f"{STRICT} {flags}")
    _compile(compiler, [*flags, *output, *sorted(sources.glob("*.c")), *extra])
    return path


def load_module(path):
    """Import an extension module from its path."""
    spec = importlib.util.spec_from_file_location("_kernel", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kernel_under_test(folder):
    """Return the extension module: the named one, the installed one, or one built for this."""
    if "KERNEL_UNDER_TEST" in os.environ:
        return load_module(os.environ["KERNEL_UNDER_TEST"])
    try:
        from amplitude_cohort_s3.format import _kernel  # noqa: PLC0415 -- may be absent
    except ImportError:
        if not HAS_COMPILER:
            pytest.skip("the kernel is not built, and there is no C compiler")
        return load_module(build_module(folder))
    return _kernel


def build_harness(path, flags=SANITIZED, *, compiler="cc"):
    """Build the harness with the kernel."""
    sources = [*CORE, *HARNESS.glob("*.c")]
    _compile(compiler, [*_harness_flags(flags), "-o", path, *sources, *_WRAPPED])


def compile_for_harness(folder, sources, flags=SANITIZED, *, headers=SOURCES):
    """Compile some sources of the harness or the kernel, and return the objects by their names."""
    sources = list(sources)
    options = [f"-I{headers}", *_harness_flags(flags)]
    _compile("cc", [*options, "-c", *(path.absolute() for path in sources)], folder)
    return {path.name: folder / f"{path.stem}.o" for path in sources}


def link_harness(path, objects, flags=SANITIZED):
    """Make the harness from all objects."""
    _compile("cc", [*shlex.split(flags), "-o", path, *objects, *_WRAPPED])


def _harness_flags(flags):
    limit = f"-DMAX_TEXT_BYTES={MAX_TEXT_BYTES}"
    return [*shlex.split(f"{STRICT} {flags}"), limit, f"-I{SOURCES}"]


def run_harness(command, calls, *, timeout=600):
    """Run the harness with some calls, and compare its results with the expected ones."""
    calls = list(calls)
    ended = subprocess.run(
        [str(part) for part in command],
        input=b"".join(call.encoded() for call in calls),
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    if ended.returncode:
        raise AssertionError(f"exit code {ended.returncode}: {ended.stderr.decode()[-3000:]}")
    at = 0
    for call in calls:
        expected = call.encoded_result()
        found = ended.stdout[at : at + len(expected)]
        assert found == expected, f"{call}: {found!r} instead of {expected!r}"
        at += len(expected)
    assert at == len(ended.stdout)


def _compile(compiler, arguments, folder=None):
    subprocess.run([compiler, *map(str, arguments)], check=True, cwd=folder)


if __name__ == "__main__":
    sys.stdout.write(str(build_module(Path(sys.argv[1]), SANITIZED)))
