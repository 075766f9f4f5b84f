"""Run the candidates of a benchmark in turns, compare their answers, and print the table.

A benchmark has candidates: functions that do the same, one with this library and others as a
competent user of another library would write them. Each run is a process of its own. The compared
candidates run in turns, one directly after the other, and a ratio is the median of the ratios
within each turn, because the speed of a machine may change within a minute. The candidates of this
library run with the native kernel and without it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any, Self

from amplitude_cohort_s3.format import kernel_state

KERNEL = "AMPLITUDE_COHORT_S3_KERNEL"
VARIANTS = ("with kernel", "pure Python") if kernel_state() == "in use" else ("pure Python",)
"""The implementations of this library that are measured."""

Function = Callable[..., Any]
"""A candidate. It is called with a :class:`Watch` and its options, and returns its answer."""


# --- In the process of a run -------------------------------------------------------------


class Watch:
    """A stopwatch for a ``with`` block, which excludes the imports and the digest of the answer.

    A candidate that does not use it is measured as a whole process, including its start.
    """

    def __init__(self) -> None:
        self.measured: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._begun = time.perf_counter(), cpu_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu = self._begun
        self.measured = {
            "wall": time.perf_counter() - wall,
            "cpu": cpu_seconds() - cpu,
            "mb": peak_megabytes(),
        }

    def answer(self, frame: Any) -> dict[str, Any]:
        """Return the size and a digest of a data frame, and record its memory.

        The digest depends on the order of the rows.
        """
        import polars as pl

        if not isinstance(frame, pl.DataFrame):
            frame = pl.DataFrame(frame)
        # Its estimated_size() leaves out most of the views of short texts.
        table = frame.to_arrow(compat_level=pl.CompatLevel.newest())
        self.measured["frame_mb"] = table.get_total_buffer_size() / 1e6
        numbers = pl.int_range(len(frame), dtype=pl.UInt64, eager=True)
        digest = (frame.hash_rows(seed=7) ^ numbers.hash(seed=8)).sum()
        return {"rows": len(frame), "digest": f"{digest:016x}"}


def cpu_seconds() -> float:
    """Return the CPU time of this process and of all that it started, such as a virtual machine."""
    import psutil

    usages = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    ended = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    living = (child.cpu_times() for child in psutil.Process().children(recursive=True))
    return ended + sum(t.user + t.system + t.children_user + t.children_system for t in living)


def peak_megabytes() -> float:
    """Return the peak memory of this process.

    ``ru_maxrss`` is not used, because it includes the process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


# --- Runs -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """A function of a benchmark by its name, and the options that it is called with."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """The time and memory that one run of a candidate took.

    Attributes:
        cpu: Seconds, of the process and its children.
        wall: Seconds.
        mb: The peak memory in MB.
        answer: The answer of the candidate.
        frame_mb: The memory of the data frame that it returned, in MB.
    """

    cpu: float
    wall: float
    mb: float
    answer: Any
    frame_mb: float = 0


class DifferentAnswersError(Exception):
    """Raised if two compared candidates return different answers."""


def run(candidate: Candidate, variant: str = VARIANTS[0]) -> Run:
    """Run a candidate of the running script in a new process."""
    arguments = json.dumps([candidate.name, candidate.options], default=str)
    # Bytecode is written, as for an installed package; otherwise each run compiles the modules.
    changed = {KERNEL, "PYTHONDONTWRITEBYTECODE"}
    environment = {name: value for name, value in os.environ.items() if name not in changed}
    if variant == "pure Python":
        environment[KERNEL] = "0"
    command = [sys.executable, sys.argv[0], "--one", arguments]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None  # noqa: S101
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begun
    if process.returncode:
        sys.exit(f"{candidate.name} ended with {process.returncode}")
    result = json.loads(printed.splitlines()[-1])
    measured = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime} | result["measured"]
    return Run(answer=result["answer"], **measured)


class Comparison:
    """Runs of this library and of another candidate, in turns."""

    def __init__(
        self,
        measure: str,
        ours: Candidate,
        theirs: Candidate,
        *,
        runs: int,
        variants: Iterable[str] = VARIANTS,
        digest: Callable[[Candidate], Any] | None = None,
        is_same_library: bool = False,
        reference: Candidate | None = None,
    ) -> None:
        """Run the candidates, and print their answers and medians.

        Args:
            measure: The name of the measurement, for the output.
            ours: The candidate of this library.
            theirs: The candidate to compare with; it runs once in each turn.
            runs: The number of turns.
            variants: The variants of ``ours``.
            digest: A function that returns the answer of a candidate that has just run, if
                the process of the candidate does not.
            is_same_library: True if ``theirs`` is this library with another input. It then
                runs in each variant, and its answer may differ from that of ``ours``.
            reference: A candidate that runs once, and must have the answer of ``ours``.

        Raises:
            DifferentAnswersError: Two answers differ.
        """
        self._measure, self._digest = measure, digest
        shared: list[Run] = []
        self.ours: dict[str, list[Run]] = {variant: [] for variant in variants}
        self.theirs = {variant: [] if is_same_library else shared for variant in self.ours}
        for _ in range(runs):
            if not is_same_library:
                shared.append(self._run(theirs, VARIANTS[0]))
            for variant in self.ours:
                if is_same_library:
                    self.theirs[variant].append(self._run(theirs, variant))
                self.ours[variant].append(self._run(ours, variant))
        found = {f"{ours.name}, {variant}": of_ours for variant, of_ours in self.ours.items()}
        if reference is not None:
            found[reference.name] = [self._run(reference, VARIANTS[0])] * runs
        if is_same_library:
            self._show(found)
            self._show({f"{ours.name}, plain, {v}": runs for v, runs in self.theirs.items()})
        else:
            self._show({theirs.name: shared} | found)

    def _run(self, candidate: Candidate, variant: str) -> Run:
        done = run(candidate, variant)
        return done if self._digest is None else replace(done, answer=self._digest(candidate))

    def _show(self, found: dict[str, list[Run]]) -> None:
        """Print answers and medians.

        Raises:
            DifferentAnswersError: Two answers differ.
        """
        for label, runs in found.items():
            print(f"{self._measure} | {label} | answer: {json.dumps(runs[0].answer)}")
        for of_turn in zip(*found.values(), strict=True):
            if any(one.answer != of_turn[0].answer for one in of_turn):
                message = f"{self._measure}: the answers differ"
                raise DifferentAnswersError(message)
        for label, runs in found.items():
            cpu, wall, mb = (median(runs, what) for what in ("cpu", "wall", "mb"))
            print(f"{self._measure} | {label} | CPU {cpu:.3f} s, wall {wall:.3f} s, {mb:.0f} MB")

    def ratios(self, what: str) -> dict[str, float]:
        """Return the median of the ratios of ours to theirs within each turn, by variant."""
        return {
            variant: statistics.median(
                getattr(a, what) / getattr(b, what)
                for a, b in zip(runs, self.theirs[variant], strict=True)
            )
            for variant, runs in self.ours.items()
        }

    def medians(self, what: str) -> dict[str, float]:
        """Return the median of ours, by variant."""
        return {variant: median(runs, what) for variant, runs in self.ours.items()}


def median(runs: Iterable[Run], what: str) -> float:
    """Return the median of an attribute of some runs, such as ``"cpu"``."""
    return statistics.median(getattr(run, what) for run in runs)


# --- The table and the command line --------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        measure: The name of the measurement.
        measured: The values, by variant.
        targets: The upper bounds with the kernel and in pure Python; None if there is none.
        unit: ``MB`` or ``ms``; empty for a ratio.
    """

    measure: str
    measured: Mapping[str, float]
    targets: tuple[float | None, float | None] = (None, None)
    unit: str = ""

    def __str__(self) -> str:
        cells = [self.measure]
        for variant, target in zip(("with kernel", "pure Python"), self.targets, strict=True):
            value = self.measured.get(variant)
            cells.append("-" if value is None else self._cell(value))
            cells.append("-" if target is None else f"≤ {target} {self.unit}".rstrip())
        return f"| {' | '.join(cells)} |"

    def _cell(self, value: float) -> str:
        return f"{value:.0f} {self.unit}" if self.unit else f"{value:.2f}"


