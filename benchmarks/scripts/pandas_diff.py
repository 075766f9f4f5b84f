"""The three files of a cohort with pandas: ``isin`` on both sides."""

from pathlib import Path

import pandas as pd

KEY = "amplitudeID"


def write_diff(previous: Path, current: Path, out: Path) -> None:
    """Write the members who entered, exited and exist."""
    before, now = (
        pd.read_csv(path, dtype=str, keep_default_na=False) for path in (previous, current)
    )
    now[~now[KEY].isin(before[KEY])].to_csv(out / "entering.csv", index=False)
    before[~before[KEY].isin(now[KEY])].to_csv(out / "exiting.csv", index=False)
    now.to_csv(out / "existing.csv", index=False)
