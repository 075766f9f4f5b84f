"""Draw the picture of the README and the docs: four weeks of a made-up cohort.

Run it with ``python examples/draw_history.py [file]``; it needs the extras ``plot`` and
``testing``. The file is the same at each run with one version of matplotlib.
"""

import sys
from pathlib import Path

import matplotlib as mpl

from amplitude_cohort_s3 import MemoryStorage, read_history
from amplitude_cohort_s3.testing.sample_bucket import fill_bucket

PICTURE = Path(__file__).parent.parent / "docs" / "history.svg"


def main(file: str | Path = PICTURE) -> None:
    """Sync into memory, read the history and draw it."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "history"  # the ids in the file are the same at each run
    storage = MemoryStorage()
    stream = fill_bucket(storage, syncs=28)
    axes = read_history(storage, stream).plot()
    axes.figure.set_size_inches(9, 4.2)
    axes.figure.savefig(file, metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main(*sys.argv[1:])
