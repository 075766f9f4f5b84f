"""The benchmarks run in a small size, and compare answers; the times are not judged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = ("writing", "reading", "s3", "spark", "databases", "amplitude_download")

pytestmark = pytest.mark.servers


def run(script: Path) -> subprocess.CompletedProcess[str]:
    """Run a benchmark in its small size."""
    path = os.pathsep.join([str(BENCHMARKS), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, str(script), "--small"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )


def answers(output: str) -> dict[str, list[str]]:
    """The answers of all candidates with the same input, by the name of the measurement."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        label, is_answer, answer = line.partition(" | answer: ")
        if is_answer and ", plain, " not in label:  # another input may have another answer
            found.setdefault(label.partition(" | ")[0], []).append(answer)
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_compares_the_answers_of_all_candidates(name: str):
    if name == "spark":
        pytest.importorskip("pyspark")  # which the session `spark` of nox installs
        if shutil.which("java") is None and os.environ.get("CI") != "true":
            pytest.skip("not installed: apt-get install openjdk-17-jre-headless")
    done = run(BENCHMARKS / f"{name}.py")
    assert done.returncode == 0, done.stderr[-2000:]
    found = answers(done.stdout)
    assert found, done.stdout
    for measure, given in found.items():
        assert len(given) > 1, measure
        assert len(set(given)) == 1, measure


def test_different_answers_end_a_benchmark(tmp_path: Path):
    script = tmp_path / "different.py"
    script.write_text(
        """
from measuring import Candidate, Comparison, main

def ours(watch):
    return 1

def theirs(watch):
    return 2

def part(setting):
    Comparison("numbers", Candidate("ours"), Candidate("theirs"), runs=setting.runs)
    return []

main("Numbers", None, {"part": part}, (ours, theirs))
"""
    )
    done = run(script)
    assert done.returncode == 1
    assert done.stderr.strip() == "numbers: the answers differ"
    assert set(answers(done.stdout)["numbers"]) == {"1", "2"}


def test_every_script_has_a_table_in_the_docs():
    tables = BENCHMARKS.parent / "docs" / "explanation" / "benchmarks"
    assert {path.stem for path in tables.glob("*.md")} == set(SCRIPTS)
