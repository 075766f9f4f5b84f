"""The three files of a cohort with polars: two anti-joins and three sinks in one query."""

from pathlib import Path

import polars as pl


def write_diff(previous: Path, current: Path, out: Path, key: str = "amplitudeID") -> None:
    """Write the members who entered, exited and exist, in an unspecified order."""
    before = pl.scan_csv(previous, infer_schema=False)
    now = pl.scan_csv(current, infer_schema=False)
    pl.collect_all(
        [
            now.join(before, on=key, how="anti").sink_csv(out / "entering.csv", lazy=True),
            before.join(now, on=key, how="anti").sink_csv(out / "exiting.csv", lazy=True),
            now.sink_csv(out / "existing.csv", lazy=True),
        ]
    )
