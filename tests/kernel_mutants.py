# ruff: noqa: T201 -- a program that prints a table
"""Remove one bounds check of the native kernel at a time, and check that it is noticed.

`nox -s kernel_mutants` runs this program. The checks are the conditions that `kernel/*.[ch]` marks
with `IN_BOUNDS`. Each mutant is a copy of the sources in which one of them is taken to be true. The
calls of `support/kernel_cases.py` are run with it under AddressSanitizer: a result must differ,
or the program must end with an error or not at all. A mutant of `module.c` must fail a test of
its arguments. The program prints the mutants, and ends with an error if one is not noticed.
`python tests/kernel_mutants.py join` tries only those of the files and lines that contain a
word.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import frozen

sys.path.insert(0, str(Path(__file__).parent / "support"))

from kernel_build import (
    CORE,
    HARNESS,
    SOURCES,
    build_module,
    compile_for_harness,
    link_harness,
    run_harness,
)
from kernel_cases import harness_calls

CPU_SECONDS = 5
"""The limit for a mutant, which may search for a line end forever: many times what is needed."""


@frozen
class Known:
    """A call of the harness whose result was computed once for all mutants."""

    sent: bytes
    result: bytes

    def encoded(self) -> bytes:
        return self.sent

    def encoded_result(self) -> bytes:
        return self.result


CALLS = [Known(call.encoded(), call.encoded_result()) for call in harness_calls(300)]

ARGUMENT_TESTS = "arguments or buffers or conflicting_keys"
"""A selection of the tests of the module."""

FLAGS = "-w -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"


@frozen
class Mutant:
    """A copy of the kernel without one bounds check.

    Attributes:
        file: The name of the file with the check.
        line: The line of the check.
        condition: The check.
        source: The text of the file without it.
    """

    file: str
    line: int
    condition: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.condition}"


def mutants() -> Iterator[Mutant]:
    """Yield a mutant for each bounds check."""
    for path in sorted(SOURCES.glob("*.[ch]")):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"IN_BOUNDS(?=\()", text):
            if text[: match.start()].endswith("#define "):
                continue
            end = _closing(text, match.end())
            line = text.count("\n", 0, match.start()) + 1
            source = text[: match.start()] + "1" + text[end:]
            yield Mutant(path.name, line, text[match.end() + 1 : end - 1], source)


def _closing(text: str, begin: int) -> int:
    """Return the offset after the parenthesis that closes the one at `begin`."""
    depth = 0
    for at in range(begin, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return at + 1
    raise AssertionError


def is_noticed(mutant: Mutant, folder: Path, objects: dict[str, Path]) -> bool:
    """Build a mutant, and run the calls or tests that must notice it."""
    copy = folder / f"{mutant.file}-{mutant.line}-{abs(hash(mutant.source))}"
    shutil.copytree(SOURCES, copy)
    (copy / mutant.file).write_text(mutant.source, encoding="utf-8")
    try:
        if mutant.file == "module.c":
            _test_arguments(build_module(copy, "-w -O1", sources=copy))
        else:
            changed = CORE if mutant.file.endswith(".h") else [Path(mutant.file)]
            sources = [copy / path.name for path in changed]
            own = compile_for_harness(copy, sources, FLAGS, headers=copy)
            link_harness(copy / "harness", (objects | own).values(), FLAGS)
            _run_calls(copy / "harness")
    except AssertionError:
        return True
    return False


def _run_calls(harness: Path) -> None:
    run_harness(["prlimit", f"--cpu={CPU_SECONDS}", harness], CALLS)


def _test_arguments(module: Path) -> None:
    tests = ("tests/format/test_kernel.py", "-q", "-x", "-k", ARGUMENT_TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "KERNEL_UNDER_TEST": str(module)}
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    if ended.returncode:
        raise AssertionError(ended.stdout)


def main(word: str) -> None:
    """Try all mutants whose text contains a word."""
    chosen = [mutant for mutant in mutants() if word in str(mutant)]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        # Without a mutant, nothing must be noticed.
        objects = compile_for_harness(folder, [*CORE, *HARNESS.glob("*.c")], FLAGS)
        link_harness(folder / "harness", objects.values(), FLAGS)
        _run_calls(folder / "harness")
        _test_arguments(build_module(folder))
        noticed = pool.map(lambda mutant: is_noticed(mutant, folder, objects), chosen)
        missed = 0
        for mutant, found in zip(chosen, noticed, strict=True):
            print(f"{'noticed' if found else 'MISSED '}  {mutant}", flush=True)
            missed += not found
    if missed or not chosen:
        sys.exit(f"{missed} of {len(chosen)} missing bounds checks were not noticed")
    print(f"each of {len(chosen)} missing bounds checks is noticed")


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
