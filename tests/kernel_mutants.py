# ruff: noqa: T201 -- a program that prints a table
"""Remove one bounds check of the native kernel at a time, and check that it is noticed.

`nox -s kernel` runs this program. The checks are the conditions that `kernel/*.[ch]` marks with
`IN_BOUNDS`. Each mutant is a copy of the sources in which one of them is taken to be true. The
calls of `support/kernel_cases.py` are run with it under AddressSanitizer: a result must differ,
or the program must end with an error or not at all. The program prints the mutants, and ends
with an error if one is not noticed. `python tests/kernel_mutants.py join` tries only those of
the files and lines that contain a word.
"""

import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import frozen

sys.path.insert(0, str(Path(__file__).parent / "support"))

from kernel_build import CORE, SOURCES, build_harness, run_harness
from kernel_cases import edge_calls, random_calls

SECONDS = 60
"""The limit for a mutant, which may search for a line end forever."""

ROUNDS = 300


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


def is_noticed(mutant: Mutant, folder: Path) -> bool:
    """Build a mutant and run all calls with it."""
    sources = folder / f"{mutant.file}-{mutant.line}-{abs(hash(mutant.source))}"
    sources.mkdir()
    for path in SOURCES.glob("*.[ch]"):
        (sources / path.name).write_bytes(path.read_bytes())
    (sources / mutant.file).write_text(mutant.source, encoding="utf-8")
    flags = "-w -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    core = [sources / path.name for path in CORE]
    build_harness(sources / "harness", flags, core=core)
    try:
        run_harness([sources / "harness"], CALLS, timeout=SECONDS)
    except (AssertionError, subprocess.TimeoutExpired):
        return True
    return False


def all_calls() -> list:
    """Return the calls at the edge of each buffer, and random ones."""
    source = random.Random(1)
    return [*edge_calls(), *(call for _ in range(ROUNDS) for call in random_calls(source))]


CALLS = all_calls()


def main(word: str) -> None:
    """Try all mutants whose text contains a word."""
    chosen = [mutant for mutant in mutants() if word in str(mutant)]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        build_harness(Path(name, "harness"))
        run_harness([Path(name, "harness")], CALLS)
        noticed = pool.map(is_noticed, chosen, [Path(name)] * len(chosen))
        missed = 0
        for mutant, found in zip(chosen, noticed, strict=True):
            print(f"{'noticed' if found else 'MISSED '}  {mutant}", flush=True)
            missed += not found
    if missed or not chosen:
        sys.exit(f"{missed} of {len(chosen)} missing bounds checks were not noticed")
    print(f"each of {len(chosen)} missing bounds checks is noticed")


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
