"""Writing a sync into a folder, compared with scripts of polars, DuckDB, pandas and csv.

    python benchmarks/writing.py [--small] [--only PART] [--runs 3] [--folder DIR] [--table FILE]

In each run, 5 % of the members enter and 5 % exit. Each run is a process of its own, measured from
its start. This library reads and verifies the previous sync, and commits three ordered files; the
scripts in ``scripts/`` only write three files. ``memory`` also syncs 50,000,000 members.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from measuring import VARIANTS, Candidate, Comparison, Row, Setting, Watch, main, run
from sample_data import (
    START,
    cohort,
    digest_of_rows,
    drawn_ids,
    members,
    write_members,
)

from amplitude_cohort_s3 import (
    CsvSource,
    DiffType,
    LocalStorage,
    MemberFile,
    RowSchema,
    diff_members,
    sync_cohort,
)
from amplitude_cohort_s3.diff import PartitionEngine

CHUNK_BYTES = 1 << 20


# --- The candidates: each runs in a process of its own ---------------------------------------


def sync(
    _: Watch,
    *,
    current: str,
    out: str,
    bucket: str | None = None,
    match_by: str = "amplitude_id",
    workers: int | None = 2,
    as_stream: bool = False,
) -> None:
    """Sync a file into a copy of a bucket."""
    target = Path(out, "bucket")
    if bucket is not None:
        # Hard links are enough, because the files of a bucket are never overwritten.
        shutil.copytree(bucket, target, copy_function=os.link)
    source = CsvSource(chunks=partial(chunks_of, current)) if as_stream else MemberFile(current)
    result = sync_cohort(
        cohort(match_by),
        source,
        LocalStorage(target),
        synced_at=START + timedelta(days=1),
        engine=PartitionEngine(workers=workers),
    )
    for diff_type, file in result.record.files.items():
        os.link(target / file.key, Path(out, f"{diff_type.value}.csv"))


def chunks_of(path: str) -> Iterator[bytes]:
    """Yield a file in chunks, as a download does."""
    with Path(path).open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def first_sync(_: Watch, file: str, bucket: str, match_by: str = "amplitude_id") -> None:
    """Make the bucket with the previous members."""
    sync_cohort(cohort(match_by), MemberFile(file), LocalStorage(bucket), synced_at=START)


def diff_of_foreign_file(_: Watch, previous: str, current: str, out: str) -> None:
    """Compute the diff to an unsorted file of another tool, and store the three files."""
    storage = LocalStorage(out)
    with diff_members(
        MemberFile(previous),
        MemberFile(current),
        schema=RowSchema(properties=("country", "plan")),
        work_dir=out,
    ) as diff:
        for diff_type in DiffType:
            chunks = diff.report.files[diff_type].chunks()
            storage.publish(storage.stage(f"{diff_type.value}.csv", chunks))


def encode_tuples(watch: Watch, rows: int, out: str) -> None:
    """Write tuples as CSV with this library."""
    from amplitude_cohort_s3.sources.rows import as_csv

    tuples = members(drawn_ids(rows)).rows()
    schema = RowSchema(properties=("country", "plan"))
    with watch, Path(out, "existing.csv").open("wb") as file:
        file.writelines(as_csv(tuples, schema, fill=False).chunks())


def write_tuples(watch: Watch, rows: int, out: str) -> None:
    """Write the same tuples with ``csv.writer``."""
    from scripts import csv_diff

    frame = members(drawn_ids(rows))
    tuples = frame.rows()
    with watch:
        csv_diff.write_rows(Path(out, "existing.csv"), [frame.columns], tuples)


def compress(watch: Watch, file: str, out: str, by: str) -> None:
    """Compress a file, with the extra ``fast`` or without."""
    if by == "standard library":
        sys.modules["isal"] = None  # type: ignore[assignment] -- as if it were not installed
    from amplitude_cohort_s3.format.compression import compress_chunks

    with watch, Path(out, "existing.csv.gz").open("wb") as target:
        target.writelines(compress_chunks(chunks_of(file)))


def polars(_: Watch, previous: str, current: str, out: str, key: str = "amplitudeID") -> None:
    """Write the files with polars."""
    from scripts import polars_diff

    polars_diff.write_diff(Path(previous), Path(current), Path(out), key)


def duckdb(_: Watch, previous: str, current: str, out: str) -> None:
    """Write the files with DuckDB."""
    from scripts import duckdb_diff

    duckdb_diff.write_diff(Path(previous), Path(current), Path(out))


def pandas(_: Watch, previous: str, current: str, out: str) -> None:
    """Write the files with pandas."""
    from scripts import pandas_diff

    pandas_diff.write_diff(Path(previous), Path(current), Path(out))


def module_csv(_: Watch, previous: str, current: str, out: str) -> None:
    """Write the files with the standard library."""
    from scripts import csv_diff

    csv_diff.write_diff(Path(previous), Path(current), Path(out))


CANDIDATES = (
    *(sync, first_sync, diff_of_foreign_file, encode_tuples, write_tuples, compress),
    *(polars, duckdb, pandas, module_csv),
)


# --- The data --------------------------------------------------------------------------------


class Data:
    """The input files of a benchmark; each is made when it is first needed."""

    def __init__(self, setting: Setting, rows: int) -> None:
        self.rows = rows // 100 if setting.small else rows
        self.folder = setting.folder / f"writing-{self.rows}"
        self.folder.mkdir(exist_ok=True)
        self.out = self.folder / "out"

    def file(self, name: str, edit: Callable[[Any], Any] | None = None, **style: str) -> Path:
        """Return a file of members by its name, which is made unless it exists."""
        import numpy as np

        path = self.folder / f"{name}.csv"
        if not path.exists():
            ids = drawn_ids(self.rows + self.rows // 20)
            before, now = ids[: self.rows], ids[self.rows // 20 :]
            of_file = {
                "previous": np.sort(before),
                "shuffled": before,
                "in-order": np.sort(now),
                "nobody": before[:0],
            }
            unfinished = path.with_suffix(".unfinished")
            write_members(unfinished, of_file.get(name, now), edit, **style)
            unfinished.rename(path)
        return path

    def bucket(self, match_by: str = "amplitude_id") -> Path:
        """Return the bucket with the previous sync."""
        bucket = self.folder / f"by-{match_by}"
        if not bucket.exists():
            unfinished = bucket.with_suffix(".unfinished")
            options = {"file": self.file("previous"), "bucket": unfinished, "match_by": match_by}
            run(Candidate("first_sync", options))
            unfinished.rename(bucket)
        return bucket

    def new_out(self) -> Path:
        """Return the empty folder for the files of the next run."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        return self.out

    def digest(self, _: Candidate) -> Any:
        """Return the answer of the run that has just ended: the rows of the files."""
        answer = {path.stem: digest_of_rows([path]) for path in sorted(self.out.glob("*.csv"))}
        self.new_out()
        return answer

    def ours(self, current: Path, **options: Any) -> Candidate:
        """Return the candidate of this library."""
        given = {"bucket": self.bucket(), "current": current, "out": self.new_out()}
        return Candidate("sync", given | options)

    def theirs(self, name: str, current: Path, **options: Any) -> Candidate:
        """Return the candidate of a script."""
        given = {"previous": self.file("previous"), "current": current, "out": self.new_out()}
        return Candidate(name, given | options)


