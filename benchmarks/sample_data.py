"""Made-up members, files and buckets for the benchmarks.

A member has a 12-digit id, a user id like an e-mail address, and two properties.
"""

import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    LocalStorage,
    UserProperty,
    sync_cohort,
)

COLUMNS = ("amplitudeID", "userID", "country", "plan")
COUNTRIES = ("DE", "US", "FR", "GB", "JP", "BR", "IN", "CA")
PLANS = ("free", "pro", "team", "enterprise")
START = datetime(2026, 11, 1, tzinfo=UTC)
ROWS_AT_ONCE = 500_000


def cohort(match_by: str = "amplitude_id", path: str = "") -> CohortSync:
    """Return the sync of the cohort that all benchmarks use."""
    return CohortSync(
        destination=Destination(name="bench", path=path, match_by=match_by),
        project_id=1,
        cohort_id="bench",
        user_properties=[UserProperty("country"), UserProperty("plan")],
    )


def members(ids: Any) -> Any:
    """Return a data frame of polars with the members that have these ids."""
    import polars as pl

    # The factor has no divisor in common with 10, so no two members share a user id.
    mixed = pl.col("amplitudeID") * 9_999_991 % 10**12
    return pl.DataFrame({"amplitudeID": ids}).select(
        pl.col("amplitudeID").cast(pl.String),
        pl.format("user{}@example.com", mixed.cast(pl.String).str.zfill(12)).alias("userID"),
        pl.lit(pl.Series(COUNTRIES)).gather(mixed % 8).alias("country"),
        pl.lit(pl.Series(PLANS)).gather(mixed // 8 % 4).alias("plan"),
    )


def write_members(
    path: Path, ids: Any, edit: Callable[[Any], Any] | None = None, **style: str
) -> None:
    """Write members as a CSV file.

    Args:
        path: The file.
        ids: The ids of the members, in the order of the rows.
        edit: A function that changes the data frame before it is written.
        style: Options of ``polars.DataFrame.write_csv``.
    """
    with path.open("wb") as file:
        for begin in range(0, max(len(ids), 1), ROWS_AT_ONCE):
            rows = members(ids[begin : begin + ROWS_AT_ONCE])
            rows = rows if edit is None else edit(rows)
            rows.write_csv(file, include_header=not begin, **style)


def drawn_ids(count: int) -> Any:
    """Return distinct ids in random order, the same in each run."""
    import numpy as np

    rng = np.random.default_rng(7)
    drawn = np.unique(rng.integers(10**11, 10**12, count + count // 10 + 10, dtype=np.uint64))
    return rng.permutation(drawn)[:count]


def digest_of_rows(paths: Iterable[Path]) -> list[Any]:
    """Return the number of rows in some CSV files and a digest of them, whatever their order."""
    import polars as pl

    rows = pl.concat(pl.read_csv(path, infer_schema=False) for path in paths)
    return [len(rows), f"{rows.hash_rows(seed=7).sum():016x}"]


def write_bucket(folder: Path, *, rows: int, syncs: int, changed: float) -> Path:
    """Return a bucket with daily syncs, which is made unless the folder exists.

    Args:
        folder: The folder of the bucket.
        rows: The number of members at each sync.
        syncs: The number of syncs.
        changed: The share of members who exit at each sync. The same number enter. Users who
            exit enter again three syncs later.
    """
    import numpy as np

    if folder.exists():
        return folder
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    storage = LocalStorage(unfinished)
    step = int(rows * changed)
    ring = drawn_ids(rows + 3 * step)  # At each sync, the members are a part of this ring.
    current = unfinished.with_suffix(".csv")
    for number in range(syncs):
        write_members(current, np.roll(ring, -number * step)[:rows])
        sync_cohort(cohort(), current, storage, synced_at=START + timedelta(days=number))
    current.unlink()
    return unfinished.rename(folder)