HEAD = ("| measure | with kernel | target | pure Python | target |", "|---|--:|--:|--:|--:|")


@dataclass(frozen=True)
class Setting:
    """The settings of a benchmark.

    Attributes:
        folder: The folder of the data.
        small: If True, all sizes are a hundredth or less, and each candidate runs once.
        runs: The number of turns.
        is_temporary: True if the data are not kept.
    """

    folder: Path
    small: bool
    runs: int
    is_temporary: bool


Part = Callable[[Setting], Iterator[Row]]
"""A part of a benchmark, which yields rows of its table."""


def main(
    title: str, about: str | None, parts: Mapping[str, Part], candidates: Iterable[Function]
) -> None:
    """Run a benchmark from the command line.

    Args:
        title: The heading of the table.
        about: The docstring of the script.
        parts: The parts by name, for ``--only``.
        candidates: The functions that run in processes of their own.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="small sizes, one run: for CI")
    parser.add_argument(
        "--only", choices=parts, action="append", help="one part of the benchmark; can be repeated"
    )
    parser.add_argument("--runs", type=int, default=3, help="the number of turns")
    parser.add_argument(
        "--folder", type=Path, help="the folder for the data, which are kept and used again"
    )
    parser.add_argument("--table", type=Path, help="the file to write the table to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        _run_here(json.loads(arguments.one), {one.__name__: one for one in candidates})
        return
    if arguments.table and arguments.small:
        parser.error("the table contains parts in full size")
    chosen = [name for name in parts if name in (arguments.only or parts)]
    with _folder_for(arguments.folder) as folder:
        runs = 1 if arguments.small else arguments.runs
        setting = Setting(folder, arguments.small, runs, arguments.folder is None)
        try:
            rows = [row for name in chosen for row in parts[name](setting)]
        except DifferentAnswersError as error:
            sys.exit(str(error))
    turns = f"Medians of {setting.runs} turns" if setting.runs > 1 else "One run each"
    turns += f", measured on {datetime.now(UTC):%Y-%m-%d}."
    left_out = ", ".join(f"`{name}`" for name in parts if name not in chosen)
    note = f" Parts that were left out: {left_out}." if left_out else ""
    lines = [f"# {title}", "", f"{turns} {machine()}.{note}", "", *HEAD, *map(str, rows), ""]
    text = "\n".join(lines)
    print(text)
    if arguments.table:
        arguments.table.write_text(text, encoding="utf-8")


def machine() -> str:
    """Return a description of this machine and of the libraries that are compared."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ("polars", "pyarrow", "pandas", "duckdb", "boto3", "pyspark")
    installed = {name: version(name) for name in libraries if find_spec(name) is not None}
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {platform.machine()}, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {number}" for name, number in installed.items())
    )


@contextmanager
def _folder_for(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _run_here(one: tuple[str, dict[str, Any]], candidates: Mapping[str, Function]) -> None:
    name, options = one
    watch = Watch()
    answer = candidates[name](watch, **options)
    measured = watch.measured or {"mb": peak_megabytes()}
    print(json.dumps({"measured": measured, "answer": answer}))
