"""The benchmarks run, in a small size, so that they can't rot; what they measure is not judged."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

pytestmark = pytest.mark.servers


@pytest.mark.parametrize(
    "name", ["history.py", "diff_engine.py", "amplitude_download.py", "databases.py"]
)
def test_a_benchmark_runs(name: str):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), "--small"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