# --- The parts -------------------------------------------------------------------------------


def against_polars(setting: Setting, rows: int) -> Iterator[Row]:
    """Compare a file and a stream with polars."""
    data = Data(setting, rows)
    current, size = data.file("current"), f"{data.rows:,} rows"
    theirs = data.theirs("polars", current)
    compare = partial(Comparison, theirs=theirs, runs=setting.runs, digest=data.digest)
    compared = compare(f"sync of {size}", data.ours(current))
    yield Row(f"sync of {size} / polars, CPU", compared.ratios("cpu"), (0.35, 1.0))
    wall = compared.ratios("wall")
    if "with kernel" not in VARIANTS:
        return
    wall = {"with kernel": wall["with kernel"]}
    yield Row(f"sync of {size} with 2 threads / polars, wall", wall, (0.4, None))
    compared = compare(
        f"sync of {size} from a generator",
        data.ours(current, as_stream=True),
        variants=["with kernel"],
    )
    measure = f"sync of {size} from a generator of chunks with 2 threads / polars, wall"
    yield Row(measure, compared.ratios("wall"), (0.5, None))


def against_others(setting: Setting) -> Iterator[Row]:
    """Compare with other libraries that one might use."""
    data = Data(setting, 1_000_000)
    current = data.file("current")
    for name in ("duckdb", "pandas", "module_csv"):
        theirs = data.theirs(name, current)
        measure = f"sync of {data.rows:,} rows / {name.replace('_', ' ')}, CPU"
        ours = data.ours(current)
        compared = Comparison(measure, ours, theirs, runs=setting.runs, digest=data.digest)
        yield Row(measure, compared.ratios("cpu"))


