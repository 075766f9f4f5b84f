"""The diff engine against what one would write instead: CPU, wall and memory.

    python benchmarks/diff_engine.py [--small | --only ROWS] [--runs 3] [--table FILE]

Each measurement is a process of its own, whose children count too. What is compared takes
turns, one right behind the other, and a ratio is the median of those within each turn: the
speed of a machine may change within a minute. All must find the same three sets. More than
10 million rows run once, with only us, in 1 GiB of memory for a process.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

HEADER = ("amplitudeID", "userID", "country", "plan")
COUNTRIES = ("DE", "US", "FR", "GB", "JP", "BR", "IN", "CA")
PLANS = ("free", "pro", "team", "enterprise")
FILES = ("entering", "exiting", "existing")
SMALL, LARGEST_RACE = 1_000_000, 10_000_000
MEMORY_LIMIT = 1 << 30
BEFORE = datetime(2026, 11, 1, tzinfo=UTC)


# --- The data ------------------------------------------------------------------------


def members(ids: Any) -> Any:
    """Rows: a 12-digit id, a user id like an e-mail address, two properties."""
    import polars as pl

    # The factor has no divisor in common with 10, so no two members share a user id.
    mixed = pl.col(HEADER[0]) * 9_999_991 % 10**12
    return pl.DataFrame({HEADER[0]: ids}).select(
        pl.col(HEADER[0]).cast(pl.String),
        pl.format("user{}@example.com", mixed.cast(pl.String).str.zfill(12)).alias(HEADER[1]),
        pl.lit(pl.Series(COUNTRIES)).gather(mixed % 8).alias(HEADER[2]),
        pl.lit(pl.Series(PLANS)).gather(mixed // 8 % 4).alias(HEADER[3]),
    )


def write(path: Path, ids: Any, edit: Callable[[Any], Any] | None = None, **style: str) -> None:
    with path.open("wb") as file:
        for begin in range(0, len(ids), 500_000):
            rows = members(ids[begin : begin + 500_000])
            rows = rows if edit is None else edit(rows)
            rows.write_csv(file, include_header=not begin, **style)


def quote_tenth(rows: Any) -> Any:
    import polars as pl

    quoted = pl.format('{}, "{}"', "country", "plan")
    tenth = pl.int_range(pl.len()) % 10 == 0
    return rows.with_columns(pl.when(tenth).then(quoted).otherwise("country").alias("country"))


def change_all(rows: Any) -> Any:
    return rows.with_columns(plan=rows["plan"] + "2")


def make(folder: Path, rows: int, *, variants: bool) -> None:
    """Members before, in order, and now, in none: 5 % left and 5 % entered."""
    import numpy as np

    rng = np.random.default_rng(7)
    drawn = np.unique(rng.integers(10**11, 10**12, rows + rows // 10, dtype=np.uint64))
    ids = rng.permutation(drawn)[: rows + rows // 20]
    before, now = np.sort(ids[:rows]), rng.permutation(ids[rows // 20 :])
    write(folder / "previous.csv", before)
    write(folder / "current.csv", now)
    sync(folder / "bucket", folder / "previous.csv")
    if variants:
        write(folder / "quoted.csv", now, quote_style="always")
        write(folder / "tenth.csv", now, quote_tenth)
        write(folder / "in-order.csv", np.sort(now))
        # A changed property on every stayer is the worst case of comparing whole lines.
        write(folder / "changed.csv", now, change_all)
        write(folder / "shuffled.csv", rng.permutation(before))
        sync(folder / "bucket-by-user", folder / "previous.csv", key="user_id")


def sync(bucket: Path, file: Path, *, key: str = "amplitude_id", workers: int = 1) -> Any:
    """Sync a file into a folder, half an hour after the previous sync."""
    from amplitude_cohort_s3 import (
        CohortSync,
        Destination,
        LocalStorage,
        UserProperty,
        read_head,
        sync_cohort,
    )
    from amplitude_cohort_s3.diff.engine import PartitionEngine

    storage = LocalStorage(bucket)
    cohort = CohortSync(
        destination=Destination(name="bench", match_by=key),
        project_id=1,
        cohort_id="bench",
        user_properties=[UserProperty("country"), UserProperty("plan")],
    )
    head = read_head(storage, cohort.stream)
    return sync_cohort(
        cohort,
        file,
        storage,
        synced_at=BEFORE if head is None else head.record.synced_at + timedelta(minutes=30),
        engine=PartitionEngine(workers=workers),
        work_dir=bucket.parent,
    )


# --- The candidates: each runs in a process of its own --------------------------------


def ours(folder: Path, out: Path, options: dict[str, str]) -> None:
    """Run the next sync of a bucket: read and verify the previous one, commit three files."""
    if int(options.get("limit", "0")):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    bucket = out / "bucket"
    given = folder / options.get("bucket", "bucket")
    if given.exists():
        # Links: the files of a bucket are never written to.
        shutil.copytree(given, bucket, copy_function=os.link)
    result = sync(
        bucket,
        folder / f"{options.get('current', 'current')}.csv",
        key=options.get("key", "amplitude_id"),
        workers=int(options.get("workers", "1")),
    )
    for diff_type, file in result.record.files.items():
        os.link(bucket / file.key, out / f"{diff_type}.csv")


def foreign(folder: Path, out: Path, _: dict[str, str]) -> None:
    """Compute the same diff, with previous members from an unsorted file of another tool."""
    from amplitude_cohort_s3 import LocalStorage, MemberFile, RowSchema, diff_members
    from amplitude_cohort_s3.format.filename import DiffType

    storage = LocalStorage(out)
    with diff_members(
        MemberFile(folder / "shuffled.csv"),
        MemberFile(folder / "current.csv"),
        schema=RowSchema(properties=("country", "plan")),
        work_dir=out,
    ) as diff:
        for diff_type in DiffType:
            file = diff.report.files[diff_type]
            storage.publish(storage.stage(f"{diff_type}.csv", file.chunks()))


def polars(folder: Path, out: Path, _: dict[str, str]) -> None:
    """Two anti-joins and three sinks, unsorted, no checks."""
    import polars as pl

    before = pl.scan_csv(folder / "previous.csv", infer_schema=False)
    now = pl.scan_csv(folder / "current.csv", infer_schema=False)
    key = "amplitudeID"
    pl.collect_all(
        [
            now.join(before, on=key, how="anti").sink_csv(out / "entering.csv", lazy=True),
            before.join(now, on=key, how="anti").sink_csv(out / "exiting.csv", lazy=True),
            now.sink_csv(out / "existing.csv", lazy=True),
        ]
    )


def duckdb(folder: Path, out: Path, _: dict[str, str]) -> None:
    """Two anti-joins and three copies."""
    import duckdb as db

    connection = db.connect()
    connection.execute("SET preserve_insertion_order = false")
    for name in ("previous", "current"):
        connection.execute(
            f"CREATE VIEW {name} AS FROM read_csv('{folder / name}.csv', all_varchar = true)"
        )
    for name, query in {
        "entering": "FROM current ANTI JOIN previous USING (amplitudeID)",
        "exiting": "FROM previous ANTI JOIN current USING (amplitudeID)",
        "existing": "FROM current",
    }.items():
        connection.execute(f"COPY ({query}) TO '{out / name}.csv' (HEADER)")


def pandas(folder: Path, out: Path, _: dict[str, str]) -> None:
    """Isin on both sides."""
    import pandas as pd

    before, now = (
        pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
        for name in ("previous", "current")
    )
    key = "amplitudeID"
    now[~now[key].isin(before[key])].to_csv(out / "entering.csv", index=False)
    before[~before[key].isin(now[key])].to_csv(out / "exiting.csv", index=False)
    now.to_csv(out / "existing.csv", index=False)


def standard_library(folder: Path, out: Path, _: dict[str, str]) -> None:
    """Compute the diff with the module csv and a dict."""
    import csv

    def read(name: str) -> tuple[list[str], dict[str, list[str]]]:
        with (folder / f"{name}.csv").open(newline="") as file:
            rows = csv.reader(file)
            return next(rows), {row[0]: row for row in rows}

    header, before = read("previous")
    _, now = read("current")
    for name, chosen in (
        ("entering", (row for key, row in now.items() if key not in before)),
        ("exiting", (row for key, row in before.items() if key not in now)),
        ("existing", iter(now.values())),
    ):
        with (out / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(chosen)


def gzip(folder: Path, out: Path, options: dict[str, str]) -> None:
    """One file compressed, with the extra ``fast`` or without."""
    if options["by"] == "standard library":
        sys.modules["isal"] = None  # type: ignore[assignment] -- as if it were not installed
    from amplitude_cohort_s3.format.compression import compress_chunks

    with (folder / "current.csv").open("rb") as file, (out / "current.csv.gz").open("wb") as to:
        to.writelines(compress_chunks(iter(lambda: file.read(1 << 20), b"")))


Candidate = tuple[Path, str, dict[str, str]]
"""The folder with the data, the name of the function, and its options."""
Measured = dict[str, list[dict[str, float]]]
"""By the label of a candidate what its runs took."""

CANDIDATES = {
    f.__name__: f for f in (ours, foreign, polars, duckdb, pandas, standard_library, gzip)
}


# --- Measuring -----------------------------------------------------------------------


def measure(folder: Path, name: str, options: dict[str, str], *, digests: bool) -> dict[str, Any]:
    """CPU seconds, wall seconds and peak MB of one run in a new process."""
    out = Path(tempfile.mkdtemp(prefix="out-", dir=folder))
    arguments = json.dumps([str(folder), str(out), name, options])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, "--one", arguments])
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        time.sleep(0.05)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        message = f"{name} ended with {process.returncode}"
        raise RuntimeError(message)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result: dict[str, Any] = {"cpu": cpu, "wall": wall, "mb": peak}
    if digests:
        result["digests"] = [_digest(out / f"{f}.csv") for f in FILES]
    shutil.rmtree(out)
    return result


def _memory(pid: int) -> float:
    """MB of a process and its children now: private memory, and its share of the rest."""
    import psutil

    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied, AttributeError):
        pass
    return total / 1e6


def _digest(path: Path) -> str:
    """Of the set of lines, whatever their order, without holding them."""
    total = rows = 0
    with path.open("rb") as file:
        next(file)
        for line in file:
            rows += 1
            plain = line.rstrip(b"\r\n").replace(b'"', b"")
            total += int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest())
    return f"{rows}:{total % 2**64:x}"


def series(plan: dict[str, Candidate], runs: int) -> Measured:
    """Return the measurements of several candidates that take turns."""
    found: Measured = {label: [] for label in plan}
    sets = set[tuple[str, ...]]()
    for run in range(runs):
        for label, (folder, name, options) in plan.items():
            same_sets = label not in OTHER_SETS
            result = measure(folder, name, options, digests=same_sets and not run)
            if digests := result.pop("digests", None):
                sets.add(tuple(digests))
            found[label].append(result)
            print(label, result, file=sys.stderr, flush=True)
    if len(sets) > 1:
        raise RuntimeError(f"the candidates found different sets: {sets}")
    return found


def in_folder(folder: Path, plan: dict[str, tuple[str, dict[str, str]]]) -> dict[str, Candidate]:
    return {label: (folder, name, options) for label, (name, options) in plan.items()}


# --- The table -----------------------------------------------------------------------

VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "all-quoted input": ("ours", {"current": "quoted"}),
    "every tenth row needs quotes": ("ours", {"current": "tenth"}),
    "members before from a foreign file, in no order": ("foreign", {}),
    "matched by user id": ("ours", {"bucket": "bucket-by-user", "key": "user_id"}),
    "first sync": ("ours", {"bucket": "none"}),
    "input in order": ("ours", {"current": "in-order"}),
    "a property of every member changed": ("ours", {"current": "changed"}),
}
PLAIN_GZIP, FAST_GZIP = "gzip, the standard library", "gzip, the extra fast"
GROWTH = "ten times as many members"
GOALS = {
    "all-quoted input": "≤ 1.3",
    "every tenth row needs quotes": "≤ 1.5",
    "members before from a foreign file, in no order": "≤ 1.5",
    "matched by user id": "≤ 1.5",
    "first sync": "≤ 1.2",
    "input in order": "",
    "a property of every member changed": "",
    FAST_GZIP: "",
    GROWTH: "≤ 11",
}
OTHER_SETS = {
    *("every tenth row needs quotes", "first sync", "a property of every member changed"),
    *(PLAIN_GZIP, FAST_GZIP, GROWTH),
}
ONE, TWO = "amplitude_cohort_s3", "amplitude_cohort_s3, 2 workers"
POLARS = "polars, two anti-joins"
RACE: dict[str, tuple[str, dict[str, str]]] = {
    ONE: ("ours", {}),
    POLARS: ("polars", {}),
    TWO: ("ours", {"workers": "2"}),
    "duckdb, two anti-joins": ("duckdb", {}),
}
SLOW: dict[str, tuple[str, dict[str, str]]] = {
    "pandas, isin": ("pandas", {}),
    "module csv and a dict": ("standard_library", {}),
}
ABOUT = """\
Written by `nox -s bench`. Each row of the first tables is the median of its runs: CPU and wall in
seconds, start-up included, and the peak of memory in MB, all processes together. 5 % of the members
enter and 5 % exit. Ours gives ordered and verified files, committed to a folder; the others just
write three files. A ratio is the median of those within each turn."""


@dataclass
class Results:
    """What was measured with so many members a side.

    Attributes:
        race: We, and what one would write instead.
        pairs: By the label of another one, what it is compared with and it, in turns.
    """

    race: Measured
    pairs: dict[str, Measured]


def median(results: list[dict[str, float]], measured: str) -> float:
    return statistics.median(result[measured] for result in results)


def ratio(
    results: list[dict[str, float]], base: list[dict[str, float]], measured: str = "cpu"
) -> float:
    """Return the median of the ratios within each turn, because the load of the machine varies."""
    return statistics.median(a[measured] / b[measured] for a, b in zip(results, base, strict=True))


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("polars", "duckdb", "pandas"))
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}"
    )


def table(sizes: dict[int, Results]) -> str:
    """Everything that was measured, as Markdown."""
    lines = ["# What a sync costs", "", ABOUT, "", f"Machine: {machine()}.", ""]
    for rows, results in sizes.items():
        turns = len(results.race[ONE])
        limit = ", in 1 GiB of address space" if rows > LARGEST_RACE else ""
        shown = dict(results.race)
        for pair in results.pairs.values():
            shown |= {label: runs for label, runs in pair.items() if label not in shown}
        lines += [
            f"## {rows:,} members a side, {turns} {'run' if turns == 1 else 'runs'}{limit}",
            "",
            "| | CPU s | wall s | peak MB |",
            "|---|--:|--:|--:|",
            *(
                f"| {label} | {median(r, 'cpu'):.2f} | {median(r, 'wall'):.2f} "
                f"| {median(r, 'mb'):.0f} |"
                for label, r in shown.items()
            ),
            "",
        ]
    lines += ["## The goals", "", "| measure | members | goal | measured |", "|---|--:|--:|--:|"]
    lines += [
        f"| {text} | {rows:,} | {goal} | {value:.2f} |"
        for rows, results in sizes.items()
        for text, goal, value in goals(rows, results)
    ]
    return "\n".join([*lines, ""])


def goals(rows: int, results: Results) -> Iterator[tuple[str, str, float]]:
    race = results.race
    if POLARS in race:
        wall = "≤ 1.0" if rows >= LARGEST_RACE else ""
        yield "CPU / polars", "≤ 1.2", ratio(race[ONE], race[POLARS])
        yield "wall of 2 workers / polars", wall, ratio(race[TWO], race[POLARS], "wall")
    yield "peak MB", "≤ 150", median(race[ONE], "mb")
    yield "peak MB, 2 workers", "≤ 150", median(race[TWO], "mb")
    for label, pair in results.pairs.items():
        base = next(iter(pair))
        if label in GOALS:
            yield f"CPU: {label} / {base}", GOALS[label], ratio(pair[label], pair[base])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="100,000 rows, one run: for CI")
    parser.add_argument("--only", type=int, help="this many rows a side")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the data go, several GB")
    parser.add_argument("--table", type=Path, help="the file to write the table to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        folder, out, name, options = json.loads(arguments.one)
        CANDIDATES[name](Path(folder), Path(out), options)
        return
    wanted = [100_000] if arguments.small else [1_000_000, LARGEST_RACE]
    wanted = [arguments.only] if arguments.only else wanted
    sizes = dict[int, Results]()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        for rows in wanted:
            folder = Path(temporary, str(rows))
            folder.mkdir()
            small = rows <= SMALL
            make(folder, rows, variants=small)
            plan = RACE
            if rows > LARGEST_RACE:
                plan = {n: (c, {**o, "limit": "1"}) for n, (c, o) in RACE.items() if c == "ours"}
            runs = 1 if arguments.small or rows > LARGEST_RACE else arguments.runs
            race = series(in_folder(folder, plan), runs)
            others = in_folder(folder, SLOW | VARIANTS if small else {})
            first = in_folder(folder, {ONE: RACE[ONE]})
            pairs = {label: series(first | {label: c}, runs) for label, c in others.items()}
            if small:
                by = {PLAIN_GZIP: "standard library", FAST_GZIP: "isal"}
                both = {label: (folder, "gzip", {"by": name}) for label, name in by.items()}
                pairs[FAST_GZIP] = series(both, runs)
            sizes[rows] = Results(race, pairs)
        if len(wanted) > 1:
            few, many = ((Path(temporary, str(rows)), *RACE[ONE]) for rows in wanted)
            sizes[wanted[-1]].pairs[GROWTH] = series({ONE: few, GROWTH: many}, arguments.runs)
    text = table(sizes)
    print(text)
    if arguments.table:
        arguments.table.write_text(text)


if __name__ == "__main__":
    main()
