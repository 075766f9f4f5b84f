"""The diff engine against what one would write instead: CPU, wall and memory.

    python benchmarks/diff_engine.py [--small | --large] [--runs 3] [--table FILE]

Each measurement is a process of its own, whose children count too; the candidates take
turns, and the ratio is that of the medians. All must find the same three sets.
"""

import argparse
import hashlib
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HEADER = "amplitudeID,userID,country,plan\n"
COUNTRIES = ("DE", "US", "FR", "GB", "JP", "BR", "IN", "CA")
PLANS = ("free", "pro", "team", "enterprise")
FILES = ("entering", "exiting", "existing")


# --- The data ------------------------------------------------------------------------


def line_of(number: int) -> str:
    """A member: a 12-digit id, a user id like an e-mail address, two properties."""
    # The factor has no divisor in common with 10, so no two members share a user id.
    mixed = number * 2654435761 % 10**12
    return f"{number},user{mixed:012d}@example.com,{COUNTRIES[mixed % 8]},{PLANS[mixed // 8 % 4]}\n"


def numbers(rows: int) -> tuple[list[int], list[int]]:
    """Ids before, in order, and now, in none: 5 % left and 5 % entered."""
    rng = random.Random(7)
    ids = rng.sample(range(10**11, 10**12), rows + rows // 20)
    now = ids[rows // 20 :]
    rng.shuffle(now)
    return sorted(ids[:rows]), now


def write(path: Path, ids: list[int], edit: Callable[[int, str], str] | None = None) -> None:
    with path.open("w", newline="") as file:
        file.write(HEADER if edit is None else edit(-1, HEADER))
        for begin in range(0, len(ids), 100_000):
            lines = map(line_of, ids[begin : begin + 100_000])
            if edit is not None:
                lines = (edit(i, line) for i, line in enumerate(lines))
            file.writelines(lines)


def quote_all(_: int, line: str) -> str:
    return '"' + line[:-1].replace(",", '","') + '"\n'


def quote_tenth(row: int, line: str) -> str:
    if row < 0 or row % 10:
        return line
    first, user, country, plan = line[:-1].split(",")
    return f'{first},{user},"{country}, ""{plan}""",{plan}\n'


def make(folder: Path, rows: int, *, variants: bool) -> None:
    before, now = numbers(rows)
    write(folder / "previous.csv", before)
    write(folder / "current.csv", now)
    if variants:
        write(folder / "quoted.csv", now, quote_all)
        write(folder / "tenth.csv", now, quote_tenth)
        write(folder / "in-order.csv", sorted(now))
        # A changed property on every stayer is the worst case of comparing whole lines.
        write(folder / "changed.csv", now, lambda i, s: s if i < 0 else s[:-1] + "2\n")
        random.Random(8).shuffle(before)
        write(folder / "shuffled.csv", before)
        before.sort(key=lambda n: line_of(n).split(",")[1])
        write(folder / "by-user.csv", before)


# --- The candidates: each runs in a process of its own --------------------------------


def ours(folder: Path, out: Path, options: dict[str, str]) -> None:
    """The engine, and the commit of its files into a LocalStorage."""
    from collections.abc import Iterable

    from attrs import evolve

    from amplitude_cohort_s3.diff import CsvSource, DiffFile, diff_members
    from amplitude_cohort_s3.engine import PartitionEngine
    from amplitude_cohort_s3.filename import DiffType
    from amplitude_cohort_s3.rows import RowSchema
    from amplitude_cohort_s3.sources import MemberFile
    from amplitude_cohort_s3.storage.local import LocalStorage

    def commit(files: Iterable[tuple[DiffType, DiffFile]]) -> None:
        storage = LocalStorage(out)
        staged = [storage.stage(f"{t}.csv", file.chunks()) for t, file in files]
        for one in staged:
            storage.publish(one)

    schema = RowSchema(properties=("country", "plan"), key=options.get("key", "amplitude_id"))
    previous: CsvSource | tuple[()] = ()
    if options.get("previous") != "none":
        name = options.get("previous", "previous")
        file = MemberFile(folder / f"{name}.csv")
        previous = evolve(file.csv_source(schema), vouched=name != "shuffled")
    engine = PartitionEngine(workers=int(options.get("workers", "1")))
    current = MemberFile(folder / f"{options.get('current', 'current')}.csv")
    with diff_members(previous, current, schema=schema, engine=engine, work_dir=out) as diff:
        commit((t, diff.report.files[t]) for t in DiffType)


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
    """The module csv and a dict."""
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


CANDIDATES = {f.__name__: f for f in (ours, polars, duckdb, pandas, standard_library)}


# --- Measuring -----------------------------------------------------------------------


def measure(
    folder: Path, name: str, options: dict[str, str], *, digests: bool
) -> dict[str, object]:
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
    result: dict[str, object] = {"cpu": cpu, "wall": wall, "mb": peak}
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


def series(
    folder: Path, plan: dict[str, tuple[str, dict[str, str]]], runs: int
) -> dict[str, dict[str, float]]:
    """The medians of several candidates that take turns."""
    found: dict[str, list[dict[str, object]]] = {label: [] for label in plan}
    for run in range(runs):
        for label, (name, options) in plan.items():
            plain = not ({*options} - {"workers"})
            found[label].append(measure(folder, name, options, digests=plain and not run))
            print(label, found[label][-1], file=sys.stderr, flush=True)
    sets = {tuple(d) for r in found.values() if (d := r[0].get("digests"))}  # type: ignore[arg-type]
    if len(sets) > 1:
        message = f"the candidates found different sets: {sets}"
        raise RuntimeError(message)
    return {
        label: {
            measured: statistics.median(float(str(r[measured])) for r in results)
            for measured in ("cpu", "wall", "mb")
        }
        for label, results in found.items()
    }


VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "all-quoted": ("ours", {"current": "quoted"}),
    "tenth quoted": ("ours", {"current": "tenth"}),
    "previous shuffled": ("ours", {"previous": "shuffled"}),
    "match_by user id": ("ours", {"previous": "by-user", "key": "user_id"}),
    "first sync": ("ours", {"previous": "none"}),
    "current in order": ("ours", {"current": "in-order"}),
    "all rows changed": ("ours", {"current": "changed"}),
}


def table(results: dict[int, dict[str, dict[str, float]]]) -> str:
    lines = ["# What the diff costs", "", __doc__.splitlines()[0], ""]
    for rows, measured in results.items():
        lines += [
            f"## {rows:,} rows a side",
            "",
            "| | CPU s | wall s | peak MB | CPU / polars |",
            "|---|---|---|---|---|",
        ]
        base = measured.get("polars", {}).get("cpu")
        for label, m in measured.items():
            ratio = f"{m['cpu'] / base:.2f}" if base else ""
            lines.append(
                f"| {label} | {m['cpu']:.2f} | {m['wall']:.2f} | {m['mb']:.0f} | {ratio} |"
            )
        lines.append("")
    lines += ["## What was to be reached", "", "| measure | to reach | measured |", "|---|---|---|"]

    def row(measure: str, goal: str, value: Callable[[], float]) -> None:
        try:
            lines.append(f"| {measure} | {goal} | {value():.2f} |")
        except KeyError:
            lines.append(f"| {measure} | {goal} | not run |")

    sizes = list(results)
    for n in sizes:
        r = results[n]
        row(f"CPU / polars, {n:,}", "≤ 1.2", lambda r=r: r["ours"]["cpu"] / r["polars"]["cpu"])
        row(
            f"wall of two workers / polars, {n:,}",
            "≤ 1.0 at 10 M",
            lambda r=r: r["ours, 2 workers"]["wall"] / r["polars"]["wall"],
        )
        row(f"peak MB, {n:,}", "≤ 150", lambda r=r: r["ours"]["mb"])
        row(f"peak MB of two workers, {n:,}", "≤ 150", lambda r=r: r["ours, 2 workers"]["mb"])
    if len(sizes) > 1:
        row(
            "CPU growth",
            "≤ 11 for tenfold",
            lambda: results[sizes[1]]["ours"]["cpu"] / results[sizes[0]]["ours"]["cpu"],
        )
    goals = ("≤ 1.3", "≤ 1.5", "≤ 1.5", "≤ 1.5", "≤ 1.2", "-", "-")
    for label, goal in zip(VARIANTS, goals, strict=True):
        r = results[sizes[0]]
        row(f"{label} / plain", goal, lambda r=r, k=label: r[k]["cpu"] / r["ours"]["cpu"])
    return "\n".join([*lines, ""])


def sizes_of(arguments: argparse.Namespace) -> Iterator[int]:
    if arguments.small:
        yield 100_000
    else:
        yield 1_000_000
        yield 10_000_000
    if arguments.large:
        yield 50_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="100,000 rows, one run: for CI")
    parser.add_argument("--large", action="store_true", help="50 million rows too, once")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", type=int, help="this many rows a side")
    parser.add_argument("--folder", type=Path, help="where the data go, several GB")
    parser.add_argument("--table", type=Path, help="the file to write the table to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        folder, out, name, options = json.loads(arguments.one)
        CANDIDATES[name](Path(folder), Path(out), options)
        return
    results: dict[int, dict[str, dict[str, float]]] = {}
    for rows in [arguments.only] if arguments.only else sizes_of(arguments):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
            folder = Path(temporary)
            small = rows <= 1_000_000
            make(folder, rows, variants=small)
            runs = 1 if arguments.small or rows > 10_000_000 else arguments.runs
            plan = {"ours": ("ours", {}), "ours, 2 workers": ("ours", {"workers": "2"})}
            if rows <= 10_000_000:
                plan["polars"] = ("polars", {})
                plan["duckdb"] = ("duckdb", {})
            if small:
                plan["pandas"] = ("pandas", {})
                plan["csv and dict"] = ("standard_library", {})
                plan |= VARIANTS
            results[rows] = series(folder, plan, runs)
    text = table(results)
    print(text)
    if arguments.table:
        arguments.table.write_text(text)


if __name__ == "__main__":
    main()