def quote_tenth(rows: Any) -> Any:
    """Put quotes and a comma into every tenth row."""
    import polars as pl

    quoted = pl.format('{}, "{}"', "country", "plan")
    tenth = pl.int_range(pl.len()) % 10 == 0
    return rows.with_columns(pl.when(tenth).then(quoted).otherwise("country").alias("country"))


def change_all(rows: Any) -> Any:
    """Change a property of every member."""
    return rows.with_columns(plan=rows["plan"] + "2")


def kinds(setting: Setting) -> Iterator[Row]:
    """Compare kinds of input with the plain input, and the answers with those of polars."""
    data = Data(setting, 1_000_000)
    plain = data.file("current")
    nobody, shuffled = data.file("nobody"), data.file("shuffled")
    foreign = {"previous": shuffled, "current": plain, "out": data.out}
    for kind, target, ours, theirs in (
        _kind(data, "all-quoted", data.file("quoted", quote_style="always")),
        _kind(data, "every tenth row quoted", data.file("tenth", quote_tenth)),
        _kind(data, "CRLF", data.file("crlf", line_terminator="\r\n")),
        _kind(data, "already sorted", data.file("in-order")),
        (
            "user id as key",
            1.5,
            data.ours(plain, bucket=data.bucket("user_id"), match_by="user_id"),
            data.theirs("polars", plain, key="userID"),
        ),
        (
            "foreign previous file in no order",
            1.5,
            Candidate("diff_of_foreign_file", foreign),
            data.theirs("polars", plain),
        ),
        (
            "first sync",
            None,
            data.ours(plain, bucket=None),
            data.theirs("polars", plain, previous=nobody),
        ),
        (
            "a property of every member changed",
            None,
            *_kind(data, "", data.file("changed", change_all))[2:],
        ),
    ):
        compared = Comparison(
            f"{kind} / plain input",
            ours,
            data.ours(plain),
            runs=setting.runs,
            digest=data.digest,
            is_same_library=True,
            reference=theirs,
        )
        yield Row(f"{kind} / plain input, CPU", compared.ratios("cpu"), (target, target))


def _kind(data: Data, kind: str, current: Path) -> tuple[str, float, Candidate, Candidate]:
    return kind, 1.5, data.ours(current), data.theirs("polars", current)


def tuples(setting: Setting) -> Iterator[Row]:
    """Compare rows given as Python objects with a loop of ``csv.writer``."""
    data = Data(setting, 1_000_000)
    options = {"rows": data.rows, "out": data.new_out()}
    ours, theirs = Candidate("encode_tuples", options), Candidate("write_tuples", options)
    measure = f"{data.rows:,} tuples as CSV / `csv.writer`, CPU"
    compared = Comparison(measure, ours, theirs, runs=setting.runs, digest=data.digest)
    yield Row(measure, compared.ratios("cpu"), (2.0, 2.0))


def gzip(setting: Setting) -> Iterator[Row]:
    """Compare the extra ``fast`` with the standard library."""
    data = Data(setting, 1_000_000)
    options = {"file": data.file("current"), "out": data.new_out()}
    ours, theirs = (
        Candidate("compress", options | {"by": by}) for by in ("extra fast", "standard library")
    )
    compared = Comparison("gzip", ours, theirs, runs=setting.runs, digest=data.digest)
    yield Row("gzip by the extra `fast` / by the standard library, CPU", compared.ratios("cpu"))


def memory(setting: Setting) -> Iterator[Row]:
    """Measure the peak memory; without the kernel there is one thread."""
    for rows in (1_000_000,) if setting.small else (1_000_000, 10_000_000, 50_000_000):
        data = Data(setting, rows)
        for workers in (2, 4):
            peaks = {}
            for variant in VARIANTS:
                peaks[variant] = run(data.ours(data.file("current"), workers=workers), variant).mb
            measure = f"peak memory, {data.rows:,} rows, {workers} threads"
            yield Row(measure, peaks, (150, 80), "MB")
        if rows > 10_000_000 and setting.is_temporary:
            shutil.rmtree(data.folder)


PARTS = {
    "1M": partial(against_polars, rows=1_000_000),
    "10M": partial(against_polars, rows=10_000_000),
    "kinds": kinds,
    "tuples": tuples,
    "gzip": gzip,
    "others": against_others,
    "memory": memory,
}


if __name__ == "__main__":
    main("Writing", __doc__, PARTS, CANDIDATES)
