"""Questions about the files of a cohort, answered with polars.

The bucket is a folder with the three files of each sync. All cells stay text.
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

KEY = "amplitudeID"


def time_of(path: Path) -> datetime:
    """Return the time in a name such as ``1_bench_2026-11-01T00:00_existing.csv``."""
    return datetime.fromisoformat(path.stem.split("_")[2]).replace(tzinfo=UTC)


def read_changes(
    bucket: Path, kind: str, time_name: str, columns: list[str] | None
) -> pl.DataFrame:
    """Return the files ``entering`` or ``exiting`` of all syncs, with the time of each row."""
    return pl.concat(
        pl.read_csv(path, columns=columns, infer_schema=False).with_columns(
            pl.lit(time_of(path)).alias(time_name)
        )
        for path in sorted(bucket.glob(f"*_{kind}.csv"))
    )


def intervals(bucket: Path) -> pl.DataFrame:
    """Return the stays of all users: the n-th entry of a user belongs to the n-th exit."""
    visit = pl.int_range(pl.len(), dtype=pl.UInt32).over(KEY).alias("visit")
    entries = read_changes(bucket, "entering", "entered", [KEY]).with_columns(visit)
    exits = read_changes(bucket, "exiting", "exited", None).with_columns(visit)
    now = pl.read_csv(max(bucket.glob("*_existing.csv")), infer_schema=False)
    closed = exits.join(entries, on=[KEY, "visit"])
    last = entries.unique(KEY, keep="last")
    still_open = now.join(last, on=KEY).with_columns(exited=None)
    stays = pl.concat([closed, still_open.select(closed.columns)], how="vertical_relaxed")
    return stays.sort(KEY, "entered").select("entered", "exited", *now.columns)


def churn(bucket: Path) -> pl.DataFrame:
    """Return the numbers of members, and of users who entered, exited and returned, by sync."""
    counts, members = [], 0
    entries = read_changes(bucket, "entering", "synced_at", [KEY])
    per_sync = {
        when: (entered, returned)
        for when, entered, returned in entries.with_columns(
            returned=pl.col(KEY).is_first_distinct().not_()
        )
        .group_by("synced_at")
        .agg(pl.len(), pl.col("returned").sum())
        .iter_rows()
    }
    for path in sorted(bucket.glob("*_exiting.csv")):
        when = time_of(path)
        exited = pl.scan_csv(path, infer_schema=False).select(pl.len()).collect().item()
        entered, returned = per_sync.get(when, (0, 0))
        members += entered - exited
        counts.append((when, members, entered, exited, returned))
    columns = ["synced_at", "members", "entered", "exited", "returned"]
    return pl.DataFrame(counts, schema=columns, orient="row")


def member_history(bucket: Path, key: str) -> list[tuple[datetime, datetime | None]]:
    """Return the entries and exits of one user."""

    def times(kind: str) -> list[datetime]:
        return [
            time_of(path)
            for path in sorted(bucket.glob(f"*_{kind}.csv"))
            if len(pl.scan_csv(path, infer_schema=False).filter(pl.col(KEY) == key).collect())
        ]

    entries, exits = times("entering"), times("exiting")
    return list(zip(entries, [*exits, None], strict=False))


def verify(bucket: Path) -> list[str]:
    """Return the files that have other bytes than recorded, or that contradict the others."""
    faults = []
    before = pl.DataFrame(schema={KEY: pl.String})
    records = [path for path in bucket.glob("_syncs/*/*.json") if ".end" not in path.name]
    for path in sorted(records, reverse=True):  # The names count down.
        recorded = json.loads(path.read_bytes())["files"]
        for file in recorded.values():
            with (bucket / file["key"]).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != file["sha256"]:
                    faults.append(file["key"])
        entering, exiting, now = (
            pl.read_csv(bucket / recorded[kind]["key"], columns=[KEY], infer_schema=False)
            for kind in ("entering", "exiting", "existing")
        )
        expected = pl.concat([before.join(exiting, on=KEY, how="anti"), entering])
        is_same = (
            len(now) == now[KEY].n_unique() == len(expected)
            and len(before) + len(entering) == len(now) + len(exiting)
            and now.join(expected, on=KEY, how="anti").is_empty()
        )
        if not is_same:
            faults.append(recorded["existing"]["key"])
        before = now
    return faults
